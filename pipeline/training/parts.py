"""The windows of train, valid and test for an experiment, from the clips, split and feature files."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.data import clips
from pipeline.features.store import Store
from pipeline.params import Experiment, FeatureKind, Window
from pipeline.training.windows import Feature, Windows


@dataclass(frozen=True)
class Parts:
    kinds: list[FeatureKind]
    """Feature kinds, in the order of the model's inputs."""
    labels: list[str]
    """In the order of the model's outputs."""
    clips: dict[str, pd.DataFrame]
    """The clips of each part, in the order of its windows' clip numbers."""
    features: dict[str, list[Feature]]
    windows: dict[str, Windows]


def load(experiment: Experiment, window: Window) -> Parts:
    table = clips.read()
    labels = clips.labels(table)
    joined = clips.good(table).merge(pd.read_parquet(paths.SPLIT), on="clip_id")
    stores = [Store(paths.FEATURES / kind) for kind in experiment.features]
    members = {str(part): rows.reset_index(drop=True) for part, rows in joined.groupby("part")}
    features = {
        part: [Feature(store, rows["clip_id"], window.frames) for store in stores]
        for part, rows in members.items()
    }
    number = {label: position for position, label in enumerate(labels)}
    windows = {
        part: Windows(features[part], rows["label"].map(number).to_numpy(np.int64))
        for part, rows in members.items()
    }
    return Parts(experiment.features, labels, members, features, windows)
