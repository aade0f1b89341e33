"""Late fusion of models that were trained apart: the product of their probabilities, each to a power of its own.

Logarithmic opinion pool (Heskes 1998, Selecting weighting factors in logarithmic opinion pools, NIPS 10). The powers
are those with which the validation clips' labels are most probable: a branch that is of no use gets 0, and one that
is too sure of itself less than 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray[Any, np.dtype[np.float64]]
Index = np.ndarray[Any, np.dtype[np.int64]]

HIGHEST = 5.0
"""Of a power: with few clips that all are right, none would be high enough."""


class Fusion(nn.Module):
    """Features to logits."""

    powers: Tensor

    def __init__(self, branches: Sequence[nn.Module], places: Sequence[Sequence[int]], powers: Array) -> None:
        """
        Args:
            places: for each branch, which of the inputs it takes.
            powers: (branches,)
        """
        super().__init__()
        self.branches, self.places = nn.ModuleList(branches), places
        self.register_buffer("powers", torch.from_numpy(powers.astype(np.float32)))
        self.without: dict[str, Array] = {}
        """By branch, the powers where it is left out."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.tensordot(self.powers, self.logs(*inputs), dims=1)

    def logs(self, *inputs: Tensor) -> Tensor:
        """(branches, B, labels)"""
        logs = [
            branch(*(inputs[place] for place in places)).log_softmax(dim=1)
            for branch, places in zip(self.branches, self.places, strict=True)
        ]
        return torch.stack(logs)


class Ensemble(nn.Module):
    """Features to logits, whose probabilities are the mean of the members'."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: Tensor) -> Tensor:
        probabilities = torch.stack([member(*inputs).softmax(dim=1) for member in self.members]).mean(dim=0)
        # what all members hold for impossible would be no number
        return probabilities.clamp_min(1e-12).log()


def fusions(net: nn.Module) -> list[Fusion]:
    """The net itself, or the members of an ensemble; none where they are no fusions."""
    members = list(net.members) if isinstance(net, Ensemble) else [net]
    return [member for member in members if isinstance(member, Fusion)]


def each(net: nn.Module, *inputs: Tensor) -> Tensor:
    """(B, members, branches, labels): log probabilities of the branches of a fusion, or of an ensemble of fusions."""
    return torch.stack([member.logs(*inputs) for member in fusions(net)]).permute(2, 0, 1, 3)


def learned(logs: Array, clips: Index, targets: Index) -> Array:
    """The powers (branches,) with which the clips' labels are most probable.

    Args:
        logs: (branches, windows, labels) log probabilities.
        clips: (windows,) number of each window's clip.
        targets: (clips,)
    """
    from scipy.optimize import minimize

    counts = np.bincount(clips)[:, None]

    def loss(powers: Array) -> float:
        pooled = np.tensordot(powers, logs, axes=1)
        probabilities = np.exp(pooled - pooled.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        summed = np.zeros((len(targets), probabilities.shape[1]))
        np.add.at(summed, clips, probabilities)
        right = (summed / counts)[np.arange(len(targets)), targets]
        return float(-np.log(right.clip(1e-12)).mean())

    start = np.full(len(logs), 1 / len(logs))
    return np.asarray(minimize(loss, start, method="L-BFGS-B", bounds=[(0, HIGHEST)] * len(logs)).x)
