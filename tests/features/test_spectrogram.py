"""The spectrogram is librosa's, in dB below its maximum, and aligned with the scalogram."""

from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest

from pipeline.config.features import Spectrogram, Wavelet
from pipeline.config.project import Params
from pipeline.features import spectrogram, wavelet
from pipeline.features.sound import Sound, decibels

RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]
Make = Callable[..., Array]


@pytest.fixture(scope="module")
def own(settings: Params) -> Spectrogram:
    return settings.features.spectrogram.model_copy(update={"bands": 64})


@pytest.fixture(scope="module")
def scalogram(settings: Params) -> Wavelet:
    return settings.features.wavelet.model_copy(update={"bands": 64, "bands_per_octave": 8})


def test_it_is_librosas_to_a_thousandth_of_a_db(noise: Make, own: Spectrogram) -> None:
    signal = noise(1, 2.0)
    mel = librosa.feature.melspectrogram(y=signal, sr=RATE, n_fft=own.n_fft, hop_length=own.hop_length, n_mels=64)
    expected = librosa.power_to_db(mel, ref=np.max, top_db=own.top_db).T
    np.testing.assert_allclose(spectrogram.compute(Sound(signal, RATE), own), expected, rtol=0, atol=1e-3)
    assert expected.shape == (1 + len(signal) // own.hop_length, 64)


@pytest.mark.parametrize("top_db", [60.0, None])
def test_decibels_are_librosas_to_the_bit(top_db: float | None) -> None:
    power = np.random.default_rng(3).lognormal(-10, 6, (50, 40)).astype(np.float32)
    given, asked = decibels(power, power.max(), top_db=top_db), librosa.power_to_db(power, ref=np.max, top_db=top_db)
    np.testing.assert_array_equal(given, asked)
    assert given.dtype == asked.dtype
    np.testing.assert_array_equal(decibels(power, least=1e-4), librosa.power_to_db(power, amin=1e-4, top_db=None))


def test_the_spec_names_the_floor(own: Spectrogram) -> None:
    assert spectrogram.describe(own)["silence_db"] == -own.top_db
    assert spectrogram.describe(own)["windowed"] is True


def test_silence_around_a_sound_is_the_floor(tone: Make, own: Spectrogram) -> None:
    signal = np.concatenate([np.zeros(RATE, np.float32), tone(440, 0.5), np.zeros(RATE, np.float32)])
    values = spectrogram.compute(Sound(signal, RATE), own)
    assert values.max() == 0
    assert values.min() == -own.top_db
    assert (values[:14] == -own.top_db).all()
    assert (values[-14:] == -own.top_db).all()


@pytest.mark.parametrize("band", [5, 20, 40, 60])
def test_a_tone_lights_its_band(tone: Make, own: Spectrogram, band: int) -> None:
    centre = librosa.mel_frequencies(own.bands + 2, fmin=0, fmax=RATE / 2)[band + 1]
    values = spectrogram.compute(Sound(tone(centre, 1.0), RATE), own)
    assert (values[5:-5].argmax(axis=1) == band).all()


@pytest.mark.parametrize("length", [1, 2, 511, 512, 513, 1023, 1024, 2047, 2048, 2049, 5000, 16383, 16384, 22050])
def test_both_pictures_have_the_same_frames(length: int, own: Spectrogram, scalogram: Wavelet) -> None:
    """Frame t is centred on sample t * hop_length; the end is the loudest, which a short clip must not lose."""
    signal = np.random.default_rng(7).normal(0, 0.01, length).astype(np.float32)
    signal[-1] = 1.0
    pictures = (spectrogram.compute(Sound(signal, RATE), own), wavelet.compute(Sound(signal, RATE), scalogram))
    for values in pictures:
        assert values.shape == (1 + length // own.hop_length, 64)
        assert values.dtype == np.float32
        assert values.max() == 0
        assert values.min() >= -80
