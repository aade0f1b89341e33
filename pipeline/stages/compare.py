"""Set all experiments side by side: a report as Markdown and HTML, also kept in MLflow."""

from pathlib import Path

import pandas as pd

from pipeline import paths, tracking
from pipeline.config.project import BaseParams
from pipeline.data import clips, split
from pipeline.evaluation import bootstrap, calibration, metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.files import read_json
from pipeline.reports.comparison import DataSummary, Entry, Leak, NoLeak, comparison
from pipeline.stages import main
from pipeline.tracking import run_logging


def compare(settings: BaseParams) -> None:
    tracking.connect(settings.tracking.experiment)  # a server that is down is an error before the work
    answers = {key: _test_answers(key) for key in settings.experiments}
    entries = [_entry(settings, key, answers[key]) for key in settings.experiments]
    pairs = bootstrap.compare(answers, settings.seed)
    comparison(entries, pairs, [_leak(key) for key in settings.leak], _data(settings), paths.REPORTS)
    with run_logging.opened(settings, "comparison", None, None) as run:
        run.log_folder(paths.REPORTS / "figures", "figures")
        for report in ("comparison.md", "comparison.html", paths.AUDIT.name):
            run.log_file(paths.REPORTS / report)


def _test_answers(key: str) -> pd.DataFrame:
    return metrics.of_part(pd.read_parquet(paths.EVALUATION / key / "predictions.parquet"), "test")


def _leak(key: str) -> Leak | NoLeak:
    found = read_json(paths.LEAK / key / "leak.json")
    if "impossible" in found:
        return NoLeak(key, found["impossible"])
    return Leak(
        key=key,
        grouped=Interval(**found["grouped"]),
        random=Interval(**found["random"]),
        gap=Interval(**found["gap"]),
        folds=found["folds"],
        clips=found["clips"],
        groups=found["groups"],
    )


def _entry(settings: BaseParams, key: str, test: pd.DataFrame) -> Entry:
    folder = paths.EVALUATION / key
    training = read_json(folder / "training.json")
    return Entry(
        key=key,
        description=training["description"],
        metrics=read_json(folder / paths.SCORES),
        history=pd.read_csv(paths.HISTORY / f"{key}.csv"),
        per_class=_labelled(folder / "per_class.csv", "label"),
        confusion=_labelled(folder / "confusion.csv", "actual").set_index("actual"),
        reliability=(calibration.reliability(test), calibration.reliability(calibration.tempered(test))),
        test_clips=int(test["clip_id"].nunique()),
        trials=len(test[["fold", "seed"]].drop_duplicates()),
        run_id=training["run_id"],
        wall_time_s=training["train_seconds"],
        parameters=training["parameters"],
        ablation=_labelled(folder / "ablation.csv", "branch") if (folder / "ablation.csv").exists() else None,
        page=_page(key) if settings.model_pages else None,
    )


def _page(key: str) -> str:
    """Made by the stage `explain`."""
    return (paths.MODEL_REPORTS / f"{key}.html").relative_to(paths.REPORTS).as_posix()


def _labelled(file: Path, column: str) -> pd.DataFrame:
    """A label may be called 7 or NA, which pandas would take for a number or for a missing value."""
    return pd.read_csv(file, dtype={column: str}, keep_default_na=False)


def _data(settings: BaseParams) -> DataSummary:
    table = clips.computed()
    rows = split.read()
    parts = clips.good(table).merge(rows[rows["fold"] == 0], on="clip_id")
    tested = clips.good(table).merge(rows[rows["part"] == "test"], on="clip_id")
    groups = tested.groupby("label")["group"].nunique()
    kinds = parts["origin"].str.split(" ").str[:4].str.join(" ").value_counts()
    rejected = table[table["status"] == "rejected"]["reason"].str.split(":").str[0].value_counts()
    return DataSummary(
        source=clips.source(table),
        origin=f"What the clips are: {', '.join(f'{kind} ({count})' for kind, count in kinds.items())}.",
        protocol=split.explained(rows, settings.group_name),
        leaky=split.leaky(rows) is not None,
        counts=pd.crosstab(parts["label"], parts["part"])[["train", "valid", "test"]],
        few_groups=[str(label) for label in groups.index[groups < 3]],
        rejected={str(reason): int(count) for reason, count in rejected.items()},
    )


if __name__ == "__main__":
    main(compare)
