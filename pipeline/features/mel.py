"""Slaney's mel scale and filters (1998, Auditory Toolbox): those of librosa to the bit, without librosa.

Its import takes two seconds, which is more than most songs take to classify.
"""

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse

Array = np.ndarray[Any, np.dtype[np.float32]]
Hertz = np.ndarray[Any, np.dtype[np.float64]]

LINEAR = 200 / 3
"""Hz of a mel up to LOGARITHMIC."""
LOGARITHMIC = 1000.0
"""Hz from where on equal steps are equal ratios."""
RATIO = np.log(6.4) / 27
"""Logarithm of the ratio of two frequencies that are one mel apart."""


def mel(power: Array, rate: int, bands: int) -> Array:
    """(frames, bands) from a power spectrum (frames, 1 + n_fft / 2), as librosa.feature.melspectrogram."""
    return power @ _filters(rate, 2 * (power.shape[1] - 1), bands)


def edges(highest: float, bands: int) -> Hertz:
    """(bands + 2,) in Hz: each band begins and ends at the middles of its neighbours."""
    corner = LOGARITHMIC / LINEAR
    top = corner + np.log(highest / LOGARITHMIC) / RATIO if highest >= LOGARITHMIC else highest / LINEAR
    mels = np.linspace(0, top, bands + 2)
    return np.where(mels >= corner, LOGARITHMIC * np.exp(RATIO * (mels - corner)), LINEAR * mels)


@lru_cache
def _filters(rate: int, n_fft: int, bands: int) -> Any:
    """(1 + n_fft / 2, bands): triangles of equal area, nearly all zeros."""
    hertz = edges(rate / 2, bands)
    bins = np.fft.rfftfreq(n_fft, 1 / rate)[:, None]
    rising, falling = (bins - hertz[:-2]) / np.diff(hertz)[:-1], (hertz[2:] - bins) / np.diff(hertz)[1:]
    found = np.minimum(rising, falling).clip(0).astype(np.float32)
    found *= 2 / (hertz[2:] - hertz[:-2])
    if not found.any(axis=0).all():
        warnings.warn(
            f"some of {bands} mel bands lie between two frequencies of n_fft {n_fft} and stay silent", stacklevel=2
        )
    return scipy.sparse.csc_array(found)
