"""The scalogram is a wavelet transform: high bands see short times, low bands fine pitches."""

from collections.abc import Callable
from typing import Any

import librosa
import numpy as np
import pytest

from pipeline.features import wavelet
from pipeline.params import Params, Wavelet

RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]
Sound = Callable[..., Array]


@pytest.fixture(scope="module")
def own(settings: Params) -> Wavelet:
    return settings.features.wavelet.model_copy(update={"bands": 64, "bands_per_octave": 8})


def frequencies(own: Wavelet) -> Array:
    return np.asarray(own.fmin * 2.0 ** (np.arange(own.bands) / own.bands_per_octave), dtype=np.float32)


def test_it_is_librosas(noise: Sound, own: Wavelet) -> None:
    signal = noise(1, 2.0)
    expected = librosa.cqt(
        signal,
        sr=RATE,
        hop_length=512,
        fmin=own.fmin,
        n_bins=64,
        bins_per_octave=8,
        filter_scale=0.5,
        tuning=0.0,
    )
    decibels = librosa.amplitude_to_db(np.abs(expected), ref=np.max, top_db=own.top_db)
    np.testing.assert_array_equal(wavelet.compute(signal, RATE, own), decibels.T)


def test_the_defaults_give_every_band(noise: Sound, settings: Params) -> None:
    """Also the highest band and the longest wavelet of params.yaml as it comes fit into a second of sound."""
    own = settings.features.wavelet
    values = wavelet.compute(noise(1, 1.0), RATE, own)
    assert values.shape == (1 + RATE // own.hop_length, own.bands)
    assert values.max() == 0
    assert (values.max(axis=0) > -40).all(), "white noise is in every band"


def test_the_spec_names_the_floor(own: Wavelet) -> None:
    assert wavelet.describe(own)["floor"] == -own.top_db
    assert wavelet.describe(own)["windowed"] is True


def test_silence_around_a_sound_is_the_floor(tone: Sound, own: Wavelet) -> None:
    quiet = np.zeros(2 * RATE, np.float32)
    values = wavelet.compute(np.concatenate([quiet, tone(440, 0.5), quiet]), RATE, own)
    assert values.max() == 0
    assert (values[:20] == -own.top_db).all()
    assert (values[-20:] == -own.top_db).all()


@pytest.mark.parametrize("band", [8, 24, 40, 60])
def test_a_tone_lights_its_band(tone: Sound, own: Wavelet, band: int) -> None:
    values = wavelet.compute(tone(float(frequencies(own)[band]), 2.0), RATE, own)
    assert (values[20:-20].argmax(axis=1) == band).all()


def test_tones_a_band_apart_are_told_apart_at_every_pitch(tone: Sound, own: Wavelet) -> None:
    """As a mel spectrogram of the same window cannot do in the bass."""
    for band in (8, 56):
        near, far = (
            wavelet.compute(tone(float(frequencies(own)[b]), 2.0), RATE, own)[40] for b in (band, band + 4)
        )
        assert near[band] - near[band + 4] > 6
        assert far[band + 4] - far[band] > 6


def test_a_click_is_sharper_in_high_bands_than_in_low_ones(settings: Params) -> None:
    own = settings.features.wavelet
    frame = 2 * RATE // own.hop_length
    signal = np.zeros(4 * RATE, np.float32)
    signal[frame * own.hop_length] = 1.0
    values = wavelet.compute(signal, RATE, own)
    assert (values.argmax(axis=0) == frame).all()
    octaves = [
        slice(start, start + own.bands_per_octave) for start in range(0, own.bands, own.bands_per_octave)
    ]
    # frames of each band that are less than 20 dB below its loudest
    widths = [(values > values.max(axis=0) - 20).sum(axis=0)[octave].mean() for octave in octaves]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 1
    assert widths[0] > 8
