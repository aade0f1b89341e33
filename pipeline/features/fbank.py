"""Log-mel filter banks for the Audio Spectrogram Transformer, in dB, at its own rate and in its own frames.

Kaldi's fbank features without dither, of samples in [-1, 1], as transformers' ASTFeatureExtractor computes them before it
normalises. Its padding of a short clip is neither sound nor silence; here it is below all sound.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.config.features import Fbank
from pipeline.features.sound import Array, Sound, decibels, described

RATE, FRAME_LENGTH, HOP_LENGTH, N_FFT, BANDS = 16_000, 400, 160, 512, 128
FMIN = 20.0
"""Hz, where the lowest band begins; the highest ends at half of RATE."""
PRE_EMPHASIS = 0.97
WINDOW = np.hanning(FRAME_LENGTH).astype(np.float32)
LEAST = float(np.finfo(np.float32).eps)
"""Kaldi's least power, -69.2 dB."""
SILENCE_DB = -100.0
"""dB of padding: 30 below all sound, so that no gain of augmentation makes one the other."""


def describe(settings: Fbank) -> dict[str, Any]:  # noqa: ARG001
    middles = [round(float(hertz), 1) for hertz in 700 * np.expm1(_edges()[1:-1] / 1127)]
    params = {"frame_length": FRAME_LENGTH, "hop_length": HOP_LENGTH, "n_fft": N_FFT}
    frames = described(BANDS, "mel", "dB", SILENCE_DB)
    return {**frames, "middles_hz": middles, "sample_rate": RATE, "params": params}


def compute(sound: Sound, settings: Fbank) -> Array:  # noqa: ARG001
    """(frames, bands), 0 dB for a power of 1, at least that of LEAST; frame t begins at t * HOP_LENGTH at RATE."""
    signal = sound.at(RATE).at_least(FRAME_LENGTH)
    frames = sliding_window_view(signal, FRAME_LENGTH)[::HOP_LENGTH]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = scipy.fft.rfft((frames - np.float32(PRE_EMPHASIS) * before) * WINDOW, N_FFT, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _filters()
    return decibels(power, least=LEAST)


@lru_cache
def _filters() -> Any:
    """(1 + N_FFT / 2, bands), triangles on the mel scale, all of height 1."""
    edges = _edges()
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    bins = _mel(np.arange(1 + N_FFT // 2) * RATE / N_FFT)[:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    # nearly all of it is zeros
    return scipy.sparse.csc_array(np.minimum(rising, falling).clip(0).astype(np.float32))


def _edges() -> Any:
    """(bands + 2,) in mel: each band begins and ends at the middles of its neighbours."""
    return np.linspace(_mel(FMIN), _mel(RATE / 2), BANDS + 2)


def _mel(hertz: Any) -> Any:
    """Kaldi's mel scale, which is O'Shaughnessy's."""
    return 1127 * np.log1p(hertz / 700)
