"""Mel filters, their scale and the window of all spectra are librosa's, to the bit."""

import librosa
import numpy as np
import pytest

from pipeline.features import mel
from pipeline.features.sound import hann


@pytest.mark.parametrize(
    ("rate", "n_fft", "bands"), [(22050, 2048, 128), (16_000, 512, 96), (44_100, 4096, 32), (1500, 256, 8)]
)
def test_filters_are_librosas_to_the_bit(rate: int, n_fft: int, bands: int) -> None:
    np.testing.assert_array_equal(mel.edges(rate / 2, bands), librosa.mel_frequencies(bands + 2, fmin=0, fmax=rate / 2))
    # of a power in one bin the bands show that bin's gains
    shown = mel.mel(np.eye(1 + n_fft // 2, dtype=np.float32), rate, bands)
    np.testing.assert_array_equal(shown, librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands).T)
    assert shown.dtype == np.float32


@pytest.mark.parametrize("n_fft", [2048, 512, 300])
def test_the_window_is_librosas_to_the_bit(n_fft: int) -> None:
    np.testing.assert_array_equal(hann(n_fft), librosa.filters.get_window("hann", n_fft).astype(np.float32))
