"""Which parts of its input each answer of a trained model depends on, see :mod:`pipeline.evaluation.attribution`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation import attribution
from pipeline.evaluation.attribution import Array
from pipeline.evaluation.temperature import at_temperature
from pipeline.features.store import Store
from pipeline.models.exported import Exported
from pipeline.training.answers import data_of
from pipeline.training.splits import Splits
from pipeline.training.trials import specs


@dataclass(frozen=True)
class Patches:
    """Drops of an answer's probability, by the patch that is hidden in one window of the input."""

    kind: str
    """Of feature."""
    spec: Mapping[str, Any]
    """Of the feature's store."""
    window: Array
    """(bands, frames) in dB, or samples (1, samples)."""
    falls: Array
    """(band patches, time patches)."""


@dataclass(frozen=True)
class Saliency:
    """What one answer depends on."""

    start_s: float
    """Of the window in the clip; 0 where no input has windows."""
    seconds: float
    """The window's length; 0 where no input has windows."""
    inputs: Sequence[Patches | dict[str, float]]
    """By family of columns where the input has no windows."""


def saliencies(
    answers: pd.DataFrame, folder: Path, table: pd.DataFrame, split: pd.DataFrame, features: Path
) -> list[Saliency]:
    """One for each answer, in their order; a trial's model and data are read once.

    Args:
        answers: predictions of test clips, with the ``temperature`` of each trial.
        folder: of the experiment's models.
        features: the folder of the feature stores.
    """
    found: dict[Any, Saliency] = {}
    models = {(one.fold, one.seed): one for one in specs(folder)}
    for trained_on, own in answers.groupby(["fold", "seed"]):
        model = models[trained_on]
        data = data_of(model, table, split)
        stored = {kind: Store(features / kind).spec for kind in data.kinds}
        graph = Exported(folder / model.trial.name / "model.onnx", model.experiment.training.threads)
        found |= {place: _saliency(answer, data, stored, graph) for place, answer in own.iterrows()}
    return [found[place] for place in answers.index]


def _saliency(answer: Any, data: Splits, specs: Mapping[Any, dict[str, Any]], graph: Exported) -> Saliency:
    """Of the window with the highest probability of the answer, or of the summary."""

    def run(inputs: Sequence[Array]) -> Array:
        return at_temperature(graph(inputs).astype(np.float64), answer["temperature"])

    windows = data.windows["test"]
    (clip,) = np.flatnonzero(data.clips["test"]["clip_id"] == answer["clip_id"])
    pairs = windows.even(windows.frames)
    pairs = pairs[pairs[:, 0] == clip]
    label = data.labels.index(answer["predicted"])
    of_clip = windows[pairs].inputs
    strongest = int(run(of_clip)[:, label].argmax())
    inputs = [values[[strongest]] for values in of_clip]
    drops = [_drops(run, inputs, place, label, data, specs[kind]) for place, kind in enumerate(data.kinds)]
    spec = specs[data.kinds[windows.leading]]
    if not spec["windowed"]:
        return Saliency(0.0, 0.0, drops)
    frame_s = spec["params"].get("hop_length", 1) / spec["sample_rate"]  # a sample is a frame of its own
    return Saliency(float(pairs[strongest, 1]) * frame_s, windows.frames * frame_s, drops)


def _drops(
    run: attribution.Run, inputs: Sequence[Array], place: int, label: int, data: Splits, spec: dict[str, Any]
) -> Patches | dict[str, float]:
    if spec["windowed"]:
        silence = 0.0 if data.features["test"][place].rate else None
        falls = attribution.of_patches(run, inputs, place, label, silence)
        return Patches(data.kinds[place], spec, inputs[place][0], falls)
    means = data.features["train"][place].describe().mean
    families = attribution.families(spec["columns"])
    return attribution.of_columns(run, inputs, place, label, means, families)
