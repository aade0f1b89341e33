"""``dvc repro`` with independent stages side by side, which DVC itself does not do (its issue 755).

Each stage is run by a ``dvc repro`` of its own, as soon as the stages it depends on are done; DVC's locks keep
dvc.lock whole. What runs, and what comes out, is what one plain ``dvc repro`` gives.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import chdir, contextmanager
from graphlib import TopologicalSorter
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.parallel import end_with_parent, share_cores
from pipeline.workflow import prefork

Graph = dict[str, set[str]]
"""Of each stage, the stages it depends on; the order is that of dvc.yaml.

Stages are named as DVC names them from here: `train@cnn`, `lessons/neuron/dvc.yaml:run`.
"""


class StageFailed(UserError):
    """Some stages ended with an error; the message names them."""


def repro(jobs: int, files: Sequence[Path]) -> int:
    """Reproduce the pipelines of these files, at most ``jobs`` stages at a time.

    Returns:
        The number of stages that changed, or depend on one that did.

    Raises:
        StageFailed: a stage failed; those that run beside it are waited for, others are not begun.
        UserError: a file is not there.
    """
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise UserError(f"{', '.join(missing)}: no such file")
    share_cores()
    graph = needed(*_graph(files))
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
    return len(graph)


@contextmanager
def _processes(jobs: int) -> Iterator[Executor]:
    """Each imports DVC once, which takes longer than most of what it then does."""
    with prefork.server() as address, ProcessPoolExecutor(jobs, prefork.context(), _begin, (address,)) as pool:
        yield pool


def _begin(server: str) -> None:
    end_with_parent()
    if sys.platform == "linux":  # elsewhere nothing is preloaded
        os.environ[prefork.SERVER] = server


def _reproduce(stage: str) -> int:
    from dvc.cli import main

    file, _, name = stage.rpartition(":")
    with chdir(Path(file).parent):  # the DVC project of a lesson is another than that of the root
        return int(main(["--wait-for-lock", "repro", "--single-item", name]))


def _graph(files: Sequence[Path]) -> tuple[Graph, set[str]]:
    """The stages of these dvc.yaml files, and which of them changed."""
    from dvc.repo import Repo

    places = {str(file.resolve()) for file in files}
    graph: Graph = {}
    changed: set[str] = set()
    for project in dict.fromkeys(Repo.find_root(str(file.parent)) for file in files):
        with Repo(project) as repo:
            known = repo.index.graph
            # what has no command is data that `dvc add` keeps
            stages = [stage for stage in known if stage.cmd is not None and stage.path in places]
            graph |= {
                stage.addressing: {other.addressing for other in known.successors(stage) if other in stages}
                for stage in stages
            }
            with repo.lock:
                changed |= {stage.addressing for stage in stages if stage.status()}
    return graph, changed


def needed(graph: Graph, changed: set[str]) -> Graph:
    """The part of the graph that has to be looked at: what changed, and what depends on it."""
    found: set[str] = set()
    for stage in TopologicalSorter(graph).static_order():
        if stage in changed or graph[stage] & found:
            found.add(stage)
    return {stage: before & found for stage, before in graph.items() if stage in found}
