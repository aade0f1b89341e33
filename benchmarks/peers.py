"""What people do otherwise, as they do it: clip by clip, in one process."""

from pathlib import Path
from typing import Any

import librosa
import librosa.display
import matplotlib.pyplot as plt
import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


def pictures(file: Path, folder: Path) -> None:
    """The tutorial's features: a spectrogram and a waveform drawn with matplotlib, a PNG each."""
    signal, rate = librosa.load(file)
    decibels = librosa.amplitude_to_db(np.abs(librosa.stft(signal)))
    for name in ("spectrogram", "waveform"):
        plt.figure(figsize=(14, 5))
        if name == "spectrogram":
            librosa.display.specshow(decibels, sr=rate, x_axis="time", y_axis="hz")
        else:
            librosa.display.waveshow(signal, sr=rate)
        plt.savefig(folder / f"{file.stem} {name}.png")
        plt.close()


def columns(signal: Array, rate: int) -> dict[str, float]:
    """The 57 columns of ``features_30_sec.csv``, one plain call of librosa after the other."""
    harmony, perceptr = librosa.effects.hpss(signal)
    series = {
        "chroma_stft": librosa.feature.chroma_stft(y=signal, sr=rate),
        "rms": librosa.feature.rms(y=signal),
        "spectral_centroid": librosa.feature.spectral_centroid(y=signal, sr=rate),
        "spectral_bandwidth": librosa.feature.spectral_bandwidth(y=signal, sr=rate),
        "rolloff": librosa.feature.spectral_rolloff(y=signal, sr=rate),
        "zero_crossing_rate": librosa.feature.zero_crossing_rate(signal),
        "harmony": harmony,
        "perceptr": perceptr,
    }
    mfcc = librosa.feature.mfcc(y=signal, sr=rate, n_mfcc=20)
    series |= {f"mfcc{number}": row for number, row in enumerate(mfcc, start=1)}
    tempo, _ = librosa.beat.beat_track(y=signal, sr=rate)
    found = {"tempo": float(np.mean(tempo))}
    for name, values in series.items():
        found[f"{name}_mean"], found[f"{name}_var"] = float(np.mean(values)), float(np.var(values))
    return found
