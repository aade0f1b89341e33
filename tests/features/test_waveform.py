"""Samples are kept as 16-bit integers at the rate that is asked for, and windows of them say what is padded."""

from pathlib import Path

import numpy as np
from stores import write_store

from pipeline.config.features import Waveform
from pipeline.features import waveform
from pipeline.features.sound import Sound
from pipeline.features.store import Store
from pipeline.training.dataset import Feature, Windows

SETTINGS = Waveform(sample_rate=16_000)


def test_samples_are_those_of_the_sound_to_half_a_step_and_never_wrap() -> None:
    signal = np.random.default_rng(7).normal(0, 0.5, 16_000).astype(np.float32)
    rows = waveform.compute(Sound(signal, 16_000), SETTINGS)
    assert rows.shape == (16_000, 1)
    stored = rows.astype(np.int16)
    kept = np.abs(signal) < 0.999
    np.testing.assert_allclose(stored[kept, 0] / 2**15, signal[kept], rtol=0, atol=0.5 / 2**15)
    assert np.sign(stored[signal > 1]).min() == 1
    assert np.sign(stored[signal < -1]).max() == -1


def test_a_sound_is_resampled() -> None:
    time = np.arange(22_050) / 22_050
    rows = waveform.compute(Sound(np.sin(2 * np.pi * 440 * time).astype(np.float32), 22_050), SETTINGS)
    assert len(rows) == 16_000
    assert np.abs(np.fft.rfft(rows[:, 0])).argmax() == 440


def test_windows_are_cut_by_sample_and_padding_is_no_sample(tmp_path: Path) -> None:
    clips = [np.arange(-500, 500), np.arange(100, 130), np.full(250, -(2**15))]
    blocks = [clip[:, None].astype(np.int16) for clip in clips]
    write_store(tmp_path / "store", ["a", "b", "c"], blocks, "int16", waveform.describe(SETTINGS))
    feature = Feature.stored(Store(tmp_path / "store"), ["a", "b", "c"], 200)
    assert feature.describe().rate == 16_000
    pairs = np.array([[0, 0], [0, 777], [1, 0], [2, 50]])
    (windows,) = Windows([feature], np.zeros(3, np.int64))[pairs].inputs
    assert windows.shape == (4, 1, 200)
    assert windows.dtype == np.float32
    np.testing.assert_array_equal(windows[1, 0], np.arange(277, 477) / 2**15)
    np.testing.assert_array_equal(windows[2, 0, :30], np.arange(100, 130) / 2**15)
    assert (windows[2, 0, 30:] == waveform.PADDING).all()
    assert windows[3].max() == -1.0, "the lowest sample is no padding"
