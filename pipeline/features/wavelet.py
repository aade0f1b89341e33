"""Scalogram: a wavelet transform with constant-Q wavelets, in dB below the clip's loudest point.

The wavelets are librosa.cqt's: complex, one per band, a whole number of bands to the octave, so that high bands
see short times and low bands fine pitches (Schoerkhuber and Klapuri 2010). Unlike a mel spectrogram, whose
frames are equally long at every frequency.
"""

from typing import Any

import librosa
import numpy as np

from pipeline.params import Wavelet

Array = np.ndarray[Any, np.dtype[np.float32]]


def describe(settings: Wavelet) -> dict[str, Any]:
    return {
        "windowed": True,
        "bands": "constant-Q wavelets",
        "unit": "dB re maximum",
        "floor": -settings.top_db,
    }


def compute(signal: Array, rate: int, settings: Wavelet) -> Array:
    """(frames, bands) from ``fmin`` upwards, 0 dB at the clip's maximum, floor ``-top_db``.

    Frames are those of the spectrogram with the same hop length.
    """
    frames = 1 + len(signal) // settings.hop_length
    longest = _longest_wavelet(rate, settings)
    padded = librosa.util.fix_length(signal, size=max(len(signal), longest))
    scalogram = librosa.cqt(
        padded,
        sr=rate,
        hop_length=settings.hop_length,
        fmin=settings.fmin,
        n_bins=settings.bands,
        bins_per_octave=settings.bands_per_octave,
        filter_scale=settings.filter_scale,
        tuning=0.0,
    )
    decibels: Array = librosa.amplitude_to_db(
        np.abs(scalogram[:, :frames]), ref=np.max, top_db=settings.top_db
    )
    return decibels.T


def _longest_wavelet(rate: int, settings: Wavelet) -> int:
    lengths, _ = librosa.filters.wavelet_lengths(
        freqs=librosa.cqt_frequencies(
            settings.bands, fmin=settings.fmin, bins_per_octave=settings.bands_per_octave
        ),
        sr=rate,
        filter_scale=settings.filter_scale,
    )
    # librosa transforms with the next power of two, and warns when the signal is shorter
    return int(2 ** np.ceil(np.log2(np.max(lengths))))
