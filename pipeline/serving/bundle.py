"""Write the chosen model as a bundle: a folder with all that predicting from audio takes. No pickle.

``model.onnx``, the graph; ``manifest.json``, see :mod:`pipeline.serving.manifest`; ``ood.npz``, see
:mod:`pipeline.serving.ood`; ``seen.parquet``, the training and validation clips by content, with the predictions for
the latter.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.base import paths
from pipeline.base.files import read_json, write_json
from pipeline.config.features import longest_s
from pipeline.config.project import Params
from pipeline.data import clips, split
from pipeline.evaluation import calibration, metrics
from pipeline.features.store import Store
from pipeline.serving import manifest
from pipeline.serving.manifest import INTERFACE, Example, Manifest
from pipeline.serving.ood import KIND, Array, OodDetector
from pipeline.training.trials import Trial, spec, specs

EXAMPLES = 3
"""Test clips that the page offers."""


@dataclass(frozen=True)
class Candidate:
    """One trial of one experiment."""

    key: str
    trial: Trial
    predictions: pd.DataFrame
    """Its rows of ``evaluation/<key>/predictions.parquet``: a refit's of valid are those of the folds beside it."""
    clips: pd.DataFrame
    """The good clips with their part in the trial's fold."""
    folds: list[pd.DataFrame]
    """The same for each fold with validation clips that its answers to them come from."""

    def predicted(self, part: str) -> pd.DataFrame:
        return metrics.of_part(self.predictions, part)

    def of_part(self, part: str) -> pd.DataFrame:
        return self.clips[self.clips["part"] == part]

    @property
    def compared(self) -> pd.DataFrame:
        """The clips that it was compared with other models on."""
        return pd.concat([fold[fold["part"] == "valid"] for fold in self.folds], ignore_index=True)


def candidate() -> Candidate:
    """The chosen experiment's model for the first test fold and seed: they are alike, and the best by validation would be
    the luckiest."""
    key = read_json(paths.CHOICE)["chosen"]
    rows, parts = pd.read_parquet(paths.EVALUATION / key / "predictions.parquet"), split.read()
    (first, *_) = [
        one.trial for one in specs(paths.MODELS / key) if (parts[parts["fold"] == one.fold]["part"] == "test").any()
    ]
    of_test = split.test_fold_of(parts)
    own = rows[(rows["test_fold"] == of_test[first.fold]) & (rows["seed"] == first.seed)]
    good = clips.good(clips.computed())
    by_fold = {int(str(fold)): good.merge(members, on="clip_id") for fold, members in parts.groupby("fold")}
    beside = [by_fold[fold] for fold in sorted(own.loc[own["part"] == "valid", "fold"].unique())]
    return Candidate(key, first, own, by_fold[first.fold], beside)


def write(candidate: Candidate, settings: Params, folder: Path) -> None:
    folder.mkdir()
    model = paths.MODELS / candidate.key / candidate.trial.name
    shutil.copy2(model / "model.onnx", folder / manifest.GRAPH)
    valid = candidate.predicted("valid")
    tempered = calibration.tempered(valid)
    predicted = tempered[["clip_id", "predicted"]].assign(probability=calibration.confidence(tempered))
    answered = set(predicted["clip_id"])
    seen = candidate.clips[candidate.clips["part"] != "test"].merge(predicted, on="clip_id", how="left")
    seen["part"] = seen["clip_id"].isin(answered).map({True: "valid", False: "train"})
    seen[["sha256", "part", "label", "predicted", "probability"]].to_parquet(folder / manifest.SEEN, index=False)
    detector = OodDetector.fit(timbre_splits(candidate.clips)["train"].values)
    detector.save(folder / manifest.OOD)
    trained = spec(model)
    precision = settings.champion.precision
    confidence_threshold, coverage = calibration.confidence_threshold(seen[seen["part"] == "valid"], precision)
    test = candidate.of_part("test").merge(candidate.predicted("test")[["clip_id", "predicted"]], on="clip_id")
    distances = valid_distances(candidate)
    found = Manifest(
        interface=INTERFACE,
        experiment=candidate.key,
        run_id=trained.run_id,
        source=clips.source(candidate.clips),
        synthesised=bool(candidate.clips["origin"].str.startswith("synth").any()),
        test_accuracy=float((test["label"] == test["predicted"]).mean()),
        examples=examples(test, settings.seed),
        labels=trained.labels,
        kinds=trained.experiment.features,
        features=settings.features,
        window=trained.window,
        batch_size=trained.experiment.training.batch_size,
        audit=settings.audit,
        longest_s=_segment_s(candidate, settings),
        temperature=float(valid["temperature"].iloc[0]),
        confidence_threshold=confidence_threshold,
        target_precision=precision,
        coverage=coverage,
        ood_threshold=float(np.quantile(distances, settings.champion.in_distribution)),
    )
    write_json(folder / manifest.FILE, found.model_dump())


def _segment_s(candidate: Candidate, settings: Params) -> float:
    """One very long clip must not make all segments as long."""
    longest_clip = float(candidate.clips["duration_s"].max())
    return min(longest_clip, longest_s(settings.features.excerpt), settings.champion.segment_seconds)


def examples(test: pd.DataFrame, seed: int) -> list[Example]:
    """A clip each of a few labels, drawn with the seed; the share of right predictions is about that of all clips.

    Args:
        test: path, label, sha256, predicted.
    """
    drawn = test.sample(frac=1, random_state=np.random.default_rng(seed))
    right = drawn["label"] == drawn["predicted"]
    first = drawn[right].drop_duplicates("label").head(round(EXAMPLES * right.mean()))
    # where labels have no wrong one, right ones follow
    chosen = pd.concat([first, drawn[~right], drawn]).drop_duplicates("label").head(EXAMPLES).sort_values("path")
    return [Example.model_validate(row) for row in chosen[["path", "label", "sha256"]].to_dict("records")]


@dataclass(frozen=True)
class TimbreSplit:
    labels: Any
    """(clips,)"""
    values: Array
    """(clips, columns)"""


def timbre_splits(assigned: pd.DataFrame) -> dict[str, TimbreSplit]:
    """The features that the OOD detector uses, by part.

    Args:
        assigned: clip_id, label, part.
    """
    store = Store(paths.FEATURES / KIND)
    values = np.asarray(store.array[store.rows(assigned["clip_id"])[0]], np.float64)
    label, part = assigned["label"].to_numpy(), assigned["part"].to_numpy()
    return {name: TimbreSplit(label[part == name], values[part == name]) for name in split.PARTS}


def valid_distances(candidate: Candidate) -> Array:
    """Of all clips that the candidate was compared on, each to the training clips of its own fold."""
    folds = [timbre_splits(fold) for fold in candidate.folds]
    return np.concatenate([OodDetector.fit(own["train"].values).distances(own["valid"].values) for own in folds])
