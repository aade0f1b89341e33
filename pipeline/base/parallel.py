"""Processes and threads: work on all cores, or on a cluster, in order, one thread each, and ends with its parent."""

import math
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path
from typing import TypeVar

from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from pipeline.base import cluster
from pipeline.base.cluster import ONE_THREAD
from pipeline.base.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""Results per worker that may wait to be taken, so that memory does not grow with the number of clips."""


WORKERS = "SOUNDTRACK_WORKERS"
"""The environment variable that allows fewer processes than there are cores, for a computer with little memory."""
KILLED = (
    "a worker process was killed, probably because memory ran out. Start again: what is done stays done. Fewer workers take "
    f"less memory: put {WORKERS}=%d before the command"
)


def cores() -> int:
    """Cores that this process may use, in a container too."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, quota())))


def quota(root: Path = Path("/")) -> float:
    """Cores' worth of time that the control groups of this process may take together; infinity where nothing limits it.

    Both versions of control groups, each with all groups above: a container sees its own as the root.

    Args:
        root: of the file system.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    shares = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            top = root / "sys/fs/cgroup" / controllers
            # the path is that outside of a container, in which only the root may be there
            own = top / path.strip("/")
            shares += [_share(folder) for folder in (own, *own.parents) if folder.is_relative_to(top)]
    return min(shares)


def _share(group: Path) -> float:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            time, period = " ".join((group / name).read_text() for name in names).split()
        except (OSError, ValueError):
            continue
        return int(time) / int(period) if time.isdecimal() and int(time) else math.inf
    return math.inf


def at_once() -> int:
    """Worker processes to start: one per core, fewer where WORKERS says so.

    Raises:
        UserError: it says no number.
    """
    asked = os.environ.get(WORKERS, "")
    if asked and not (asked.isdecimal() and int(asked)):
        raise UserError(f"{WORKERS} is {asked!r}: give a number of processes, 1 or more")
    return min(cores(), int(asked or cores()))


@contextmanager
def killed_in_words() -> Iterator[None]:
    """
    Raises:
        UserError: a worker of a pool was killed, or had too little memory.
    """
    try:
        yield
    except (BrokenExecutor, MemoryError):
        raise UserError(KILLED % max(1, at_once() // 2)) from None


@contextmanager
def workers(*modules: str) -> Iterator[Executor]:
    """One process per core, each of one thread, so that sums do not depend on the number of cores; or those of a cluster.

    Args:
        modules: imported once for all workers, while this process goes on.

    Raises:
        UserError: one was killed within the block, or the cluster cannot be used.
    """
    if cluster.asked():
        with cluster.connected() as pool:
            yield pool
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    with _one_thread():
        forkserver.ensure_running()
        with killed_in_words(), ProcessPoolExecutor(at_once(), context, end_with_parent) as processes:
            yield processes


@contextmanager
def _one_thread() -> Iterator[None]:
    """For the processes that start within the block."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def share_cores() -> None:
    """Let threads of processes started from now on yield their core while they wait for each other.

    GNU's OpenMP spins for milliseconds by default: two trainings of two threads on two cores took four times as long.
    Results are the same.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def end_with_parent() -> None:
    """Let this worker end when its parent is killed; otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def blas_threads(count: int) -> AbstractContextManager[object]:
    """Within the block numpy and scipy multiply matrices on ``count`` threads, everywhere in the process.

    The number decides the order of the sums, and so the last bits of a product.
    """
    limits: AbstractContextManager[object] = _blas(len(sys.modules)).limit(limits=count)
    return limits


@lru_cache(maxsize=1)
def _blas(loaded: int) -> ThreadpoolController:  # noqa: ARG001
    """The libraries that multiply matrices, which takes 3 ms to find out: again where modules were ``loaded`` since.

    Selected first: threadpool_limits would put back OpenMP's number of threads too, which is torch's.
    """
    return ThreadpoolController().select(user_api="blas")


def each(pool: Executor, function: Callable[[T], R], items: Sequence[T], title: str, unit: str = "clip") -> Iterator[R]:
    """Results in the order of ``items``, with a progress bar; work starts at once. ``function`` is of a module's top level."""
    rest = iter(items)

    def submitted(count: int) -> Iterator[Future[R]]:
        return (pool.submit(function, item) for item in islice(rest, count))

    def ahead() -> int:
        return AHEAD * (pool.size if isinstance(pool, cluster.Cluster) else at_once())

    waiting = deque(submitted(ahead()))

    def results() -> Iterator[R]:
        with tqdm(total=len(items), desc=title, unit=unit, disable=None, dynamic_ncols=True) as bar:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(submitted(max(0, ahead() - len(waiting))))
                bar.update()
                yield result

    return results()
