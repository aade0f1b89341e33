"""What the features of a collection will take, from the features of a short sound on this machine."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import config
from pipeline.base.parallel import cores
from pipeline.config.features import Features, longest_s
from pipeline.data import audio
from pipeline.data.audio import DecodeError
from pipeline.features import extract, numba_cache
from pipeline.features.sound import Sound
from pipeline.features.store import Block

SOUND_S = 5.0
"""Seconds of noise that are timed."""
SAMPLE = 40
"""Files whose length is looked at; that of the others follows from their sizes."""
LONG_S = 60.0
SHORTER = "middle 30 s"
"""The excerpt that is proposed for clips that are longer than that."""


class Cost(NamedTuple):
    megabytes: float
    minutes: float
    """On all cores, decoding not included."""


def cost(settings: Features, songs: int, seconds: float) -> Cost:
    """Of all kinds that are on, for songs of ``seconds`` on average."""
    taken, blocks = _timed(settings, settings.kinds)
    windowed = [extract.spec(kind, settings)["windowed"] for kind in blocks]
    size = sum(len(block.content) for block, grows in zip(blocks.values(), windowed, strict=True) if grows)
    shares = songs * min(seconds, longest_s(settings.excerpt)) / SOUND_S
    return Cost(shares * size / 1e6, shares * taken / cores() / 60)


def seconds_for(settings: Features, kinds: Sequence[str], seconds: float) -> float:
    """Time in seconds for these kinds of a sound of ``seconds``, on one core."""
    return _timed(settings, kinds)[0] * seconds / SOUND_S


def _timed(settings: Features, kinds: Sequence[str]) -> tuple[float, dict[str, Block]]:
    """The shortest time of three, since the first loads what the others show; and the features."""
    numba_cache.fill(settings, kinds)
    noise = np.random.default_rng(0).normal(scale=0.1, size=round(SOUND_S * settings.sample_rate)).astype(np.float32)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        blocks = extract.of_decoded(Sound(noise, settings.sample_rate), kinds, settings)
        times.append(time.perf_counter() - start)
    return min(times), blocks


def in_words(files: Sequence[Path]) -> str:
    """A sentence on the features of these files, by the params; how long they last is known from some of them."""
    settings = config.load().features
    lengths = [
        (length, file.stat().st_size) for file in files[:: 1 + len(files) // SAMPLE] if (length := _seconds(file))
    ]
    if not lengths:
        return ""
    sampled_s, sampled_bytes = map(sum, zip(*lengths, strict=True))
    average = sampled_s / sampled_bytes * sum(file.stat().st_size for file in files) / len(files)
    text = (
        f"Features ({average:.0f} s a clip, features.excerpt: {settings.excerpt}): {_shown(settings, files, average)}."
    )
    if settings.excerpt == "whole" and average > LONG_S:
        shorter = settings.model_copy(update={"excerpt": SHORTER})
        text += f" With features.excerpt: {SHORTER} {_shown(shorter, files, average)}."
    return text


def _shown(settings: Features, files: Sequence[Path], seconds: float) -> str:
    megabytes, minutes = cost(settings, len(files), seconds)
    size = f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{math.ceil(megabytes)} MB"
    return f"about {size} and {math.ceil(minutes)} min on {cores()} cores"


def _seconds(file: Path) -> float:
    try:
        with audio.opened(file) as recording:
            return recording.frames / recording.rate
    except (OSError, DecodeError):  # the audit will name it
        return 0.0
