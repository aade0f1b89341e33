"""Write a trained model as it is handed out: a folder with all that goes from audio to an answer. No pickle.

``model.onnx``, the graph; ``about.json``, see :mod:`pipeline.serving.manifest`; ``familiar.npz``, see
:mod:`pipeline.serving.ood`; ``seen.parquet``, by content the clips that it was trained on, and its
answers for those it was chosen by.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import paths
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.evaluation import calibration, metrics
from pipeline.features.store import Store
from pipeline.files import write_json
from pipeline.serving import manifest
from pipeline.serving.manifest import About
from pipeline.serving.ood import KIND, Familiarity
from pipeline.serving.selective import SEEN, threshold
from pipeline.training.trials import Trial, spec

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Trained:
    """One trial of one experiment, and its answers as evaluated."""

    key: str
    trial: Trial
    answers: pd.DataFrame
    """As in ``evaluation/<key>/predictions.parquet``, of this trial alone."""


def write(trained: Trained, settings: Params, folder: Path) -> About:
    folder.mkdir()
    model = paths.MODELS / trained.key / trained.trial.name
    shutil.copy2(model / "model.onnx", folder / manifest.GRAPH)
    dealt = members(trained.trial.fold)
    valid = metrics.of_part(trained.answers, "valid")
    tempered = calibration.tempered(valid)
    answers = tempered[["clip_id", "predicted"]].assign(probability=calibration.confidence(tempered))
    seen = dealt[dealt["part"] != "test"].merge(answers, on="clip_id", how="left")
    seen[["sha256", "part", "label", "predicted", "probability"]].to_parquet(folder / SEEN, index=False)
    parts = tabular(dealt)
    familiarity = Familiarity.fitted(parts["train"].values)
    familiarity.save(folder / manifest.FAMILIAR)
    made = spec(model)
    sure, named = threshold(seen[seen["part"] == "valid"], settings.champion.precision)
    found = About(
        experiment=trained.key,
        run_id=made.run_id,
        labels=made.labels,
        kinds=made.experiment.features,
        features=settings.features,
        window=made.window,
        batch_size=made.experiment.training.batch_size,
        audit=settings.audit,
        longest_s=float(dealt["duration_s"].max()),
        temperature=float(valid["temperature"].iloc[0]),
        sure=sure,
        precision=settings.champion.precision,
        named=named,
        familiar=float(np.quantile(familiarity.distances(parts["valid"].values), settings.champion.familiar)),
    )
    write_json(folder / manifest.FILE, found.model_dump())
    return found


def members(fold: int) -> pd.DataFrame:
    """The good clips with their part in this fold."""
    rows = split.read()
    return clips.good(clips.computed()).merge(rows[rows["fold"] == fold], on="clip_id")


@dataclass(frozen=True)
class Tabular:
    labels: Any
    """(clips,)"""
    values: Array
    """(clips, columns)"""


def tabular(dealt: pd.DataFrame) -> dict[str, Tabular]:
    """The features that familiarity goes by, of each part."""
    store = Store(paths.FEATURES / KIND)
    values = np.asarray(store.array[store.rows(dealt["clip_id"])[0]], np.float64)
    label, part = dealt["label"].to_numpy(), dealt["part"].to_numpy()
    return {name: Tabular(label[part == name], values[part == name]) for name in ("train", "valid", "test")}
