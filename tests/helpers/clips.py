"""Three clips of different length: of real music where there is some beside the checkout."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.audio import mono
from pipeline.features.waveform import PADDING

SECONDS = (0.6, 1.1, 1.9)
EXCERPTS = Path(__file__).parents[3] / "shared/data/gtzan-excerpts"
Array = np.ndarray[Any, np.dtype[np.float32]]


def three(rate: int) -> list[Array]:
    real = sorted(EXCERPTS.glob("*/*.flac"))[::200][:3]
    if len(real) == 3:
        return [mono(file, rate, "whole")[: int(seconds * rate)] for file, seconds in zip(real, SECONDS, strict=True)]
    return [_made_up(int(seconds * rate), rate, number) for number, seconds in enumerate(SECONDS)]


def _made_up(length: int, rate: int, seed: int) -> Array:
    rng, time = np.random.default_rng(seed), np.arange(length) / rate
    chord = sum(np.sin(2 * np.pi * pitch * (seed + 1) * time) for pitch in (110, 165, 277))
    found: Array = (0.1 * chord * (1 + np.sin(2 * np.pi * 3 * time)) + rng.normal(0, 0.01, length)).astype(np.float32)
    return found


def window(clips: list[Array], length: int) -> Array:
    """(clips, 1, length), padded as the feature ``waveform`` is."""
    found = np.full((len(clips), 1, length), PADDING, np.float32)
    for row, clip in zip(found, clips, strict=True):
        row[0, : len(clip)] = clip
    return found
