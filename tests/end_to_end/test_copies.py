"""An experiment in a temporary copy of the checkout, which `dvc exp run --temp` makes."""

import re
from pathlib import Path

from checkouts import ran, run, runs


def test_an_experiment_in_a_temporary_copy_reaches_the_same_store(checkout: Path) -> None:
    before = len(runs(checkout))
    output = run(
        checkout, "dvc", "exp", "run", "--temp", "-S", "experiments.mlp.model.dropout=0.25", "-S", "leak=[]"
    )
    name = re.findall(r"Ran experiment\(s\): (\S+)", output)[0]
    after = runs(checkout)
    assert (after["status"] == "FINISHED").all()
    assert set(after.loc[after["dvc.exp"] == name, "name"]) == {"mlp", "comparison"}
    assert len(after) == before + 2
    # and the experiment comes into the workspace without computing anything
    run(checkout, "dvc", "exp", "apply", name)
    assert ran(run(checkout, "dvc", "repro", "evaluate@mlp")) == []
