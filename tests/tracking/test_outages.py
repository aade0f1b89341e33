"""A tracking server that stops costs nothing: its entries are queued and sent once, when it is back."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import onnx.parser
import pandas as pd
import pytest
import running
from mlflow.exceptions import MlflowException
from processes import PATIENCE_S, free_port
from tracking_servers import Server

from pipeline import cli, tracking
from pipeline.base import paths
from pipeline.models.exported import Exported
from pipeline.tracking import TrackingError, runs, store
from pipeline.tracking.queue import Queue, queues

EXPERIMENT = "music"
DOUBLED = """
<ir_version: 10, opset_import: ["": 18]>
doubled (float[batch, 4] tabular) => (float[batch, 4] probabilities) { probabilities = Add (tabular, tabular) }
"""


@pytest.fixture
def server(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checkout: Path,  # noqa: ARG001
    empty_store: Path,
) -> Iterator[Server]:
    shutil.copy(empty_store, tmp_path / "server.db")
    found = Server(tmp_path)
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # which takes eight processes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", found.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{PATIENCE_S:.0f}")
    found.start()
    yield found
    found.stop()


class Outage:
    """In place of ``store.send``: while it is on, the store does not answer."""

    def __init__(self) -> None:
        self.on = False
        self.send = store.send

    def __call__(self, *arguments: Any) -> None:
        if self.on:
            raise MlflowException("API request failed: connection refused")
        self.send(*arguments)


@pytest.fixture
def outage(checkout: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Outage:
    shutil.copy(empty_store, checkout)
    found = Outage()
    monkeypatch.setattr(store, "send", found)
    return found


def points(run_id: str, metric: str) -> list[tuple[int, float]]:
    history = mlflow.MlflowClient().get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in history)


def models_of(run_id: str) -> list[Any]:
    client = mlflow.MlflowClient()
    outputs = client.get_run(run_id).outputs
    return [client.get_logged_model(item.model_id) for item in (outputs.model_outputs if outputs else [])]


def test_what_a_stopped_server_missed_is_sent_once(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model(DOUBLED), str(file))
    inputs = {"tabular": np.ones((2, 4), np.float32)}
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "curves.png").write_bytes(b"png")
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        run.log_params({"seed": 7})
        run.log_epoch(0, {"valid_loss": 1.0})
        server.stop()
        run.log_epoch(1, {"valid_loss": 0.5})
        run.log_epoch(2, {"valid_loss": 0.25})
        run.set_tags({"precision": "32-true"})
        run.log_dataset("starter", "c17588b1", "data/audio", {"num_rows": 400})
        run.took(90.0)
        run.log_tables({"per_class.json": pd.DataFrame({"label": ["jazz"], "f1": [0.5]})})
        run.log_folder(tmp_path / "figures", "figures")
        run.log_model("cnn", file, inputs, Exported(file, threads=1)(list(inputs.values())))
    assert [queue.run_id for queue in queues()] == [run.id]
    with pytest.raises(TrackingError, match=rf"{server.address} does not answer.*MLFLOW_TRACKING_URI"):
        tracking.connect(EXPERIMENT)

    server.start()
    with tracking.run(EXPERIMENT, "the next stage", None, {}):
        assert queues() == []
    found = mlflow.get_run(run.id)
    assert (found.info.status, found.info.end_time - found.info.start_time) == ("FINISHED", 90_000)
    assert (found.data.params, found.data.tags["precision"]) == ({"seed": "7"}, "32-true")
    assert [one.dataset.name for one in found.inputs.dataset_inputs] == ["starter"]
    assert points(run.id, "valid/loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert {item.path for item in mlflow.MlflowClient().list_artifacts(run.id)} == {"per_class.json", "figures"}
    (model,) = models_of(run.id)
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    np.testing.assert_array_equal(loaded.predict(inputs)["probabilities"], 2 * inputs["tabular"])


def test_a_server_that_is_back_is_used_again(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RETRY_S", PATIENCE_S)
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        outage.on = True
        run.log_epoch(0, {"valid_loss": 1.0})
        outage.on = False
        run.log_epoch(1, {"valid_loss": 0.5})
        assert len(Queue(run.id)) == 2, "the server is not asked at each epoch"
        monkeypatch.setattr(runs, "RETRY_S", 0.0)
        run.log_epoch(2, {"valid_loss": 0.25})
        assert points(run.id, "valid/loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
        assert queues() == []
    assert mlflow.get_run(run.id).info.status == "FINISHED"


def test_frequent_epochs_do_not_put_off_the_next_try(outage: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RETRY_S", 1.0)
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        outage.on = True
        run.log_epoch(0, {"valid_loss": 1.0})
        outage.on = False
        for epoch in range(1, 11):
            time.sleep(0.2)
            run.log_epoch(epoch, {"valid_loss": 1.0})
        assert [step for step, _ in points(run.id, "valid/loss")] == list(range(11))
        assert queues() == []


def test_a_server_that_is_gone_when_training_continues_costs_nothing(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise MlflowException("API request failed: connection refused")

    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        run.log_epoch(0, {"valid_loss": 1.0})
    with tracking.run(EXPERIMENT, "cnn", run.id, {}) as again:
        outage.on = True
        monkeypatch.setattr(mlflow.MlflowClient, "get_metric_history", gone)
        again.log_epoch(1, {"valid_loss": 0.5})
        assert len(Queue(run.id)) == 1
        monkeypatch.undo()


def test_an_outage_that_ends_with_the_run_leaves_nothing(outage: Outage) -> None:
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        outage.on = True
        run.log_epoch(0, {"valid_loss": 1.0})
        outage.on = False
    assert points(run.id, "valid/loss") == [(0, 1.0)]
    assert queues() == []
    assert mlflow.get_run(run.id).info.status == "FINISHED"


@pytest.mark.usefixtures("outage")
def test_an_epoch_that_was_logged_is_not_logged_again() -> None:
    """A training that was killed between an epoch's log and its checkpoint comes by that epoch again."""
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        run.log_epoch(0, {"valid_loss": 1.0})
    with tracking.run(EXPERIMENT, "cnn", run.id, {}) as again:
        again.log_epoch(0, {"valid_loss": 1.0})
        again.log_epoch(1, {"valid_loss": 0.5})
    assert points(run.id, "valid/loss") == [(0, 1.0), (1, 0.5)]


def test_the_command_sends_what_is_queued_and_says_what_is_not_sent(
    outage: Outage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["soundtrack", "sync"])
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        outage.on = True
        run.log_epoch(0, {"valid_loss": 1.0})
    with pytest.raises(SystemExit, match=r"error: 2 entries still wait\.\nthe MLflow database .*connection refused"):
        cli.main()
    outage.on = False
    for _ in range(2):
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    database = tracking.uri().removeprefix("sqlite:///")
    assert capsys.readouterr().out.splitlines() == [
        f"2 entries sent to the MLflow database {database}.",
        "No entry waits.",
    ]
    assert points(run.id, "valid/loss") == [(0, 1.0)]
    assert queues() == []


@pytest.mark.usefixtures("checkout")
def test_entries_keep_their_order_and_files(tmp_path: Path) -> None:
    queue = Queue("run")
    (tmp_path / "a.txt").write_text("a")
    queue.add("file", {"number": 0}, [tmp_path / "a.txt"])
    (tmp_path / "a.txt").unlink()
    for number in range(1, 12):
        queue.add("batch", {"number": number})
    (queue.folder / f".{12:06}.partial").mkdir()  # a process was killed as it wrote
    entries = list(queue.entries())
    assert [entry.content["number"] for entry in entries] == list(range(12))
    assert entries[0].files[0].read_text() == "a"
    for entry in entries:
        queue.remove(entry)
    assert not queue.folder.exists()


@pytest.mark.parametrize("stage", ["evaluate", "leak", "compare"])
def test_a_stage_asks_for_its_server_before_its_work(
    stage: str, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of its inputs is here: it would fail over them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError):
        getattr(running, stage)(*([] if stage == "compare" else ["logreg"]))
    assert not (checkout / paths.EVALUATION).exists()
