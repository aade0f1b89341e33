"""Stages that start in a fork of a process in which torch, MLflow and scikit-learn are imported already.

DVC runs each stage as a command of its own, and most of a short one's time goes into imports. A server whose address
stands in the environment (``SOUNDTRACK_STAGE_SERVER``) is asked by that command to run the stage; without it the command
runs the stage itself. The stage's own modules are imported in the fork, as they are on disk.
"""

import compileall
import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Client, Connection, Listener, wait
from pathlib import Path

from pipeline.base.parallel import end_with_parent

SERVER = "SOUNDTRACK_STAGE_SERVER"
"""The environment variable with the server's address, a Unix socket."""
STAGES = ("weights", "inputs", "train", "evaluate", "leak", "compare", "champion")
"""Those that import what is preloaded. Others start processes themselves, or in less than a second."""
LIBRARIES = (
    "pytorch_lightning",
    "mlflow.onnx",
    "mlflow.store.tracking.sqlalchemy_store",
    "torch.onnx",
    "torch._dynamo",  # the first step of any optimizer imports it
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.metrics",
    "matplotlib.backends.backend_agg",
    "onnxruntime",
    # what MLflow imports when it is first used
    "alembic.command",
    "git",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "mlflow.tracing.export",
    "onnx",
    "opentelemetry.sdk.metrics",
    "ruamel.yaml",
    "sqlalchemy.dialects.sqlite",
    # and pandas, for Parquet
    "pyarrow.dataset",
)
BACKBONES = ("transformers.models.mobilenet_v2.modeling_mobilenet_v2", "h5py")
"""Preloaded as well where weights are to be fetched: what then needs it is three stages."""
FIRST_RUN = (*BACKBONES, "dvc.cli", "music21", "av", "markdown_it", "pygit2", "sklearn.covariance", "omegaconf")
"""What else the first run imports, which `make install` compiles as well. Not librosa: beside this it fills numba's cache
(:mod:`pipeline.features.numba_cache`), which two processes that do so together leave broken."""
MIGRATIONS = "mlflow.store.db_migrations"
"""MLflow reads these modules, which are no package's, at each start."""

_starting = threading.Lock()


@contextmanager
def server(stages: Iterable[str] = ()) -> Iterator[str]:
    """Run stages for the commands that ask at the address given, each in a fork of one process, which begins to preload.

    Args:
        stages: those that are to run, as DVC names them, by which it is known what to preload.
    """
    if sys.platform == "linux":  # macOS offers forks as well, but its libraries do not always survive them
        backbones = BACKBONES if any(stage.startswith("weights@") for stage in stages) else ()
        forkserver.set_forkserver_preload([*LIBRARIES, *backbones])
        # Ctrl+C reaches it too, and while it imports it would end in a traceback
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        forkserver.ensure_running()
        signal.signal(signal.SIGINT, handler)
    with Listener(family="AF_UNIX") as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield str(listener.address)


def serves(stage: str) -> bool:
    """Whether there is a server to ask."""
    return stage in STAGES and SERVER in os.environ


def ask(package: str, names: Sequence[str]) -> int:
    """Let the server run ``python -m <package> <names>`` with this process's folder, environment and output: its exit code."""
    environment = {key: value for key, value in os.environ.items() if key != SERVER}
    with Client(os.environ[SERVER], family="AF_UNIX") as server:
        server.send((os.getpid(), package, list(names), str(Path.cwd()), environment))
        try:
            return int(server.recv())
        except EOFError:  # the process that forks, the largest of all, was killed
            return -signal.SIGKILL


def _serve(listener: Listener) -> None:
    while True:
        try:
            connection = listener.accept()
        except OSError:  # it was closed
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: Connection) -> None:
    with connection:
        process = multiprocessing.get_context("forkserver").Process(target=_run, args=connection.recv())
        # of two threads that start processes or read how one ended, the second would read nothing: 255
        with _starting:
            process.start()
        asker_is_gone = connection in wait([process.sentinel, connection])
        if asker_is_gone:
            process.kill()
            wait([process.sentinel])
        with _starting:
            process.join()
        if not asker_is_gone:
            connection.send(process.exitcode)


def _run(asker: int, package: str, names: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    # a million objects of libraries: to look for garbage among them takes a second each time, and copies their memory
    gc.freeze()
    end_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (1, 2):  # else its output would go where the server's does
        os.dup2(os.open(f"/proc/{asker}/fd/{stream}", os.O_WRONLY | os.O_APPEND), stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, folder)
    sys.argv[1:] = names
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":  # importing compiles, which would otherwise cost the first run a quarter of a minute
    for library in (*LIBRARIES, *FIRST_RUN):
        importlib.import_module(library)
    for folder in importlib.import_module(MIGRATIONS).__path__:
        compileall.compile_dir(folder, quiet=1)
