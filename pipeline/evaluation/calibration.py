"""Calibration: how far confidence is from accuracy, and the temperature that brings them closer.

Predictions are a table as in :mod:`pipeline.evaluation.metrics`. All rows given are used: pick a part first,
see :func:`pipeline.evaluation.metrics.of_part`.
"""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.metrics import PROBABILITY, label_names, probabilities, true_places
from pipeline.evaluation.temperature import Matrix, at_temperature, best, logits

Places = np.ndarray[Any, np.dtype[np.integer[Any]]]

BINS = 15
"""As in Guo et al. 2017."""
FEWEST = 20
"""Rows in a bin of a reliability diagram: with fewer, chance moves its accuracy by more than 0.2."""
MOST_BINS = 10
NEVER = 1.01
"""A confidence threshold that no probability reaches."""


def ece(rows: pd.DataFrame, bins: int = BINS) -> float:
    """Expected calibration error: how far accuracy is from confidence, as a mean over bins weighted by clips.

    From Naeini et al. 2015 (Obtaining well calibrated probabilities using Bayesian binning), in the form of
    Guo et al. 2017 (On calibration of modern neural networks, arXiv:1706.04599, section 2). 0 is best. With
    few clips it is too high even for perfect probabilities, because chance moves the accuracy of every bin.

    Raises:
        ValueError: there are no rows.
    """
    highest = confidence(rows)
    edges = np.linspace(0, 1, bins + 1)
    # Softmax in float32 may exceed 1 by rounding.
    table = _binned(rows, highest, np.clip(np.searchsorted(edges, highest) - 1, 0, bins - 1))
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["clips"]))


def reliability(rows: pd.DataFrame, fewest: int = FEWEST) -> pd.DataFrame:
    """Confidence and accuracy by bin of confidence: columns ``clips, confidence, accuracy``, least confident first.

    The bins have equally many clips, at least ``fewest`` of them where there are as many. ``confidence`` is the mean of the
    highest probabilities, ``accuracy`` the share of correct predictions.

    Raises:
        ValueError: there are no rows.
    """
    highest = confidence(rows)
    bins = int(np.clip(len(rows) // fewest, 1, MOST_BINS))
    place = np.empty(len(rows), dtype=int)
    place[np.argsort(highest, kind="stable")] = np.arange(len(rows)) * bins // max(len(rows), 1)
    return _binned(rows, highest, place)


def _binned(rows: pd.DataFrame, highest: Matrix, place: Places) -> pd.DataFrame:
    """As :func:`reliability`, for bins of any kind: of each row the number of its bin."""
    if rows.empty:
        raise ValueError("there are no predictions whose calibration could be measured")
    right = rows["label"].to_numpy() == rows["predicted"].to_numpy()
    table = pd.DataFrame({"place": place, "confidence": highest, "accuracy": right}).groupby("place")
    return table.agg(
        clips=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    ).reset_index(drop=True)


def confidence(rows: pd.DataFrame) -> Matrix:
    """The highest probability of each row."""
    highest: Matrix = probabilities(rows).max(axis=1)
    return highest


def temperature(rows: pd.DataFrame) -> float:
    """Of :func:`pipeline.evaluation.temperature.best`, for the true labels of ``rows``.

    Raises:
        ValueError: a true label has no probability column.
    """
    return best(logits(probabilities(rows)), true_places(rows))


def scaled(rows: pd.DataFrame, t: float) -> pd.DataFrame:
    """The rows with the probabilities softmax(log p / t); ``predicted`` stays as it is.

    Raises:
        ValueError: t is not above 0.
    """
    names = [PROBABILITY + label for label in label_names(rows)]
    return rows.assign(**dict(zip(names, at_temperature(probabilities(rows), t).T, strict=True)))


def tempered(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, each scaled by the temperature in its column ``temperature``."""
    return pd.concat([scaled(own, float(str(t))) for t, own in rows.groupby("temperature")])


def confidence_threshold(valid: pd.DataFrame, precision: float) -> tuple[float, float]:
    """For selective prediction: the lowest threshold with this precision, and its coverage (the share of rows at or above it).

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
