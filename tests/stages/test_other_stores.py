"""Stages whose store is half usable, changes between an interruption and the next try, or is another program's too."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from running import evaluate, train

from pipeline import cli, tracking
from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.tracking.queue import queues

Setup = Callable[..., None]


def trained(key: str) -> str:
    return str(read_json(paths.MODELS / key / paths.RUN)["run_id"])


def test_an_artifact_store_that_cannot_be_written_costs_nothing(
    setup: Setup,
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    setup()
    place = checkout.parent / "artifacts"
    place.touch()  # a file, below which nobody can make a folder
    client = mlflow.MlflowClient(tracking.uri())
    client.create_experiment(checkout.parent.name, artifact_location=f"{place.as_uri()}/of/it")
    with caplog.at_level(logging.WARNING):
        train("mlp")
        evaluate("mlp")
    assert (paths.MODELS / "mlp").is_dir()
    assert (paths.EVALUATION / "mlp").is_dir()
    assert "the artifact store of the MLflow database" in caplog.text
    before = client.get_run(trained("mlp"))
    assert before.info.status == "FINISHED", "what is no artifact is there at once"
    assert {"test/macro_f1", "valid/loss"} <= before.data.metrics.keys()
    monkeypatch.setattr(sys, "argv", ["soundtrack", "sync"])
    with pytest.raises(SystemExit, match=r"(?s)still wait.*the artifact store of .* cannot be used"):
        cli.main()

    place.unlink()
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert " sent to the MLflow database" in capsys.readouterr().out
    assert queues() == []
    run = client.get_run(trained("mlp"))
    assert run.info == before.info, "it keeps the end of its training"
    assert {"confusion.png", "curves.png", "mlp.html"} <= {file.path for file in client.list_artifacts(run.info.run_id)}
    (model,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'")
    assert model.status == "READY"
    assert mlflow.pyfunc.load_model(model.model_uri).metadata.signature is not None


def test_a_training_that_goes_on_with_another_store_logs_its_earlier_epochs_there(
    setup: Setup, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup()

    def stopped(self: tracking.Run, epoch: int, values: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        logged(self, epoch, values)

    logged = tracking.Run.log_epoch
    with monkeypatch.context() as interrupted:
        interrupted.setattr(tracking.Run, "log_epoch", stopped)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train("mlp")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout}/other.db")
    train("mlp")
    client = mlflow.MlflowClient(tracking.uri())
    history = client.get_metric_history(trained("mlp"), "valid/loss")
    assert sorted(point.step for point in history) == [0, 1, 2]
    assert "restored" in client.get_run(trained("mlp")).data.tags


def test_the_run_of_another_program_stays_its_own(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup()
    client = mlflow.MlflowClient(tracking.uri())
    theirs = client.create_run(client.create_experiment("theirs"), run_name="nightly").info.run_id
    before = client.get_run(theirs)
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs)
    train("logreg")
    after = client.get_run(theirs)
    assert (after.info, after.data.params, after.data.tags) == (before.info, before.data.params, before.data.tags)
    assert client.get_run(trained("logreg")).info.run_name == "logreg"


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7", "SLURM_PROCID": "2", "SLURM_LOCALID": "2", "SLURM_NNODES": "2"},
        {"SLURM_NTASKS": "4"},
        {"TORCHELASTIC_RUN_ID": "x", "RANK": "2", "LOCAL_RANK": "2", "WORLD_SIZE": "4", "GROUP_RANK": "0"},
        {"LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_RANK": "1"},
    ],
)
def test_a_training_is_one_process_whatever_the_cluster_says(
    variables: dict[str, str], setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    train("mlp")
    assert (paths.HISTORY / "mlp.csv").exists()
