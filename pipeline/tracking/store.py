"""The MLflow store: where it is, what happens where a call to it fails, and how an entry is sent to a run."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.tracking import problems
from pipeline.tracking.problems import MEMORY, SQLITE, Problem

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# give up on a server after seconds, not minutes: its entries are queued
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of copies within this disk
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # with the password that the address may have

log = logging.getLogger(__name__)


class TrackingError(UserError):
    """The store cannot be used; the message says why, and what to do."""


def uri() -> str:
    """MLFLOW_TRACKING_URI, else a database in the main checkout, where a plain ``mlflow ui`` finds it.

    A relative sqlite path counts from the main checkout, not from the temporary copy of ``dvc exp run --temp``.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}mlflow.db"
    if not given.startswith(SQLITE):
        return given
    file = given.removeprefix(SQLITE)
    return MEMORY if file in ("", ":memory:") else f"{SQLITE}{paths.home() / file}"


@contextmanager
def required(kind: str = "") -> Iterator[None]:
    """Calls to the store without which nothing goes on.

    Args:
        kind: as in :func:`problems.explain`.

    Raises:
        TrackingError: one failed.
    """
    try:
        if problem := problems.check_file(uri()):
            raise TrackingError(str(problem))
        yield
    except Exception as error:
        if (found := problems.explain(error, uri(), kind)) is None:
            raise
        raise TrackingError(str(found)) from None


def attempt(call: Callable[[], object], address: str, kind: str) -> Problem | None:
    """Make a call to the store that sends an entry of this kind; gives what went wrong, if anything."""
    try:
        if problem := problems.check_file(address):
            return problem
        call()
    except Exception as error:
        if (found := problems.explain(error, address, kind)) is None:
            raise
        return found
    return None


def module(address: str | None = None) -> Any:
    """The module mlflow, set to the store at ``address``, by default that of :func:`uri`."""
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # and this of each retry, with the address and its password
    mlflow.set_tracking_uri(address or uri())
    # of another program, whose run an experiment would continue and rename
    if run := os.environ.pop("MLFLOW_RUN_ID", None):
        log.warning("MLFLOW_RUN_ID=%s is ignored: each experiment has a run of its own.", run)
    return mlflow


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
    run = client.get_run(run_id).info
    name = content.get("name", "model")  # which entries queued by an earlier version do not have
    models = client.search_logged_models([run.experiment_id], filter_string=f"source_run_id = '{run_id}'")
    begun = [model for model in models if model.name == name]
    if any(model.status == "READY" for model in begun):
        return
    for model in begun:  # by a try that failed
        client.delete_logged_model(model.model_id)
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
    with _opened(mlflow, run):
        mlflow.onnx.log_model(
            onnx.load(str(file)),
            name=name,
            signature=signature,
            input_example=examples,
            onnx_execution_providers=["CPUExecutionProvider"],
            pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        )


@contextmanager
def _opened(mlflow: Any, run: Any) -> Iterator[None]:
    """The run as MLflow's active one; what is sent to it later changes neither its status nor its end."""
    active = mlflow.active_run()
    if active is not None and active.info.run_id == run.run_id:
        yield
        return
    try:
        with mlflow.start_run(run_id=run.run_id, nested=True):
            yield
    finally:
        if run.end_time:
            mlflow.MlflowClient().set_terminated(run.run_id, run.status, run.end_time)
