"""Windows of clips in, a trained module and its history out."""

from collections.abc import Callable

HISTORY = ("epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "valid_macro_f1")
"""Columns of a history: one row per epoch."""

OnEpoch = Callable[[int, dict[str, float]], None]
"""Called with each epoch's number and metrics as soon as it ends."""


def no_callback(epoch: int, scores: dict[str, float]) -> None:
    """For trainings whose curves are not recorded."""
