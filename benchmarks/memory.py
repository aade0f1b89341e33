"""The memory that a command takes."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil


def own_memory(process: psutil.Process) -> int:
    """Resident memory without what is shared with other processes, 0 for one that has just ended."""
    try:
        return process.memory_full_info().uss
    except psutil.NoSuchProcess:
        return 0


def peak(
    command: Sequence[str],
    folder: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    of: Callable[[psutil.Process], int] = own_memory,
) -> float:
    """The most memory in MB that it and all its processes had together.

    Args:
        of: bytes of a process that count.

    Raises:
        RuntimeError: it failed.
    """
    quiet = subprocess.DEVNULL
    running = subprocess.Popen(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet)
    tree, most, ended = psutil.Process(running.pid), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.1):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                most = max(most, sum(map(of, [tree, *tree.children(recursive=True)])))

    watching = threading.Thread(target=watch)
    watching.start()
    code = running.wait()
    ended.set()
    watching.join()
    if code:
        raise RuntimeError(f"{command} ended with {code}")
    return most / 2**20
