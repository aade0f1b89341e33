"""DVC does not follow imports: what each stage declares as deps is what it really imports."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pipeline.imports import reached
from pipeline.params import FeatureKind
from pipeline.stages.inputs import model_code

ROOT = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def loaded_by_name(stage: str, item: Any) -> list[str]:
    """Modules that a stage picks by a name in params.yaml, which no import statement shows."""
    if stage == "download":
        return [f"pipeline.data.sources.{item.replace('-', '_')}"]
    if stage == "features":
        return [f"pipeline.features.{kind}" for kind in get_args(FeatureKind)]
    if stage == "train":
        return [f"pipeline.models.{item['model']['name']}"]
    return []


def cases() -> list[Any]:
    found = []
    for name in STAGES:
        if name == "download":
            items: dict[str, Any] = {
                source: source for source in ("starter", "gtzan", "gtzan-mini", "folder")
            }
        elif name in ("weights", "inputs", "train", "evaluate"):
            items = PARAMS["experiments"] if name != "weights" else PARAMS["weights"]
        elif name == "leak":
            items = {key: PARAMS["experiments"][key] for key in PARAMS["leak"]}
        else:
            items = {name: None}
        found += [pytest.param(name, key, item, id=f"{name}@{key}") for key, item in items.items()]
    return found


def code_deps(stage: str, key: str, item: Any) -> set[Path]:
    """The declared deps that are code, templates filled in, folders opened."""
    declared = STAGES[stage].get("do", STAGES[stage])["deps"]
    found: set[Path] = set()
    for dep in declared:
        model = item["model"]["name"] if isinstance(item, dict) and "model" in item else ""
        path = Path(re.sub(r"\$\{(item|key)\}", key, dep.replace("${item.model.name}", model)))
        if path.parts[0] == "pipeline" and path.name != "templates":
            found |= {file.relative_to(ROOT) for file in (ROOT / path).rglob("*.py")} or {path}
    return found


@pytest.mark.parametrize(("stage", "key", "item"), cases())
def test_deps_are_what_is_imported(stage: str, key: str, item: Any) -> None:
    needed = reached(f"pipeline.stages.{stage}", *loaded_by_name(stage, item))
    declared = code_deps(stage, key, item)
    if stage == "train":
        # the model's own imports come through data/inputs/<key>.json, which the stage `inputs` writes
        declared |= reached(*loaded_by_name(stage, item))
    assert not needed - declared, f"{stage}@{key} imports what it does not declare"
    # these two stages take a whole folder, of which they use what params.yaml names
    choices = {
        "download": ("sources", "download.py", "groups.py", "gtzan", "parallel.py"),
        "inputs": ("models",),
    }.get(stage, ())
    unused = {file for file in declared - needed if not set(choices) & set(file.parts)}
    assert not unused, f"{stage}@{key} declares what it does not import"


@pytest.mark.parametrize("stage", ["compare", "describe"])
def test_pages_depend_on_their_templates(stage: str) -> None:
    assert "pipeline/evaluation/templates" in STAGES[stage]["deps"]


def test_inputs_follow_the_model_code() -> None:
    """What ``inputs`` writes down of an experiment's code is what its model imports, and no other model."""
    code = set(model_code("multimodal"))
    assert {f"pipeline/models/{name}.py" for name in ("multimodal", "cnn", "layers")} <= code
    assert not code & {f"pipeline/models/{name}.py" for name in ("mlp", "transfer", "logreg")}


def test_the_graph_is_not_blind() -> None:
    """A lazy import, a ``from package import module`` and a chain of imports are all seen."""
    assert Path("pipeline/models/mlp.py") not in reached("pipeline.stages.evaluate")
    assert Path("pipeline/data/importing.py") in reached("pipeline.cli")  # imported inside a function
    assert Path("pipeline/params.py") in reached("pipeline.stages.split")  # from pipeline import params
    assert Path("pipeline/files.py") in reached("pipeline.stages.split")  # through data/clips.py


def test_every_stage_has_an_owner() -> None:
    files = {file.stem for file in (ROOT / "pipeline/stages").glob("*.py")} - {
        "__init__",
        "recording",
        "resuming",
    }
    assert files == set(STAGES)
