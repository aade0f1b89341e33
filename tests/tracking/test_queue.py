"""What waits belongs to the server that it was meant for, and is dropped for a run that was deleted there alone."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
from tracking_servers import FAULTS, Proxy, Server, proxy

from pipeline import cli, tracking
from pipeline.base.files import read_json, write_json
from pipeline.tracking.queue import CONTENT, Queue, queues

EXPERIMENT = "music"
Sync = Callable[[], tuple[object, str]]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("server"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
        found.start()
        yield found
        found.stop()


@pytest.fixture
def server(upstream: Server, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:  # noqa: ARG001
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with proxy(upstream.address) as between:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", between.address)
        yield between


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sync:
    """``soundtrack sync``: its exit code, and what it said."""

    def run() -> tuple[object, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["soundtrack", "sync"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        return (1, str(code)) if isinstance(code, str) else (code, capsys.readouterr().out)

    return run


def miss(server: Proxy, name: str) -> str:
    """A run whose end, tags and metric wait, since the server went away."""
    with tracking.run(EXPERIMENT, name, None, {}) as run:
        server.fail(FAULTS["refused"])
        run.set_tags({"precision": "32-true"})
        run.log_metrics({"test_macro_f1": 0.5})
    server.heal()
    return run.id


def test_nothing_is_lost_by_a_wrong_password_nor_without_an_address(
    server: Proxy, sync: Sync, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missed = miss(server, "cnn")
    for way, said in (("401", "wants a user name and a password"), ("404 HTML", "is a web server, but no MLflow")):
        server.fail(FAULTS[way])
        code, text = sync()
        assert code == 1
        assert text.startswith("error: 3 entries still wait.\n")
        assert f"the MLflow server {server.address} {said}" in text
    server.heal()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    caplog.clear()
    with tracking.run(EXPERIMENT, "local", None, {}):
        pass
    assert not caplog.records, "that store is not asked"
    assert len(Queue(missed)) == 3, "a stage that logs elsewhere leaves it alone"
    assert sync() == (0, f"3 entries sent to the MLflow server {server.address}.\n")
    found = mlflow.MlflowClient(server.address).get_run(missed)
    assert (found.info.status, found.data.metrics["test/macro_f1"]) == ("FINISHED", 0.5)
    assert queues() == []
    assert sync() == (0, "No entry waits.\n")


def test_what_waits_for_a_deleted_run_is_dropped_and_counted_apart(server: Proxy, sync: Sync) -> None:
    client = tracking.connect(EXPERIMENT).MlflowClient()
    number = client.get_experiment_by_name(EXPERIMENT).experiment_id
    deleted, kept = (client.create_run(number).info.run_id for _ in range(2))
    for run_id in (deleted, kept):
        for place in range(3):
            Queue(run_id).add("batch", {"metrics": [("test/macro_f1", 0.5, 0, place)]})
    client.delete_run(deleted)
    unknown = Queue("0123456789abcdef" * 2)
    unknown.add("batch", {"tags": {"by": "nobody"}})
    code, text = sync()
    first, sent, dropped, reason = text.splitlines()
    assert (code, first) == (1, "error: 1 entry still waits.")
    assert sent == f"3 entries sent to the MLflow server {server.address}."
    assert dropped == "3 entries dropped, of runs that were deleted there."
    assert f"does not know run {unknown.run_id}: is it another database than before?" in reason
    assert [queue.run_id for queue in queues()] == [unknown.run_id]
    assert client.get_run(kept).data.metrics["test/macro_f1"] == 0.5


def test_an_entry_that_is_refused_stays_and_stops_no_other(server: Proxy, sync: Sync) -> None:
    with tracking.run(EXPERIMENT, "cnn", None, {}) as run:
        run.log_params({"seed": 7})
        run.log_params({"seed": 8})  # MLflow lets no param change
        run.log_metrics({"test_macro_f1": 0.5})
    found = mlflow.MlflowClient(server.address).get_run(run.id)
    assert (found.info.status, found.data.metrics["test/macro_f1"]) == ("FINISHED", 0.5)
    code, text = sync()
    assert code == 1
    assert "1 entry still waits" in text
    assert "refused a request" in text


def test_a_password_in_the_address_is_used_and_not_kept(
    server: Proxy, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address.replace("//", "//me:secret@"))
    missed = miss(server, "cnn")
    assert not [file for file in Queue(missed).folder.rglob("*.json") if "secret" in file.read_text()]
    assert sync() == (0, f"3 entries sent to the MLflow server {server.address}.\n")


def test_what_an_earlier_version_left_goes_to_the_server_that_knows_the_run(
    server: Proxy, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = miss(server, "cnn")
    for file in Queue(missed).folder.rglob(CONTENT):
        write_json(file, {key: value for key, value in read_json(file).items() if key != "server"})
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("MLFLOW_TRACKING_URI")
        tracking.connect(EXPERIMENT)
        assert sync()[0] == 1
    assert len(Queue(missed)) == 3
    assert sync()[0] == 0
    assert mlflow.MlflowClient(server.address).get_run(missed).info.status == "FINISHED"
