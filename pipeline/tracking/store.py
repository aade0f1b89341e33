"""The MLflow store: where it is, whether it answers, how an entry is sent to a run, and the queue of those it missed."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write, read_json, remove, write_json

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# give up on a server after seconds, not minutes: its entries are queued
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of copies within this disk

CONTENT = "content.json"
log = logging.getLogger(__name__)

OUTAGES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")
"""MLflow's error codes for a server that is down or overloaded, whatever was sent."""


class TrackingError(UserError):
    """The store does not answer; the message says what to do."""


def uri() -> str:
    """MLFLOW_TRACKING_URI, else a database in the main checkout, where a plain ``mlflow ui`` finds it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


def answers(call: Callable[[], object]) -> bool:
    """Make a call to the store; False, with a warning, where the store does not answer."""
    import requests
    from mlflow.exceptions import MlflowException

    try:
        call()
    except (MlflowException, requests.RequestException) as error:
        if isinstance(error, MlflowException) and error.error_code not in OUTAGES:
            raise
        log.warning(
            "MLflow at %s does not answer. Entries are queued; the next stage or `soundtrack sync` sends them. (%s)",
            uri(),
            str(error).splitlines()[0],
        )
        return False
    return True


def send(mlflow: Any, run_id: str, kind: str, content: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Log one entry to a run. Sending it twice changes nothing: points carry their time, the rest is replaced."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    client = mlflow.MlflowClient()
    if kind == "batch":
        client.log_batch(
            run_id,
            metrics=[Metric(*point) for point in content.get("metrics", [])],
            params=[Param(key, value) for key, value in content.get("params", {}).items()],
            tags=[RunTag(key, value) for key, value in content.get("tags", {}).items()],
        )
    elif kind == "file":
        client.log_artifact(run_id, str(files[0]))
    elif kind == "folder":
        client.log_artifacts(run_id, str(files[0]), content["name"])
    elif kind == "dataset":
        context = InputTag("mlflow.data.context", "training")
        client.log_inputs(run_id, datasets=[DatasetInput(Dataset(source_type="local", **content), [context])])
    elif kind == "model":
        _send_model(mlflow, run_id, content, *files)
    elif kind == "end":
        client.set_terminated(run_id, content["status"], content["time"])


def _send_model(mlflow: Any, run_id: str, content: Mapping[str, Any], file: Path, arrays: Path) -> None:
    import onnx
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import Schema, TensorSpec

    client = mlflow.MlflowClient()
    outputs = client.get_run(run_id).outputs
    models = [client.get_logged_model(item.model_id) for item in (outputs.model_outputs if outputs else [])]
    name = content.get("name", "model")  # which entries queued by an earlier version do not have
    if any(model.name == name and model.status == "READY" for model in models):
        return
    with np.load(arrays) as stored:
        output, *values = (stored[name] for name in stored.files)
    examples = dict(zip(content["inputs"], values, strict=True))
    found = infer_signature(examples, output)
    # of any batch size
    signature = ModelSignature(
        *(
            Schema([TensorSpec(spec.type, (-1, *spec.shape[1:]), spec.name) for spec in schema])
            for schema in (found.inputs, found.outputs)
        )
    )
    active = mlflow.active_run()
    is_open = active is not None and active.info.run_id == run_id
    with nullcontext() if is_open else mlflow.start_run(run_id=run_id, nested=True):
        mlflow.onnx.log_model(
            onnx.load(str(file)),
            name=name,
            signature=signature,
            input_example=examples,
            onnx_execution_providers=["CPUExecutionProvider"],
            pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        )


class Entry(NamedTuple):
    kind: str
    content: dict[str, Any]
    files: list[Path]
    folder: Path


class Queue:
    """The entries of one run that could not be sent: queued on disk, in order, until they are.

    Each is a folder, written atomically, so a killed process leaves none that is incomplete.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id, self.folder = run_id, _top() / run_id

    def __len__(self) -> int:
        return len(self._folders())

    def add(self, kind: str, content: dict[str, Any], files: Sequence[Path] = ()) -> None:
        """Append an entry, with copies of ``files`` (files or folders)."""
        folders = self._folders()
        number = int(folders[-1].name) + 1 if folders else 0
        with atomic_write(self.folder / f"{number:06}") as folder:
            (folder / "files").mkdir(parents=True)
            for file in files:
                copy = shutil.copytree if file.is_dir() else shutil.copyfile
                copy(file, folder / "files" / file.name)
            names = [file.name for file in files]
            write_json(folder / CONTENT, {"kind": kind, "content": content, "files": names})

    def entries(self) -> Iterator[Entry]:
        """In the order in which they were added; remove each that was sent."""
        for folder in self._folders():
            known = read_json(folder / CONTENT)
            files = [folder / "files" / name for name in known["files"]]
            yield Entry(known["kind"], known["content"], files, folder)

    def remove(self, entry: Entry) -> None:
        remove(entry.folder)
        if not len(self):
            remove(self.folder)

    def send(self, mlflow: Any) -> None:
        """Send the entries in order, up to the first that the server does not answer."""
        _top().mkdir(parents=True, exist_ok=True)
        with FileLock(_top().with_suffix(".lock")):
            for entry in self.entries():
                try:
                    if not answers(partial(send, mlflow, self.run_id, entry.kind, entry.content, entry.files)):
                        return
                except mlflow.exceptions.MlflowException as error:
                    # the server answered: it will not take this entry later either, as of a run deleted since
                    log.warning("MLflow refuses a %s of run %s, dropped: %s", entry.kind, self.run_id, error)
                self.remove(entry)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*"))


def _top() -> Path:
    return paths.cache() / "unsent"


def queues() -> list[Queue]:
    """Of all runs with queued entries."""
    return [Queue(path.name) for path in sorted(_top().glob("*"))]


def sync() -> str:
    """Send what is queued; returns a message for the user.

    Raises:
        TrackingError: the server does not answer, and entries are still queued.
    """
    import mlflow

    mlflow.set_tracking_uri(uri())
    before = sum(map(len, queues()))
    for queue in queues():
        queue.send(mlflow)
    left = sum(map(len, queues()))
    sent = f"{before - left} of {before} queued entries were sent to {uri()}"
    if left:
        raise TrackingError(f"{sent}: it does not answer. The others stay queued")
    return f"{sent}."
