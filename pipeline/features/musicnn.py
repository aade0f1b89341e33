"""Mel spectrogram for the musicnn networks, in dB, at their own rate and in their own frames.

Its loudness is absolute: they were trained on sound as it is, not on sound scaled to its loudest point.
"""

from typing import Any

import numpy as np

from pipeline.config.features import MusicnnInput
from pipeline.features.mel import mel
from pipeline.features.sound import Array, Sound, decibels, described

RATE, N_FFT, HOP_LENGTH, BANDS = 16_000, 512, 256, 96
"""SR, FFT_SIZE, FFT_HOP and N_MELS in configuration.py of the package musicnn 0.1.0."""
SILENCE_DB = -80.0
"""dB; the networks take log10(10000 x + 1) of a power x, of which 1e-8 leaves nothing."""


def describe(settings: MusicnnInput) -> dict[str, Any]:  # noqa: ARG001
    params = {"n_fft": N_FFT, "hop_length": HOP_LENGTH}
    return {**described(BANDS, "mel", "dB", SILENCE_DB), "sample_rate": RATE, "params": params}


def compute(sound: Sound, settings: MusicnnInput) -> Array:  # noqa: ARG001
    """(frames, bands), 0 dB for a power of 1, at least SILENCE_DB; frame t is centred on t * HOP_LENGTH at RATE."""
    sound = sound.at(RATE)
    frames = 1 + len(sound.signal) // HOP_LENGTH
    spectrum = sound.stft(N_FFT, HOP_LENGTH)[:frames]
    power = mel(spectrum.real**2 + spectrum.imag**2, RATE, BANDS)
    least = 10 ** (SILENCE_DB / 10)
    return np.where(power > least, decibels(power, least=least), np.float32(SILENCE_DB))
