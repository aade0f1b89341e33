"""Level, shape of the spectrum and MFCCs, as means and variances: by these, songs unlike the training data are found.

librosa's functions of these names give the same; they take long to import, which a song that is classified would wait for. They
are columns of :mod:`pipeline.features.tabular`, but of frames that lie as far apart as the spectrogram's are by default:
one STFT then serves both, and songs that are classified need no other.
"""

from typing import Any

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.config.features import Timbre
from pipeline.features.mel import mel
from pipeline.features.sound import Array, Sound, decibels

N_FFT, HOP_LENGTH = 2048, 1024
N_MFCC = 20
MFCCS = tuple(f"mfcc{number}" for number in range(1, N_MFCC + 1))
SHAPE = ("rms", "spectral_centroid", "spectral_bandwidth", "rolloff", "zero_crossing_rate")
NAMES = tuple(f"{name}_{stat}" for name in (*SHAPE, *MFCCS) for stat in ("mean", "var"))

MEL_BANDS, TOP_DB, ROLLOFF = 128, 80.0, 0.85
"""librosa's defaults: melspectrogram, power_to_db, spectral_rolloff."""


def describe(settings: Timbre) -> dict[str, Any]:  # noqa: ARG001
    return {"windowed": False, "width": len(NAMES), "columns": list(NAMES)}


def compute(sound: Sound, settings: Timbre) -> Array:  # noqa: ARG001
    """One row, (1, 50). Centroid, bandwidth and rolloff are in Hz."""
    values = statistics(series(Spectra(sound, N_FFT, HOP_LENGTH)))
    return np.array([[values[name] for name in NAMES]], dtype=np.float32)


class Spectra:
    """(frames, bins) of a sound, and its samples, at least one frame of them."""

    def __init__(self, sound: Sound, n_fft: int, hop_length: int) -> None:
        self.n_fft, self.hop_length, self.rate = n_fft, hop_length, sound.rate
        self.signal = sound.at_least(n_fft)
        self.spectrum = sound.stft(n_fft, hop_length)
        self.magnitude = np.abs(self.spectrum)
        self.power = self.magnitude**2
        self.decibels = decibels(mel(self.power, sound.rate, MEL_BANDS), top_db=TOP_DB)


def series(of: Spectra) -> dict[str, Array]:
    """Each name's values over the frames."""
    centroid, bandwidth = _centroid_and_bandwidth(of.magnitude, of.rate)
    return {
        "rms": _rms(of.signal, of.n_fft, of.hop_length),
        "spectral_centroid": centroid,
        "spectral_bandwidth": bandwidth,
        "rolloff": _rolloff(of.magnitude, of.rate),
        "zero_crossing_rate": _zero_crossing_rate(of.signal, of.n_fft, of.hop_length),
        **dict(zip(MFCCS, scipy.fft.dct(of.decibels, norm="ortho")[:, :N_MFCC].T, strict=True)),
    }


def statistics(series: dict[str, Array]) -> dict[str, float]:
    return {
        f"{name}_{stat}": float(of(values))
        for name, values in series.items()
        for stat, of in (("mean", np.mean), ("var", np.var))
    }


def _rms(signal: Array, n_fft: int, hop_length: int) -> Array:
    frames = sliding_window_view(np.pad(signal, n_fft // 2), n_fft)[::hop_length]
    return np.sqrt(np.square(frames).mean(axis=1))


def _centroid_and_bandwidth(magnitude: Array, rate: int) -> tuple[Array, Array]:
    """Mean and standard deviation in Hz of each frame's spectrum taken as a distribution, 0 for silence."""
    frequencies = np.linspace(0, rate / 2, magnitude.shape[1])
    # in double precision, since the variance is a difference of large numbers
    powers = np.stack([np.ones_like(frequencies), frequencies, frequencies**2], axis=1)
    total, first, second = (magnitude.astype(np.float64) @ powers).T
    total = np.where(total > 0, total, 1)
    centroid = first / total
    return centroid, np.sqrt(np.maximum(second / total - centroid**2, 0))


def _rolloff(magnitude: Array, rate: int) -> Array:
    """The frequency in Hz below which ROLLOFF of each frame's magnitude lies."""
    cumulated = np.cumsum(magnitude, axis=1)
    bins = (cumulated >= ROLLOFF * cumulated[:, -1:]).argmax(axis=1)
    return bins * (rate / 2 / (magnitude.shape[1] - 1))


def _zero_crossing_rate(signal: Array, n_fft: int, hop_length: int) -> Any:
    """Sign changes within each frame, over its length; librosa takes all below 1e-10 for zero."""
    padded = np.pad(signal, n_fft // 2, mode="edge")
    negative = padded < -1e-10
    changes = np.flatnonzero(negative[1:] != negative[:-1])
    starts = np.arange(0, len(padded) - n_fft + 1, hop_length)
    return (np.searchsorted(changes, starts + n_fft - 1) - np.searchsorted(changes, starts)) / n_fft
