"""Everything that is logged to MLflow. Of its runs no other module knows; of its models, ``registry`` does.

DVC's outputs are the truth; a run shows them for comparison. So a run that is lost, or unknown to the store at
hand (a fresh clone after ``dvc pull``), is made anew from the files and tagged ``restored``.
"""

import json
import logging
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from filelock import FileLock

from pipeline import paths
from pipeline.errors import UserError
from pipeline.tracking.offline_queue import Outbox, boxes

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# a server that does not answer is given up after seconds, by default after minutes: what it misses is kept
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of copies within this disk

log = logging.getLogger(__name__)

RETRY_S = 30.0
"""A server that did not answer is asked again after this many seconds."""
LARGEST_BATCH = 1000
"""Metrics that MLflow takes in one request."""
OUTAGES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")
"""MLflow's error codes that say nothing of what was sent."""
LIBRARIES = ("torch", "pytorch-lightning", "librosa", "scikit-learn", "mlflow", "dvc", "numpy", "pandas")


class TrackingError(UserError):
    """The store cannot be reached; the message says what to do."""


def uri() -> str:
    """MLFLOW_TRACKING_URI, else a database in the main checkout, where a plain ``mlflow ui`` finds it."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.home() / 'mlflow.db'}"


def connect(experiment: str) -> Any:
    """mlflow, pointed at the store and the experiment; both are made when missing, and what waits to be sent is.

    Raises:
        TrackingError: a server does not answer.
    """
    import mlflow

    address = uri()
    mlflow.set_tracking_uri(address)
    lock = paths.cache() / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)

    def prepare() -> None:
        if mlflow.get_experiment_by_name(experiment) is None:
            local = address.startswith("sqlite:///")
            place = (paths.home() / "mlartifacts").as_uri() if local else None
            mlflow.create_experiment(experiment, artifact_location=place)
        mlflow.set_experiment(experiment)

    # processes that open a new database together can leave it unusable
    with FileLock(lock):
        if not _answers(prepare):
            raise TrackingError(
                f"the MLflow server {address} does not answer: start it, or unset MLFLOW_TRACKING_URI to log to "
                f"mlflow.db in the checkout"
            )
    sync()
    return mlflow


class Run:
    """An open MLflow run.

    What is logged appears at once. While the server does not answer it is kept on disk instead, and sent as soon as
    the server is back: by this stage, the next one, or :func:`sync`.
    """

    def __init__(self, mlflow: Any, run_id: str, restored: bool, continued: bool) -> None:
        self._mlflow = mlflow
        self.id = run_id
        self.restored = restored
        """The run was made anew from files, since the store does not know the one they came from."""
        self._known_epochs: set[int] | None = None if continued else set()
        self._unsent = Outbox(_unsent() / run_id)
        self._next_try = 0.0

    def set_tags(self, values: Mapping[str, str]) -> None:
        self._log("batch", {"tags": dict(values)})

    def log_params(self, values: Mapping[str, Any]) -> None:
        self._log("batch", {"params": {key: str(value) for key, value in values.items()}})

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        points = [(key, float(value), _milliseconds(), step) for key, value in values.items()]
        self._log("batch", {"metrics": points})

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """As a point of each curve, unless an interrupted training has logged that epoch already."""
        if not self._is_logged(epoch, next(iter(values))):
            self.log_metrics(values, step=epoch)

    def log_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Whole curves at once, of a training that is over in no time; of each row, ``epoch`` is the step."""
        now = _milliseconds()
        points = [
            (key, float(value), now, int(row["epoch"]))
            for row in rows
            for key, value in row.items()
            if key != "epoch"
        ]
        for start in range(0, len(points), LARGEST_BATCH):
            self._log("batch", {"metrics": points[start : start + LARGEST_BATCH]})

    def log_tables(self, tables: Mapping[str, Any]) -> None:
        """Data frames, which MLflow shows as tables."""
        with TemporaryDirectory() as folder:
            for name, table in tables.items():
                file = Path(folder) / name
                file.write_text(table.to_json(orient="split", index=False), encoding="utf-8")
                self.log_file(file)
        listed = [{"path": name, "type": "table"} for name in tables]
        self.set_tags({"mlflow.loggedArtifacts": json.dumps(listed)})

    def log_file(self, file: Path) -> None:
        self._log("file", {}, [file])

    def log_folder(self, folder: Path, name: str) -> None:
        self._log("folder", {"name": name}, [folder])

    def log_model(self, file: Path, examples: Mapping[str, Any], output: Any) -> None:
        """The ONNX graph with a signature of named tensors (free batch size) and an input example."""
        with TemporaryDirectory() as folder:
            arrays = Path(folder) / "arrays.npz"
            np.savez(arrays, output, *examples.values())
            self._log("model", {"inputs": list(examples)}, [file, arrays])

    def end(self, status: str) -> None:
        self._next_try = 0.0
        flushed = self._flushed()
        ended = _answers(lambda: self._mlflow.end_run(status))  # in any case: MLflow then knows no active run
        if not (flushed and ended):
            self._unsent.add("end", {"status": status, "time": _milliseconds()})

    def _log(self, kind: str, content: dict[str, Any], files: Sequence[Path] = ()) -> None:
        if self._flushed():
            if _answers(lambda: _send(self._mlflow, self.id, kind, content, files)):
                return
            self._next_try = time.monotonic() + RETRY_S
        self._unsent.add(kind, content, files)

    def _flushed(self) -> bool:
        """Whether nothing waits to be sent, after another try where the last one is long enough ago."""
        if len(self._unsent) and time.monotonic() >= self._next_try:
            _flush(self._mlflow, self._unsent)
            self._next_try = time.monotonic() + RETRY_S
        return not len(self._unsent)

    def _is_logged(self, epoch: int, metric: str) -> bool:
        """Whether the store had the epoch when this run was continued."""
        if self._known_epochs is None:
            self._known_epochs = set()
            _answers(lambda: self._ask_epochs(metric))  # an epoch logged twice is better than a training lost
        return epoch in self._known_epochs

    def _ask_epochs(self, metric: str) -> None:
        history = self._mlflow.MlflowClient().get_metric_history(self.id, metric)
        self._known_epochs = {point.step for point in history}


@contextmanager
def run(
    experiment: str, name: str, run_id: str | None, tags: Mapping[str, str], parent: str | None = None
) -> Iterator[Run]:
    """Continue the run ``run_id``, or start one, below the open run ``parent`` where there is one.

    A run id that this store does not know, has deleted, or has in another experiment gives a run tagged ``restored`` with
    that id: the one there is, else a new one.
    """
    mlflow = connect(experiment)
    known = run_id if run_id is None or _is_live(mlflow, run_id, experiment) else _stand_in(mlflow, run_id)
    restored = {"restored": run_id} if run_id is not None and known is None else {}
    active = mlflow.start_run(run_id=known, run_name=name, nested=parent is not None, parent_run_id=parent)
    opened = Run(mlflow, active.info.run_id, bool(restored), continued=known is not None)
    status = "FAILED"
    try:
        opened.set_tags({**tags, **restored})
        yield opened
        status = "FINISHED"
    finally:
        opened.end(status)


def sync() -> tuple[int, int]:
    """Send what earlier runs could not; how many entries were sent, and how many still wait."""
    import mlflow

    mlflow.set_tracking_uri(uri())
    waiting = boxes(_unsent())
    before = sum(map(len, waiting))
    for box in waiting:
        _flush(mlflow, box)
    left = sum(map(len, waiting))
    return before - left, left


def _unsent() -> Path:
    return paths.cache() / "unsent"


def _flush(mlflow: Any, box: Outbox) -> None:
    """Send the entries in order, up to the first that the server does not answer."""
    _unsent().mkdir(parents=True, exist_ok=True)
    with FileLock(_unsent().with_suffix(".lock")):
        for entry in box.entries():
            try:
                answered = _answers(
                    lambda: _send(mlflow, box.receiver, entry.kind, entry.content, entry.files)  # noqa: B023
                )
            except mlflow.exceptions.MlflowException as error:
                # the server answered: it will not take this entry later either, as of a run deleted since
                log.warning("MLflow refuses a %s of run %s, dropped: %s", entry.kind, box.receiver, error)
                answered = True
            if not answered:
                return
            box.remove(entry)


def _answers(call: Callable[[], object]) -> bool:
    """Make a call to the store; False, with a warning, where the store does not answer."""
    import requests
    from mlflow.exceptions import MlflowException

    try:
        call()
    except (MlflowException, requests.RequestException) as error:
        if isinstance(error, MlflowException) and error.error_code not in OUTAGES:
            raise
        log.warning(
            "MLflow at %s does not answer. What it misses is kept; the next stage sends it, or `soundtrack sync`. (%s)",
            uri(),
            str(error).splitlines()[0],
        )
        return False
    return True


def _send(mlflow: Any, run_id: str, kind: str, content: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Log one thing to a run. To send it twice is to send it once: points carry their time, the rest is replaced."""
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
    from mlflow.models import infer_signature

    if _has_model(mlflow, run_id):
        return
    active = mlflow.active_run()
    if active is None or active.info.run_id != run_id:
        with mlflow.start_run(run_id=run_id, nested=True):
            _send_model(mlflow, run_id, inputs, file, arrays)
        return
    with np.load(arrays) as stored:
        output, *values = (stored[name] for name in stored.files)
    examples = dict(zip(inputs, values, strict=True))
    mlflow.onnx.log_model(
        onnx.load(str(file)),
        name="model",
        signature=_free_batch(infer_signature(examples, output)),
        input_example=examples,
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=[f"{name}=={version(name)}" for name in ("onnx", "onnxruntime", "numpy")],
    )


def _has_model(mlflow: Any, run_id: str) -> bool:
    client = mlflow.MlflowClient()
    outputs = client.get_run(run_id).outputs
    models = [client.get_logged_model(item.model_id) for item in (outputs.model_outputs if outputs else [])]
    return any(model.status == "READY" for model in models)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _is_live(mlflow: Any, run_id: str, experiment: str) -> bool:
    try:
        info = mlflow.get_run(run_id).info
        here = mlflow.get_experiment_by_name(experiment).experiment_id
        return bool(info.lifecycle_stage == "active" and info.experiment_id == here)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def _stand_in(mlflow: Any, run_id: str) -> str | None:
    """The run already made in place of one that this store does not know."""
    found = mlflow.search_runs(filter_string=f"tags.restored = '{run_id}'", output_format="list")
    return found[0].info.run_id if found else None


def _free_batch(signature: Any) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def freed(schema: Any) -> Any:
        return Schema([TensorSpec(spec.type, (-1, *spec.shape[1:]), spec.name) for spec in schema])

    return ModelSignature(freed(signature.inputs), freed(signature.outputs))


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params as MLflow's flat ones: ``model.hidden``, ``training.augment.gain_db``."""
    result: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def lineage(source: str) -> dict[str, str]:
    """Tags that say what a run was made from: git commit, DVC's md5 of data and features, library versions."""
    tags = {f"version.{name}": version(name) for name in LIBRARIES}
    tags |= {"python": platform.python_version(), "data.source": source}
    tags |= {f"dvc.{path}": md5 for path, md5 in _tracked_data().items()}
    if "DVC_EXP_NAME" in os.environ:
        tags["dvc.exp"] = os.environ["DVC_EXP_NAME"]
    commit = git("rev-parse", "HEAD")
    if commit:
        tags |= {"git.commit": commit, "git.dirty": str(is_dirty()).lower()}
    return tags


WRITTEN = ("**/dvc.lock", "**/metrics/*", "**/metrics.json", "lessons/*/*.png")
"""What the pipelines themselves write into the checkout for a person to commit: each run would call the next one dirty."""
CODE = (".py", ".yaml", ".j2", ".dvc")
"""Of files that git does not know yet, those that can decide a result: the rest are a person's notes and lists."""


def is_dirty() -> bool:
    """Whether the checkout holds anything that can decide a result and is not in the commit."""
    excluded = [f":(top,exclude,glob){pattern}" for pattern in WRITTEN]
    listed = git("status", "--porcelain", "--untracked-files=all", "--", ":/", *excluded)
    changed = [line for line in listed.splitlines() if not line.startswith("??")]
    unknown = [line for line in listed.splitlines() if line.startswith("??")]
    return bool(changed) or any(line.strip('"').endswith(CODE) for line in unknown)


def _tracked_data() -> dict[str, str]:
    """md5 by path, as dvc.lock has them, of the data and feature outputs; and of the imported music."""
    found: dict[str, str] = {}
    if paths.LOCK.exists():
        stages = _yaml(paths.LOCK).get("stages", {})
        for stage in stages.values():
            for out in stage.get("outs", []):
                place = Path(out["path"])
                if place.parts[0] in ("data", "features") and place.parent not in (paths.CODE, paths.INPUTS):
                    found[out["path"]] = out["md5"]
    pointer = paths.MUSIC.with_suffix(".dvc")
    if pointer.exists():
        found[paths.MUSIC.as_posix()] = _yaml(pointer)["outs"][0]["md5"]
    return found


def _yaml(file: Path) -> dict[str, Any]:
    # libyaml's loader, where there is one, takes a tenth of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), loader) or {}


def git(*arguments: str) -> str:
    """What git answers; empty where this is no git checkout or git is missing."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
