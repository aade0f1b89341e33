"""The documents' commands that measure the leak and search for better params; see test_documented.py."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from checkouts import CHORDS, CLIPS, edit_params, make_music, ran, runs
from documented import Typed

from pipeline.base import paths
from pipeline.base.files import read_json

GTZAN = "soundtrack import gtzan-excerpts --groups artists.csv"
LEAK = "dvc exp run -S data.source=folder -S split.test_folds=5 leak@logreg leak@mlp"


@pytest.mark.documented(GTZAN, LEAK)
def test_the_leak_is_measured_in_five_folds_by_one_command(checkout: Path, typed: Typed) -> None:
    make_music(checkout / "gtzan-excerpts")
    rows = [(f"{label} {number}", f"{label} {number % 6}") for label in CHORDS for number in range(CLIPS)]
    pd.DataFrame(rows, columns=["id", "artist"]).to_csv(checkout / "artists.csv", index=False)
    edit_params(checkout, lambda content: content.update(leak=["logreg", "mlp"]))
    edit_params(checkout, lambda content: content["data"].update(source="starter"))
    edit_params(checkout, lambda content: content["experiments"]["mlp"].update(training={"epochs": 1}))
    typed(checkout, GTZAN)
    assert {"leak@logreg", "leak@mlp"} <= set(ran(typed(checkout, LEAK)))
    assert pd.read_parquet(checkout / paths.SPLIT)["test_fold"].nunique() == 5
    told = runs(checkout).set_index("name")
    for key in ("logreg", "mlp"):
        found = read_json(checkout / f"evaluation/leak/{key}/leak.json")
        assert 0 <= found["grouped"]["value"] <= 1
        assert f"leak {key}" in told.index


SWEEP, FURTHER = "make sweep EXPERIMENT=mlp JOBS=2 TRIALS=10", "soundtrack sweep mlp --trials 20 --apply"


@pytest.mark.documented(SWEEP, FURTHER)
def test_a_sweep_goes_on_and_changes_params_after_asking(checkout: Path, typed: Typed) -> None:
    poor = 0.000001

    def slow(content: dict[str, Any]) -> None:
        mlp = content["experiments"]["mlp"]
        mlp["model"]["hidden"] = [64]
        mlp["training"] = {"epochs": 3, "learning_rate": poor}
        space = {"training.learning_rate": {"low": poor, "high": 0.01, "log": True}}
        content["sweeps"] = {"mlp": {"trials": 40, "space": space}}

    edit_params(checkout, slow)
    assert "10 trials: " in typed(checkout, SWEEP)
    output = typed(checkout, FURTHER, answer="y\n")
    assert "20 trials: " in output
    assert "Change it?" in output
    content = yaml.safe_load((checkout / "params.yaml").read_text())
    assert content["experiments"]["mlp"]["training"]["learning_rate"] > poor
    assert (runs(checkout)["name"].str.startswith("sweep mlp")).sum() == 21
