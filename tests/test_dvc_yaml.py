"""DVC does not follow imports: dvc.yaml names the code of each stage, and no code that a stage does not need."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.data import Data
from pipeline.training.recipe import model_code
from pipeline.workflow.dependencies import reached

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SOURCES = Data.model_fields["source"].annotation.__args__  # type: ignore[union-attr]
BY_NAME = {
    "download": [f"pipeline.sources.{source.replace('-', '_')}" for source in SOURCES],
    "features": ["pipeline.features.sound", *(f"pipeline.features.{kind}" for kind in ("tabular", "wavelet", "fbank"))],
    "inputs": ["pipeline.models.multimodal", "pipeline.models.fusion"],
    "champion": ["pipeline.serving.pyfunc", "pipeline.features.wavelet"],
}
"""Modules that a stage picks by a name in params.yaml, or that MLflow loads: no import statement shows them."""
IMPORTS = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {pathlib.Path(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "pipeline"}
print(*(file.relative_to(pathlib.Path.cwd()).as_posix() for file in files), sep="\\n")
"""
KEY = """
from pipeline.config import load
from pipeline.features.compute import key
print(key("tabular", load().features))
"""


def block(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = STAGES[stage].get("do", STAGES[stage])
    return found


def code_of(stage: str) -> set[Path]:
    return reached(f"pipeline.stages.{stage}", *BY_NAME.get(stage, []))


def declared(stage: str) -> list[Path]:
    return [Path(dep) for dep in block(stage)["deps"] if dep.startswith("pipeline/")]


def is_docstring(file: Path) -> bool:
    """As most ``__init__.py`` are."""
    return len(ast.parse((ROOT / file).read_text()).body) <= 1


def is_covered(file: Path, deps: list[Path]) -> bool:
    return any(dep == file or dep in file.parents for dep in deps)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_all_code_that_it_runs(stage: str) -> None:
    # of models, data/inputs/<experiment>.json holds what an experiment uses
    by_inputs = [Path("pipeline/models")] if stage in ("train", "leak") else []
    deps = [*declared(stage), *by_inputs]
    missing = [str(file) for file in code_of(stage) if not (is_covered(file, deps) or is_docstring(file))]
    assert missing == [], f"add to {stage}.deps"


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_depends_on_no_code_that_it_does_not_run(stage: str) -> None:
    used = code_of(stage)
    unused = [dep for dep in declared(stage) if not any(is_covered(file, [dep]) for file in used)]
    assert unused == [], f"take it out of {stage}.deps"
    assert all((ROOT / dep).exists() for dep in declared(stage))


@pytest.mark.parametrize("stage", ["train", "evaluate", "leak", "compare", "champion"])
@pytest.mark.parametrize("new", ["pipeline/sources/mine.py", "pipeline/models/mine.py"])
def test_a_new_source_or_model_makes_no_experiment_run_again(stage: str, new: str) -> None:
    assert not is_covered(Path(new), declared(stage))


def test_a_new_feature_makes_no_training_run_again() -> None:
    assert not is_covered(Path("pipeline/features/mine.py"), [*declared("train"), *declared("evaluate")])


@pytest.mark.parametrize("stage", ["download", "features", "split"])
def test_what_python_loads_is_what_reading_the_imports_finds(stage: str) -> None:
    names = [f"pipeline.stages.{stage}", *BY_NAME.get(stage, [])]
    done = subprocess.run([sys.executable, "-c", IMPORTS, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {file.as_posix() for file in code_of(stage)}


def test_inputs_follow_the_code_of_the_model() -> None:
    listed = set(model_code("multimodal"))
    assert {f"pipeline/models/{name}.py" for name in ("multimodal", "cnn", "layers", "exported")} <= listed
    assert not listed & {f"pipeline/models/{name}.py" for name in ("mlp", "transfer", "logreg")}


def test_imports_are_followed_through_functions_packages_and_chains() -> None:
    assert Path("pipeline/sources/importing/act.py") in reached("pipeline.cli")  # imported inside a function
    assert Path("pipeline/config/load.py") in reached("pipeline.sweeps.command")  # from pipeline import config
    assert Path("pipeline/base/files.py") in reached("pipeline.stages.split")  # through data/clips.py


def key(checkout: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", KEY],
        cwd=checkout,
        env={"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_that_was_moved_still_decides_what_is_made_again(tmp_path: Path) -> None:
    """A file that tabular features are computed with is moved, and then changed at its new place."""
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "params.yaml", tmp_path)
    features = tmp_path / "pipeline/features"
    (features / "deeper").mkdir()
    before = key(tmp_path)
    (features / "median.py").rename(features / "deeper/running.py")
    for file in (tmp_path / "pipeline").rglob("*.py"):
        text = file.read_text()
        file.write_text(text.replace("pipeline.features.median", "pipeline.features.deeper.running"))
    moved = key(tmp_path)
    with (features / "deeper/running.py").open("a") as stream:
        stream.write("# changed\n")
    assert len({before, moved, key(tmp_path)}) == 3


def test_the_code_of_one_kind_of_feature_decides_nothing_of_another() -> None:
    own = reached("pipeline.features.extract", "pipeline.features.sound", "pipeline.features.spectrogram")
    names = {Path(file).name for file in own}
    assert {"spectrogram.py", "mel.py"} <= names
    assert not {"tabular.py", "median.py", "timbre.py", "wavelet.py"} & names


def test_a_module_that_is_gone_is_an_error_and_no_key() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pipeline\.features\.nowhere"):
        reached("pipeline.features.nowhere")
