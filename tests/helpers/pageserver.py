"""``soundtrack page`` as a process of its own, for tests that ask it as a browser does, or with one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from processes import free_port, wait_until


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[int]:
    """The port of a server that has begun to answer, run in ``folder``; it ends with the block."""
    port = free_port()
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "page", *options, "--port", str(port)],
        cwd=folder,
        # MLflow leaves there the store that an earlier test in this process set
        env={**mine, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "4"},
        text=True,
    )
    try:
        wait_until(partial(answers, port), process)
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
