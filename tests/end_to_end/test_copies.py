"""An experiment in a temporary copy of the checkout, which `dvc exp run --temp` makes."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from checkouts import commit, edit_params, ran, run, runs
from documented import Typed

TRY = "dvc exp run --temp -S experiments.cnn.training.epochs=60"


@pytest.mark.documented(TRY)
def test_an_experiment_in_a_temporary_copy_reaches_the_same_store(checkout: Path, typed: Typed) -> None:
    def with_cnn(content: dict[str, Any]) -> None:
        majority = content["experiments"]["majority"]
        cnn = {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "compact", "dropout": 0.3}}
        content |= {"leak": [], "experiments": {"majority": majority, "cnn": cnn}}
        content["training"] |= {"patience": None}

    edit_params(checkout, with_cnn)
    commit(checkout, "a net that convolves")
    before = len(runs(checkout))
    output = typed(checkout, TRY)
    name = re.findall(r"Ran experiment\(s\): (\S+)", output)[0]
    after = runs(checkout)
    assert (after["status"] == "FINISHED").all()
    assert {"cnn", "comparison"} <= set(after.loc[after["dvc.exp"] == name, "name"])
    assert len(after) > before
    # and the experiment comes into the workspace without computing anything
    run(checkout, "dvc", "exp", "apply", name)
    assert ran(run(checkout, "dvc", "repro", "evaluate@cnn")) == []
    assert len(pd.read_csv(checkout / "history/cnn.csv")) == 60
