"""A cache of features, also those of a run that was killed, by the content of a clip's file.

So clips may be added, removed, renamed and relabelled. A folder is for one kind of feature, one set of params and one
version of the code; all of it may be deleted at any time.
"""

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from pipeline.base.files import atomic_write, read_json, remove
from pipeline.features.store import ARRAY, INDEX, SUMS, Block, Writer


@dataclass(frozen=True)
class Location:
    file: Path
    start: int
    size: int
    digest: str


class FeatureCache:
    """What earlier runs computed of one kind of feature, and the store that is being written."""

    def __init__(self, folder: Path, spec: Callable[[], dict[str, Any]], stores: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.cached: dict[str, Location] = {}
        about: dict[str, Any] = {}
        runs = sorted(folder.iterdir()) if folder.is_dir() else []
        for run in [*stores, *runs]:
            if (run / "spec.json").exists():
                about = {name: value for name, value in read_json(run / "spec.json").items() if name not in SUMS}
                self.cached |= _places(run, about)
        number = int(runs[-1].name) + 1 if runs else 0
        self.writer = Writer(folder / f"{number:04}", about or spec())

    def __contains__(self, source: str) -> bool:
        return source in self.cached

    def add(self, clip_id: str, source: str, clip: Block) -> None:
        start = self.writer.add(clip_id, source, clip)
        self.cached[source] = Location(self.writer.folder / ARRAY, start, len(clip.content), clip.digest)

    def read(self, source: str) -> Block:
        place = self.cached[source]
        with place.file.open("rb") as stream:
            stream.seek(place.start)
            return Block(stream.read(place.size), place.digest)

    def finish(self, target: Path) -> None:
        """Put the written store at ``target``, and delete those of earlier runs."""
        self.writer.finish()
        with atomic_write(target) as partial:
            shutil.copytree(self.writer.folder, partial, copy_function=link_or_copy)
        for run in set(self.folder.iterdir()) - {self.writer.folder}:
            remove(run)
        self.writer.folder.replace(self.folder / "0000")


@contextmanager
def open_cache(
    folder: Path, spec: Callable[[], dict[str, Any]], stores: Callable[[], Sequence[Path]] = tuple
) -> Iterator[FeatureCache]:
    """While no other process writes there.

    Args:
        spec: gives the store's spec; called only where no earlier run has left one.
        stores: gives finished stores elsewhere that belong to the cache too.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        cached = FeatureCache(folder, spec, stores())
        yield cached
        if cached.writer.rows == 0:
            remove(cached.writer.folder)


def _places(run: Path, about: dict[str, Any]) -> dict[str, Location]:
    """By source, the clips that a run wrote completely."""
    index, array = run / "index.csv", run / ARRAY
    if not (index.exists() and array.exists()):
        return {}
    row = about["width"] * np.dtype(about["dtype"]).itemsize
    size = array.stat().st_size
    with index.open(newline="", encoding="utf-8") as stream:
        text = stream.read()
    # a killed run may have left half a line, or half of a name that has line breaks in it
    lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    places = {}
    for _, start, stop, source, digest in [line for line in lines if len(line) == len(INDEX)][1:]:
        if int(stop) * row <= size:
            places[source] = Location(array, int(start) * row, (int(stop) - int(start)) * row, digest)
    return places


def link_or_copy(source: str, target: str) -> None:
    """The same file under a second name, which takes no space; a copy where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
