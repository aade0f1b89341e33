"""A decoded clip, and the spectra of it that several kinds of feature share."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.config.features import Features
from pipeline.data.audio import mono
from pipeline.features import numba_cache

Array = np.ndarray[Any, np.dtype[np.float32]]
Spectrum = np.ndarray[Any, np.dtype[np.complex64]]


class Sound:
    """Mono samples at ``rate`` Hz. Each spectrum is computed once."""

    def __init__(self, signal: Array, rate: int) -> None:
        self.signal, self.rate = signal, rate
        self._stft: dict[tuple[int, int], Spectrum] = {}

    def at(self, rate: int) -> "Sound":
        """The same at another sample rate, resampled as :func:`pipeline.data.audio.mono` does."""
        return Sound(soxr.resample(self.signal, self.rate, rate, quality="HQ"), rate)

    def at_least(self, samples: int) -> Array:
        """The signal, padded with zeros to at least ``samples``."""
        return np.pad(self.signal, (0, max(0, samples - len(self.signal))))

    def stft(self, n_fft: int, hop_length: int) -> Spectrum:
        """(frames, 1 + n_fft / 2): the transpose of librosa.stft's, of the signal padded to ``n_fft`` samples."""
        key = (n_fft, hop_length)
        if key not in self._stft:
            padded = np.pad(self.at_least(n_fft), n_fft // 2)
            frames = sliding_window_view(padded, n_fft)[::hop_length]
            self._stft[key] = scipy.fft.rfft(frames * hann(n_fft), axis=1)
        return self._stft[key]


def described(width: int, bands: str, unit: str, silence_db: float) -> dict[str, Any]:
    """What the stores of all features in frames say of themselves (:meth:`pipeline.features.protocol.Feature.describe`)."""
    return {"windowed": True, "width": width, "bands": bands, "unit": unit, "silence_db": silence_db}


def read(file: Path, settings: Features) -> Sound:
    numba_cache.fill(settings, settings.kinds)
    return Sound(mono(file, settings.sample_rate, settings.excerpt), settings.sample_rate)


@lru_cache
def hann(n_fft: int) -> Array:
    """Periodic."""
    return np.hanning(n_fft + 1)[:-1].astype(np.float32)


def decibels(power: Any, reference: float = 1.0, least: float = 1e-10, top_db: float | None = None) -> Any:
    """librosa.power_to_db, to the bit: its module takes longer to import than a song to classify.

    Args:
        reference: the power of 0 dB.
        least: power below is taken for this.
        top_db: what lies farther below the greatest is taken for that; None for no limit.
    """
    found = 10 * np.log10(np.maximum(least, power))
    found -= 10 * np.log10(np.maximum(least, reference))
    return found if top_db is None else np.maximum(found, found.max() - top_db)
