"""Pairs of times, taken in turn so that a machine's ups and downs meet both sides."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Row(NamedTuple):
    """One comparison; the ratio is the median of the pairs' ratios, not the ratio of the medians."""

    what: str
    ours_s: float
    against: str
    theirs_s: float
    ratio: float
    """How many times as long the other side takes."""


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(what: str, ours: Callable[[], object], against: str, theirs: Callable[[], object], repeats: int) -> Row:
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    return row(what, against, pairs)


def row(what: str, against: str, pairs: list[tuple[float, float]]) -> Row:
    ours, theirs = (median(side) for side in zip(*pairs, strict=True))
    return Row(what, ours, against, theirs, median(b / a for a, b in pairs))
