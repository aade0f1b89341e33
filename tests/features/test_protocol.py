"""Every kind of feature follows the protocol; mypy checks the signatures."""

from typing import Any

import numpy as np
import pytest

from pipeline.config import features as sections
from pipeline.features import fbank, musicnn, spectrogram, tabular, timbre, waveform, wavelet
from pipeline.features.protocol import Feature
from pipeline.features.sound import Sound

KINDS: list[tuple[Feature, Any]] = [
    (tabular, sections.Tabular(n_fft=1024, hop_length=512)),
    (timbre, sections.Timbre()),
    (spectrogram, sections.Spectrogram(n_fft=1024, hop_length=512, bands=32, top_db=80.0)),
    (wavelet, sections.Wavelet(hop_length=512, bands=32, bands_per_octave=4, omega0=6.0, fmin=32.7, top_db=80.0)),
    (musicnn, sections.MusicnnInput()),
    (fbank, sections.Fbank()),
    (waveform, sections.Waveform(sample_rate=16_000)),
]


@pytest.mark.parametrize(("kind", "own"), KINDS)
def test_rows_are_as_wide_as_the_spec_says(kind: Feature, own: Any) -> None:
    noise = np.random.default_rng(7).normal(0, 0.1, 22050).astype(np.float32)
    spec, rows = kind.describe(own), kind.compute(Sound(noise, 22050), own)
    assert rows.shape[1] == spec["width"]
    assert spec["windowed"] == (len(rows) > 1)
    assert not spec["windowed"] or rows.min() / spec.get("full_scale", 1) >= spec["silence_db"]
