"""The MLflow store: where it is, whether it answers, and how one entry is sent to a run."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base import paths
from pipeline.base.errors import UserError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# give up on a server after seconds, not minutes: its entries are queued
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of copies within this disk

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
    from mlflow.entities import Metric, Param, RunTag

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
    elif kind == "model":
        _send_model(mlflow, run_id, content["inputs"], *files)
    elif kind == "end":
        client.set_terminated(run_id, content["status"], content["time"])


def _send_model(mlflow: Any, run_id: str, inputs: list[str], file: Path, arrays: Path) -> None:
    import onnx
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import Schema, TensorSpec

    client = mlflow.MlflowClient()
    outputs = client.get_run(run_id).outputs
    models = [client.get_logged_model(item.model_id) for item in (outputs.model_outputs if outputs else [])]
    if any(model.status == "READY" for model in models):
        return
    with np.load(arrays) as stored:
        output, *values = (stored[name] for name in stored.files)
    examples = dict(zip(inputs, values, strict=True))
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
            name="model",
            signature=signature,
            input_example=examples,
            onnx_execution_providers=["CPUExecutionProvider"],
            pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
        )
