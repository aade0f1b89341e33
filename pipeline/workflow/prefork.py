"""Stages that begin warm: forked from a process in which torch, MLflow and scikit-learn are imported already.

DVC runs each stage as a command of its own, and most of a short one's time goes into imports. Here a process that
runs DVC (of :mod:`pipeline.workflow.scheduler`) has these stages run in a fork of a process that imported the libraries
once. The stage's own modules are imported in the fork, as they are on disk.
"""

import multiprocessing
import os
import runpy
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection, Listener, wait
from multiprocessing.context import BaseContext
from typing import Any

from pipeline import tracking  # noqa: F401  # its settings of MLflow hold for the preloaded process
from pipeline.parallel import end_with_parent

STAGES = ("train", "evaluate", "explain", "leak", "compare", "champion")
"""Those that import what is preloaded. Others start processes themselves, or in less than a second."""
LIBRARIES = (
    "mlflow.onnx",
    "mlflow.store.tracking.sqlalchemy_store",
    "pytorch_lightning",
    "torch.onnx",
    "torch._dynamo",  # the first step of any optimizer imports it
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.metrics",
    "matplotlib.figure",
    "onnxruntime",
    "dvc.cli",
)

Task = tuple[list[str], str, Mapping[str, str]]
"""Module and arguments, working folder, environment."""
_asking = threading.Lock()


def context() -> BaseContext:
    """How to start processes: as forks of the preloaded one on Linux, elsewhere from nothing."""
    if sys.platform != "linux":  # macOS offers forks as well, but its libraries do not always survive them
        return multiprocessing.get_context("spawn")
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(list(LIBRARIES))
    return forks


@contextmanager
def starter() -> Iterator[str]:
    """Let this process start stages for those that run DVC, so that one preloaded process serves them all.

    Gives the address that :func:`use` asks.
    """
    with Listener(family="AF_UNIX") as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield str(listener.address)


def use(address: str) -> None:
    """Let DVC, in this process, run these stages warm, started at the ``address`` of a :func:`starter`."""
    if sys.platform != "linux":
        return
    from dvc.stage import run
    from dvc.stage.exceptions import StageCmdFailedError

    cold = run._run

    def warm(executable: str | None, command: str, **options: Any) -> None:
        program, *arguments = shlex.split(command)
        if (program, arguments[:1]) != ("python", ["-m"]) or arguments[1].rpartition(".")[2] not in STAGES:
            cold(executable, command, **options)
            return
        task = (arguments[1:], options["cwd"], options["env"])
        if code := _asked(address, task):
            raise StageCmdFailedError(command, code)

    run._run = warm


def _serve(listener: Listener) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:  # it was closed
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: Connection) -> None:
    with connection:
        connection.send(_run(connection.recv()))


def _asked(address: str, task: Task) -> int:
    with Client(address) as starter:
        starter.send(task)
        return int(starter.recv())


def _run(task: Task) -> int:
    """The exit code of a stage."""
    process = context().Process(target=_stage, args=task)  # type: ignore[attr-defined]
    # to start one asks after all others, and of two threads that read how one ended the second reads nothing: 255
    with _asking:
        process.start()
    wait([process.sentinel])
    with _asking:
        process.join()
    return int(process.exitcode)


def _stage(command: list[str], folder: str, environment: Mapping[str, str]) -> None:
    """What ``python -m <module> <arguments>`` does."""
    end_with_parent()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    module, *sys.argv[1:] = command
    runpy.run_module(module, run_name="__main__", alter_sys=True)
