"""A lesson run in a folder of its own, with few epochs, and what it leaves in MLflow."""

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml

from pipeline import tracking

LESSONS = Path(__file__).parents[2] / "lessons"
Ran = Callable[..., pd.DataFrame]


def merged(section: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """With these keys changed, and without those that are changed to None."""
    both = section | changes
    return {key: value for key, value in both.items() if key not in changes or value is not None}


@pytest.fixture(scope="session")
def lesson_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkout for the runs of all lessons: to make a database takes seconds."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def ran(lesson_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """``ran("neuron", epochs=3)``: runs the lesson with these params in the working folder, and gives its MLflow runs."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(lesson_store))
    monkeypatch.chdir(tmp_path)

    def run(name: str, **changes: Any) -> pd.DataFrame:
        content = yaml.safe_load((LESSONS / name / "params.yaml").read_text(encoding="utf-8"))
        for key, value in changes.items():
            content[key] = merged(content[key], value) if isinstance(value, dict) else value
        Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        importlib.import_module(f"lessons.{name}.{name}").main()
        tracking.connect(name)
        runs: pd.DataFrame = mlflow.search_runs(experiment_names=[name])
        return runs.set_index("tags.mlflow.runName")

    return run


@pytest.fixture
def leaves() -> Callable[[str, set[str]], None]:
    """``leaves("neuron", {"learning-rates", "batches"})``: checks the outputs that a lesson's dvc.yaml names."""

    def check(name: str, parts: set[str]) -> None:
        stages = yaml.safe_load((LESSONS / name / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        for out in [*stages["run"]["outs"], *stages["run"]["metrics"]]:
            assert Path(out if isinstance(out, str) else next(iter(out))).exists(), out
        files = {file.name for file in Path("results").iterdir()}
        assert files == {"report.html", *(f"{part}{end}" for part in parts for end in (".csv", ".png"))}
        page = Path("results/report.html").read_text(encoding="utf-8")
        assert page.count("<img") == page.count("<table") == len(parts)
        assert Path(f"{name}.png").stat().st_size < 150_000
        shutil.rmtree("results")

    return check
