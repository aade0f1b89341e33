"""MLflow runs: begin, continue, log to them.

DVC's outputs are the truth; a run shows them for comparison. So a run that is lost, or unknown to the store at
hand (a fresh clone after ``dvc pull``), is made anew from the files and tagged ``restored``.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock

from pipeline.base import paths
from pipeline.tracking import store
from pipeline.tracking.store import Queue, TrackingError

RETRY_S = 30.0
"""Seconds until a server that did not answer is asked again."""
LARGEST_BATCH = 1000
"""Metrics that MLflow takes in one request."""
PARTS = ("train", "valid", "test")
KIND = "kind"
"""Tag that says what a run is: EXPERIMENT, trial, comparison, parent, leak, sweep, sweep trial, tutorial."""
EXPERIMENT = "experiment"
"""The run of a whole experiment of params.yaml, which the saved view shows."""
NOTE = "mlflow.note.content"
"""Tag with a description in Markdown, of a run or an experiment."""


def connect(experiment: str) -> Any:
    """The module mlflow, with the store and the experiment set (created when missing) and queued entries sent.

    Raises:
        TrackingError: the server does not answer.
    """
    import mlflow

    address = store.uri()
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of each table that it makes
    mlflow.set_tracking_uri(address)

    def prepare() -> None:
        if mlflow.get_experiment_by_name(experiment) is None:
            local = address.startswith("sqlite:///")
            place = (paths.home() / "mlartifacts").as_uri() if local else None
            mlflow.create_experiment(experiment, artifact_location=place)
        mlflow.set_experiment(experiment)

    # processes that open a new database together can leave it unusable
    with FileLock(_lock()):
        if not store.answers(prepare):
            raise TrackingError(
                f"the MLflow server {address} does not answer: start it, or unset MLFLOW_TRACKING_URI to log to "
                f"mlflow.db in the checkout"
            )
    for queue in store.queues():
        queue.send(mlflow)
    return mlflow


class Run:
    """An open MLflow run.

    Entries are sent at once. While the server does not answer they are queued on disk, and sent as soon as it is
    back: by this stage, by the next one, or by :func:`pipeline.tracking.sync`.
    """

    def __init__(self, mlflow: Any, info: Any, known: Any, restored: bool) -> None:
        """``info`` is MLflow's of the run, ``known`` that from before it was continued; None for a new one."""
        self._mlflow = mlflow
        self.id: str = info.run_id
        self.new = known is None
        self.restored = restored
        """A new run for one that the store does not know; its entries are to be logged again, from files."""
        self._start: int = info.start_time
        # a run that is continued by evaluation keeps the end of its training, and with it its duration
        self._end: int | None = known.end_time if known is not None and known.status == "FINISHED" else None
        self._known_epochs: set[int] | None = set() if self.new else None
        self._queue = Queue(self.id)
        self._last_try = -math.inf

    def set_tags(self, values: Mapping[str, str]) -> None:
        self._log("batch", {"tags": dict(values)})

    def log_params(self, values: Mapping[str, Any]) -> None:
        self._log("batch", {"params": {key: str(value) for key, value in values.items()}})

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        # MLflow's compare page draws the first metric that all runs have
        order = sorted(values, key=lambda name: not name.endswith("macro_f1"))
        points = [(metric_name(name), float(values[name]), _milliseconds(), step) for name in order]
        self._log("batch", {"metrics": points})

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """One point of each curve, unless the run had that epoch when it was continued."""
        if self._known_epochs is None:
            known = self._known_epochs = set[int]()

            def ask() -> None:
                history = self._mlflow.MlflowClient().get_metric_history(self.id, metric_name(next(iter(values))))
                known.update(point.step for point in history)

            store.answers(ask)  # an epoch logged twice is better than a training lost
        if epoch not in self._known_epochs:
            self.log_metrics(values, step=epoch)

    def log_history(self, rows: Sequence[Mapping[str, float]]) -> None:
        """All points of all curves at once; the ``epoch`` of each row is the step."""
        now = _milliseconds()
        points = [
            (metric_name(key), float(value), now, int(row["epoch"]))
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

    def log_dataset(self, name: str, digest: str, source: str, profile: Mapping[str, Any]) -> None:
        """What the run was trained on, without its content; ``digest`` has at most 36 characters."""
        content = {
            "name": name,
            "digest": digest,
            "source": json.dumps({"uri": source}),
            "profile": json.dumps(profile),
        }
        self._log("dataset", content)

    def log_model(self, name: str, file: Path, examples: Mapping[str, Any], output: Any) -> None:
        """The ONNX graph with a signature of named tensors (free batch size) and an input example."""
        with TemporaryDirectory() as folder:
            arrays = Path(folder) / "arrays.npz"
            np.savez(arrays, output, *examples.values())
            self._log("model", {"name": name, "inputs": list(examples)}, [file, arrays])

    def took(self, seconds: float) -> None:
        """Set the run's duration, which is otherwise the time that it was open."""
        self._end = self._start + round(1000 * seconds)

    def end(self, status: str) -> None:
        self._last_try = -math.inf
        flushed = self._flushed()
        # also when queued: MLflow must not take it for active
        ended = store.answers(lambda: self._mlflow.end_run(status))
        entry = {"status": status, "time": self._end or _milliseconds()}
        if not (flushed and ended):
            self._queue.add("end", entry)
        elif self._end:
            self._log("end", entry)

    def _log(self, kind: str, content: dict[str, Any], files: Sequence[Path] = ()) -> None:
        if self._flushed():
            if store.answers(lambda: store.send(self._mlflow, self.id, kind, content, files)):
                return
            self._last_try = time.monotonic()
        self._queue.add(kind, content, files)

    def _flushed(self) -> bool:
        """Whether the queue is empty, after another try if the last one is RETRY_S ago."""
        if len(self._queue) and time.monotonic() >= self._last_try + RETRY_S:
            self._queue.send(self._mlflow)
            self._last_try = time.monotonic()
        return not len(self._queue)


@contextmanager
def run(
    experiment: str,
    name: str,
    run_id: str | None,
    tags: Mapping[str, str],
    parent: str | None = None,
    about: str | None = None,
) -> Iterator[Run]:
    """Continue the run ``run_id``, or start one, below the run ``parent`` where there is one.

    A run id that this store does not know, has deleted, or has in another experiment gives a run tagged ``restored`` with
    that id: the one there is, else a new one. ``about`` describes a new run, in Markdown.
    """
    mlflow = connect(experiment)
    known = None if run_id is None else _known(mlflow, run_id, experiment)
    restored = {"restored": run_id} if run_id is not None and known is None else {}
    if known:
        active = mlflow.start_run(known.run_id, nested=parent is not None)
    else:
        active = mlflow.start_run(run_name=name, nested=parent is not None, parent_run_id=parent)
    opened = Run(mlflow, active.info, known, bool(restored))
    status = "FAILED"
    try:
        note = {NOTE: about} if about and opened.new else {}  # a person may have changed that of a known one
        opened.set_tags({**tags, **restored, **note})
        yield opened
        status = "FINISHED"
    finally:
        opened.end(status)


def parent(experiment: str, name: str, about: str) -> str:
    """The run of this name that only holds other runs; made when missing.

    Raises:
        TrackingError: the server does not answer.
    """
    client = connect(experiment).MlflowClient()
    number = client.get_experiment_by_name(experiment).experiment_id
    with FileLock(_lock()):  # stages run side by side
        found = client.search_runs([number], f"tags.{KIND} = 'parent' and attributes.run_name = '{name}'")
        if found:
            return str(found[0].info.run_id)
        made = client.create_run(number, tags={KIND: "parent", NOTE: about}, run_name=name)
        client.set_terminated(made.info.run_id)
        return str(made.info.run_id)


def _lock() -> Path:
    lock = paths.cache() / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return lock


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


def _known(mlflow: Any, run_id: str, experiment: str) -> Any:
    """MLflow's info of the run, if this store has it in this experiment; else of the one that was made anew for it."""
    try:
        info = mlflow.get_run(run_id).info
        here = mlflow.get_experiment_by_name(experiment).experiment_id
        if info.lifecycle_stage == "active" and info.experiment_id == here:
            return info
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    found = mlflow.search_runs(filter_string=f"tags.restored = '{run_id}'", output_format="list")
    return found[0].info if found else None


def metric_name(name: str) -> str:
    """MLflow's for a score: ``valid/macro_f1`` for ``valid_macro_f1``. Its pages group metrics by what precedes a slash."""
    part, _, score = name.partition("_")
    return f"{part}/{score}" if part in PARTS and score else name


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params as MLflow's flat ones: ``model.hidden``, ``training.augment.gain_db``."""
    result: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result
