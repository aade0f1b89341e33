"""Scalogram: a wavelet transform with Morlet wavelets, in dB below the clip's loudest point.

One wavelet per band, each as many periods long as the others: high bands are fine in time and low bands in pitch, unlike a
mel spectrogram, whose frames are equally long at every frequency. In the frequency domain a Morlet wavelet is a Gaussian
(Torrence and Compo 1998, table 1), so the transform is one FFT of the clip, and per band a product with a short Gaussian
and a small inverse FFT at the rate of the frames.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from pipeline.config.features import Wavelet
from pipeline.features.sound import Array, Sound, decibels, described

REACH = 4.5
"""Standard deviations at which a Gaussian is cut: there it is 88 dB below its top."""


def describe(settings: Wavelet) -> dict[str, Any]:
    return described(settings.bands, "Morlet wavelets", "dB re maximum", -settings.top_db)


def compute(sound: Sound, settings: Wavelet) -> Array:
    """(frames, bands) from ``fmin`` upwards, 0 dB at the clip's maximum, silence ``-top_db``.

    Frames are those of the spectrogram with the same hop length.
    """
    frames = 1 + len(sound.signal) // settings.hop_length
    longest = REACH * settings.omega0 / (2 * math.pi * settings.fmin) * sound.rate
    # silence behind the clip, where the longest wavelet may reach: the FFT takes the clip for a loop
    count = scipy.fft.next_fast_len(frames + math.ceil(longest / settings.hop_length), real=True)
    spectrum = scipy.fft.rfft(sound.signal, count * settings.hop_length)
    amplitude = np.empty((settings.bands, frames), np.float32)
    for row, (first, gains) in zip(amplitude, _gaussians(count, sound.rate, settings), strict=True):
        # to keep one value in hop_length is to fold the spectrum onto ``count`` bins
        lead = first % count
        folded = np.zeros((math.ceil((lead + len(gains)) / count), count), np.complex64)
        np.multiply(spectrum[first : first + len(gains)], gains, out=folded.reshape(-1)[lead : lead + len(gains)])
        np.abs(scipy.fft.ifft(folded.sum(axis=0))[:frames], out=row)
    power = np.square(amplitude, out=amplitude)
    return decibels(power, power.max(), top_db=settings.top_db).T


@lru_cache(maxsize=4)
def _gaussians(count: int, rate: int, settings: Wavelet) -> list[tuple[int, Array]]:
    """For each band the first bin of its wavelet and the gains from there on, for an FFT of count * hop_length."""
    size = count * settings.hop_length
    found = []
    for band in range(settings.bands):
        centre = settings.fmin * 2 ** (band / settings.bands_per_octave) * size / rate
        spread = centre / settings.omega0
        first = max(1, math.ceil(centre - REACH * spread))
        bins = np.arange(first, min(size // 2, math.floor(centre + REACH * spread)) + 1)
        found.append((first, np.exp(-0.5 * ((bins - centre) / spread) ** 2).astype(np.float32)))
    return found
