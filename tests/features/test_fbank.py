"""The filter banks are what AST's own extractor computes, in dB, at any sample rate of the data set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soxr
from transformers import ASTFeatureExtractor

from pipeline.config.features import Fbank
from pipeline.features import fbank
from pipeline.features.sound import Sound
from pipeline.features.store import block
from pipeline.models.backbones.audio_spectrogram_transformer import LOG_PER_DB
from pipeline.reports import saliency_figures

Array = np.ndarray[Any, np.dtype[np.float32]]
Make = Callable[..., Array]


def extracted(signal: Array) -> Array:
    """(frames, bands) in AST's own unit, of a signal at 16 kHz."""
    frames = 1 + (len(signal) - 400) // 160
    extractor = ASTFeatureExtractor(do_normalize=False, max_length=frames)
    values: Array = extractor(signal, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    return values


@pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_it_is_the_extractors(noise: Make, rate: int) -> None:
    time = np.arange(2 * rate) / rate
    hum = (0.3 + 0.2 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    signal = np.concatenate([noise(1, 2.0), hum, np.float32(1e-4) * noise(2, 2.0)])
    found = fbank.compute(Sound(signal, rate), Fbank())
    expected = extracted(soxr.resample(signal, rate, 16_000, quality="HQ"))
    np.testing.assert_allclose(LOG_PER_DB * found, expected, rtol=0, atol=0.005)
    stored = np.frombuffer(block(found, "float16").content, np.float16).reshape(found.shape)
    np.testing.assert_allclose(LOG_PER_DB * stored.astype(np.float32), expected, rtol=0, atol=0.01)


def test_silence_is_what_kaldi_makes_of_it_and_above_padding() -> None:
    silence = fbank.compute(Sound(np.zeros(16_000, np.float32), 16_000), Fbank())
    np.testing.assert_allclose(LOG_PER_DB * silence, -15.9424, atol=1e-3)
    assert silence.min() - 30 > fbank.describe(Fbank())["silence_db"], "no gain of augmentation takes it there"


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_only_whole_frames_count_and_there_is_one_at_least(noise: Make, samples: int, frames: int) -> None:
    assert fbank.compute(Sound(noise(1)[:samples], 16_000), Fbank()).shape == (frames, 128)


def test_a_tone_is_loudest_in_the_band_of_its_frequency() -> None:
    time = np.arange(16_000) / 16_000
    middles = saliency_figures.frequencies(fbank.describe(Fbank()), 128)
    for hertz in (300, 1000, 5000):
        found = fbank.compute(Sound(np.sin(2 * np.pi * hertz * time).astype(np.float32), 16_000), Fbank())
        loudest = int(found.mean(axis=0).argmax())
        # a bin of the spectrum is 31 Hz wide
        assert abs(middles[loudest] - hertz) < 40
