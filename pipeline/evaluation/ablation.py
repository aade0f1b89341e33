"""What each branch of a fusion is worth: the fusion on the test part beside the same without the branch.

Without a branch the others have the pooling weights fitted on validation without it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.config.training import Training
from pipeline.evaluation import bootstrap
from pipeline.files import read_json
from pipeline.models.exported import LOG_PROBS, Exported
from pipeline.training.pooling import Array, pooled
from pipeline.training.predict import FUSION, averaged, rows
from pipeline.training.splits import Splits
from pipeline.training.trials import Trial

WHOLE = "whole"


def answers(folder: Path, data: Splits, settings: Training, trial: Trial) -> dict[str, pd.DataFrame]:
    """Test predictions of a trial's fusion: the whole one, and without each branch."""
    run = Exported(folder / "model.onnx", settings.threads, LOG_PROBS)
    windows, saved = data.windows["test"], read_json(folder / FUSION)
    log_probs = [
        batch._replace(inputs=(run(batch.inputs),)) for batch in windows.batches(settings.batch_size)
    ]
    found = {}
    for name, weights in {WHOLE: saved["pooling_weights"], **saved["without"]}.items():

        def pool(inputs: Sequence[Array], weights: Sequence[float] = weights) -> Array:
            return pooled(inputs[0], weights)

        probabilities = averaged(pool, log_probs, len(windows), len(data.labels))
        found[name] = rows(probabilities, data, "test", trial)
    return found


def table(found: Mapping[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """branch, macro_f1 without it, and what it is worth: the difference with the ends of its interval."""
    lines = []
    for name in [name for name in found if name != WHOLE]:
        (pair,) = bootstrap.compare({WHOLE: found[WHOLE], name: found[name]}, seed)
        value, low, high = pair.difference.value, pair.difference.low, pair.difference.high
        if pair.better != WHOLE:
            value, low, high = -value, -high, -low
        without = bootstrap.interval(found[name], "macro_f1", seed).value
        lines.append({"branch": name, "macro_f1": without, "worth": value, "low": low, "high": high})
    return pd.DataFrame(lines)
