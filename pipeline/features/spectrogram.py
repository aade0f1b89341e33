"""Log-mel spectrogram in dB below the clip's loudest point."""

from typing import Any

import numpy as np
from librosa import power_to_db

from pipeline.config.features import Spectrogram
from pipeline.features.sound import Array, Sound, mel


def describe(settings: Spectrogram) -> dict[str, Any]:
    return {
        "windowed": True,
        "width": settings.bands,
        "bands": "mel",
        "unit": "dB re maximum",
        "silence_db": -settings.top_db,
    }


def compute(sound: Sound, settings: Spectrogram) -> Array:
    """(frames, bands), 0 dB at the clip's maximum, floor ``-top_db``; frame t is centred on t * hop_length."""
    frames = 1 + len(sound.signal) // settings.hop_length
    spectrum = sound.stft(settings.n_fft, settings.hop_length)[:frames]
    power = mel(spectrum.real**2 + spectrum.imag**2, sound.rate, settings.bands)
    decibels: Array = power_to_db(power, ref=np.max, top_db=settings.top_db)
    return decibels
