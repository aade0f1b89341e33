"""The scalogram is a wavelet transform: high bands see short times, low bands fine pitches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.config.features import Wavelet
from pipeline.config.project import Params
from pipeline.features import wavelet
from pipeline.features.sound import Sound

RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]
Make = Callable[..., Array]


@pytest.fixture(scope="module")
def own(settings: Params) -> Wavelet:
    return settings.features.wavelet.model_copy(update={"bands": 64, "bands_per_octave": 8})


def frequencies(own: Wavelet) -> Array:
    return np.asarray(own.fmin * 2.0 ** (np.arange(own.bands) / own.bands_per_octave), dtype=np.float32)


def direct(signal: Array, hertz: float, frame: int, own: Wavelet) -> float:
    """One value of the transform by its definition: the signal times a Morlet wavelet of unit gain, summed."""
    deviation = own.omega0 / (2 * np.pi * hertz) * RATE
    reach = int(8 * deviation)
    time = np.arange(-reach, reach + 1)
    wavelet = np.exp(-0.5 * (time / deviation) ** 2 - 2j * np.pi * hertz * time / RATE)
    around = np.pad(signal.astype(np.float64), reach)[frame * own.hop_length :][: 2 * reach + 1]
    return float(abs(around @ wavelet) / (deviation * np.sqrt(2 * np.pi)))


def test_it_is_the_transform_by_definition(noise: Make, own: Wavelet) -> None:
    """Every band, at both ends and in the middle, to a hundredth of a dB."""
    signal = noise(1, 2.0)
    frames = [0, 1, 40, len(signal) // own.hop_length]
    expected = np.array([[direct(signal, hertz, frame, own) for hertz in frequencies(own)] for frame in frames])
    values = wavelet.compute(Sound(signal, RATE), own)[frames].astype(np.float64)
    decibels = 20 * np.log10(expected)
    # the level of 0 dB is that of the loudest point of all, which need not be among these
    np.testing.assert_allclose(values - values.mean(), decibels - decibels.mean(), atol=0.01)


def test_the_defaults_give_every_band(noise: Make, settings: Params) -> None:
    """Also the highest band and the longest wavelet of params.yaml as it comes fit into a second of sound."""
    own = settings.features.wavelet
    values = wavelet.compute(Sound(noise(1, 1.0), RATE), own)
    assert values.shape == (1 + RATE // own.hop_length, own.bands)
    assert values.max() == 0
    assert (values.max(axis=0) > -40).all(), "white noise is in every band"


def test_the_spec_names_the_floor(own: Wavelet) -> None:
    assert wavelet.describe(own)["silence_db"] == -own.top_db
    assert wavelet.describe(own)["windowed"] is True


def test_silence_around_a_sound_is_the_floor(tone: Make, own: Wavelet) -> None:
    quiet = np.zeros(2 * RATE, np.float32)
    values = wavelet.compute(Sound(np.concatenate([quiet, tone(440, 0.5), quiet]), RATE), own)
    assert values.max() == 0
    assert (values[:20] == -own.top_db).all()
    assert (values[-20:] == -own.top_db).all()


@pytest.mark.parametrize("band", [8, 24, 40, 60])
def test_a_tone_lights_its_band(tone: Make, own: Wavelet, band: int) -> None:
    values = wavelet.compute(Sound(tone(float(frequencies(own)[band]), 2.0), RATE), own)
    assert (values[20:-20].argmax(axis=1) == band).all()


def test_tones_a_band_apart_differ_at_every_pitch(tone: Make, own: Wavelet) -> None:
    """As a mel spectrogram of the same window cannot do in the bass."""
    for band in (8, 56):
        near, far = (
            wavelet.compute(Sound(tone(float(frequencies(own)[b]), 2.0), RATE), own)[40] for b in (band, band + 4)
        )
        assert near[band] - near[band + 4] > 6
        assert far[band + 4] - far[band] > 6


def test_a_click_is_sharper_in_high_bands_than_in_low_ones(settings: Params) -> None:
    own = settings.features.wavelet
    frame = 2 * RATE // own.hop_length
    signal = np.zeros(4 * RATE, np.float32)
    signal[frame * own.hop_length] = 1.0
    values = wavelet.compute(Sound(signal, RATE), own)
    assert (values.argmax(axis=0) == frame).all()
    octaves = [slice(start, start + own.bands_per_octave) for start in range(0, own.bands, own.bands_per_octave)]
    # frames of each band that are less than 20 dB below its loudest
    widths = [(values > values.max(axis=0) - 20).sum(axis=0)[octave].mean() for octave in octaves]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 1
    assert widths[0] > 8
