"""The spectrogram for musicnn is what its authors computed, in dB, at any sample rate of the data set."""

from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest
import soxr

from pipeline.config.features import MusicnnInput
from pipeline.features import musicnn
from pipeline.features.sound import Sound
from pipeline.features.store import block

Array = np.ndarray[Any, np.dtype[np.float32]]
Make = Callable[..., Array]


def levels(decibels: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """What the networks take."""
    return np.log10(1e4 * 10 ** (decibels.astype(np.float64) / 10) + 1)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_it_is_the_originals(noise: Make, rate: int) -> None:
    signal = noise(1, 2.0)[: 2 * rate]
    power = librosa.feature.melspectrogram(
        y=soxr.resample(signal, rate, 16_000, quality="HQ"), sr=16_000, n_fft=512, hop_length=256, n_mels=96
    )
    found = musicnn.compute(Sound(signal, rate), MusicnnInput())
    np.testing.assert_allclose(levels(found), np.log10(1e4 * power + 1).T, rtol=0, atol=1e-3)
    stored = np.frombuffer(block(found, "float16").content, np.float16).reshape(found.shape)
    np.testing.assert_allclose(levels(stored), levels(found), rtol=0, atol=2e-3)


def test_loudness_is_absolute_and_silence_the_floor(noise: Make) -> None:
    signal = noise(1, 1.0)
    loud, soft = (musicnn.compute(Sound(signal * gain, 22_050), MusicnnInput()) for gain in (1, 0.5))
    assert np.abs(loud - soft - 20 * np.log10(2)).max() < 0.01
    silence = musicnn.compute(Sound(0 * signal, 22_050), MusicnnInput())
    assert (silence == musicnn.describe(MusicnnInput())["silence_db"]).all()
    assert levels(silence).max() < 1e-3
