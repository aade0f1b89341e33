"""The data sources, one module each.

A source module has one function::

    fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]

It puts files under ``staging`` (an empty folder that becomes ``data/audio``, or ``data/images``, once ``fetch`` has
returned), may store partial work in ``cache`` (survives a killed run), and returns one ``Clip`` per file.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


@dataclass(frozen=True)
class Clip:
    """One file of a source, before the audit."""

    path: str
    """POSIX path relative to the checkout, e.g. ``data/audio/bach/bwv1.6.flac``."""
    label: str
    group: str
    """Clips of a group stay in the same part: artist, else recording, else piece, else file."""
    origin: str
    """For a reader: ``synthesised from the score bach/bwv1.6`` or ``recording``."""
    licence: str


class SourceError(UserError):
    """A source cannot deliver; the message says what was tried and what to do."""


Fetch = Callable[[Path, Path, Any, int], list[Clip]]


def load(name: str) -> Fetch:
    """The ``fetch`` function of a source, by its name in params.yaml (``gtzan-mini`` is ``gtzan_mini.py``)."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    fetch: Fetch = module.fetch
    return fetch
