"""What is asked of a file before it is used, one module for each medium.

A medium's module has two functions and a text::

    inspect(file, sha256, limits) -> Finding
    near(fingerprints by clip) -> pairs of clips that are the same but for coding, loudness or size
    SAME: what such clips are called in the audit's report
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.config.base import Medium

Array = np.ndarray[Any, np.dtype[Any]]
Fingerprints = Mapping[str, Array]
Pair = tuple[str, str, float, float]
"""first, second, error rate and shift in seconds, as :func:`pipeline.data.audit.audit` has them."""


@dataclass(frozen=True)
class Finding:
    """What decoding one file showed; ``reason`` is empty for a good clip."""

    duration_s: float
    """0 for a picture."""
    sample_rate: int
    """0 for a picture."""
    sha256: str
    reason: str
    fingerprint: Array = field(default_factory=lambda: np.zeros(0, np.uint32), repr=False)
    """Of a good clip, for ``near`` of its medium."""


def load(medium: Medium) -> ModuleType:
    return importlib.import_module(f"{__name__}.{medium}")
