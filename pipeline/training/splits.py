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
    """The clips of each part, in the order of its windows' clip numbers; a refit has no valid, a fold beside one no test."""
    features: dict[str, list[Feature]]
    windows: dict[str, Windows]

    def of(self, kinds: Sequence[str]) -> "Splits":
        """The same with these features alone."""
        places = [self.kinds.index(kind) for kind in kinds]
        features = {part: [every[place] for place in places] for part, every in self.features.items()}
        windows = {part: Windows(features[part], own.targets) for part, own in self.windows.items()}
        return Splits(list(kinds), self.labels, self.clips, features, windows)

    def resplit(self, count: int, seed: int) -> list["Splits"]:
        """Train re-split into inner folds, one Splits each: the fold is its valid, the others its train.

        Raises:
            SplitError: all of its clips with some label are of one group.
        """
        train = self.clips["train"]
        rows = inner_folds(train, count, seed)
        return [self._parts(own.set_index("clip_id")["part"].loc[train["clip_id"]]) for _, own in rows.groupby("fold")]

    def judged_on(self, clip_ids: Sequence[str]) -> "Splits":
        """These training clips as valid, the others as train."""
        chosen = self.clips["train"]["clip_id"].isin(clip_ids)
        return self._parts(chosen.map({True: "valid", False: "train"}))

    def _parts(self, part_of: pd.Series) -> "Splits":
        places = {part: np.flatnonzero(part_of == part) for part in ("train", "valid")}
        clips = {part: self.clips["train"].iloc[own].reset_index(drop=True) for part, own in places.items()}
        features = {part: [one.of(own) for one in self.features["train"]] for part, own in places.items()}
        targets = self.windows["train"].targets
        windows = {part: Windows(features[part], targets[own]) for part, own in places.items()}
        return Splits(self.kinds, self.labels, clips, features, windows)


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


def examples(data: Splits) -> dict[str, np.ndarray[Any, Any]]:
    """A batch of two windows of the training part, by feature."""
    first_windows = np.array([[0, 0], [1, 0]])
    return dict(zip(data.kinds, data.windows["train"][first_windows].inputs, strict=True))
