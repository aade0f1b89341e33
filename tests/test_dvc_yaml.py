"""DVC does not follow imports: each stage depends on the list of what it really imports."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import paths
from pipeline.config.project import SoundParams
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


TUTORIAL: dict[str, Any] = yaml.safe_load((ROOT / "tutorial/dvc.yaml").read_text())["stages"]


def of_source(settings: SoundParams, source: str) -> SoundParams:
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


@pytest.mark.parametrize("stage", sorted(TUTORIAL))
def test_a_stage_of_the_tutorial_does_too_and_keeps_its_outputs_out_of_the_others_folders(stage: str) -> None:
    """What stands in a folder that a stage in the root depends on would be an input of that stage."""
    own = TUTORIAL[stage].get("do", TUTORIAL[stage])
    listed = f"{paths.CODE.as_posix()}/{stage}.json"
    assert f"../{listed}" in own["deps"]
    assert listed in STAGES["code"]["outs"]
    assert own["cmd"].startswith(f"cd .. && python -m pipeline.stages.{stage}")
    inputs = {Path(dep) for name in set(STAGES) - {"code"} for dep in deps(name)}
    assert not [out for out in map(Path, written(stage)) if inputs & {out, *out.parents}]


def test_what_the_tutorial_writes_is_where_its_stages_say() -> None:
    assert written("tutorial") == [f"{paths.TUTORIAL}/${{key}}"]
    assert written("tutorial_report") == [str(paths.TUTORIAL_REPORT), str(paths.TUTORIAL_METRICS)]


def written(stage: str) -> list[str]:
    """A stage's outputs and metrics, by their place in the checkout, where it runs."""
    own = TUTORIAL[stage].get("do", TUTORIAL[stage])
    named = [*own["outs"], *own.get("metrics", [])]
    places = [out if isinstance(out, str) else next(iter(out)) for out in named]
    return [os.path.normpath(f"tutorial/{place}") for place in places]


def test_each_stage_is_listed() -> None:
    assert code.stages() == sorted([*set(STAGES) - {"code"}, *TUTORIAL])


def test_a_stage_of_the_tutorial_is_made_of_its_models(settings: SoundParams) -> None:
    """Chosen by name; and what a page says does not train them again."""
    listed = set(code.versions("tutorial", settings))
    assert {f"pipeline/models/{name}.py" for name in ("cnn", "transfer", "multimodal")} <= listed
    assert "pipeline/models/mlp.py" not in listed
    assert "pipeline/evaluation/metrics.py" not in listed


@pytest.mark.parametrize("stage", ["download", "features", "split"])
def test_what_python_loads_is_on_the_list(stage: str, settings: SoundParams) -> None:
    by_name = {"features": ["pipeline.features.tabular"], "download": ["pipeline.data.sources.gtzan_mini"]}
    names = [f"pipeline.stages.{stage}", *by_name.get(stage, [])]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *names], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = set(code.versions(stage, of_source(settings, "gtzan-mini")))
    assert set(done.stdout.split()) <= listed


def test_a_list_holds_what_is_used_and_no_more(settings: SoundParams) -> None:
    train, download = set(code.versions("train", settings)), set(code.versions("download", settings))
    assert "pipeline/training/trainer.py" in train  # imported inside a function
    assert "pipeline/evaluation/f1.py" in train
    assert not {"pipeline/evaluation/metrics.py", "pipeline/evaluation/bootstrap.py"} & train
    assert not [file for file in train if file.startswith("pipeline/data/sources")]
    assert "pipeline/data/sources/starter/render.py" in download
    assert "pipeline/data/sources/gtzan/__init__.py" not in download
    assert "pipeline/data/media/sound.py" in code.versions("audit", settings)
    assert not [
        file
        for listed in (train, download, set(code.versions("features", settings)))
        for file in listed
        if "picture" in file
    ]
    assert "pipeline/features/wavelet.py" in code.versions("features", settings)


def test_a_changed_module_changes_the_lists_it_is_on(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = Path("pipeline/features/median.py")
    code.code()
    before = {file.name: file.read_bytes() for file in (checkout / paths.CODE).iterdir()}
    monkeypatch.setattr(
        dependencies, "sha256", lambda file: "other" if file == ROOT / changed else sha256(file)
    )
    code.code()
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
