"""DVC does not follow imports: each stage depends on the list of what it really imports."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import config, paths
from pipeline.config.project import Params
from pipeline.files import sha256
from pipeline.stages import code
from pipeline.stages.inputs import model_code
from pipeline.workflow import dependencies
from pipeline.workflow.dependencies import reached

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
IMPORTS = """
import importlib, pathlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
files = {pathlib.Path(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "pipeline"}
print(*(file.relative_to(pathlib.Path.cwd()).as_posix() for file in files), sep="\\n")
"""


def of_source(settings: Params, source: str) -> Params:
    return settings.model_copy(update={"data": settings.data.model_copy(update={"source": source})})


def deps(stage: str) -> list[str]:
    found: list[str] = STAGES[stage].get("do", STAGES[stage])["deps"]
    return found


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"code"}))
def test_a_stage_depends_on_the_list_of_its_own_modules(stage: str) -> None:
    listed = f"{paths.CODE.as_posix()}/{stage}.json"
    assert listed in deps(stage)
    assert listed in STAGES["code"]["outs"]
    assert STAGES["code"]["deps"] == ["pipeline"]
    others = {
        "download": ["pipeline/data/sources/gtzan"],
        "audit": ["pipeline/data/sources/gtzan"],
        "split": ["pipeline/data/sources/gtzan"],
        "inputs": ["pipeline/models"],
        "explain": ["pipeline/reports/templates"],
        "describe": ["pipeline/reports/templates"],
        "compare": ["pipeline/reports/templates"],
        "champion": ["pipeline/reports/templates"],
    }
    assert [dep for dep in deps(stage) if dep.startswith("pipeline")] == others.get(stage, [])


def test_each_stage_is_listed() -> None:
    assert code.stages() == sorted(set(STAGES) - {"code"})


@pytest.mark.parametrize("stage", ["download", "features", "split"])
def test_what_python_loads_is_on_the_list(stage: str, settings: Params) -> None:
    by_name = {"features": ["pipeline.features.tabular"], "download": ["pipeline.data.sources.gtzan_mini"]}
    names = [f"pipeline.stages.{stage}", *by_name.get(stage, [])]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = set(code.versions(stage, of_source(settings, "gtzan-mini")))
    assert set(done.stdout.split()) <= listed


def test_a_list_holds_what_is_used_and_no_more(settings: Params) -> None:
    train, download = set(code.versions("train", settings)), set(code.versions("download", settings))
    assert "pipeline/training/trainer.py" in train  # imported inside a function
    assert not [file for file in train if file.startswith(("pipeline/evaluation", "pipeline/data/sources"))]
    assert "pipeline/data/sources/starter/render.py" in download
    assert "pipeline/data/sources/gtzan/__init__.py" not in download
    assert "pipeline/data/inspect.py" in code.versions("audit", settings)
    assert not [
        file
        for listed in (train, download, set(code.versions("features", settings)))
        for file in listed
        if "picture" in file
    ]
    assert "pipeline/features/wavelet.py" in code.versions("features", settings)


def test_a_changed_module_changes_the_lists_it_is_on(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = Path("pipeline/features/median.py")
    code.code(config.load())
    before = {file.name: file.read_bytes() for file in (checkout / paths.CODE).iterdir()}
    monkeypatch.setattr(
        dependencies, "sha256", lambda file: "other" if file == ROOT / changed else sha256(file)
    )
    code.code(config.load())
    after = {file.name: file.read_bytes() for file in (checkout / paths.CODE).iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"features.json", "champion.json"}


def test_inputs_follow_the_model_code() -> None:
    """What ``inputs`` writes down of an experiment's code is what its model imports, and no other model."""
    listed = set(model_code("multimodal"))
    assert {f"pipeline/models/{name}.py" for name in ("multimodal", "cnn", "layers")} <= listed
    assert not listed & {f"pipeline/models/{name}.py" for name in ("mlp", "transfer", "logreg")}


def test_the_graph_is_not_blind() -> None:
    """A lazy import, a ``from package import module`` and a chain of imports are all seen."""
    assert Path("pipeline/models/mlp.py") not in reached("pipeline.stages.evaluate")
    assert Path("pipeline/data/importing.py") in reached("pipeline.cli")  # imported inside a function
    assert Path("pipeline/config/load.py") in reached("pipeline.stages.split")  # from pipeline import params
    assert Path("pipeline/files.py") in reached("pipeline.stages.split")  # through data/clips.py
