"""numba compiles functions when they are first used, librosa's and this package's, and caches them beside their code.

Processes that do so together in a fresh environment leave that cache broken: every later one crashes in it.
"""

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from pipeline.base import paths
from pipeline.base.files import sha256
from pipeline.config.features import Features
from pipeline.config.load import load
from pipeline.workflow.cache_key import cache_key, libraries

WITHOUT = ("spectrogram", "wavelet", "timbre", "musicnn", "fbank", "waveform")
"""Kinds of feature that need neither numba nor librosa, which compiles functions even when it is imported."""


def fill(settings: Features, kinds: Sequence[str]) -> None:
    """Compute the other kinds once, while no other process does: from then on the cache is only read."""
    if compiled := tuple(kind for kind in kinds if kind not in WITHOUT):
        _fill(settings, compiled)


@cache
def _fill(settings: Features, kinds: tuple[str, ...]) -> None:
    code = Path(__file__).with_name("median.py").resolve()
    name = f".numba-{cache_key(libraries('librosa', 'numba'), str(code), sha256(code), kinds)}"
    # numba takes the user's own cache where the environment's cannot be written, even if it is filled
    folder = Path(sys.prefix) if paths.writable(Path(sys.prefix)) else paths.user_cache()
    filled = folder / name
    if filled.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".numba.lock"):
        if not filled.exists():  # still, now that the lock is held
            from pipeline.features.sound import Sound

            noise = np.random.default_rng(0).normal(size=settings.sample_rate).astype(np.float32)
            sound = Sound(noise, settings.sample_rate)
            for kind in kinds:
                importlib.import_module(f"pipeline.features.{kind}").compute(sound, getattr(settings, kind))
            filled.touch()


if __name__ == "__main__":
    known = load().features
    fill(known, known.kinds)
