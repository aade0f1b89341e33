"""Late fusion of models trained apart: the product of their probabilities, each raised to its pooling weight.

Logarithmic opinion pool (Heskes 1998, Selecting weighting factors in logarithmic opinion pools, NIPS 10).
"""

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor, nn

from pipeline.models import MIN_PROBABILITY


class Fusion(nn.Module):
    pooling_weights: Tensor

    def __init__(
        self, branches: Sequence[nn.Module], places: Sequence[Sequence[int]], pooling_weights: Sequence[float]
    ) -> None:
        """``places`` says for each branch which of the inputs it takes."""
        super().__init__()
        self.branches, self.places = nn.ModuleList(branches), places
        self.register_buffer("pooling_weights", torch.tensor(pooling_weights, dtype=torch.float32))

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.pooled(self.log_probs(*inputs))

    def log_probs(self, *inputs: Tensor) -> Tensor:
        """(B, branches, labels), each at least log(MIN_PROBABILITY): 0 times infinity would be no number."""
        each = [
            branch(*(inputs[place] for place in places)).log_softmax(dim=1).clamp_min(log(MIN_PROBABILITY))
            for branch, places in zip(self.branches, self.places, strict=True)
        ]
        return torch.stack(each, dim=1)

    def pooled(self, log_probs: Tensor) -> Tensor:
        """Logits from the branches' log probabilities."""
        return torch.tensordot(log_probs, self.pooling_weights, dims=([1], [0]))
