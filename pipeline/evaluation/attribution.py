"""Which parts of its input a prediction depends on: each part is hidden in turn, and the model runs again.

Occlusion (Zeiler and Fergus 2014, Visualizing and understanding convolutional networks, arXiv:1311.2901, section
4.2) needs no gradients, and so works for every model alike.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
Run = Callable[[Sequence[Array]], Array]
"""(B, labels) probabilities from one array per input."""

GRID = 6
"""Patches along each side of a window: of the usual window of 5.9 s, a second each."""
BATCH = 16
"""Copies of the input in one batch."""


def of_patches(run: Run, inputs: Sequence[Array], place: int, label: int, silence: float | None = None) -> Array:
    """How much the probability of ``label`` drops with each patch of a window hidden.

    A hidden patch has the mean of each band over the window. One mean for all bands would be noise in a silent band, and
    the model would react to that.

    Args:
        inputs: of one window, (1, ...) each; that at ``place`` is (1, bands, frames), the others stay as they are.
        silence: what a hidden patch has in place of the means.

    Returns:
        (band patches, time patches); below zero where the probability rises.
    """
    (window,) = inputs[place]
    means = window.mean(axis=1, keepdims=True) if silence is None else np.full((len(window), 1), silence)
    rows, columns = (pieces(length) for length in window.shape)
    patches = [(row, column) for row in rows for column in columns]
    hidden = np.repeat(inputs[place], len(patches), axis=0)
    for copy, (row, column) in zip(hidden, patches, strict=True):
        copy[row, column] = means[row]
    return _falls(run, inputs, place, label, hidden).reshape(len(rows), len(columns))


def of_columns(
    run: Run, inputs: Sequence[Array], place: int, label: int, means: Array, families: Mapping[str, list[int]]
) -> dict[str, float]:
    """How much the probability of ``label`` drops with each family of columns replaced by its ``means``.

    Args:
        inputs: as above; that at ``place`` is (1, columns).
        means: (columns,) over the training part.
        families: numbers of columns by name.
    """
    hidden = np.repeat(inputs[place], len(families), axis=0)
    for copy, columns in zip(hidden, families.values(), strict=True):
        copy[columns] = means[columns]
    falls = _falls(run, inputs, place, label, hidden)
    return dict(zip(families, falls.tolist(), strict=True))


def families(columns: Sequence[str]) -> dict[str, list[int]]:
    """Numbers of columns by what they measure: ``mfcc1_mean`` and ``mfcc20_var`` are both of ``mfcc``."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(columns):
        found.setdefault(re.sub(r"\d*_(mean|var)$", "", name), []).append(number)
    return found


def pieces(length: int) -> list[slice]:
    """``length`` cut into GRID pieces, as equal as can be; fewer where it is shorter."""
    edges = np.linspace(0, length, min(GRID, length) + 1).round().astype(int)
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _falls(run: Run, inputs: Sequence[Array], place: int, label: int, hidden: Array) -> Array:
    before, after = run(inputs)[0, label], []
    for start in range(0, len(hidden), BATCH):
        batch = hidden[start : start + BATCH]
        given = [np.repeat(values, len(batch), axis=0) for values in inputs]
        given[place] = batch
        after.append(run(given)[:, label])
    return before - np.concatenate(after)
