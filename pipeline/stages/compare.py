"""Set all experiments side by side: a report as Markdown and HTML, also kept in MLflow."""

import pandas as pd

from pipeline import params, paths, tracking
from pipeline.data import clips
from pipeline.evaluation.report import DataSummary, Entry, comparison
from pipeline.files import read_json
from pipeline.params import Experiment
from pipeline.stages import main


def compare() -> None:
    settings = params.load()
    entries = [_entry(key, experiment) for key, experiment in settings.experiments.items()]
    comparison(entries, _data(), paths.REPORTS)
    tags = tracking.lineage(settings.data.source)
    with tracking.run(settings.tracking.experiment, "comparison", None, tags) as run:
        # the audit's summary stands in the same folder, and belongs to the comparison
        run.log_folder(paths.REPORTS)


def _entry(key: str, experiment: Experiment) -> Entry:
    folder = paths.EVALUATION / key
    training = read_json(folder / "training.json")
    return Entry(
        key=key,
        description=f"{experiment.model.name} on {' + '.join(experiment.features)}",
        metrics=read_json(paths.METRICS / f"{key}.json"),
        history=pd.read_csv(paths.HISTORY / f"{key}.csv"),
        per_class=pd.read_csv(folder / "per_class.csv"),
        confusion=pd.read_csv(folder / "confusion.csv", index_col="actual"),
        run_id=training["run_id"],
        wall_time_s=training["train_seconds"],
        parameters=training["parameters"],
    )


def _data() -> DataSummary:
    table = clips.read()
    parts = clips.good(table).merge(pd.read_parquet(paths.SPLIT), on="clip_id")
    kinds = parts["origin"].str.split(" ").str[:4].str.join(" ").value_counts()
    rejected = table[table["status"] == "rejected"]["reason"].str.split(":").str[0].value_counts()
    return DataSummary(
        source=str(table["source"].iloc[0]),
        origin=f"What the clips are: {', '.join(f'{kind} ({count})' for kind, count in kinds.items())}.",
        counts=pd.crosstab(parts["label"], parts["part"])[["train", "valid", "test"]],
        rejected={str(reason): int(count) for reason, count in rejected.items()},
    )


if __name__ == "__main__":
    main(compare)
