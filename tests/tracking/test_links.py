"""Links to MLflow's pages."""

from pathlib import Path

import mlflow
import pytest

from pipeline.tracking import links


def test_pages_of_the_store_of_this_machine_are_where_make_ui_serves_them(
    tracking_store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_store)
    address = links.run_page(tmp_path.name, "abc")
    number = mlflow.get_experiment_by_name(tmp_path.name).experiment_id
    assert address == f"http://127.0.0.1:5000/#/experiments/{number}/runs/abc"


def test_pages_of_a_server_are_on_that_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:8080/")
    assert links.version_page("my model", "3") == "http://mlflow.example:8080/#/models/my%20model/versions/3"
