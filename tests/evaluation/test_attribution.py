"""Occlusion finds what made-up models look at, and nothing where they look at nothing."""

import io
from collections.abc import Sequence
from typing import Any

import librosa
import numpy as np
import pytest
from PIL import Image

from pipeline.evaluation import attribution
from pipeline.reports import saliency_figures

BANDS, FRAMES = 24, 36
Array = np.ndarray[Any, np.dtype[np.floating[Any]]]


def answer(score: Array) -> Array:
    """(B, 2) probabilities of two labels, the second one as ``score`` says."""
    share = 1 / (1 + np.exp(np.clip(-score, -50, 50)))
    return np.stack([1 - share, share], axis=1)


@pytest.fixture
def window() -> Array:
    return np.random.default_rng(3).uniform(-80, 0, (1, BANDS, FRAMES)).astype(np.float32)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (5, 3)])
def test_the_fall_is_where_the_model_looks_and_nowhere_else(window: Array, row: int, column: int) -> None:
    own = np.s_[4 * row : 4 * row + 4, 6 * column : 6 * column + 6]
    window[0][own] += 100 * np.eye(4, 6, dtype=np.float32)
    loud = window[0][own].max()

    def run(inputs: Sequence[Array]) -> Array:
        return answer(inputs[0][:, own[0], own[1]].max(axis=(1, 2)) - loud)

    falls = attribution.of_patches(run, [window], 0, label=1)
    assert falls.shape == (6, 6)
    assert np.argwhere(falls).tolist() == [[row, column]]
    assert falls[row, column] > 0.4
    np.testing.assert_allclose(attribution.of_patches(run, [window], 0, label=0), -falls)


def test_silence_that_is_hidden_stays_silence(window: Array) -> None:
    """One mean for the whole window would make noise of it."""
    window[0, 20:] = -80

    def run(inputs: Sequence[Array]) -> Array:
        return answer(-inputs[0][:, 20:].mean(axis=(1, 2)) / 80)

    assert not attribution.of_patches(run, [window], 0, label=1).any()


def test_a_model_that_ignores_its_input_has_no_falls(window: Array) -> None:
    def run(inputs: Sequence[Array]) -> Array:
        return np.tile([0.3, 0.7], (len(inputs[0]), 1))

    assert not attribution.of_patches(run, [window], 0, label=1).any()
    falls = attribution.of_columns(run, [window[:, 0]], 0, 1, np.zeros(FRAMES), {"all": list(range(FRAMES))})
    assert falls == {"all": 0.0}


def test_of_two_inputs_only_the_one_that_is_used_falls(window: Array) -> None:
    asked = []

    def run(inputs: Sequence[Array]) -> Array:
        asked.append([len(values) for values in inputs])
        return answer(np.abs(np.diff(inputs[1], axis=2)).mean(axis=(1, 2)) / 10)

    both = [window, window[:, ::-1].copy()]
    assert not attribution.of_patches(run, both, 0, label=1).any()
    assert (attribution.of_patches(run, both, 1, label=1) > 0).all()
    assert all(len(set(sizes)) == 1 and max(sizes) <= attribution.BATCH for sizes in asked)


def test_the_input_stays_as_it_was(window: Array) -> None:
    before = window.copy()
    attribution.of_patches(lambda inputs: answer(inputs[0].mean(axis=(1, 2))), [window], 0, label=1)
    assert (window == before).all()


def test_a_short_window_has_smaller_patches_and_fewer_rows() -> None:
    window = np.arange(4 * 7, dtype=np.float32).reshape(1, 4, 7)
    falls = attribution.of_patches(lambda inputs: answer(inputs[0].max(axis=(1, 2))), [window], 0, label=0)
    assert falls.shape == (4, 6)
    assert [piece.stop - piece.start for piece in attribution.pieces(7)] == [1, 1, 2, 1, 1, 1]


def test_columns_fall_by_family_to_the_training_part_s_means() -> None:
    names = ["rms_mean", "rms_var", "tempo", "mfcc1_mean", "mfcc1_var", "mfcc20_mean"]
    families = attribution.families(names)
    assert families == {"rms": [0, 1], "tempo": [2], "mfcc": [3, 4, 5]}
    row, means = np.arange(1.0, 7.0)[None], np.full(6, 9.0)

    def run(inputs: Sequence[Array]) -> Array:
        return answer(-inputs[0][:, 5])

    falls = attribution.of_columns(run, [row], 0, 1, means, families)
    assert falls["mfcc"] == pytest.approx(answer(np.array([-6.0]))[0, 1] - answer(np.array([-9.0]))[0, 1])
    assert (falls["rms"], falls["tempo"]) == (0, 0)


@pytest.mark.parametrize(("rate", "bands"), [(22050, 256), (44100, 32), (1600, 16)])
def test_mel_bands_lie_where_librosa_has_them(rate: int, bands: int) -> None:
    spec = {"bands": "mel", "sample_rate": rate, "params": {}}
    expected = librosa.mel_frequencies(bands + 2, fmin=0, fmax=rate / 2)[1:-1]
    np.testing.assert_allclose(saliency_figures.frequencies(spec, bands), expected)
    places = [place for place, _ in saliency_figures.hertz(spec, bands)]
    assert places == sorted(places, reverse=True)
    assert all(0 < place < 100 for place in places)


def test_wavelets_lie_evenly_in_octaves() -> None:
    spec = {"bands": "Morlet wavelets", "params": {"fmin": 62.5, "bands_per_octave": 4}}
    assert saliency_figures.frequencies(spec, 9).tolist()[::4] == [62.5, 125, 250]
    assert [text for _, text in saliency_figures.hertz(spec, 9)] == ["250", "125", "63"]


def test_a_waveforms_picture_shows_its_level_and_nothing_where_it_is_padded() -> None:
    samples = np.concatenate([np.full(6000, 0.5), np.full(6000, -2.0)])[None]
    falls = np.array([[0.4, 0, 0, 0, 0, 0]])
    picture = np.asarray(Image.open(io.BytesIO(saliency_figures.waveform(samples, falls, 0.4))).convert("RGB"))
    assert picture.shape == (6, saliency_figures.LEVELS, 3)
    coloured, sounding, padded = picture[3, [10, 150, 300]].astype(int)
    assert padded.min() == 255
    assert sounding.max() == sounding.min() < 200
    assert coloured[0] != coloured[2]
