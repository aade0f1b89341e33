"""Entries that could not be sent to the MLflow server: queued on disk, in order, until they are.

An entry is written atomically, so a killed process leaves none that is incomplete.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, remove, write_json
from pipeline.tracking import store
from pipeline.tracking.store import TrackingError

CONTENT = "content.json"
log = logging.getLogger(__name__)


class Entry(NamedTuple):
    kind: str
    content: dict[str, Any]
    files: list[Path]
    folder: Path


class Queue:
    """The entries of one run, a folder for each."""

    def __init__(self, run_id: str) -> None:
        self.run_id, self.folder = run_id, _top() / run_id

    def __len__(self) -> int:
        return len(self._folders())

    def add(self, kind: str, content: dict[str, Any], files: Sequence[Path] = ()) -> None:
        """Append an entry, with copies of ``files`` (files or folders)."""
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
        """In the order in which they were added; remove each that was sent."""
        for folder in self._folders():
            known = read_json(folder / CONTENT)
            files = [folder / "files" / name for name in known["files"]]
            yield Entry(known["kind"], known["content"], files, folder)

    def remove(self, entry: Entry) -> None:
        remove(entry.folder)
        if not len(self):
            remove(self.folder)

    def send(self, mlflow: Any) -> None:
        """Send the entries in order, up to the first that the server does not answer."""
        _top().mkdir(parents=True, exist_ok=True)
        with FileLock(_top().with_suffix(".lock")):
            for entry in self.entries():
                try:
                    if not store.answers(
                        partial(store.send, mlflow, self.run_id, entry.kind, entry.content, entry.files)
                    ):
                        return
                except mlflow.exceptions.MlflowException as error:
                    # the server answered: it will not take this entry later either, as of a run deleted since
                    log.warning("MLflow refuses a %s of run %s, dropped: %s", entry.kind, self.run_id, error)
                self.remove(entry)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*"))


def _top() -> Path:
    return paths.cache() / "unsent"


def queues() -> list[Queue]:
    """Of all runs with queued entries."""
    return [Queue(path.name) for path in sorted(_top().glob("*"))]


def send_all(mlflow: Any) -> None:
    """Send the entries of all runs, as far as the server answers."""
    for queue in queues():
        queue.send(mlflow)


def sync() -> str:
    """Send what is queued; returns a message for the user.

    Raises:
        TrackingError: the server does not answer, and entries are still queued.
    """
    import mlflow

    mlflow.set_tracking_uri(store.uri())
    before = sum(map(len, queues()))
    send_all(mlflow)
    left = sum(map(len, queues()))
    sent = f"{before - left} of {before} queued entries were sent to {store.uri()}"
    if left:
        raise TrackingError(f"{sent}: it does not answer. The others stay queued")
    return f"{sent}."
