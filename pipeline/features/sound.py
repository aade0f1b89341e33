"""A decoded clip, and the spectra of it that several kinds of feature share."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import librosa.filters
import numpy as np
import scipy.fft
import scipy.sparse
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
    numba_cache.fill(settings)
    return Sound(mono(file, settings.sample_rate, settings.excerpt), settings.sample_rate)


@lru_cache
def hann(n_fft: int) -> Array:
    return librosa.filters.get_window("hann", n_fft).astype(np.float32)


def mel(power: Array, rate: int, bands: int) -> Array:
    """(frames, bands) from a power spectrum (frames, 1 + n_fft / 2), as librosa.feature.melspectrogram."""
    return power @ _mel_filters(rate, 2 * (power.shape[1] - 1), bands)


@lru_cache
def _mel_filters(rate: int, n_fft: int, bands: int) -> Any:
    # nearly all of it is zeros
    return scipy.sparse.csc_array(librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands).T)
