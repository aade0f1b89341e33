"""Pairs of measurements, taken in turn so that a machine's ups and downs meet both sides."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """A figure, beside that of a baseline of the same run."""

    what: str
    """Its name, also in the documents."""
    ours: float
    against: str
    theirs: float
    ratio: float
    """Ours as a multiple of theirs; of several pairs their median (or worst) ratio, not the ratio of the medians."""
    unit: str = "s"
    on: str = ""
    """The machine."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(what: str, ours: Callable[[], object], against: str, theirs: Callable[[], object], repeats: int) -> Row:
    return row(what, against, [(seconds(ours), seconds(theirs)) for _ in range(repeats)])


def row(
    what: str,
    against: str,
    pairs: Sequence[tuple[float, float]],
    unit: str = "s",
    of: Callable[[Sequence[float]], float] = median,
) -> Row:
    """
    Args:
        of: what counts of several pairs.
    """
    ours, theirs = (of(side) for side in zip(*pairs, strict=True))
    return Row(what, ours, against, theirs, of([a / b for a, b in pairs]), unit)
