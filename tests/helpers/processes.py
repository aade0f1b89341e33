"""Other processes that tests start: given time, since computers that run tests are busy."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE_S = 600.0
"""Far beyond what anything takes: only what hangs is given up."""

ROOT = Path(__file__).parents[2]
PORTS = range(20_000, 30_000)
"""Below those that the system gives to connections, and to who asks for any."""
_MARKS: list[socket.socket] = []


def wait_until(condition: Callable[[], object], process: "subprocess.Popen[Any] | None" = None) -> None:
    """Wait for the condition; raises AssertionError when ``process``, which was to bring it about, has ended."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, f"it ended, saying {process.communicate()}"
        assert time.monotonic() < end, f"waited {PATIENCE_S:.0f} s in vain"
        time.sleep(0.02)


KILLING = """
import os, runpy, signal, sys
path, left, module, *arguments = sys.argv[1:]
left = int(left)

def kill(event, given):
    global left
    written = given[1] if event == "os.rename" else given[0] if event == "open" and "w" in (given[1] or "") else ""
    if str(written).endswith(path):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
sys.argv = [module, *arguments]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def kill_at(path: str, number: int, module: str, *arguments: str) -> None:
    """Run a module that is killed as it opens a file for writing whose path ends so, or is about to rename one to it,
    for the ``number``-th time: at that very moment, however busy the computer is.
    """
    done = subprocess.run(
        [sys.executable, "-c", KILLING, path, str(number), module, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@contextmanager
def reader_killed(file: Path) -> Iterator[None]:
    """Put a pipe in place of the file; whoever opens it within the block waits there, and is killed as if memory ran out."""
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    ended = threading.Event()

    def kill() -> None:
        writer = None
        while writer is None and not ended.wait(0.02):
            with suppress(OSError):  # nobody reads yet
                writer = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
        readers: list[int] = []
        while (
            writer is not None and not readers and not ended.wait(0.02)
        ):  # it has the file a moment after the pipe has it
            readers = [pid for pid in _with_open(file) if pid != os.getpid()]
        for pid in readers:
            os.kill(pid, signal.SIGKILL)
        if writer is not None:
            os.close(writer)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()
        file.unlink()


def _with_open(file: Path) -> Iterator[int]:
    """Numbers of the processes that have it open."""
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it has ended, or is another user's
            if place.readlink() == file.resolve():
                yield int(place.parts[2])


def free_port() -> int:
    """A TCP port that nothing uses, and that no other test is given until this process ends.

    The UDP port of the same number is its mark: who has it may take the port, in whatever process tests run.
    """
    for port in PORTS:
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as free:
                free.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _MARKS.append(mark)
        return port
    raise OSError(f"no free port among {PORTS}")
