"""The offline queue: entries that could not be sent to the MLflow store that they were meant for, kept on disk until they are."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from pipeline.base import paths
from pipeline.base.files import atomic_write, read_json, remove, write_json
from pipeline.base.text import counted
from pipeline.tracking import problems, store
from pipeline.tracking.problems import Problem
from pipeline.tracking.store import TrackingError

CONTENT = "content.json"
log = logging.getLogger(__name__)


class Entry(NamedTuple):
    kind: str
    content: dict[str, Any]
    files: list[Path]
    folder: Path
    server: str | None
    """Address of its store, without a password; None where an earlier version wrote the entry."""


@dataclass
class Sent:
    sent: int = 0
    dropped: int = 0
    """Of runs that were deleted on the server."""
    problem: Problem | None = None
    """Why entries still wait."""

    def add(self, other: "Sent") -> None:
        self.sent += other.sent
        self.dropped += other.dropped
        self.problem = other.problem or self.problem

    @property
    def is_stopped(self) -> bool:
        """The store takes nothing more."""
        return self.problem is not None and not self.problem.of_entry


class Queue:
    """The entries of one run that wait, in order.

    Each is a folder, written atomically, so a killed process leaves none that is incomplete.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id, self.folder = run_id, _top() / run_id

    def __len__(self) -> int:
        return len(self._folders())

    def add(self, kind: str, content: Mapping[str, Any], files: Sequence[Path] = ()) -> None:
        """Append an entry for the store of :func:`store.uri`, with copies of ``files`` (files or folders)."""
        # another process that sends the last entry removes the folder
        with _lock():
            folders = self._folders()
            number = int(folders[-1].name) + 1 if folders else 0
            self._write(self.folder / f"{number:06}", kind, content, files)

    def _write(self, target: Path, kind: str, content: Mapping[str, Any], files: Sequence[Path]) -> None:
        with atomic_write(target) as folder:
            (folder / "files").mkdir(parents=True)
            for file in files:
                copy = shutil.copytree if file.is_dir() else shutil.copyfile
                copy(file, folder / "files" / file.name)
            names = [file.name for file in files]
            server = problems.shown(store.uri())
            write_json(folder / CONTENT, {"kind": kind, "content": content, "files": names, "server": server})

    def entries(self) -> Iterator[Entry]:
        """In the order in which they were added; remove each that was sent."""
        for folder in self._folders():
            known = read_json(folder / CONTENT)
            files = [folder / "files" / name for name in known["files"]]
            yield Entry(known["kind"], known["content"], files, folder, known.get("server"))

    def remove(self, entry: Entry) -> None:
        remove(entry.folder)
        if not len(self):
            remove(self.folder)

    def send(self, mlflow: Any, address: str) -> Sent:
        """Send the entries that are meant for the store at this address (which ``mlflow`` is set to) and can be sent.

        Those of a run that was deleted there are dropped; all others that it does not take stay.
        """
        with _lock():
            own = [entry for entry in self.entries() if entry.server in (None, problems.shown(address))]
            if not own:
                return Sent()
            known: list[Any] = []
            problem = store.attempt(lambda: known.append(mlflow.get_run(self.run_id)), address, "run")
            if problem is not None:
                return Sent(problem=self._unknown(address) if problem.of_entry else problem)
            if known[0].info.lifecycle_stage == "deleted":
                for entry in own:
                    self.remove(entry)
                log.warning(
                    "Run %s was deleted on %s: what waited for it is dropped.", self.run_id, problems.named(address)
                )
                return Sent(dropped=len(own))
            return self._send(mlflow, address, own)

    def _unknown(self, address: str) -> Problem:
        give_up = f"is it another database than before? To give up what waits for that run: rm -r {self.folder}"
        return Problem(f"{problems.named(address)} does not know run {self.run_id}", give_up, of_entry=True)

    def _send(self, mlflow: Any, address: str, own: Sequence[Entry]) -> Sent:
        found = Sent()
        for entry in own:
            call = partial(store.send, mlflow, self.run_id, entry.kind, entry.content, entry.files)
            problem = store.attempt(call, address, entry.kind)
            if problem is None:
                self.remove(entry)
            found.add(Sent(sent=int(problem is None), problem=problem))
            if found.is_stopped:
                break
        return found

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*"))


def _top() -> Path:
    return paths.cache() / "unsent"


def _lock() -> FileLock:
    _top().mkdir(parents=True, exist_ok=True)
    return FileLock(_top().with_suffix(".lock"))


def queues() -> list[Queue]:
    """Of all runs with waiting entries."""
    return [Queue(path.name) for path in sorted(_top().glob("*")) if path.is_dir()]


def flush(mlflow: Any, address: str) -> Sent:
    """Send what waits for the store at this address, up to the first call that it does not answer."""
    found = Sent()
    for queue in queues():
        found.add(queue.send(mlflow, address))
        if found.is_stopped:
            break
    return found


def waiting() -> dict[str | None, int]:
    """The number of entries by the store that they are meant for."""
    counts: dict[str | None, int] = {}
    with _lock():
        for entry in (entry for queue in queues() for entry in queue.entries()):
            counts[entry.server] = counts.get(entry.server, 0) + 1
    return counts


def sync() -> str:
    """Send all that waits, each entry to the store that it was meant for; returns a message for the user.

    Raises:
        TrackingError: something still waits.
    """
    here = store.uri()
    # a stored address has no password, and an entry of an earlier version no address
    addresses = {here if server in (None, problems.shown(here)) else str(server) for server in waiting()}
    lines = []
    for address in sorted(addresses):
        found = _sync(address)
        if found.sent:
            lines.append(f"{counted(found.sent, 'entry', 'entries')} sent to {problems.named(address)}.")
        if found.dropped:
            lines.append(f"{counted(found.dropped, 'entry', 'entries')} dropped, of runs that were deleted there.")
        if found.problem:
            lines.append(f"{found.problem}.")
    if left := sum(waiting().values()):
        raise TrackingError("\n".join([counted(left, "entry still waits.", "entries still wait."), *lines]))
    return "\n".join(lines) or "No entry waits."


def _sync(address: str) -> Sent:
    file = problems.database_file(address)
    if file and not file.exists():
        return Sent(problem=Problem(f"{problems.named(address)} is gone", "entries wait until it is back"))
    mlflow = store.module(address)
    problem = store.attempt(lambda: mlflow.MlflowClient().search_experiments(max_results=1), address, "")
    return Sent(problem=problem) if problem else flush(mlflow, address)
