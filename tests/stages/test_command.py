"""``python -m pipeline.stages``, typed wrongly: a sentence, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT

from pipeline.base.errors import reported


def stages(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.stages", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["weights"], 2, "the stage weights needs the name of an experiment or of weights"),
        (["split", "mlp"], 2, "the stage split is one for all experiments"),
        (["spilt"], 2, "invalid choice: 'spilt'"),
        (["weights", "mobilenet"], 1, "mobilenet_v2"),
        (["features"], 1, "data/clips.parquet"),
        (["train", "mlp"], 1, "data/split.parquet is not there: `dvc repro` makes it"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(
    checkout: Path,  # noqa: ARG001
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    done = stages(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_memory_that_runs_out_is_a_sentence() -> None:
    with pytest.raises(SystemExit, match="error: memory ran out"), reported():
        np.zeros(2**50)


def test_without_params_yaml_the_file_is_named(checkout: Path) -> None:
    (checkout / "params.yaml").unlink()
    done = stages("split")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "params.yaml is not here" in done.stderr
