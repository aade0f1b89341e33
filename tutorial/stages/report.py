"""Compare the tutorial's models with this project's: a page on the tutorial's claims, which is also logged to MLflow."""

from pathlib import Path

import pandas as pd

from pipeline import tracking
from pipeline.base import paths
from pipeline.base.files import read_json, write_json, write_text
from pipeline.config.base import ParamsError
from pipeline.data import clips, split
from pipeline.evaluation import metrics
from tutorial.config import Tutorial
from tutorial.paths import METRICS, PARAMS, REPORT, RESULTS
from tutorial.report import Side, numbers, page


def report(settings: Tutorial) -> None:
    if not settings.experiments:
        raise ParamsError(f"{PARAMS} has no experiments to report on: restore those that it has in git")
    shared = settings.shared
    tracking.connect(shared.tracking.experiment)  # a server that is down is an error before the work
    theirs = {key: _side(RESULTS / key, RESULTS / key / "history.csv") for key in settings.experiments}
    ours = {key: _side(paths.EVALUATION / key, paths.HISTORY / f"{key}.csv") for key in settings.experiments}
    found = numbers(theirs, ours, shared.seed)
    write_text(REPORT, page(theirs, ours, split.explained(split.read(), shared.group_name), shared.seed))
    write_json(METRICS, found)
    tags = {
        **tracking.lineage(clips.source(clips.read())),
        "leaky": split.LEAKY["first-to-train"],
        tracking.KIND: "tutorial",
    }
    with tracking.run(shared.tracking.experiment, "tutorial", None, tags) as run:
        run.log_metrics(found)
        run.log_file(REPORT)


def _side(folder: Path, history: Path) -> Side:
    return Side(
        test=metrics.of_part(pd.read_parquet(folder / "predictions.parquet"), "test"),
        history=pd.read_csv(history),
        seconds=read_json(folder / "training.json")["train_seconds"],
    )
