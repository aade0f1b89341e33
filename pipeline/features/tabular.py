"""The 57 columns known from GTZAN's ``features_30_sec.csv``: means and variances of librosa's features.

Names and meaning are those of the CSV that goes round with the Kaggle copy of GTZAN. One STFT serves all
features that accept it; the harmonic/percussive split is librosa's with a faster running median.
"""

from typing import Any

import bottleneck
import librosa
import numpy as np

from pipeline.params import Tabular

Array = np.ndarray[Any, np.dtype[np.float32]]

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
N_MFCC = 20
NAMES = (
    *(f"{name}_{stat}" for name in SERIES for stat in ("mean", "var")),
    "tempo",
    *(f"mfcc{i}_{stat}" for i in range(1, N_MFCC + 1) for stat in ("mean", "var")),
)

HPSS_FRAMES = 31
"""Width of both medians, librosa.decompose.hpss's default."""


def describe(settings: Tabular) -> dict[str, Any]:  # noqa: ARG001
    return {"windowed": False, "columns": list(NAMES)}


def compute(signal: Array, rate: int, settings: Tabular) -> Array:
    """One row, (1, 57). ``tempo`` is in beats a minute, centroid, bandwidth and rolloff are in Hz."""
    frame = {"n_fft": settings.n_fft, "hop_length": settings.hop_length}
    signal = librosa.util.fix_length(signal, size=max(len(signal), settings.n_fft))
    spectrum = librosa.stft(signal, **frame)
    magnitude = np.abs(spectrum)
    power = magnitude**2
    mel = librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=rate))
    harmonic, percussive = _hpss(spectrum, magnitude, len(signal), settings)
    series = (
        librosa.feature.chroma_stft(S=power, sr=rate),
        librosa.feature.rms(y=signal, frame_length=settings.n_fft, hop_length=settings.hop_length),
        librosa.feature.spectral_centroid(S=magnitude, sr=rate),
        librosa.feature.spectral_bandwidth(S=magnitude, sr=rate),
        librosa.feature.spectral_rolloff(S=magnitude, sr=rate),
        librosa.feature.zero_crossing_rate(
            signal, frame_length=settings.n_fft, hop_length=settings.hop_length
        ),
        harmonic,
        percussive,
    )
    tempo, _ = librosa.beat.beat_track(y=signal, sr=rate, hop_length=settings.hop_length)
    mfcc = librosa.feature.mfcc(S=mel, n_mfcc=N_MFCC)
    values = [stat for feature in series for stat in (np.mean(feature), np.var(feature))]
    values.append(np.mean(tempo))
    values += [stat for row in mfcc for stat in (np.mean(row), np.var(row))]
    return np.array([values], dtype=np.float32)


def _hpss(spectrum: Any, magnitude: Array, length: int, settings: Tabular) -> tuple[Array, Array]:
    """The waveforms of librosa.effects.hpss (Fitzgerald 2010), whose time goes into scipy's median filter."""
    harmonic = _running_median(magnitude, axis=1)
    percussive = _running_median(magnitude, axis=0)
    mask = librosa.util.softmask(harmonic, percussive, power=2.0, split_zeros=True)
    back = {"n_fft": settings.n_fft, "hop_length": settings.hop_length, "length": length}
    return (
        librosa.istft(spectrum * mask, **back),
        librosa.istft(spectrum * (1 - mask), **back),
    )


def _running_median(values: Array, axis: int) -> Array:
    """Centred median over HPSS_FRAMES with scipy's ``reflect`` edges (numpy's ``symmetric``)."""
    half = HPSS_FRAMES // 2
    edges = [(half, half) if side == axis else (0, 0) for side in range(values.ndim)]
    padded = np.pad(values, edges, mode="symmetric")
    medians = bottleneck.move_median(padded, HPSS_FRAMES, axis=axis)
    return medians[(slice(None),) * axis + (slice(2 * half, None),)]
