"""Sweeps: resumed, repeated, given up early, blind to the test part, applied."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from processes import PATIENCE_S, wait_until

from pipeline import params, paths
from pipeline.data import clips
from pipeline.features.store import Store
from pipeline.features.store import write as write_store
from pipeline.files import read_json
from pipeline.stages.evaluate import evaluate
from pipeline.stages.train import train
from pipeline.sweeps import command, study, work
from pipeline.sweeps.applying import apply
from pipeline.sweeps.found import Found
from pipeline.sweeps.plan import Plan, SweepError
from pipeline.sweeps.study import Outcome, Study
from pipeline.training import HISTORY
from pipeline.training.experiment import fitted

ROOT = Path(__file__).parents[2]
Setup = Callable[..., None]
LOGREG = {"logreg": {"trials": 4, "space": {"model.c": {"low": 0.001, "high": 10, "log": True}}}}
MLP = {
    "mlp": {
        "trials": 4,
        "space": {
            "model.hidden": {"choices": [[8], [512, 512]]},
            "training.batch_size": {"low": 8, "high": 32},
            "training.learning_rate": {"low": 0.0001, "high": 0.1, "log": True},
        },
    }
}


@pytest.fixture
def run(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Found]:
    """``run("mlp", 4)``: a sweep in this process."""
    monkeypatch.setattr(command, "_work", work.work)

    def make(key: str, trials: int) -> Found:
        return command.run(Plan(params.load(), key), trials, 1)

    return make


def children() -> pd.DataFrame:
    """The runs of trials, which stand below one run of the sweep."""
    table: pd.DataFrame = mlflow.search_runs(experiment_names=[Path.cwd().parent.name])
    below = table[table["tags.mlflow.parentRunId"].notna()]
    (parent,) = table.loc[table["tags.mlflow.parentRunId"].isna(), "run_id"]
    assert set(below["tags.mlflow.parentRunId"]) == {parent}
    return below.set_index("tags.mlflow.runName").sort_index()


def played(trials: int, interrupt: frozenset[int] = frozenset()) -> list[Outcome]:
    """A study of made-up scores; before some trials end, a process is killed and another goes on."""
    plan = Plan(params.load(), "mlp")
    one = Study(plan)
    one.begin()
    left = set(interrupt)
    while trial := one.ask(trials):
        if trial.number in left:
            left.remove(trial.number)
            one = Study(plan)
            one.begin()
            continue
        rate = trial.user_attrs["values"]["training.learning_rate"]
        one.complete(trial, [1 - abs(rate - 0.01)])
    return one.outcomes()


def test_the_same_seed_tries_the_same_whatever_is_interrupted(setup: Setup) -> None:
    """Also past the trials that are drawn at random, of which Optuna's sampler starts with ten."""
    setup(sweeps=MLP)
    expected = played(14)
    assert [one.number for one in expected] == list(range(14))
    assert expected[0].values == {
        "model.hidden": [512, 512],
        "training.batch_size": 16,
        "training.learning_rate": 0.001,
    }
    tried = [str(one.values) for one in expected]
    assert len(set(tried)) == 14
    paths.sweeps().unlink()
    assert played(14, frozenset({0, 4, 12, 13})) == expected
    setup(sweeps=MLP, seed=8)
    assert [str(one.values) for one in played(4)][1:] != tried[1:4]


def test_an_interrupted_sweep_goes_on_in_its_trial(
    setup: Setup, run: Callable[..., Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup(sweeps=MLP, split={"folds": 2})
    straight = run("mlp", 3).outcomes
    paths.sweeps().unlink()
    mlflow.delete_experiment(mlflow.get_experiment_by_name(Path.cwd().parent.name).experiment_id)
