"""The 57 columns known from GTZAN's ``features_30_sec.csv``: means and variances of librosa's features.

Names and meaning are those of the CSV that goes round with the Kaggle copy of GTZAN, values those of librosa's
functions called one by one with the same parameters. One STFT serves them all.
"""

from typing import Any

import numpy as np
import scipy.fft
from librosa import piptrack, pitch_tuning
from librosa.feature import chroma_stft, tempo
from librosa.onset import onset_strength

from pipeline.config.features import Tabular
from pipeline.features.median import running_median
from pipeline.features.sound import Array, Sound, Spectrum, hann
from pipeline.features.timbre import MFCCS, SHAPE, Spectra, series, statistics

SERIES = ("chroma_stft", *SHAPE, "harmony", "perceptr")
NAMES = (
    *(f"{name}_{stat}" for name in SERIES for stat in ("mean", "var")),
    "tempo",
    *(f"{name}_{stat}" for name in MFCCS for stat in ("mean", "var")),
)

HPSS_WIDTH = 31
PITCH_THRESHOLD, HIGHEST_PITCH = 0.1, 4000.0
"""librosa's defaults: decompose.hpss (both medians), piptrack."""


def describe(settings: Tabular) -> dict[str, Any]:  # noqa: ARG001
    return {"windowed": False, "width": len(NAMES), "columns": list(NAMES)}


def compute(sound: Sound, settings: Tabular) -> Array:
    """One row, (1, 57). ``tempo`` is in beats a minute, centroid, bandwidth and rolloff are in Hz."""
    of = Spectra(sound, settings.n_fft, settings.hop_length)
    harmonic = _harmonic(of.spectrum, of.magnitude, settings.hop_length, len(of.signal))
    chroma = chroma_stft(S=of.power.T, sr=sound.rate, tuning=_tuning(of.power, sound.rate))
    # the masks of the two add up to 1, and so do the waveforms to the signal
    found = {"chroma_stft": chroma, **series(of), "harmony": harmonic, "perceptr": of.signal - harmonic}
    values = statistics(found) | {"tempo": _tempo(of.decibels.T, sound.rate, settings.hop_length)}
    return np.array([[values[name] for name in NAMES]], dtype=np.float32)


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
