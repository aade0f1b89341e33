"""What each branch of a fusion is worth: the fusion on the test part beside the same without the branch.

Without a branch the powers of the others are those that validation gave them without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation import uncertainty
from pipeline.files import read_json
from pipeline.models.exported import EACH, Exported
from pipeline.params import Training
from pipeline.training.parts import Parts
from pipeline.training.predict import POWERS, part_answers
from pipeline.training.trials import Trial

WHOLE = "whole"


def answers(folder: Path, data: Parts, settings: Training, trial: Trial) -> dict[str, pd.DataFrame]:
    """Test predictions of a trial's fusion: the whole one, and without each branch; none of another model."""
    if not (folder / POWERS).exists():
        return {}
    run = Exported(folder / "model.onnx", settings.threads, EACH)
    powers = read_json(folder / POWERS)
    return {
        name: part_answers(pooled(run, np.array(own)), data, "test", settings, trial)
        for name, own in {WHOLE: powers["powers"], **powers["without"]}.items()
    }


def pooled(run: Exported, powers: NDArray[Any]) -> Any:
    """The fusion's probabilities (B, labels), from what its graph says of each branch.

    Args:
        powers: (members, branches)
    """

    def probabilities(inputs: Sequence[Any]) -> NDArray[Any]:
        logs = run(inputs)
        sums = (logs * powers[None, :, :, None]).sum(axis=2)
        shares = np.exp(sums - sums.max(axis=2, keepdims=True))
        return (shares / shares.sum(axis=2, keepdims=True)).mean(axis=1).astype(np.float32)

    return probabilities


def table(found: dict[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """branch, macro_f1 without it, and what it is worth: the difference with the ends of its interval."""
    rows = []
    for name in [name for name in found if name != WHOLE]:
        (pair,) = uncertainty.compare({WHOLE: found[WHOLE], name: found[name]}, seed)
        value, low, high = pair.difference.value, pair.difference.low, pair.difference.high
        if pair.better != WHOLE:
            value, low, high = -value, -high, -low
        without = uncertainty.interval(found[name], "macro_f1", seed).value
        rows.append({"branch": name, "macro_f1": without, "worth": value, "low": low, "high": high})
    return pd.DataFrame(rows)
