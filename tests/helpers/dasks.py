"""A Dask cluster of processes on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from processes import ROOT, wait_until

from pipeline.base.cluster import ADDRESS


class Dask:
    """A scheduler and workers, each a process; what is started here uses them from then on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()

    def start(self, workers: int = 2, *options: str, variables: Mapping[str, str] | None = None) -> str:
        """``start(1, "--no-nanny")``: the scheduler's address."""
        from distributed import Client

        file = self.folder / "scheduler.json"
        scheduler = self.run("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        wait_until(lambda: file.exists() and file.read_text().strip().endswith("}"), scheduler)
        address: str = json.loads(file.read_text())["address"]
        own = ["--nthreads", "1", "--local-directory", str(self.folder), *options]
        for _ in range(workers):
            self.run("worker", address, *own, **(variables or {}))
        with Client(address, set_as_default=False) as client:
            if workers:
                client.wait_for_workers(workers)
            self.workers = list(client.run(os.getpid).values())
        os.environ[ADDRESS] = address
        return address

    def run(self, *command: str, **variables: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "dask.log").open("ab") as said:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *command, "--no-dashboard"],
                    cwd=self.folder,
                    env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT}/tests/helpers", **variables},
                    stdout=said,
                    stderr=said,
                )
            )
        return self.processes[-1]

    def threads(self) -> list[int]:
        """Of each worker."""
        from distributed import Client

        with Client(os.environ[ADDRESS], set_as_default=False) as client:
            return list(client.nthreads().values())

    def loaded(self, module: str) -> list[bool]:
        """Whether each worker has imported it."""
        from distributed import Client

        with Client(os.environ[ADDRESS], set_as_default=False) as client:
            return list(client.run(lambda: module in sys.modules).values())

    def end(self) -> None:
        for process in self.processes[::-1]:
            process.terminate()
            process.wait()
