"""Files below a folder, and how their names are compared and shown."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.text import counted
from pipeline.data.suffixes import NOT_AUDIO
from pipeline.sources import SourceError

GROUPS = "groups.csv"
_SURROGATES = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Found:
    """Files below a folder, relative to it, without hidden ones."""

    audio: list[Path]
    """Everything whose suffix does not say that it is something else."""
    other: list[Path]
    unnameable: list[Path]
    """Their names are not UTF-8."""


def scan(folder: Path) -> Found:
    """
    Raises:
        SourceError: there is no audio.
    """
    seen = visible(folder)
    bad = [file for file in seen if is_unnameable(file)]
    named = [file for file in seen if not is_unnameable(file)]
    other = [file for file in named if file.suffix.lower() in NOT_AUDIO]
    audio = [file for file in named if file.suffix.lower() not in NOT_AUDIO]
    if not audio:
        audio_of_kaggle = folder.parent / "genres_original"
        cure = f". The clips are beside it: `soundtrack import {audio_of_kaggle}`" if audio_of_kaggle.is_dir() else ""
        raise SourceError(f"{folder} has no music: {counted(len(seen), 'file')}, none of them audio{cure}")
    return Found(audio, other, bad)


def visible(folder: Path) -> list[Path]:
    """All files below, relative to ``folder``, sorted; links are followed, hidden files are left out."""
    return sorted(file for file in _walk(folder) if not any(part.startswith(".") for part in file.parts))


def is_unnameable(file: Path) -> bool:
    # Python has bytes that are not UTF-8 as lone surrogates
    return bool(_SURROGATES.search(str(file)))


def _walk(folder: Path) -> Iterator[Path]:
    """All files below, also through linked folders; each folder is entered once."""
    entered = set()
    for top, folders, files in os.walk(folder, followlinks=True):
        here = Path(top)
        entered.add(here.resolve())
        folders[:] = [name for name in sorted(folders) if (here / name).resolve() not in entered]
        yield from (here.relative_to(folder) / name for name in files)


def normal(path: str) -> str:
    """A path as tables are compared with: NFC, forward slashes, no ``./``."""
    parts = unicodedata.normalize("NFC", path).replace("\\", "/").strip().split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def shown(names: Iterable[object], most: int = 5) -> str:
    """The first few, and how many more there are; characters that no terminal shows are escaped."""
    every = ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name)) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
