"""What holds for each lesson: its stage depends on all code that it imports, and its params are checked."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import covers

from pipeline.config.base import ParamsError
from pipeline.config.check import check
from pipeline.workflow.dependencies import reached_from

ROOT = Path(__file__).parents[2]
LESSONS = ["activations", "neuron", "overfitting", "perceptron"]


def stages(lesson: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "lessons" / lesson / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


def raw(lesson: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "lessons" / lesson / "params.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_stage_depends_on_all_its_params(lesson: str) -> None:
    assert sorted(stages(lesson)["run"]["params"]) == sorted(raw(lesson))


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_stage_depends_on_all_code_that_it_imports(lesson: str) -> None:
    folder = ROOT / "lessons" / lesson
    imported = reached_from(folder / f"{lesson}.py")
    covers(folder, stages(lesson)["run"]["deps"], imported, {ROOT / "pipeline/reports/templates"})


@pytest.mark.parametrize(
    "file",
    [ROOT / "tutorial/dvc.yaml", *sorted((ROOT / "lessons").glob("*/dvc.yaml"))],
    ids=lambda file: file.parent.name,
)
def test_what_has_a_dvc_yaml_is_a_project_of_its_own(file: Path) -> None:
    """In the root's project `dvc status`, `metrics` and `checkout` would miss what of it was never run."""
    assert (file.parent / ".dvc/config").read_text() == (ROOT / ".dvc/config").read_text()
    assert (file.parent / ".dvc/.gitignore").read_text() == (ROOT / ".dvc/.gitignore").read_text()


@pytest.mark.parametrize("file", sorted((ROOT / "lessons").glob("*/dvc.yaml")), ids=lambda file: file.parent.name)
def test_a_lesson_depends_on_code_through_links(file: Path) -> None:
    """DVC does not ignore __pycache__ outside a project, so that other runs would change what lies there."""
    assert (file.parent / ".pipeline").resolve() == ROOT / "pipeline"
    assert (file.parent / ".common").resolve() == ROOT / "lessons/common"
    assert "__pycache__/" in (file.parent / ".dvcignore").read_text().splitlines()
    stages = [stage.get("do", stage) for stage in yaml.safe_load(file.read_text())["stages"].values()]
    assert not [dep for stage in stages for dep in stage["deps"] if dep.startswith("..")]


@pytest.mark.parametrize("lesson", ["neuron", "perceptron"])
def test_a_lesson_that_trains_no_network_does_not_import_torch(lesson: str) -> None:
    """Which takes seconds."""
    command = f"import sys, lessons.{lesson}.{lesson}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("lesson", "change", "complaint"),
    [
        ("perceptron", {"treshold": 1.0}, "treshold: unknown key (did you mean 'threshold'?)"),
        ("perceptron", {"threshold": 99_900.0}, "threshold must lie between"),
        ("neuron", {"batches": {"learning_rate": 0.1, "epoch": 1, "sizes": [1]}}, "batches.epoch: unknown key"),
        ("neuron", {"epochs": "many"}, "epochs: Input should be a valid integer, got 'many'"),
        ("activations", {"activations": ["gelu"]}, "activations.0: Input should be 'linear'"),
        ("overfitting", {"degrees": [15]}, "15 points determine no degree above 14"),
    ],
)
def test_a_wrong_param_is_an_error_in_words(lesson: str, change: dict[str, Any], complaint: str) -> None:
    kind = importlib.import_module(f"lessons.{lesson}.{lesson}").Params
    check(raw(lesson), kind, "params.yaml")
    with pytest.raises(ParamsError) as caught:
        check(raw(lesson) | change, kind, "params.yaml")
    assert complaint in str(caught.value)


def test_an_error_ends_a_lesson_without_a_traceback(tmp_path: Path) -> None:
    script = ROOT / "lessons" / "neuron" / "neuron.py"
    (tmp_path / "params.yaml").write_text("seed: 7\n")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml has 8 problem(s):")
    assert "slope: Field required" in done.stderr
