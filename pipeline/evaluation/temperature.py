"""Probabilities made less sure, or more, by a temperature: see :mod:`pipeline.evaluation.calibration`."""

from typing import Any

import numpy as np
from scipy.special import softmax

Matrix = np.ndarray[Any, np.dtype[np.float64]]

LOWEST_PROBABILITY = 1e-7
"""No probability below this is seen (about the resolution of float32), so that a single clip costs a loss at most
16.1 and one sure mistake does not make the mean infinite."""


def logits(probabilities: Matrix) -> Matrix:
    return np.log(np.clip(probabilities, LOWEST_PROBABILITY, None))


def at_temperature(probabilities: Matrix, t: float) -> Matrix:
    """softmax(log p / t) over the last axis.

    Raises:
        ValueError: t is not above 0.
    """
    if not t > 0:
        raise ValueError(f"a temperature is above 0, not {t}")
    return softmax(logits(probabilities) / t, axis=-1)
