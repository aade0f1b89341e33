"""Links to MLflow's pages."""

import shutil
from pathlib import Path

import pytest

from pipeline import tracking
from pipeline.tracking import links


def test_pages_of_the_store_of_this_machine_are_where_make_ui_serves_them(
    checkout: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, checkout / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout / 'mlflow.db'}")
    mlflow = tracking.connect("mine")
    address = links.run_page("mine", "abc")
    number = mlflow.get_experiment_by_name("mine").experiment_id
    assert address == f"http://127.0.0.1:5000/#/experiments/{number}/runs/abc"


def test_pages_of_a_server_are_on_that_server_and_tell_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example:8080/")
    assert links.version_page("my model", "3") == "https://mlflow.example:8080/#/models/my%20model/versions/3"
