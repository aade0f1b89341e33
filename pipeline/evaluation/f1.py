"""Macro F1 and accuracy from counts of clips: what training, evaluation and the bootstrap all compute them by.

Macro F1 is the mean over the labels that have clips, so that all models are averaged over the same labels, whatever
they predict. A label that is never predicted has an F1 of 0.

The counts are arrays, because the bootstrap scores thousands of draws at once and training scores every epoch:
scikit-learn takes 2 s to import, and torchmetrics needs torch and computes in 32 bits.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Labels = np.ndarray[Any, np.dtype[np.integer[Any]]]

HITS, TRUE, PREDICTED = range(3)


def counts(true: Labels, predicted: Labels, labels: int) -> Array:
    """(3, labels): for each label its HITS, the clips that have it (TRUE), and those PREDICTED to have it.

    Args:
        true, predicted: (clips,) label numbers; -1 for one that is not among the ``labels``.
    """
    chosen = true[true == predicted], true, predicted
    return np.stack([np.bincount(own[own >= 0], minlength=labels) for own in chosen]).astype(float)


def by_label(counts: Array) -> Array:
    """(..., labels) from (..., 3, labels)."""
    true, predicted = counts[..., TRUE, :], counts[..., PREDICTED, :]
    f1: Array = 2 * counts[..., HITS, :] / np.maximum(true + predicted, 1)
    return f1


def over_labels(scores: Array, counts: Array) -> Array:
    """(...), the mean of (..., labels) over the labels that have clips; the others' scores must be 0."""
    mean: Array = scores.sum(axis=-1) / (counts[..., TRUE, :] > 0).sum(axis=-1)
    return mean


def macro_f1(counts: Array) -> Array:
    """(...) from (..., 3, labels)."""
    return over_labels(by_label(counts), counts)


def accuracy(counts: Array) -> Array:
    """(...) from (..., 3, labels)."""
    share: Array = counts[..., HITS, :].sum(axis=-1) / counts[..., TRUE, :].sum(axis=-1)
    return share
