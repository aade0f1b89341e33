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
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock

from pipeline.base import paths
from pipeline.tracking import problems, queue, store
from pipeline.tracking.problems import Problem
from pipeline.tracking.queue import Queue
from pipeline.tracking.store import TrackingError

RETRY_S = 30.0
"""Seconds until a server that did not answer is asked again."""
LARGEST_BATCH = 1000
"""Metrics that MLflow takes in one request."""
PARTS = ("train", "valid", "expected", "test")
KIND = "kind"
"""Tag that says what a run is: EXPERIMENT, trial, comparison, parent, leak, sweep, sweep trial, tutorial."""
EXPERIMENT = "experiment"
"""The run of a whole experiment of params.yaml, which the saved view shows."""
NOTE = "mlflow.note.content"
"""Tag with a description in Markdown, of a run or an experiment."""
WRITER = "soundtrack"
"""Tag of an experiment: the version of this package that last wrote there."""
log = logging.getLogger(__name__)


def connect(experiment: str) -> Any:
    """The module mlflow, with the store and the experiment set (created when missing) and waiting entries sent.

    Raises:
        TrackingError: the store cannot be used, or not be written, or the experiment was deleted.
    """
    address = store.uri()
    mlflow = store.module()
    # processes that open a new database together can leave it unusable
    with FileLock(_lock()), store.required():
        _open(mlflow, experiment, address)
    found = queue.flush(mlflow, address)
    if found.problem:
        log.warning("%s. Log entries still wait: the next stage or `soundtrack sync` tries again.", found.problem)
    return mlflow


def _open(mlflow: Any, experiment: str, address: str) -> None:
    if file := problems.database_file(address):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()  # MLflow would try for minutes to make a file that cannot be made
    client = mlflow.MlflowClient()
    known = client.get_experiment_by_name(experiment)
    if known is None:
        place = (paths.home() / "mlartifacts").as_uri() if file else None
        number = client.create_experiment(experiment, artifact_location=place)
    elif known.name != experiment:
        raise TrackingError(f"{problems.named(address)} is a web server, but no MLflow: check MLFLOW_TRACKING_URI")
    elif known.lifecycle_stage != "active":
        raise TrackingError(
            f"the experiment {experiment} was deleted in MLflow: MLFLOW_TRACKING_URI={problems.shown(address)} mlflow "
            f"experiments restore --experiment-id {known.experiment_id} brings it back, or give `tracking.experiment` in "
            "params.yaml another name"
        )
    else:
        number = known.experiment_id
    mlflow.set_experiment(experiment_id=number)
    # who may only read is told before the work, and so is who has a server that is older than logged models
    client.set_experiment_tag(number, WRITER, version("soundtrack"))
    client.search_logged_models([number], max_results=1)


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
        self._queue, self._address = Queue(self.id), store.uri()
        self._is_away, self._last_try = False, -math.inf
        self._told: set[str] = set()

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

            # an epoch logged twice is better than a training lost
            store.attempt(ask, store.uri(), "batch")
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
        self._answers()
        # in any case: MLflow must not take the run for active
        if problem := store.attempt(lambda: self._mlflow.end_run(status), self._address, "end"):
            self._missed(problem)
        entry = {"status": status, "time": self._end or _milliseconds()}
        if problem or self._is_away:
            self._queue.add("end", entry)
        elif self._end:
            self._log("end", entry)

    def _log(self, kind: str, content: dict[str, Any], files: Sequence[Path] = ()) -> None:
        if self._answers():
            call = partial(store.send, self._mlflow, self.id, kind, content, files)
            if (problem := store.attempt(call, self._address, kind)) is None:
                return
            self._missed(problem)
        self._queue.add(kind, content, files)

    def _missed(self, problem: Problem) -> None:
        self._is_away = not problem.of_entry
        self._last_try = time.monotonic()
        if problem.what not in self._told:
            log.warning("%s (%s). Log entries wait: the next stage or `soundtrack sync` sends them.", *problem[:2])
            self._told.add(problem.what)

    def _answers(self) -> bool:
        """Whether the store answered last time, after another try if that is RETRY_S ago."""
        if self._is_away and time.monotonic() >= self._last_try + RETRY_S:
            self._is_away = self._queue.send(self._mlflow, self._address).is_stopped
            self._last_try = time.monotonic()
        return not self._is_away


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
    with store.required():
        known = None if run_id is None else _known(mlflow, run_id, experiment)
        if known:
            active = mlflow.start_run(known.info.run_id, nested=parent is not None)
        else:
            active = mlflow.start_run(run_name=name, nested=parent is not None, parent_run_id=parent)
    restored = {"restored": run_id} if run_id is not None and known is None else {}
    # made anew for another's registration, or before a kill: nothing was logged to it yet
    is_bare = known is not None and known.info.run_id != run_id and not known.data.params
    opened = Run(mlflow, active.info, known.info if known else None, bool(restored) or is_bare)
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
        TrackingError: the store cannot be used.
    """
    client = connect(experiment).MlflowClient()
    with FileLock(_lock()), store.required():  # stages run side by side
        number = client.get_experiment_by_name(experiment).experiment_id
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
    """The run, if this store has it in this experiment; else the one that was made anew for it."""
    try:
        known = mlflow.get_run(run_id)
        here = mlflow.get_experiment_by_name(experiment).experiment_id
        if known.info.lifecycle_stage == "active" and known.info.experiment_id == here:
            return known
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    found = mlflow.search_runs(filter_string=f"tags.restored = '{run_id}'", output_format="list")
    return found[0] if found else None


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
