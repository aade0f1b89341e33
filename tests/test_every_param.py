"""Every leaf of params.yaml has a row that says where it has its effect, and `dvc repro` runs that stage again when it changes.

That it has the effect is tested in ``tests/effects``.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from leaves import along, changed, fields, leaves, path
from rows import Row
from rows_data import BROUGHT, DATA, FEATURES, USE
from rows_experiments import PICTURES, TABULAR, TRANSFER
from rows_training import CHOICE, DEFAULTS, GUARDED
from rows_use import SWEEPS, TUTORIAL
from tiny import default, parsed, tiny

from pipeline import config
from pipeline.config.base import ParamsError

ROOT = Path(__file__).parents[1]
ROWS = [*DATA, *FEATURES, *BROUGHT, *USE, *CHOICE, *DEFAULTS, *TABULAR, *PICTURES, *TRANSFER, *TUTORIAL, *SWEEPS]
NEW = ("lda", "fusion", "other", "sound", "text", "storage")
"""Experiments, weights and a key of `sweeps` that params.yaml does not have."""


def dvc(file: str) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["stages"]
    return stages


STAGES = dvc("dvc.yaml") | {"tutorial": dvc("tutorial/dvc.yaml")["train"]}


def swept() -> set[str]:
    """What the sweeps name by default, of their experiments."""
    return {f"experiments.{key}.{name}" for key, sweep in default()["sweeps"].items() for name in sweep["space"]}


def test_the_blocks_that_are_commented_out_can_be_taken_in() -> None:
    content = changed(
        default(), {"features.musicnn": {}, "features.fbank": {}, "features.waveform": {"sample_rate": 16_000}}
    )
    settings = parsed(content)
    assert {"transfer-musicnn", "transfer-ast"} <= set(settings.experiments)
    assert {"musicnn_msd", "musicnn_mtt", "ast"} <= set(settings.weights)


def test_each_leaf_has_a_row_and_each_row_a_leaf() -> None:
    wanted = {*leaves(default()), *swept()}
    known = {row.leaf for row in ROWS} | set(GUARDED)
    assert wanted - known == set(), "leaves without a row"
    settings = parsed(tiny())
    assert {leaf for leaf in known - wanted if not _is_optional(leaf, settings)} == set(), "rows without a leaf"


def _is_optional(leaf: str, settings: config.Params) -> bool:
    """Whether it is a field that params.yaml may leave out, or of an experiment or of weights that it does not have."""
    keys = _read(path(tiny(), leaf))
    if keys[1] in NEW:
        return True
    here: Any = settings
    for key in keys[:-1]:
        here = here[key] if isinstance(here, dict) else getattr(here, key)
    return not type(here).model_fields[keys[-1]].is_required()


def _read(keys: list[str]) -> list[str]:
    """Where a leaf of the defaults is read: in the experiments."""
    return ["experiments", "cnn", *keys] if keys[0] == "training" else keys


def test_no_field_of_a_config_class_is_without_a_row() -> None:
    kinds = {row.leaf.rsplit(".", 1)[1]: row for row in SWEEPS}  # one of each, since sweeps take long to check
    kind = {"training": "Training", "model": "Transfer", "lora": "Lora", "sweeps": "Params"}
    known = {f"{kind[leaf.split('.')[-2]]}.{leaf.split('.')[-1]}" for leaf in GUARDED}
    for row in [*(row for row in ROWS if row not in [*SWEEPS, *TUTORIAL]), *kinds.values()]:
        both = (
            row.says or row.value is None or row.leaf.endswith((".name", ".source"))
        )  # words of the base are fields too
        for side in (row.after(tiny()), *([row.before(tiny())] if both else [])):
            with suppress(ParamsError):  # where the effect is that another value is refused
                settings, keys = parsed(side), path(side, row.leaf)
                known |= along(settings, keys) | along(settings, _read(keys))
    assert fields(config.Params) - known == set()


@pytest.mark.parametrize("row", [row for row in ROWS if " " not in row.stage], ids=str)
def test_dvc_runs_the_stage_again_when_the_leaf_changes(row: Row) -> None:
    name, _, key = row.stage.partition("@")
    stage, place = STAGES[name], Path("tutorial" if name == "tutorial" else "")
    block = stage.get("do", stage)

    def resolved(text: str) -> str:
        return text.replace("${key}", key).replace("${item}", key)

    own = "tutorial." if name == "tutorial" else ""
    listed = [f"{own}{names}" if isinstance(names, str) else names["../params.yaml"] for names in block["params"]]
    declared = [resolved(name) for names in listed for name in ([names] if isinstance(names, str) else names)]
    used = re.findall(r"\$\{([\w.]+)\}", " ".join([block["cmd"], *block["deps"]]))
    assert any(f"{row.leaf}.".startswith(f"{one}.") for one in (*declared, *used)), declared
    every = [*block["outs"], *block.get("plots", []), *block.get("metrics", [])]
    outs = [place / resolved(out if isinstance(out, str) else next(iter(out))) for out in every]
    if "/" in row.shows:
        shown = Path(row.shows.partition(":")[0])
        assert any(out == shown or out in shown.parents for out in outs), f"{row.shows} is none of {outs}"
