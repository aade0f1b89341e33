"""Copies: of the checkout, which `dvc exp run --temp` makes for an experiment, and of outputs."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from checkouts import commit, edit_params, ran, run, runs
from documented import Typed

TRY = "dvc exp run --temp -S experiments.mlp.training.epochs=60"
TARGET = "dvc exp run --temp data/music.dvc evaluate@mlp"
LINKS = "dvc config --local cache.type hardlink,copy"
SHOW = "dvc exp show --drop '.*' --keep 'Experiment|.*:valid_macro_f1'"


@pytest.mark.documented(TRY, SHOW)
def test_an_experiment_in_a_temporary_copy_reaches_the_same_store(checkout: Path, typed: Typed) -> None:
    def two(content: dict[str, Any]) -> None:
        content["leak"] = []
        content["experiments"] = {key: content["experiments"][key] for key in ("majority", "mlp")}
        content["experiments"]["mlp"]["training"] = {"epochs": 2, "patience": None}

    edit_params(checkout, two)
    commit(checkout, "two experiments")
    before = set(runs(checkout).index)
    name = re.findall(r"Ran experiment\(s\): (\S+)", typed(checkout, TRY))[0]
    after = runs(checkout)
    assert (after["status"] == "FINISHED").all()
    new = after[~after.index.isin(before)]
    assert set(new["name"]) == {"mlp", "comparison"}
    assert set(new["dvc.exp"]) == {name}
    shown = typed(checkout, SHOW)
    assert name in shown
    assert "metrics/mlp.json:valid_macro_f1" in shown
    # and the experiment comes into the workspace without computing anything
    run(checkout, "dvc", "exp", "apply", name)
    assert ran(run(checkout, "dvc", "repro", "evaluate@mlp")) == []
    assert len(pd.read_csv(checkout / "history/mlp.csv")) == 60


@pytest.mark.documented(LINKS)
def test_features_take_their_space_once(checkout: Path, typed: Typed) -> None:
    typed(checkout, LINKS)
    edit_params(checkout, lambda content: content["features"]["tabular"].update(hop_length=1024))
    run(checkout, "dvc", "repro", "--single-item", "features")
    assert (checkout / "features/tabular/array.bin").stat().st_nlink == 3, "there, in .cache, and in DVC's cache"


@pytest.mark.documented(TARGET)
def test_a_target_finds_the_imported_music_in_a_temporary_copy(checkout: Path, typed: Typed) -> None:
    """DVC brings there what the targets need; that stages read the music through a link is nothing it knows."""
    assert re.search(r"Ran experiment\(s\): \S+", typed(checkout, TARGET))
