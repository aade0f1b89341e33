"""Work on clips on a Dask cluster in place of this machine's cores, where DASK_SCHEDULER_ADDRESS names its scheduler.

Clips are read by path, on a file system that all machines share; results travel back. What a lost worker had in hand Dask
gives to another one, so that a killed worker costs nothing but time.
"""

import logging
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import ExitStack, chdir, contextmanager
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

from pipeline.base.errors import UserError

log = logging.getLogger(__name__)
ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""The environment variable that Dask reads too."""
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
CONNECT_S, JOIN_S = 15, 60
"""How long the scheduler has to answer, and the first worker to join."""
NONE_LEFT = "What is done stays done. To work on this machine alone: unset " + ADDRESS
INSTALL = "pip install 'soundtrack[dask]'"
PACKAGE = Path(__file__).parents[1]


def asked() -> bool:
    return bool(os.environ.get(ADDRESS))


class Cluster(Executor):
    """The workers of a cluster; there may be more of them from one second to the next."""

    def __init__(self, client: Any) -> None:
        self._client, self._counted_at = client, 0.0

    @property
    def size(self) -> int:
        """Number of workers."""
        if time.monotonic() > self._counted_at + 1:
            self._size, self._counted_at = max(1, len(self._client.nthreads())), time.monotonic()
        return self._size

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        there = [str(path.absolute()) for path in _paths((function, args)) if path.exists()]
        call = (environment(), str(Path.cwd()), there, function, args, kwargs)
        return _Result(self._client, self._client.submit(_run, *call, pure=False))

    def everywhere(self, function: Callable[[], None]) -> None:
        """Call it in each worker."""
        self._client.run(function)


class _Result:
    def __init__(self, client: Any, future: Any) -> None:
        self.client, self.future = client, future

    def result(self) -> Any:
        """
        Raises:
            UserError: there is nobody left to compute it.
        """
        while True:
            try:
                return self.future.result(timeout=JOIN_S)
            except TimeoutError:
                if self.future.done():  # the work's own
                    raise
                if not self.client.nthreads():
                    raise UserError(f"the cluster has lost all its workers, whose logs say why. {NONE_LEFT}") from None


@contextmanager
def connected() -> Iterator[Cluster]:
    """
    Raises:
        UserError: the cluster cannot be used, or what ran on it failed for a reason that is not the work's.
    """
    address = os.environ[ADDRESS]
    try:
        from distributed import Client, KilledWorker  # takes a second
    except ModuleNotFoundError:
        raise UserError(f"{ADDRESS} is set, and Dask is not installed: {INSTALL}, or unset {ADDRESS}") from None
    where = f"the Dask scheduler at {address} ({ADDRESS})"
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{where} does not answer ({error}): start it with `dask scheduler`. {NONE_LEFT}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=JOIN_S)
        except TimeoutError:
            raise UserError(f"{where} has no workers: start some with `{_starts(address)}`. {NONE_LEFT}") from None
        try:
            for worker, own in client.run(environment).items():
                _check(own, environment(), worker)
            yield Cluster(client)
        except (KilledWorker, MemoryError) as error:
            raise UserError(
                f"one clip ended several workers of the cluster, probably because memory ran out ({error}): give them more "
                f"with --memory-limit, or start fewer on a machine. {NONE_LEFT}"
            ) from None
        except CancelledError:
            raise UserError(f"{where} ended, or lost this command: start both again. {NONE_LEFT}") from None
        except Exception as error:  # of several classes, by where it was noticed
            if not re.search(r"No module named '(pipeline|lessons)|deserialization of the task graph", str(error)):
                raise
            raise UserError(
                f"the cluster does not have this code: start the scheduler and `{_starts(address)}` from this environment. "
                f"{NONE_LEFT}"
            ) from None


@contextmanager
def given(where: str | None) -> Iterator[None]:
    """Let all work within the block be done on a cluster.

    Args:
        where: the address of its scheduler, or ``local:4`` or ``slurm:64`` for one of so many workers that ends with the
            block; None changes nothing.

    Raises:
        UserError: there is no SLURM here, it takes no jobs, or Dask is not installed.
    """
    if where is None:
        yield
        return
    kind, _, count = where.partition(":")
    before = os.environ.get(ADDRESS, "")
    with ExitStack() as stack:
        if kind in ("local", "slurm") and count.isdecimal():
            where = stack.enter_context(_own(kind, int(count))).scheduler_address
        os.environ[ADDRESS] = str(where)
        stack.callback(os.environ.update, {ADDRESS: before})
        yield


def _own(kind: str, workers: int) -> Any:
    if kind == "slurm" and not shutil.which("sbatch"):
        raise UserError("--cluster slurm: there is no sbatch here: run it where jobs of SLURM are submitted")
    try:
        from dask import config
        from dask_jobqueue import SLURMCluster
        from distributed import LocalCluster
    except ModuleNotFoundError:
        raise UserError(f"--cluster {kind} needs Dask: {INSTALL}") from None
    if kind == "local":
        return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    # queue, account, time: of Dask's own settings, ~/.config/dask/jobqueue.yaml
    memory = config.get("jobqueue.slurm.memory", None) or "4 GB"
    jobs = SLURMCluster(cores=1, processes=1, memory=memory)
    test = ["sbatch", "--test-only"]
    tried = subprocess.run(test, input=jobs.job_script(), capture_output=True, text=True, check=False)
    if tried.returncode:
        jobs.close()
        raise UserError(
            f"--cluster slurm: {tried.stderr.strip()}. Settings of jobs are in ~/.config/dask/jobqueue.yaml"
        )
    jobs.scale(workers)
    log.warning("waiting until SLURM starts the first of %d jobs; squeue lists them", workers)
    jobs.wait_for_workers(1)
    return jobs


def _starts(address: str) -> str:
    # as many as there are cores; "auto" would be fewer, of several threads, from five cores on
    return f"{sys.prefix}/bin/dask worker {address} --nthreads 1 --nworkers -1"


@cache
def environment() -> dict[str, str]:
    """What decides the bytes of a result besides a clip: the versions of what this package needs, and its own code."""
    needed = [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in requires("soundtrack") or [] if "extra ==" not in one]
    code = sha256(b"".join(file.read_bytes() for file in sorted(PACKAGE.rglob("*.py")))).hexdigest()[:8]
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, **{name: _version(name) for name in needed}, "this code": code}


def _check(own: dict[str, str], wanted: dict[str, str], worker: str) -> None:
    """
    Raises:
        UserError: results of this worker need not have the same bytes.
    """
    if differ := [
        f"{name} {own.get(name)} in place of {value}" for name, value in wanted.items() if own.get(name) != value
    ]:
        raise UserError(
            f"the worker {worker} has {', '.join(differ)}: start it from an environment like this command's"
        )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _paths(values: object) -> Iterator[Path]:
    if isinstance(values, Path):
        yield values
    elif isinstance(values, partial):
        yield from _paths((values.args, *values.keywords.values()))
    elif isinstance(values, tuple):
        for value in values:
            yield from _paths(value)


def _run(
    wanted: dict[str, str], folder: str, there: list[str], function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """Run it on a worker as it would run in a process of :func:`pipeline.base.parallel.workers`: there and on one thread.

    Raises:
        UserError: this worker would not give the same bytes, or cannot read the clip.
    """
    from distributed import get_worker

    here = f"the worker {get_worker().address} on {socket.gethostname()}"
    _check(environment(), wanted, get_worker().address)  # it may have come after the work began
    if get_worker().state.nthreads > 1:
        raise UserError(f"{here} works on several clips in one process: start it with --nthreads 1 --nworkers -1")
    if missing := [path for path in (folder, *there) if not os.path.exists(path)]:  # noqa: PTH110
        raise UserError(
            f"{here} does not see {missing[0]}: this checkout and the clips have to be on a file system that all share"
        )
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # for the libraries that the work loads
    with chdir(folder), ThreadpoolController().limit(limits=1):  # and for those that are loaded
        return function(*args, **kwargs)
