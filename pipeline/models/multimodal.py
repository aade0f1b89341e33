"""Late fusion: one convolutional trunk per input, their embeddings joined, one linear layer over both."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.config.models import Multimodal as Settings
from pipeline.models import Input
from pipeline.models.cnn import Compact, Tutorial


class Multimodal(nn.Module):
    def __init__(self, branches: Sequence[Compact | Tutorial], classes: int, dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(sum(b.width for b in branches), classes))

    def forward(self, *images: Tensor) -> Tensor:
        """One (B, bands, frames) tensor per branch, in the order of the experiment's features."""
        embeddings = [branch(image) for branch, image in zip(self.branches, images, strict=True)]
        return self.head(torch.cat(embeddings, dim=1))


def build(settings: Settings, inputs: list[Input], classes: int) -> nn.Module:
    if settings.arch == "tutorial":
        trunks = [Tutorial(image, settings.dropout) for image in inputs]  # each with the dropout inside
        return Multimodal(trunks, classes, dropout=0.0)
    return Multimodal([Compact(image) for image in inputs], classes, settings.dropout)
