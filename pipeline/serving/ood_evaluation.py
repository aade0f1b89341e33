"""How well familiarity tells what a model knows from what it does not: against noises, and labels held back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from pipeline.config.features import Features
from pipeline.features import extract
from pipeline.features.sound import Sound
from pipeline.serving.bundle import Tabular
from pipeline.serving.manifest import About
from pipeline.serving.ood import KIND, Familiarity

Array = np.ndarray[Any, np.dtype[np.float64]]
NOISES = 5
"""Of each kind."""


@dataclass(frozen=True)
class Roc:
    """Distances of familiar clips against those of foreign ones."""

    familiar: list[float]
    foreign: list[float]
    """Shares refused, from the highest threshold to the lowest."""
    auc: float
    refused: float
    """Share of foreign clips that the threshold in use refuses."""
    clips: int
    """Foreign ones."""


def noises(known: Familiarity, valid: Tabular, about: About, seconds: float, seed: int) -> Roc:
    """Validation clips against what is no music, of so many seconds."""
    rate, rng = about.features.sample_rate, np.random.default_rng(seed)
    signals = [signal for _ in range(NOISES) for signal in _signals(round(seconds * rate), rate, rng)]
    rows = [_columns(Sound(signal.astype(np.float32), rate), about.features) for signal in signals]
    return _roc(
        known.distances(valid.values) / about.familiar, known.distances(np.array(rows)) / about.familiar
    )


def labels(parts: dict[str, Tabular], quantile: float) -> Roc:
    """Validation clips against those of a label that is held back from training, each label in its turn."""
    train, valid = parts["train"], parts["valid"]
    familiar, foreign = [], []
    for label in np.unique(train.labels):
        known = Familiarity.fitted(train.values[train.labels != label])
        distances = known.distances(valid.values)
        threshold = np.quantile(distances[valid.labels != label], quantile)
        familiar.append(distances[valid.labels != label] / threshold)
        foreign.append(distances[valid.labels == label] / threshold)
    return _roc(np.concatenate(familiar), np.concatenate(foreign))


def _roc(familiar: Array, foreign: Array) -> Roc:
    """Of distances in units of their thresholds."""
    truth = np.r_[np.zeros(len(familiar)), np.ones(len(foreign))]
    distances = np.r_[familiar, foreign]
    refused_familiar, refused_foreign, _ = roc_curve(truth, distances)
    return Roc(
        refused_familiar.tolist(),
        refused_foreign.tolist(),
        float(roc_auc_score(truth, distances)),
        float(np.mean(foreign > 1)),
        len(foreign),
    )


def _columns(sound: Sound, features: Features) -> Array:
    block = extract.of_decoded(sound, [KIND], features)[KIND]
    return np.frombuffer(block.content, np.float32).astype(np.float64)


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
    yield (
        sum(0.2 / k * np.sin(2 * np.pi * hum * k * time + rng.uniform(0, 6)) for k in range(1, 6))
        + 0.001 * white
    )
    clicks = 0.001 * white
    clicks[rng.integers(0, samples, int(5 * time[-1]) + 1)] = 0.9
    yield clicks
    yield 0.3 * np.sin(2 * np.pi * np.cumsum(np.geomspace(rng.uniform(50, 100), rate / 2.5, samples)) / rate)
    syllables = np.clip(np.sin(2 * np.pi * rng.uniform(3, 5) * time), 0, 1)
    yield pink * syllables
