"""Log-mel spectrogram in dB below the clip's loudest point."""

from typing import Any

import librosa
import numpy as np

from pipeline.params import Spectrogram

Array = np.ndarray[Any, np.dtype[np.float32]]


def describe(settings: Spectrogram) -> dict[str, Any]:
    return {"windowed": True, "bands": "mel", "unit": "dB re maximum", "floor": -settings.top_db}


def compute(signal: Array, rate: int, settings: Spectrogram) -> Array:
    """(frames, bands), 0 dB at the clip's maximum, floor ``-top_db``; frame t is centred on t * hop_length."""
    frames = 1 + len(signal) // settings.hop_length
    padded = librosa.util.fix_length(signal, size=max(len(signal), settings.n_fft))
    mel = librosa.feature.melspectrogram(
        y=padded, sr=rate, n_fft=settings.n_fft, hop_length=settings.hop_length, n_mels=settings.bands
    )
    decibels: Array = librosa.power_to_db(mel[:, :frames], ref=np.max, top_db=settings.top_db)
    return decibels.T
