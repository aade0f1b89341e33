"""Late fusion of models that were trained apart: the product of their probabilities, each to a power of its own.

Logarithmic opinion pool (Heskes 1998, Selecting weighting factors in logarithmic opinion pools, NIPS 10).
"""

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from pipeline.models import LEAST


class Fusion(nn.Module):
    """Features to logits."""

    powers: Tensor

    def __init__(
        self, branches: Sequence[nn.Module], places: Sequence[Sequence[int]], powers: Sequence[float]
    ) -> None:
        """
        Args:
            places: for each branch, which of the inputs it takes.
        """
        super().__init__()
        self.branches, self.places = nn.ModuleList(branches), places
        self.register_buffer("powers", torch.tensor(powers, dtype=torch.float32))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.pooled(self.each(*inputs))

    def each(self, *inputs: Tensor) -> Tensor:
        """(B, branches, labels) log probabilities, none below LEAST: a power of 0 would make no number of infinity."""
        logs = [
            branch(*(inputs[place] for place in places)).log_softmax(dim=1).clamp_min(log(LEAST))
            for branch, places in zip(self.branches, self.places, strict=True)
        ]
        return torch.stack(logs, dim=1)

    def pooled(self, each: Tensor) -> Tensor:
        """Logits from what :meth:`each` gives."""
        return torch.tensordot(each, self.powers, dims=([1], [0]))
