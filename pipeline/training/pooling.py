"""How much the answer of each branch of a fusion counts, learned on clips that no branch has learned from.

The fusion's probabilities are the product of the branches', each to a power of its own. The powers are those with which
the clips' labels are most probable: a branch that is of no use gets 0, and one that is too sure of itself less than 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.models import LEAST

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
Targets = np.ndarray[Any, Any]

HIGHEST = 5.0
"""Of a power: with few clips that all are right, none would be high enough."""


def pooled(logs: Array, powers: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probabilities (B, labels) from the branches' log probabilities (B, branches, labels)."""
    sums = np.einsum("ijk,j->ik", logs, np.asarray(powers))
    shares = np.exp(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float64)


def fit_weights(logs: Array, targets: Targets) -> list[float]:
    """The powers of the branches.

    Args:
        logs: (clips, branches, labels) log probabilities.
        targets: (clips,)
    """
    from scipy.optimize import minimize

    def loss(powers: Any) -> float:
        right = pooled(logs, powers)[np.arange(len(targets)), targets]
        return float(-np.log(right.clip(LEAST)).mean())

    branches = logs.shape[1]
    start, bounds = np.full(branches, 1 / branches), [(0, HIGHEST)] * branches
    powers: list[float] = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x.tolist()
    return powers


def fit_weights_without(place: int, logs: Array, targets: Targets) -> list[float]:
    """The powers where one branch is left out: its own is 0."""
    powers = fit_weights(np.delete(logs, place, axis=1), targets)
    return [*powers[:place], 0.0, *powers[place:]]
