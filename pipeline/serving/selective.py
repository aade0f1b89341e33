"""Selective prediction: the confidence threshold above which enough predictions were right on the validation set."""

import numpy as np
import pandas as pd

NEVER = 1.01
"""A threshold that no probability reaches."""


def threshold(valid: pd.DataFrame, precision: float) -> tuple[float, float]:
    """The lowest confidence threshold with this precision, and its coverage (the share of rows at or above it).

    Args:
        valid: clips the model was not trained on: label, predicted, and the latter's calibrated probability.
        precision: share of right predictions among the confident ones.
    """
    confidence = valid["probability"].to_numpy()
    order = np.argsort(-confidence, kind="stable")
    right = (valid["label"] == valid["predicted"]).to_numpy()[order]
    precise = np.cumsum(right) / np.arange(1, len(right) + 1) >= precision
    # clips of equal probability are accepted together
    ends = np.append(np.diff(confidence[order]) != 0, True)
    enough = np.flatnonzero(precise & ends)
    if not len(enough):
        return NEVER, 0.0
    return float(confidence[order][enough[-1]]), float((enough[-1] + 1) / len(right))
