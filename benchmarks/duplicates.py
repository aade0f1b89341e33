"""The search for clips of the same audio: the memory that it takes for many songs.

``python -m benchmarks.duplicates 1000`` searches among as many made-up songs of four minutes.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.memory import peak
from benchmarks.timing import Row, row
from pipeline.data.fingerprint import HOP, RATE, Words, near

(MEMORY,) = FIGURES = ("memory of the search for duplicates, 2000 songs of 4 min",)
SECONDS = 240.0
FLIPS = 0.12
"""Share of the bits that change from one word to the next, as in music."""


def run(_: list[Path], repeats: int) -> Iterator[Row]:  # noqa: ARG001
    many, few = (peak([sys.executable, "-m", __spec__.name, str(count)]) for count in (2000, 1000))
    yield row(MEMORY, "1000 songs", [(many, few)], "MB")


def made_up(seed: int, seconds: float = SECONDS) -> Words:
    """Words as music has them: neighbours are alike."""
    bits = np.random.default_rng(seed).random((round(seconds * RATE / HOP), 32), dtype=np.float32) < FLIPS
    walk = np.bitwise_xor.accumulate(bits, axis=0)
    return np.packbits(walk, axis=1).view(">u4")[:, 0].astype(np.uint32)


if __name__ == "__main__":
    near({str(seed): made_up(seed) for seed in range(int(sys.argv[1]))})
