"""``dvc repro`` with independent stages side by side, which DVC itself does not do (its issue 755).

Each stage is run by a ``dvc repro`` of its own, as soon as the stages it depends on are done; DVC's locks keep
dvc.lock whole. What runs, and what comes out, is what one plain ``dvc repro`` gives.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import chdir, closing, contextmanager
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.parallel import end_with_parent, share_cores
from pipeline.base.text import counted, duration
from pipeline.workflow import prefork
from pipeline.workflow.console import INTERRUPTED, KILLED, Console, failure, log_file, near, shown

Graph = dict[str, set[str]]
"""Of each stage, the stages it depends on; the order is that of dvc.yaml.

Stages are named as DVC names them from here: `train@cnn`, `lessons/neuron/dvc.yaml:run`.
"""


TICK_S = 1.0
"""How often a terminal shows how long stages have been running."""
STOPPED = "stopped. What is done stays done: the same command goes on from there."
NEXT = "What is done stays done. Put it right, and run the same command again."


class StageFailed(UserError):
    """Some stages ended with an error, or were stopped; the message says which, why, and what to do."""


def repro(jobs: int, files: Sequence[Path], check: Callable[[], object] = lambda: None) -> int:
    """Reproduce the pipelines of these files, at most ``jobs`` stages at a time.

    Args:
        check: called where stages are to run, before DVC removes the outputs of any.

    Returns:
        The number of stages that changed, or depend on one that did.

    Raises:
        StageFailed: a stage failed, or the user pressed Ctrl+C; stages that run are waited for, others are not begun.
        UserError: a file is not there.
    """
    share_cores()
    graph = needed(*_graph(files))
    if graph:
        check()
        start = time.monotonic()
        print(
            f"{counted(len(graph), 'stage')} to run, {jobs} at a time. The output of each is in {near(paths.logs())}.",
            flush=True,
        )
        try:
            failed = _run(graph, jobs)
        except KeyboardInterrupt:
            raise StageFailed(STOPPED) from None
        except BrokenExecutor:
            raise StageFailed(f"DVC {KILLED}") from None
        if any(failure(stage) == INTERRUPTED for stage in failed):  # Ctrl+C reached the stage first
            raise StageFailed(STOPPED)
        if failed:
            raise StageFailed("\n".join(map(_explained, failed)) + "\n" + NEXT)
        print(f"Done in {duration(time.monotonic() - start)}.")
    return len(graph)


def stale(files: Sequence[Path]) -> tuple[list[str], int]:
    """The stages that would run again, and the number of all."""
    graph, changed = _graph(files)
    return list(needed(graph, changed)), len(graph)


def _run(graph: Graph, jobs: int) -> list[str]:
    """Run all stages of the graph, up to the first that fails; gives those that failed."""
    order = TopologicalSorter(graph)
    order.prepare()
    waiting: list[str] = []
    running: dict[Future[int], str] = {}
    failed: list[str] = []
    with _processes(jobs, graph) as pool, closing(Console(graph)) as console:
        while order.is_active() and (running or not failed):
            # the last of dvc.yaml is taken first: experiments are listed from cheap to costly
            waiting = sorted([*waiting, *order.get_ready()], key=list(graph).index)
            while waiting and not failed and len(running) < jobs:
                stage = waiting.pop()
                running[pool.submit(_reproduce, stage, log_file(stage))] = stage
                console.begin(stage)
            ended, _ = wait(running, TICK_S, return_when=FIRST_COMPLETED)
            console.tick()
            for future in ended:
                stage = running.pop(future)
                code = future.result()
                console.end(stage, failed=code != 0)
                if code == 0:
                    order.done(stage)
                else:
                    failed.append(stage)
    return failed


def _explained(stage: str) -> str:
    return f"{shown(stage)} failed: {failure(stage)}\nIts whole output is in {near(log_file(stage))}"


@contextmanager
def _processes(jobs: int, stages: Iterable[str]) -> Iterator[Executor]:
    """Each imports DVC once, which takes longer than most of what it then does. They do not wait for what is preloaded: the
    first stages need none of it."""
    spawn = multiprocessing.get_context("spawn")
    with prefork.server(stages) as address, ProcessPoolExecutor(jobs, spawn, _begin, (address,)) as pool:
        yield pool


def _begin(server: str) -> None:
    end_with_parent()
    # Ctrl+C reaches all processes; set to be ignored, it would be ignored by stages too
    signal.signal(signal.SIGINT, lambda *_: None)
    if sys.platform == "linux":  # elsewhere nothing is preloaded
        os.environ[prefork.SERVER] = server


def _reproduce(stage: str, log: Path) -> int:
    from dvc.cli import main

    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with log.open("ab") as output:  # to append: the stage opens it too
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    file, _, name = stage.rpartition(":")
    idle = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with chdir(Path(file).parent):  # the DVC project of a lesson is another than that of the root
            return int(main(["--wait-for-lock", "repro", "--single-item", name]))
    finally:
        signal.signal(signal.SIGINT, idle)
        sys.stdout.flush()


def _graph(files: Sequence[Path]) -> tuple[Graph, set[str]]:
    """The stages of these dvc.yaml files, and which of them changed.

    Raises:
        UserError: a file or the music is not there, or DVC cannot read it.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    if missing := [str(file) for file in files if not file.is_file()]:
        raise UserError(f"{', '.join(missing)}: no such file")
    places = {str(file.resolve()) for file in files}
    graph: Graph = {}
    changed: set[str] = set()
    try:
        for project in dict.fromkeys(Repo.find_root(str(file.parent)) for file in files):
            with Repo(project) as repo, repo.lock:  # else a dvc.lock that is being written could be read
                known = repo.index.graph
                # what has no command is data that `dvc add` keeps
                stages = [stage for stage in known if stage.cmd is not None and stage.path in places]
                graph |= {
                    stage.addressing: {other.addressing for other in known.successors(stage) if other in stages}
                    for stage in stages
                }
                _present(stages)
                changed |= {stage.addressing for stage in stages if stage.status()}
    except DvcException as error:
        raise UserError(str(error)) from None
    return graph, changed


def _present(stages: Sequence[Any]) -> None:
    """
    Raises:
        UserError: a link leads to data that are not here, which DVC ends with a traceback for.
    """
    for path in sorted({Path(dep.fs_path) for stage in stages for dep in stage.deps}):
        if path.is_symlink() and not path.exists():
            data = near(path.parent / path.readlink())
            recorded = f"`dvc checkout {data}.dvc`, or `dvc pull {data}.dvc` from a remote, brings the version of this commit; "
            raise UserError(
                f"{data} is not here, which {near(path)} leads to: {recorded if Path(f'{data}.dvc').exists() else ''}"
                "`soundtrack import FOLDER` brings music of yours"
            )


def needed(graph: Graph, changed: set[str]) -> Graph:
    """The part of the graph that has to be looked at: what changed, and what depends on it."""
    found: set[str] = set()
    for stage in TopologicalSorter(graph).static_order():
        if stage in changed or graph[stage] & found:
            found.add(stage)
    return {stage: before & found for stage, before in graph.items() if stage in found}
