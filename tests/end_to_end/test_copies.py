"""Experiments in temporary copies of the checkout, which `dvc exp run --temp` makes."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from checkouts import ran, run, runs


def test_experiments_in_temporary_copies_reach_the_same_store(checkout: Path) -> None:
    """Two at once."""
    before = len(runs(checkout))
    changes = ("experiments.mlp.model.dropout=0.25", "experiments.logreg.model.c=0.5")
    with ThreadPoolExecutor(2) as both:
        outputs = list(both.map(partial(_in_a_copy, checkout), changes))
    names = [re.findall(r"Ran experiment\(s\): (\S+)", output)[0] for output in outputs]
    after = runs(checkout)
    assert (after["status"] == "FINISHED").all()
    logged = [set(after.loc[after["dvc.exp"] == name, "name"]) for name in names]
    assert logged == [{"mlp", "comparison"}, {"logreg", "comparison"}]
    assert len(after) == before + 4
    # and an experiment comes into the workspace without computing anything
    run(checkout, "dvc", "exp", "apply", names[0])
    assert ran(run(checkout, "dvc", "repro", "evaluate@mlp")) == []


def _in_a_copy(checkout: Path, change: str) -> str:
    return run(checkout, "dvc", "--wait-for-lock", "exp", "run", "--temp", "-S", change, "-S", "leak=[]")
