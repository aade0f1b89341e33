"""``dvc repro`` with independent stages side by side, which DVC itself does not do (its issue 755).

Each stage is run by a ``dvc repro`` of its own, as soon as the stages it depends on are done; DVC's locks keep
dvc.lock whole. What runs, and what comes out, is what one plain ``dvc repro`` gives.
"""

import multiprocessing
import os
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from graphlib import TopologicalSorter

from pipeline.errors import UserError
from pipeline.parallel import end_with_parent

Graph = dict[str, set[str]]
"""Of each stage, the stages it depends on; the order is that of dvc.yaml."""


class StageFailed(UserError):
    """Some stages ended with an error; the message names them."""


def repro(jobs: int) -> None:
    """Reproduce the whole pipeline, at most ``jobs`` stages at a time.

    Raises:
        StageFailed: a stage failed; those that run beside it are waited for, others are not begun.
    """
    # a thread that waits for others spins for milliseconds by default, on a core that another stage needs: two
    # trainings of two threads on two cores took four times as long. Results are the same. Of GNU's OpenMP.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    graph = _graph()
    order = TopologicalSorter(graph)
    order.prepare()
    waiting: list[str] = []
    running: dict[Future[int], str] = {}
    failed: list[str] = []
    with _processes(jobs) as pool:
        while order.is_active() and (running or not failed):
            # the last of dvc.yaml is taken first: experiments are listed from cheap to costly
            waiting = sorted([*waiting, *order.get_ready()], key=list(graph).index)
            while waiting and not failed and len(running) < jobs:
                stage = waiting.pop()
                running[pool.submit(_reproduce, stage)] = stage
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                stage = running.pop(future)
                if future.result() == 0:
                    order.done(stage)
                else:
                    failed.append(stage)
    if failed:
        raise StageFailed(f"{', '.join(failed)} failed: see above; what is done stays done")


def _processes(jobs: int) -> Executor:
    """Each imports DVC once, which takes longer than most of what it then does."""
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), end_with_parent)


def _reproduce(stage: str) -> int:
    from dvc.cli import main

    return int(main(["--wait-for-lock", "repro", "--single-item", stage]))


def _graph() -> Graph:
    from dvc.dvcfile import PROJECT_FILE
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph
        # what has no command is data that `dvc add` keeps; what stands in another folder's dvc.yaml is a lesson
        stages = {stage for stage in graph if stage.cmd is not None and stage.path_in_repo == PROJECT_FILE}
        return {
            stage.addressing: {other.addressing for other in graph.successors(stage) if other in stages}
            for stage in graph
            if stage in stages
        }
