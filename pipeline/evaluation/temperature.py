"""Temperature scaling: see :mod:`pipeline.evaluation.calibration`."""

from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

Matrix = np.ndarray[Any, np.dtype[np.float64]]

LOWEST_PROBABILITY = 1e-7
"""Probabilities are clipped to this (about the resolution of float32), so a clip's loss is at most 16.1, and one
confident mistake does not make the mean infinite."""
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 1000.0
"""Discriminants of thousands of columns need 30 to 50 on a few hundred clips (docs/scores.md)."""


def best(logits: Matrix, targets: np.ndarray[Any, Any]) -> float:
    """The T that makes the targets most likely under softmax(logits / T).

    Temperature scaling of Guo et al. 2017 (On calibration of modern neural networks, arXiv:1706.04599, section 4.2);
    the rows must not be those that are scored. Above 1 the model was overconfident. The loss is convex in 1/T, so it
    has one minimum; T stays between LOWEST_TEMPERATURE and HIGHEST_TEMPERATURE, and is near the latter if equal
    probabilities would be better than the model's.

    1.0 if no row has a label more probable than its true one (also: no rows, or all labels equally probable): then
    the likelihood rises, or stays the same, down to T = 0.
    """
    from scipy.optimize import minimize_scalar  # takes half a second, and serving fits no temperature

    each = np.arange(len(logits))
    if (logits[each, targets] >= logits.max(axis=1)).all():
        return 1.0

    def loss(log_t: float) -> float:
        return float(-log_softmax(logits / np.exp(log_t), axis=1)[each, targets].mean())

    bounds = np.log([LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE])
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


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
