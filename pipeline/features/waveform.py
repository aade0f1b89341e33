"""The samples themselves, as 16-bit integers, for networks that hear raw sound.

Half the size of float32 and read at the speed of memory; FLAC would be 0.6 of it and read ten times slower
(docs/backbones.md has the figures).
"""

from typing import Any

import numpy as np

from pipeline.config.features import Waveform
from pipeline.features.sound import Array, Sound

FULL_SCALE = 2**15
PADDING = -2.0
"""Of a window behind a clip's end: no sample is that low, so a network knows what is padded."""


def describe(settings: Waveform) -> dict[str, Any]:
    return {
        "windowed": True,
        "width": 1,
        "dtype": "int16",
        "unit": "sample",
        "full_scale": FULL_SCALE,
        "silence_db": PADDING,
        "sample_rate": settings.sample_rate,
    }


def compute(sound: Sound, settings: Waveform) -> Array:
    """(samples, 1) at ``sample_rate``, from -FULL_SCALE to FULL_SCALE - 1."""
    samples = np.rint(sound.at(settings.sample_rate).signal * FULL_SCALE)
    return samples.clip(-FULL_SCALE, FULL_SCALE - 1)[:, None]
