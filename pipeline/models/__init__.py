"""The models, one file each, all of them nn.Modules from features to logits.

A model module has one of two functions:

- ``build(settings, inputs, classes)`` makes a module that is trained by gradient descent;
- ``fit(settings, train, classes, seed)`` makes one that is fitted in closed form or by scikit-learn, from the rows of train.

``fit_head(settings, train, labels)``, where a module has it, fits the head on top of frozen backbones in closed form,
from the rows of their embeddings and the labels' names.

``joined(nets)``, where a module has it, makes one of several that is less than the ensemble of them all.
"""

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

MIN_PROBABILITY = 1e-12
"""Lower bound of a probability, so that its logarithm is finite."""


class Rows(NamedTuple):
    values: Array
    """(rows, columns)"""
    targets: np.ndarray[Any, Any]
    groups: np.ndarray[Any, Any]
    """What rows of one group have in common, the model is not to be fitted to."""


@dataclass(frozen=True)
class Input:
    """One of a model's inputs: a batch is (B, *shape)."""

    shape: tuple[int, ...]
    """(columns,) for a summary of the clip, (bands, frames) for a window, (channels, height, width) for an image."""
    mean: Array
    """Per column, band or channel, over the training part alone."""
    std: Array
    silence_db: float = 0.0
    """Least value of a window, in dB; the greatest is 0. Meaningless for a summary; an image is from 0 to 1;
    samples are from -1 to 1, and this marks what is padded."""
    rate: int | None = None
    """Hz, of a window of samples (1, samples)."""

    @property
    def channels(self) -> int:
        """Planes of what a convolution sees: a window is a single one."""
        return self.shape[0] if len(self.shape) == 3 else 1


def load(name: str) -> ModuleType:
    """The module of a model, by its name in params.yaml."""
    return importlib.import_module(module(name))


def module(name: str) -> str:
    return f"{__name__}.{name.replace('-', '_')}"
