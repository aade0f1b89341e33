"""Set the tutorial's models beside this project's: a page with the findings on its claims, also kept in MLflow."""

from pathlib import Path

import pandas as pd

from pipeline import config, paths, tracking
from pipeline.config.base import ParamsError
from pipeline.data import clips, split
from pipeline.evaluation import metrics
from pipeline.files import read_json, write_json, write_text
from pipeline.reports.tutorial import Side, numbers, page
from pipeline.stages import main


def tutorial_report() -> None:
    settings = config.load_sound()
    settings.check_tutorial()
    if not settings.tutorial.experiments:
        raise ParamsError(
            "tutorial.experiments: there is no model to report on: give it some, as the params.yaml in git has"
        )
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    folders = {key: paths.TUTORIAL / key for key in settings.tutorial.experiments}
    theirs = {key: _side(folder, folder / "history.csv") for key, folder in folders.items()}
    ours = {key: _side(paths.EVALUATION / key, paths.HISTORY / f"{key}.csv") for key in folders}
    found = numbers(theirs, ours, settings.seed)
    write_text(paths.TUTORIAL_REPORT, page(theirs, ours, split.explained(split.read()), settings.seed))
    write_json(paths.TUTORIAL_METRICS, found)
    tags = {**tracking.lineage(clips.source(clips.read())), "leaky": split.LEAKY["first-to-train"]}
    with tracking.run(settings.tracking.experiment, "tutorial", None, tags) as run:
        run.log_metrics(found)
        run.log_file(paths.TUTORIAL_REPORT)


def _side(folder: Path, history: Path) -> Side:
    return Side(
        test=metrics.of_part(pd.read_parquet(folder / "predictions.parquet"), "test"),
        history=pd.read_csv(history),
        seconds=read_json(folder / "training.json")["train_seconds"],
    )


if __name__ == "__main__":
    main(tutorial_report, project="tutorial")
