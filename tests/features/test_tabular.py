"""The 57 columns are librosa's own numbers, and their names those of ``features_30_sec.csv``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import soundfile

from benchmarks.peers import columns
from pipeline.config.features import Timbre
from pipeline.config.project import Params
from pipeline.features import timbre
from pipeline.features.median import running_median
from pipeline.features.sound import Sound
from pipeline.features.tabular import HPSS_WIDTH, NAMES, compute, describe

RTOL, ATOL = 1e-4, 1e-8
"""The same sums in another order, in float32: ATOL is for the means of waveforms, which are all but 0."""

RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]
Make = Callable[..., Array]

COLUMNS = [
    "chroma_stft_mean", "chroma_stft_var", "rms_mean", "rms_var",
    "spectral_centroid_mean", "spectral_centroid_var", "spectral_bandwidth_mean", "spectral_bandwidth_var",
    "rolloff_mean", "rolloff_var", "zero_crossing_rate_mean", "zero_crossing_rate_var",
    "harmony_mean", "harmony_var", "perceptr_mean", "perceptr_var",
    "tempo",
    "mfcc1_mean", "mfcc1_var", "mfcc2_mean", "mfcc2_var", "mfcc3_mean", "mfcc3_var", "mfcc4_mean", "mfcc4_var",
    "mfcc5_mean", "mfcc5_var", "mfcc6_mean", "mfcc6_var", "mfcc7_mean", "mfcc7_var", "mfcc8_mean", "mfcc8_var",
    "mfcc9_mean", "mfcc9_var", "mfcc10_mean", "mfcc10_var", "mfcc11_mean", "mfcc11_var", "mfcc12_mean", "mfcc12_var",
    "mfcc13_mean", "mfcc13_var", "mfcc14_mean", "mfcc14_var", "mfcc15_mean", "mfcc15_var", "mfcc16_mean", "mfcc16_var",
    "mfcc17_mean", "mfcc17_var", "mfcc18_mean", "mfcc18_var", "mfcc19_mean", "mfcc19_var", "mfcc20_mean", "mfcc20_var",
]  # fmt: skip


def chords(tone: Make, noise: Make) -> Array:
    """Five seconds: four chords, a click every half second, and a little noise."""
    roots = (220.0, 293.66, 329.63, 196.0)
    parts = [sum(tone(root * ratio, 1.25) for ratio in (1, 1.26, 1.5)) / 4 for root in roots]
    signal = np.concatenate(parts)
    signal[:: RATE // 2] += 0.5
    mixed: Array = (signal + 0.05 * noise(7, len(signal) / RATE)).astype(np.float32)
    return mixed


def agrees(signal: Array, settings: Params) -> None:
    row = compute(Sound(signal, RATE), settings.features.tabular)
    assert row.shape == (1, 57)
    assert row.dtype == np.float32
    expected = columns(signal, RATE)
    assert sorted(expected) == sorted(COLUMNS)
    for name, value in zip(NAMES, row[0], strict=True):
        np.testing.assert_allclose(value, expected[name], RTOL, ATOL, err_msg=name)


def test_timbre_is_some_of_the_columns_with_frames_farther_apart(tone: Make, noise: Make, settings: Params) -> None:
    sound = Sound(chords(tone, noise), RATE)
    every = compute(sound, settings.features.tabular.model_copy(update={"hop_length": timbre.HOP_LENGTH}))
    some = timbre.compute(sound, Timbre())
    np.testing.assert_array_equal(some[0], every[0, [NAMES.index(name) for name in timbre.NAMES]])
    left = set(NAMES) - set(timbre.NAMES)
    assert {name.rpartition("_")[0] or name for name in left} == {"chroma_stft", "harmony", "perceptr", "tempo"}


def test_timbre_and_the_default_spectrogram_have_the_same_stft(settings: Params) -> None:
    default = settings.features.spectrogram
    assert (default.n_fft, default.hop_length) == (timbre.N_FFT, timbre.HOP_LENGTH)


def test_columns_are_those_of_the_csv(settings: Params) -> None:
    assert list(NAMES) == COLUMNS
    assert describe(settings.features.tabular) == {"windowed": False, "width": 57, "columns": COLUMNS}


def test_a_musical_signal_agrees_with_librosa(tone: Make, noise: Make, settings: Params) -> None:
    signal = chords(tone, noise)
    assert len(signal) == pytest.approx(5 * RATE, abs=5)
    agrees(signal, settings)


@pytest.mark.parametrize("name", ["jazz.00002", "metal.00001", "hiphop.00000"])
def test_a_real_clip_agrees_with_librosa(shared: Path, settings: Params, name: str) -> None:
    file = shared / "data/gtzan-mini/genres" / name.split(".")[0] / f"{name}.flac"
    signal, rate = soundfile.read(file, dtype="float32", frames=5 * RATE, start=10 * RATE)
    assert rate == RATE
    agrees(signal, settings)


def test_a_clip_shorter_than_a_window_has_all_columns(noise: Make, settings: Params) -> None:
    row = compute(Sound(noise(1, 0.05), RATE), settings.features.tabular)
    assert np.isfinite(row).all()


@pytest.mark.parametrize("shape", [(1025, 60), (33, 31), (40, 8), (8, 40), (200, 65)])
def test_the_running_median_is_scipys(shape: tuple[int, int]) -> None:
    """Bit for bit, also where there are fewer rows than the median is wide; a tenth of the values are 0."""
    rng = np.random.default_rng(7)
    values = (rng.exponential(size=shape) * (rng.random(shape) > 0.1)).astype(np.float32)
    expected = scipy.ndimage.median_filter(values, size=(HPSS_WIDTH, 1), mode="reflect")
    np.testing.assert_array_equal(running_median(values, HPSS_WIDTH), expected)
