"""What the features of a collection will take, from the features of a short sound on this machine."""

import time
from typing import NamedTuple

import numpy as np

from pipeline.base.parallel import cores
from pipeline.config.features import Features, longest_s
from pipeline.features import extract, numba_cache
from pipeline.features.sound import Sound

SOUND_S = 5.0
"""Seconds of noise that are timed."""


class Cost(NamedTuple):
    megabytes: float
    minutes: float
    """On all cores, decoding not included."""


def cost(settings: Features, songs: int, seconds: float) -> Cost:
    """Of all kinds that are on, for songs of ``seconds`` on average."""
    numba_cache.fill(settings)
    noise = np.random.default_rng(0).normal(scale=0.1, size=round(SOUND_S * settings.sample_rate)).astype(np.float32)
    for _ in range(2):  # the first loads what the second shows
        start = time.perf_counter()
        blocks = extract.of_decoded(Sound(noise, settings.sample_rate), settings.kinds, settings)
        taken = time.perf_counter() - start
    windowed = [extract.spec(kind, settings)["windowed"] for kind in blocks]
    size = sum(len(block.content) for block, grows in zip(blocks.values(), windowed, strict=True) if grows)
    shares = songs * min(seconds, longest_s(settings.excerpt)) / SOUND_S
    return Cost(shares * size / 1e6, shares * taken / cores() / 60)
