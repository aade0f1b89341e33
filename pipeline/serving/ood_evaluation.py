"""How well the OOD detector works: on generated noises, and on labels held out of its training."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from pipeline.features.sound import Sound
from pipeline.serving.bundle import TimbreSplit
from pipeline.serving.manifest import Manifest
from pipeline.serving.ood import Array, OodDetector, row

NOISES = 5
"""Of each kind."""


@dataclass(frozen=True)
class Roc:
    """OOD clips are the positives, validation clips the negatives."""

    fpr: list[float]
    tpr: list[float]
    """From the highest threshold to the lowest."""
    auc: float
    detected: float
    """True positive rate at the threshold in use."""
    clips: int
    """OOD ones."""


def noises(detector: OodDetector, near: Array, known: Manifest, seconds: float, seed: int) -> Roc:
    """Generated noises of this many seconds as OOD clips; ``near``: distances of the validation clips."""
    rate, rng = known.features.sample_rate, np.random.default_rng(seed)
    signals = [signal for _ in range(NOISES) for signal in _signals(round(seconds * rate), rate, rng)]
    rows = [row(Sound(signal.astype(np.float32), rate), known.features) for signal in signals]
    far = detector.distances(np.concatenate(rows))
    return _roc(near / known.ood_threshold, far / known.ood_threshold)


def held_out_labels(folds: list[dict[str, TimbreSplit]], in_distribution: float) -> Roc:
    """Each label's validation clips as OOD clips for a detector fitted without that label, over all folds."""
    near, far = [], []
    labels = np.concatenate([own["valid"].labels for own in folds])
    for label in np.unique(labels):
        distances = np.concatenate([_distances_without(label, own["train"], own["valid"]) for own in folds])
        held_out = labels == label
        threshold = np.quantile(distances[~held_out], in_distribution)
        near.append(distances[~held_out] / threshold)
        far.append(distances[held_out] / threshold)
    return _roc(np.concatenate(near), np.concatenate(far))


def _distances_without(label: str, train: TimbreSplit, valid: TimbreSplit) -> Array:
    return OodDetector.fit(train.values[train.labels != label]).distances(valid.values)


def _roc(near: Array, far: Array) -> Roc:
    """Of distances in units of their thresholds."""
    truth = np.r_[np.zeros(len(near)), np.ones(len(far))]
    distances = np.r_[near, far]
    fpr, tpr, _ = roc_curve(truth, distances)
    auc = float(roc_auc_score(truth, distances))
    return Roc(fpr.tolist(), tpr.tolist(), auc, float(np.mean(far > 1)), len(far))


def _signals(samples: int, rate: int, rng: np.random.Generator) -> Iterator[Array]:
    """White noise, pink noise, hum, clicks, a sweep, and noise in syllables like those of speech."""
    time = np.arange(samples) / rate
    white = rng.normal(0, 0.1, samples)
    yield white
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    pink = np.fft.irfft(spectrum, samples)
    pink *= 0.1 / pink.std()
    yield pink
    hum = rng.uniform(45, 65)
    yield (sum(0.2 / k * np.sin(2 * np.pi * hum * k * time + rng.uniform(0, 6)) for k in range(1, 6)) + 0.001 * white)
    clicks = 0.001 * white
    clicks[rng.integers(0, samples, int(5 * time[-1]) + 1)] = 0.9
    yield clicks
    yield 0.3 * np.sin(2 * np.pi * np.cumsum(np.geomspace(rng.uniform(50, 100), rate / 2.5, samples)) / rate)
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(3, 5) * time), 0, 1)
    yield pink * syllables
