"""The 57 columns known from GTZAN's ``features_30_sec.csv``: means and variances of librosa's features.

Names and meaning are those of the CSV that goes round with the Kaggle copy of GTZAN, values those of librosa's
functions called one by one with the same parameters. One STFT serves them all.
"""

from typing import Any

import numpy as np
import scipy.fft
from librosa import piptrack, pitch_tuning, power_to_db
from librosa.feature import chroma_stft, mfcc, rms, tempo
from librosa.onset import onset_strength

from pipeline.config.features import Tabular
from pipeline.features.median import running_median
from pipeline.features.sound import Array, Sound, Spectrum, hann, mel

N_MFCC = 20
SERIES = (
    "chroma_stft",
    "rms",
    "spectral_centroid",
    "spectral_bandwidth",
    "rolloff",
    "zero_crossing_rate",
    "harmony",
    "perceptr",
)
MFCCS = tuple(f"mfcc{number}" for number in range(1, N_MFCC + 1))
NAMES = (
    *(f"{name}_{stat}" for name in SERIES for stat in ("mean", "var")),
    "tempo",
    *(f"{name}_{stat}" for name in MFCCS for stat in ("mean", "var")),
)
TIMBRE = tuple(NAMES.index(f"{name}_{stat}") for name in (*SERIES[1:6], *MFCCS) for stat in ("mean", "var"))
"""Numbers of the columns that :func:`timbre` computes: without the harmonic/percussive split, chroma and tempo, which take
three quarters of the time."""

MEL_BANDS = 128
ROLLOFF = 0.85
HPSS_WIDTH = 31
PITCH_THRESHOLD, HIGHEST_PITCH = 0.1, 4000.0
"""librosa's defaults: melspectrogram, spectral_rolloff, decompose.hpss (both medians), piptrack."""


def describe(settings: Tabular) -> dict[str, Any]:  # noqa: ARG001
    return {"windowed": False, "width": len(NAMES), "columns": list(NAMES), "timbre": list(TIMBRE)}


def compute(sound: Sound, settings: Tabular) -> Array:
    """One row, (1, 57). ``tempo`` is in beats a minute, centroid, bandwidth and rolloff are in Hz."""
    of = _Spectra(sound, settings)
    harmonic = _harmonic(of.spectrum, of.magnitude, settings.hop_length, len(of.signal))
    chroma = chroma_stft(S=of.power.T, sr=sound.rate, tuning=_tuning(of.power, sound.rate))
    # the masks of the two add up to 1, and so do the waveforms to the signal
    series = {"chroma_stft": chroma, **_timbre(of), "harmony": harmonic, "perceptr": of.signal - harmonic}
    values = _statistics(series) | {"tempo": _tempo(of.decibels, sound.rate, settings.hop_length)}
    return np.array([[values[name] for name in NAMES]], dtype=np.float32)


def timbre(sound: Sound, settings: Tabular) -> Array:
    """The columns TIMBRE of :func:`compute` alone, to the bit: (1, 50)."""
    values = _statistics(_timbre(_Spectra(sound, settings)))
    return np.array([[values[NAMES[number]] for number in TIMBRE]], dtype=np.float32)


class _Spectra:
    """(frames, bins) of a sound, and its samples, at least one frame of them."""

    def __init__(self, sound: Sound, settings: Tabular) -> None:
        self.settings, self.rate = settings, sound.rate
        self.signal = sound.at_least(settings.n_fft)
        self.spectrum = sound.stft(settings.n_fft, settings.hop_length)
        self.magnitude = np.abs(self.spectrum)
        self.power = self.magnitude**2
        self.decibels = power_to_db(mel(self.power, sound.rate, MEL_BANDS)).T


def _timbre(of: _Spectra) -> dict[str, Array]:
    n_fft, hop_length = of.settings.n_fft, of.settings.hop_length
    centroid, bandwidth = _centroid_and_bandwidth(of.magnitude, of.rate)
    return {
        "rms": rms(y=of.signal, frame_length=n_fft, hop_length=hop_length),
        "spectral_centroid": centroid,
        "spectral_bandwidth": bandwidth,
        "rolloff": _rolloff(of.magnitude, of.rate),
        "zero_crossing_rate": _zero_crossing_rate(of.signal, n_fft, hop_length),
        **dict(zip(MFCCS, mfcc(S=of.decibels, n_mfcc=N_MFCC), strict=True)),
    }


def _statistics(series: dict[str, Array]) -> dict[str, float]:
    return {
        f"{name}_{stat}": float(of(values))
        for name, values in series.items()
        for stat, of in (("mean", np.mean), ("var", np.var))
    }


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
    bins = np.count_nonzero(cumulated < ROLLOFF * cumulated[:, -1:], axis=1)
    return bins * (rate / 2 / (magnitude.shape[1] - 1))


def _zero_crossing_rate(signal: Array, n_fft: int, hop_length: int) -> Array:
    """Sign changes within each frame, over its length; librosa takes all below 1e-10 for zero."""
    padded = np.pad(signal, n_fft // 2, mode="edge")
    negative = padded < -1e-10
    changes = np.concatenate([[0], np.cumsum(negative[1:] != negative[:-1])])
    starts = np.arange(0, len(padded) - n_fft + 1, hop_length)
    return (changes[starts + n_fft - 1] - changes[starts]) / n_fft


def _tuning(power: Array, rate: int) -> float:
    """librosa.estimate_tuning, which looks for pitches below 4 kHz in bins that go far beyond."""
    bins = min(power.shape[1] - 1, int(np.ceil(HIGHEST_PITCH / (rate / 2) * (power.shape[1] - 1))) + 1)
    pitch, strength = piptrack(
        S=power[:, : bins + 1].T,
        sr=rate * bins / (power.shape[1] - 1),  # the lower bins are those of a slower rate
        n_fft=2 * bins,
        fmax=HIGHEST_PITCH,
        ref=PITCH_THRESHOLD * power.max(axis=1),
    )
    found = pitch > 0
    if not found.any():
        return 0.0
    strong = found & (strength >= np.median(strength[found]))
    return pitch_tuning(pitch[strong], bins_per_octave=12)


def _tempo(decibels: Array, rate: int, hop_length: int) -> float:
    """The tempo of librosa.beat.beat_track, which goes on to place the beats; 0 where nothing begins."""
    onsets = onset_strength(S=decibels, sr=rate, hop_length=hop_length, aggregate=np.median)
    if not onsets.any():
        return 0.0
    return tempo(onset_envelope=onsets, sr=rate, hop_length=hop_length).item()


def _harmonic(spectrum: Spectrum, magnitude: Array, hop_length: int, length: int) -> Array:
    """The harmonic waveform of librosa.effects.hpss (Fitzgerald 2010, soft masks)."""
    harmonic = running_median(magnitude, HPSS_WIDTH) ** 2
    percussive = running_median(np.ascontiguousarray(magnitude.T), HPSS_WIDTH).T ** 2
    both = harmonic + percussive
    mask = np.divide(harmonic, both, out=np.full_like(both, 0.5), where=both > 0)
    return _istft(spectrum * mask, hop_length, length)


def _istft(spectrum: Spectrum, hop_length: int, length: int) -> Array:
    """librosa.istft for frames in rows: windowed again, overlapped, and divided by the windows' squares."""
    n_fft = 2 * (spectrum.shape[1] - 1)
    window = hann(n_fft)
    total = n_fft + hop_length * (len(spectrum) - 1)
    signal, squares = np.zeros(total, np.float32), np.zeros(total, np.float32)
    frames = scipy.fft.irfft(spectrum, axis=1) * window
    square = window**2
    for start, frame in zip(range(0, total, hop_length), frames, strict=False):
        signal[start : start + n_fft] += frame
        squares[start : start + n_fft] += square
    inner = slice(n_fft // 2, n_fft // 2 + length)
    np.divide(signal, squares, out=signal, where=squares > 0)
    return signal[inner]
