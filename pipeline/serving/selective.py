"""From which probability on a label is named: what a model was right about on validation decides."""

from pathlib import Path

import numpy as np
import pandas as pd

SEEN = "seen.parquet"
"""Of a package, by content the clips that the model was trained on, and its answers for those it was chosen by."""
NEVER = 1.01
"""A probability that no label reaches."""


def threshold_of(folder: Path, precision: float) -> float:
    """As :func:`threshold`, of a package."""
    seen = pd.read_parquet(folder / SEEN)
    return threshold(seen[seen["part"] == "valid"], precision)[0]


def threshold(rows: pd.DataFrame, precision: float) -> tuple[float, float]:
    """The least probability from which on labels are right often enough, and the share of rows that reach it.

    Args:
        rows: clips the model was not trained on: label, predicted, and the calibrated probability of the latter.
        precision: share of right labels among those named.
    """
    sureness = rows["probability"].to_numpy()
    order = np.argsort(-sureness, kind="stable")
    right = (rows["label"] == rows["predicted"]).to_numpy()[order]
    precise = np.cumsum(right) / np.arange(1, len(right) + 1) >= precision
    # clips of one probability are named together
    ends = np.append(np.diff(sureness[order]) != 0, True)
    enough = np.flatnonzero(precise & ends)
    if not len(enough):
        return NEVER, 0.0
    return float(sureness[order][enough[-1]]), float((enough[-1] + 1) / len(right))
