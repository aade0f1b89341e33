"""librosa compiles functions with numba as they are first used, and keeps them beside its own code.

Processes that do so together in a fresh environment leave that cache broken: every later one crashes in it.
"""

import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock


def fill(kind: str, rate: int, settings: Any) -> None:
    """Compute one kind of feature once, while no other process does: from then on the cache is only read."""
    versions = f"{version('librosa')}-{version('numba')}"
    with FileLock(Path(sys.prefix) / ".librosa.lock"):
        filled = Path(sys.prefix) / f".librosa-{kind}-{versions}"
        if not filled.exists():
            noise = np.random.default_rng(0).normal(size=rate).astype(np.float32)
            importlib.import_module(f"pipeline.features.{kind}").compute(noise, rate, settings)
            filled.touch()
