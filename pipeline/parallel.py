"""Work on clips in all cores, in order, with a progress bar."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import forkserver
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
R = TypeVar("R")

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
AHEAD = 4
"""Results per worker that may wait to be taken, so that memory does not grow with the number of clips."""


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers(*modules: str) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each: the clips share out the cores, and sums do not depend on the machine's size.

    Args:
        modules: imported once for all workers, from now on, beside what this process does.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    with _one_thread():
        forkserver.ensure_running()
        with ProcessPoolExecutor(cores(), context, end_with_parent) as pool:
            yield pool


@contextmanager
def _one_thread() -> Iterator[None]:
    """For the processes that begin meanwhile."""
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
    """Let the threads of processes that this one starts leave their core to others while they wait for each other.

    By default they spin for milliseconds: two trainings of two threads on two cores took four times as long. Results
    are the same. Of GNU's OpenMP.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def end_with_parent() -> None:
    """Let a worker end when its parent is killed; by itself it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def each(
    pool: Executor, function: Callable[[T], R], items: Sequence[T], title: str, unit: str = "clip"
) -> Iterator[R]:
    """``function(item)`` in the order of ``items``, begun at once; for processes ``function`` is a module-level one."""
    rest = iter(items)
    waiting = deque(pool.submit(function, item) for item in islice(rest, AHEAD * cores()))

    def results() -> Iterator[R]:
        with tqdm(total=len(items), desc=title, unit=unit, dynamic_ncols=True) as bar:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
                bar.update()
                yield result

    return results()
