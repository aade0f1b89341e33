"""The data sources, one module each.

A source module has one function::

    fetch(staging: Path, cache: Path, settings: Data, seed: int) -> list[Clip]

It puts files under ``staging`` (an empty folder that becomes ``data/audio`` once ``fetch`` has returned), may leave partial
work in ``cache`` (survives a killed run), and returns one ``Clip`` per file.
"""

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write
from pipeline.base.text import counted
from pipeline.config.data import BaseData


@dataclass(frozen=True)
class Clip:
    """One file that a source offers, not yet decoded."""

    path: str
    """POSIX path relative to the project's folder, e.g. ``data/audio/bach/bwv1.6.flac``, or a URL."""
    label: str
    group: str
    """All clips of one group stay in the same part of a split: artist, else recording, else piece, else file."""
    origin: str
    """For a reader: ``synthesised from the score bach/bwv1.6`` or ``recording``."""
    licence: str
    credit: str = ""
    """The artist as credited, where that is not the group: a joint credit joins groups."""
    version: str = ""
    """Of a file at a URL: another one where the content is another."""


class SourceError(UserError):
    """A source cannot deliver; the message says what was tried and what to do."""


Fetch = Callable[[Path, Path, Any, int], list[Clip]]


def load(name: str, package: str = __name__) -> Fetch:
    """The ``fetch`` function of a source, by its name in params.yaml: ``gtzan-mini`` is ``gtzan_mini.py``."""
    fetch: Fetch = importlib.import_module(f"{package}.{name.replace('-', '_')}").fetch
    return fetch


def download(settings: BaseData, seed: int, folder: Path = paths.AUDIO, package: str = __name__) -> str:
    """Put the source's files into ``folder``, with a list of them.

    Args:
        package: has the source's module.

    Returns:
        The numbers of files and labels, in words.

    Raises:
        SourceError: the source cannot deliver.
    """
    cache = paths.cache() / "download" / settings.source
    cache.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder) as staging:
        staging.mkdir()
        clips = load(settings.source, package)(staging, cache, settings, seed)
        table = pd.DataFrame([asdict(clip) for clip in clips]).sort_values("path")
        table.insert(3, "source", settings.source)
        if not table["version"].any():
            del table["version"]
        table.to_csv(staging / paths.FILES, index=False)
    return f"{counted(len(table), 'file')}, {counted(table['label'].nunique(), 'label')}"
