"""Pooling weights of a fusion's branches, fitted on clips that no branch was trained on.

The fusion's probabilities are the product of the branches', each raised to its weight (:mod:`pipeline.models.fusion`).
The weights maximise the likelihood of the labels: a useless branch gets 0, an overconfident one less than 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.models import MIN_PROBABILITY

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
Targets = np.ndarray[Any, Any]

MAX_WEIGHT = 5.0
"""Where every one of a few clips is right, the likelihood rises without end."""


def pooled(log_probs: Array, weights: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probabilities (B, labels) from the branches' log probabilities (B, branches, labels)."""
    sums = np.einsum("ijk,j->ik", log_probs, np.asarray(weights))
    shares = np.exp(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)


def fit_weights(log_probs: Array, targets: Targets) -> list[float]:
    """One weight per branch, from log probabilities (clips, branches, labels) and targets (clips,)."""
    from scipy.optimize import minimize

    def loss(weights: Any) -> float:
        right = pooled(log_probs, weights)[np.arange(len(targets)), targets]
        return float(-np.log(right.clip(MIN_PROBABILITY)).mean())

    branches = log_probs.shape[1]
    start, bounds = np.full(branches, 1 / branches), [(0, MAX_WEIGHT)] * branches
    weights: list[float] = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x.tolist()
    return weights


def fit_weights_without(place: int, log_probs: Array, targets: Targets) -> list[float]:
    """The weights with one branch left out: its own is 0."""
    weights = fit_weights(np.delete(log_probs, place, axis=1), targets)
    return [*weights[:place], 0.0, *weights[place:]]
