"""The windows of train, valid and test for an experiment, from the clips, split and feature files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.base import paths
from pipeline.config.experiment import Experiment
from pipeline.config.features import Window
from pipeline.data import clips
from pipeline.data.split import inner_folds
from pipeline.features.store import Store
from pipeline.training.dataset import Feature, Windows


@dataclass(frozen=True)
class Splits:
    kinds: list[str]
    """In the order of the model's inputs."""
    labels: list[str]
    """In the order of the model's outputs."""
    clips: dict[str, pd.DataFrame]
    """The clips of each part, in the order of its windows' clip numbers."""
    features: dict[str, list[Feature]]
    windows: dict[str, Windows]

    def of(self, kinds: Sequence[str]) -> "Splits":
        """The same with these features alone."""
        places = [self.kinds.index(kind) for kind in kinds]
        features = {part: [every[place] for place in places] for part, every in self.features.items()}
        windows = {part: Windows(features[part], own.targets) for part, own in self.windows.items()}
        return Splits(list(kinds), self.labels, self.clips, features, windows)


def load(experiment: Experiment, window: Window, table: pd.DataFrame, split: pd.DataFrame, fold: int) -> Splits:
    """One fold's, from the tables of all clips and of the split."""
    labels = clips.labels(table)
    joined = clips.good(table).merge(split[split["fold"] == fold], on="clip_id")
    stores = {kind: Store(paths.FEATURES / kind) for kind in experiment.features}
    parts = {str(part): rows.reset_index(drop=True) for part, rows in joined.groupby("part")}
    features = {
        part: [Feature.stored(store, rows["clip_id"], window.of(kind)) for kind, store in stores.items()]
        for part, rows in parts.items()
    }
    number = {label: position for position, label in enumerate(labels)}
    windows = {
        part: Windows(features[part], rows["label"].map(number).to_numpy(np.int64)) for part, rows in parts.items()
    }
    return Splits(experiment.features, labels, parts, features, windows)


def resplit(
    experiment: Experiment, data: Splits, window: Window, table: pd.DataFrame, seed: int, count: int
) -> list[Splits]:
    """Train and valid of ``data`` re-split into inner folds, one Splits each: the fold is its valid, the others its train."""
    rows = inner_folds(pd.concat([data.clips["train"], data.clips["valid"]]), count, seed)
    return [load(experiment, window, table, rows, fold) for fold in range(count)]


def examples(data: Splits) -> dict[str, np.ndarray[Any, Any]]:
    """A batch of two windows of the training part, by feature."""
    first_windows = np.array([[0, 0], [1, 0]])
    return dict(zip(data.kinds, data.windows["train"][first_windows].inputs, strict=True))
