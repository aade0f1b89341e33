"""The search for clips of the same audio: the memory and the time that it takes for many songs.

``python -m benchmarks.duplicates 1000`` searches among as many made-up songs of four minutes.
"""

import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.memory import peak
from pipeline.data.fingerprint import HOP, RATE, Words, near

SECONDS = 240.0
FLIPS = 0.12
"""Share of the bits that change from one word to the next, as in music."""


def run(counts: tuple[int, ...]) -> Iterator[dict[str, object]]:
    for count in counts:
        start = time.perf_counter()
        megabytes = peak([sys.executable, "-m", __spec__.name, str(count)])
        taken = time.perf_counter() - start
        yield {"what": f"search for duplicates, {count} songs of 4 min", "MB": megabytes, "s": taken}


def made_up(seed: int, seconds: float = SECONDS) -> Words:
    """Words as music has them: neighbours are alike."""
    bits = np.random.default_rng(seed).random((round(seconds * RATE / HOP), 32), dtype=np.float32) < FLIPS
    walk = np.bitwise_xor.accumulate(bits, axis=0)
    return np.packbits(walk, axis=1).view(">u4")[:, 0].astype(np.uint32)


if __name__ == "__main__":
    near({str(seed): made_up(seed) for seed in range(int(sys.argv[1]))})
