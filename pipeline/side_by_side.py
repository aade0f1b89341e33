"""``dvc repro`` with independent stages side by side, which DVC itself does not do (its issue 755).

Each stage is run by a ``dvc repro`` of its own, as soon as the stages it depends on are done; DVC's locks keep
dvc.lock whole. What runs, and what comes out, is what one plain ``dvc repro`` gives.
"""

import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from pipeline.errors import UserError

Graph = dict[str, set[str]]
"""Of each stage, the stages it depends on; the order is that of dvc.yaml."""


class StageFailed(UserError):
    """Some stages ended with an error; the message names them."""


def repro(jobs: int) -> None:
    """Reproduce the whole pipeline, at most ``jobs`` stages at a time.

    Raises:
        StageFailed: a stage failed; those that run beside it are waited for, others are not begun.
    """
    graph = _graph()
    done: set[str] = set()
    failed: list[str] = []
    running: dict[Future[int], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while len(done) < len(graph) and not (failed and not running):
            for stage in [] if failed else _ready(graph, done | set(running.values()), done):
                if len(running) < jobs:
                    running[pool.submit(_reproduce, stage)] = stage
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                stage = running.pop(future)
                (failed.append if future.result() else done.add)(stage)
    if failed:
        raise StageFailed(f"{', '.join(failed)} failed: see above; what is done stays done")


def _ready(graph: Graph, begun: set[str], done: set[str]) -> list[str]:
    """Stages that may begin, the last of dvc.yaml first: experiments are listed from cheap to costly."""
    return [stage for stage in reversed(graph) if stage not in begun and graph[stage] <= done]


def _reproduce(stage: str) -> int:
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    return subprocess.run(command, check=False).returncode


def _graph() -> Graph:
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph
        # what has no command is data that `dvc add` keeps
        stages = [stage for stage in graph if stage.cmd is not None]
        return {
            stage.addressing: {other.addressing for other in graph.successors(stage) if other.cmd is not None}
            for stage in stages
        }
