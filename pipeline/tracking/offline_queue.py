"""What could not be sent to a server: kept on disk, in order, until it is.

An entry is whole or not there, so that a killed process leaves nothing half-written to be sent.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.files import atomic_write, read_json, remove, write_json

CONTENT = "content.json"


class Entry(NamedTuple):
    kind: str
    content: dict[str, Any]
    files: list[Path]
    folder: Path


class Outbox:
    """The entries of one receiver, one folder each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def receiver(self) -> str:
        return self.folder.name

    def __len__(self) -> int:
        return len(self._folders())

    def add(self, kind: str, content: dict[str, Any], files: Sequence[Path] = ()) -> None:
        """Keep an entry behind all others, with copies of ``files`` (files or folders)."""
        folders = self._folders()
        number = int(folders[-1].name) + 1 if folders else 0
        with atomic_write(self.folder / f"{number:06}") as folder:
            (folder / "files").mkdir(parents=True)
            for file in files:
                copy = shutil.copytree if file.is_dir() else shutil.copyfile
                copy(file, folder / "files" / file.name)
            names = [file.name for file in files]
            write_json(folder / CONTENT, {"kind": kind, "content": content, "files": names})

    def entries(self) -> Iterator[Entry]:
        """In the order in which they came; take away each that was sent."""
        for folder in self._folders():
            known = read_json(folder / CONTENT)
            files = [folder / "files" / name for name in known["files"]]
            yield Entry(known["kind"], known["content"], files, folder)

    def remove(self, entry: Entry) -> None:
        remove(entry.folder)
        if not len(self):
            remove(self.folder)

    def _folders(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(folder for folder in self.folder.iterdir() if folder.name.isdigit())


def boxes(folder: Path) -> list[Outbox]:
    """All receivers that entries wait for."""
    return [Outbox(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []
