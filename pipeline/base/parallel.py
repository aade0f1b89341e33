"""Processes and threads: work on all cores in order, one thread each, and ends with its parent."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from multiprocessing import forkserver
from typing import TypeVar

from threadpoolctl import ThreadpoolController
from tqdm import tqdm

T = TypeVar("T")
R = TypeVar("R")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
AHEAD = 4
"""Results per core that may wait to be taken, so that memory does not grow with the number of clips."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(*modules: str) -> Iterator[ProcessPoolExecutor]:
    """One process per core, each of one thread, so that sums do not depend on the number of cores.

    Args:
        modules: imported once for all workers, while this process goes on.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    with _one_thread():
        forkserver.ensure_running()
        with ProcessPoolExecutor(cores(), context, end_with_parent) as pool:
            yield pool


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
    # selected first: threadpool_limits would put back OpenMP's number of threads too, which is torch's
    blas = ThreadpoolController().select(user_api="blas")
    limits: AbstractContextManager[object] = blas.limit(limits=count)
    return limits


def each(pool: Executor, function: Callable[[T], R], items: Sequence[T], title: str, unit: str = "clip") -> Iterator[R]:
    """Results in the order of ``items``, with a progress bar; work starts at once. ``function`` is of a module's top level."""
    rest = iter(items)
    waiting = deque(pool.submit(function, item) for item in islice(rest, AHEAD * cores()))

    def results() -> Iterator[R]:
        with tqdm(total=len(items), desc=title, unit=unit, disable=None, dynamic_ncols=True) as bar:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
                bar.update()
                yield result

    return results()
