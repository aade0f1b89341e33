"""Find clips with the same audio, so that a split puts them in one part.

The fingerprint is that of Haitsma and Kalker (2002, "A Highly Robust Audio Fingerprinting System", ISMIR): a
32-bit word every 11.6 ms, which gain, resampling and lossy coding change little. Chromaprint, the usual
program for this, needs a system library.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
import soxr

from pipeline.data.audio import Samples

Array = np.ndarray[Any, np.dtype[Any]]
Words = np.ndarray[Any, np.dtype[np.uint32]]

RATE = 5512.5
"""Hz: a quarter of 22050, and more than twice the highest frequency used."""
FRAME = 2048
"""Samples in a window, 0.37 s."""
HOP = 64
"""Samples from one window to the next, 11.6 ms: neighbours have 31 of 32 parts in common."""
EDGES = np.round(np.geomspace(300, 2000, 34) * FRAME / RATE).astype(int)
"""FFT bins at the edges of the 33 bands, 300 to 2000 Hz."""
CHUNK = 256
"""Windows transformed together, so that a long clip needs little memory."""

QUIET = 1e-9
"""Mean square of a window below which it is silent: -90 dBFS."""
STEADY = 1e-4
"""Change of a window's energy, as a share of it, below which the bits show rounding and not music."""

THRESHOLD = 0.5
"""Two stretches are the same if their bits differ less than this share of how often chance makes them differ.

Chance makes half of the bits differ in music, so this is an error rate of 0.25; the paper has 0.35. Measured
at the best of all alignments of 1.5 s and more: 90 excerpts of GTZAN against the clips they were cut from
have at most 0.035, and 167 of 2 to 3 s after MP3, Vorbis (both at low quality too) or Opus at most 0.18.
The lowest of 124251 pairs of unlike excerpts is 0.38 (a song that is there twice has 0.29), but 0.27 of
79800 pairs of scores that one synthesiser plays: equal notes are nearly equal audio there.
"""
OVERLAP = 97
"""Words to be compared, those of 1.5 s; of a shorter clip SHARE of its words, but SHORTEST at least."""
SHARE = 0.8
SHORTEST = 32
"""The words of 0.74 s."""
NEIGHBOURS = 8
"""Clips with a word in common are compared with so many of the next ones, in the order of their names."""


class Match(NamedTuple):
    """Two clips with audio in common; ``first`` sorts before ``second``."""

    first: str
    second: str
    error_rate: float
    """Share of the compared bits that differ, in [0, 0.25)."""
    shift_s: float
    """``second`` at time t is ``first`` at t + shift_s."""


def fingerprint(samples: Samples, rate: float) -> Words:
    """The words of a mono signal, one for each pair of successive windows; none if it is shorter than 0.38 s.

    A bit says whether of two neighbouring bands the lower one gains more energy from one window to the next.
    A word is 0 where the sound is silent or does not change.
    """
    signal = soxr.resample(np.asarray(samples, np.float32), rate, RATE, quality="LQ")
    if len(signal) < FRAME + HOP:
        return np.zeros(0, np.uint32)
    windows = np.lib.stride_tricks.sliding_window_view(signal, FRAME)[::HOP]
    parts = [_energies(windows[start : start + CHUNK]) for start in range(0, len(windows), CHUNK)]
    bands, total = (np.concatenate(part) for part in zip(*parts, strict=True))
    change, total = np.diff(bands, axis=0), total[1:]
    changing = (total > QUIET) & (np.abs(change).sum(axis=1) > STEADY * total)
    words = np.packbits(np.diff(change, axis=1) < 0, axis=1).view(">u4")[:, 0]
    return np.where(changing, words, 0).astype(np.uint32)


def _energies(windows: Array) -> tuple[Array, Array]:
    """Mean squares of each window in the bands (windows, 33), and in all below 2000 Hz (windows,)."""
    hann = np.hanning(FRAME + 1)[:-1]
    hann *= np.sqrt(2 / (FRAME * np.square(hann).sum()))
    spectrum = scipy.fft.rfft(windows * hann.astype(np.float32), axis=1)[:, : EDGES[-1]]
    power = np.square(np.ascontiguousarray(spectrum).view(np.float32))
    return np.add.reduceat(power, 2 * EDGES[:-1], axis=1), power.sum(axis=1)


def near(fingerprints: Mapping[str, Words]) -> list[Match]:
    """Pairs of clips with the same audio at some alignment, sorted by name; each at its best alignment.

    Of many copies of one clip not every pair is listed, but enough for :func:`pipeline.data.groups.join` to link all. Clips
    with less than 0.74 s of sound are in no pair.
    """
    names = sorted(fingerprints)
    words = [fingerprints[name] for name in names]
    best: dict[tuple[int, int], Match] = {}
    for a, b, lag in _candidates(words):
        match = _compare(names[a], names[b], words[a], words[b], lag)
        if match and ((a, b) not in best or match.error_rate < best[a, b].error_rate):
            best[a, b] = match
    return [best[pair] for pair in sorted(best)]


def _candidates(words: list[Words]) -> Iterator[tuple[int, int, int]]:
    """Pairs of clips, the earlier one first, with a lag (in words) at which two words or more agree.

    Words agree if they are equal but for the 8 highest or the 8 lowest bands, which coding damages most.
    """
    sizes = np.array([len(clip) for clip in words], dtype=int)
    flat = np.concatenate([np.zeros(0, np.uint32), *words])
    clip = np.repeat(np.arange(len(words)), sizes)
    frame = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    span = 2 * sizes.max(initial=1)
    keys = [
        (clip[a] * len(words) + clip[b]) * span + frame[a] - frame[b] + span // 2
        for part in (flat >> 8, flat & 0xFFFFFF)
        for a, b in _equal(part, clip, np.flatnonzero(flat))
    ]
    found, count = np.unique(np.concatenate(keys), return_counts=True)
    pairs, lags = np.divmod(found[count > 1], span)
    for pair, lag in zip(pairs.tolist(), (lags - span // 2).tolist(), strict=True):
        yield *divmod(pair, len(words)), lag


def _equal(values: Array, clip: Array, places: Array) -> Iterator[tuple[Array, Array]]:
    """Places of equal values in two clips, the earlier clip's first.

    A value counts where a clip has it first: a loop or a held note would fill the neighbourhood with itself.
    """
    each = values[places].astype(np.int64) * (clip.max(initial=0) + 1) + clip[places]
    first = places[np.unique(each, return_index=True)[1]]
    for step in range(1, NEIGHBOURS + 1):
        a, b = first[:-step], first[step:]
        same = values[a] == values[b]
        yield a[same], b[same]


def _compare(first: str, second: str, x: Words, y: Words, lag: int) -> Match | None:
    shorter = min(np.count_nonzero(x), np.count_nonzero(y))
    start, stop = max(0, lag), min(len(x), len(y) + lag)
    x, y = x[start:stop], y[start - lag : stop - lag]
    comparable = (x != 0) & (y != 0)
    x, y = x[comparable], y[comparable]
    if len(x) < max(SHORTEST, min(OVERLAP, SHARE * shorter)):
        return None
    error = float(np.bitwise_count(x ^ y).mean()) / 32
    if error >= THRESHOLD / 2 or error >= THRESHOLD * _by_chance(x, y):
        return None
    return Match(first, second, error, lag * HOP / RATE)


def _by_chance(x: Words, y: Words) -> float:
    """The error rate of unlike clips with as many ones in each band: about 0.5 for music.

    It is lower for a sound that only dies away, in which each band's bit stays the same: two such sounds are often alike.
    """
    p, q = (np.unpackbits(words.view(np.uint8).reshape(-1, 4), axis=1).mean(axis=0) for words in (x, y))
    return float(np.mean(p + q - 2 * p * q))
