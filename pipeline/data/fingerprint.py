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

BLOCK = 2**16
"""Words (13 minutes) whose neighbours are in memory together."""
PARTS = 16
"""Words are sorted in so many parts, each of which takes 24 bytes per word meanwhile."""


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
    starts = np.r_[0, np.cumsum(sizes)]
    flat = np.concatenate([np.zeros(0, np.uint32), *words])
    span = 2 * sizes.max(initial=1)
    neighbours = [_Neighbours(flat, starts, lowest) for lowest in (True, False)]
    for first, stop in _blocks(starts):
        a, b = (np.concatenate(ends) for ends in zip(*(one.of(first, stop) for one in neighbours), strict=True))
        clip_a, clip_b = (np.searchsorted(starts, ends, "right") - 1 for ends in (a, b))
        keys = (clip_a * len(words) + clip_b) * span + (a - starts[clip_a]) - (b - starts[clip_b]) + span // 2
        found, count = np.unique(keys, return_counts=True)
        pairs, lags = np.divmod(found[count > 1], span)
        for pair, lag in zip(pairs.tolist(), (lags - span // 2).tolist(), strict=True):
            yield *divmod(pair, len(words)), lag


def _blocks(starts: Array) -> Iterator[tuple[int, int]]:
    """Where clips begin and end that have BLOCK words together, or a single one with more."""
    first = 0
    while first < starts[-1]:
        stop = starts[np.searchsorted(starts, first + BLOCK, "right") - 1]
        stop = stop if stop > first else starts[np.searchsorted(starts, first, "right")]
        yield int(first), int(stop)
        first = stop


class _Neighbours:
    """Places of equal words in several clips. It takes 8 bytes per word, however often words are equal."""

    def __init__(self, flat: Words, starts: Array, lowest: bool) -> None:
        """Of the words in ``flat`` without their 8 lowest bits, or without the highest; clips begin at ``starts``."""
        self._flat, self._lowest = flat, lowest
        place = np.int32 if len(flat) < np.iinfo(np.int32).max else np.int64
        self._sorted: Array = np.empty(len(flat), place)
        self._rank: Array = np.full(len(flat), -1, place)
        size = 0
        # by bits that both kinds of word have; silence is in none
        parts = np.where(flat != 0, (flat >> np.uint32(8)).astype(np.uint8) % PARTS, PARTS)
        for part in range(PARTS):
            places = self._first(starts, np.flatnonzero(parts == part))
            self._sorted[size : size + len(places)] = places
            self._rank[places] = np.arange(size, size + len(places))
            size += len(places)
        self._sorted = self._sorted[:size]

    def of(self, first: int, stop: int) -> tuple[Array, Array]:
        """Places from ``first`` to ``stop``, and places in later clips with an equal word: NEIGHBOURS at most for each."""
        ranks = self._rank[first:stop].astype(np.int64)
        ranks = ranks[ranks >= 0]
        ends: list[tuple[Array, Array]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        for step in range(1, NEIGHBOURS + 1):
            ranks = ranks[ranks + step < len(self._sorted)]
            a, b = self._sorted[ranks], self._sorted[ranks + step]
            same = self._cut(self._flat[a]) == self._cut(self._flat[b])
            ranks = ranks[same]
            ends.append((a[same], b[same]))
        a, b = (np.concatenate(one).astype(np.int64) for one in zip(*ends, strict=True))
        return a, b

    def _first(self, starts: Array, places: Array) -> Array:
        """The places in the order of their words, then of their clips.

        A word counts where a clip has it first: a loop or a held note would fill the neighbourhood with itself.
        """
        words = self._cut(self._flat[places])
        order = np.argsort(words, kind="stable")
        words, places = words[order], places[order]
        clip = np.searchsorted(starts, places, "right")
        again = (words[1:] == words[:-1]) & (clip[1:] == clip[:-1])
        return places[np.r_[True, ~again]] if len(places) else places

    def _cut(self, words: Words) -> Words:
        return words >> np.uint32(8) if self._lowest else words & np.uint32(0xFFFFFF)


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
