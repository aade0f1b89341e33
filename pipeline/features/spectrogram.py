"""Log-mel spectrogram in dB below the clip's loudest point."""

from typing import Any

from pipeline.config.features import Spectrogram
from pipeline.features.mel import mel
from pipeline.features.sound import Array, Sound, decibels, described


def describe(settings: Spectrogram) -> dict[str, Any]:
    return described(settings.bands, "mel", "dB re maximum", -settings.top_db)


def compute(sound: Sound, settings: Spectrogram) -> Array:
    """(frames, bands), 0 dB at the clip's maximum, silence ``-top_db``; frame t is centred on t * hop_length."""
    frames = 1 + len(sound.signal) // settings.hop_length
    spectrum = sound.stft(settings.n_fft, settings.hop_length)[:frames]
    power = mel(spectrum.real**2 + spectrum.imag**2, sound.rate, settings.bands)
    return decibels(power, power.max(), top_db=settings.top_db)
