"""What the comparison shows: each experiment's evaluation, and the data, as read from the stages' outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.data import clips, split
from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.evaluation.scores import macro_f1

BASELINE = "majority"
"""Key of the model that always predicts the most frequent label of the training set."""
ZERO_SHOT = "zero-shot"
"""Name of the model that learns nothing from labels."""


@dataclass(frozen=True)
class Entry:
    """One trained and evaluated model."""

    key: str
    description: str
    """Model and features, e.g. ``cnn on spectrogram``."""
    metrics: Mapping[str, float]
    """As in ``evaluation/<key>/scores.json``."""
    model: str
    """Its name in params.yaml."""
    never: list[str]
    """Labels that it cannot predict, since no tag stands for them."""
    history: pd.DataFrame
    """As in ``history/<key>.csv``: rows by fold, seed and epoch; none for a model that is not trained by epochs."""
    per_class: pd.DataFrame
    """Of the test set, from :func:`pipeline.evaluation.metrics.per_class`."""
    confusion: pd.DataFrame
    """Of the test set, from :func:`pipeline.evaluation.metrics.confusion`."""
    reliability: tuple[pd.DataFrame, pd.DataFrame]
    """Of the test set, before and after temperature scaling, from :mod:`pipeline.evaluation.calibration`."""
    test_clips: int
    trials: int
    """Models that were tested: test folds times seeds."""
    run: tuple[str, str]
    """Id and address of the MLflow run."""
    wall_time_s: float
    parameters: int
    """Trainable weights."""
    network_ms: float
    """Time that its network takes for a clip, on one thread."""
    ablation: pd.DataFrame | None = None
    """Of a fusion, from :func:`pipeline.evaluation.scores.ablation`."""
    page: str | None = None
    """Path of the page on its mistakes, from the report's folder; models of pictures have none."""

    @property
    def learned(self) -> bool:
        """It learned from the labels of clips."""
        return self.key != BASELINE and self.model != ZERO_SHOT

    @property
    def interval(self) -> Interval:
        """Of macro F1 on the test set."""
        return macro_f1(self.metrics)

    @classmethod
    def read(cls, key: str, evaluation: Path, history: Path, page: str | None, address: Callable[[str], str]) -> Self:
        """
        Args:
            evaluation: what the stage ``evaluate`` left, ``evaluation/<key>``.
            history: ``history/<key>.csv``.
            address: of an MLflow run, by its id.
        """
        test = tested(evaluation)
        training = read_json(evaluation / "training.json")
        ablation = evaluation / "ablation.csv"
        return cls(
            key=key,
            description=training["description"],
            metrics=read_json(evaluation / paths.SCORES),
            model=training["model"],
            never=metrics.impossible(test),
            history=pd.read_csv(history),
            per_class=_labelled(evaluation / "per_class.csv", "label"),
            confusion=_labelled(evaluation / "confusion.csv", "actual").set_index("actual"),
            reliability=(calibration.reliability(test), calibration.reliability(calibration.tempered(test))),
            test_clips=int(test["clip_id"].nunique()),
            trials=len(test[["fold", "seed"]].drop_duplicates()),
            run=(training["run_id"], address(training["run_id"])),
            wall_time_s=training["train_seconds"],
            parameters=training["parameters"],
            network_ms=training["network_ms"],
            ablation=_labelled(ablation, "branch") if ablation.exists() else None,
            page=page,
        )


def tested(evaluation: Path) -> pd.DataFrame:
    """Test predictions of an experiment, from ``evaluation/<key>``."""
    return metrics.of_part(pd.read_parquet(evaluation / "predictions.parquet"), "test")


def _labelled(file: Path, column: str) -> pd.DataFrame:
    """A label may be called 7 or NA, which pandas would take for a number or for a missing value."""
    return pd.read_csv(file, dtype={column: str}, keep_default_na=False)


@dataclass(frozen=True)
class DataSummary:
    """The data that the models were trained and evaluated on."""

    source: str
    origin: str
    """What the clips are, as a sentence."""
    protocol: str
    """How they were split, as a sentence."""
    leaky: bool
    """Clips of one group are in several parts."""
    counts: pd.DataFrame
    """Clips by label (index) and part (columns), of the first test fold."""
    few_groups: list[str]
    """Labels whose test clips come from one or two groups."""
    rejected: Mapping[str, int]
    """Rejected clips by reason."""

    @classmethod
    def of(cls, table: pd.DataFrame, rows: pd.DataFrame, protocol: str) -> Self:
        """From the clips table and the split."""
        good = clips.good(table)
        first = good.merge(split.first(rows), on="clip_id")
        groups = good.merge(rows[rows["part"] == "test"], on="clip_id").groupby("label")["group"].nunique()
        kinds = first["origin"].str.split(" ").str[:4].str.join(" ").value_counts()
        rejected = table[table["status"] == "rejected"]["reason"].str.split(":").str[0].value_counts()
        return cls(
            source=clips.source(table),
            origin=f"Clips: {', '.join(f'{kind} ({count})' for kind, count in kinds.items())}.",
            protocol=protocol,
            leaky=split.leaky(rows) is not None,
            counts=pd.crosstab(first["label"], first["part"])[
                [part for part in split.PARTS if part in set(first["part"])]
            ],
            few_groups=[str(label) for label in groups.index[groups < 3]],
            rejected={str(reason): int(count) for reason, count in rejected.items()},
        )
