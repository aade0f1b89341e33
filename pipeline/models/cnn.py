"""Convolutional networks on a window of a spectrogram or scalogram, or on an image.

``tutorial`` is the basic CNN of the well-known GTZAN tutorial; ``compact`` is the better default: normalised per
band, batch norm, and pooling over time in place of a dense layer over every pixel. ``small`` is for images of 8 to 64
pixels, of which ``compact`` would leave nothing.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline.config.models import Cnn
from pipeline.models import Input
from pipeline.models.layers import Standardise, planes


class Compact(nn.Module):
    """Trunk of four blocks and mean and maximum over what they give: (B, bands, frames) or an image -> (B, width)."""

    width = 256

    def __init__(self, source: Input) -> None:
        super().__init__()
        self.scale = Standardise(source)
        self.blocks = nn.Sequential(
            _block(source.channels, 16, kernel=5, stride=2), _block(16, 32), _block(32, 64), _block(64, 128)
        )

    def forward(self, image: Tensor) -> Tensor:
        maps = self.blocks(planes(self.scale(image)))
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Pooled before the norm, which then has a quarter of the values to go through: memory is what takes the time."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Tutorial(nn.Module):
    """Trunk of Conv 32, Conv 32, Conv 64 (3x3, each ReLU and pooled by 2), dropout, dense 128: (B, width).

    As in the tutorial the input is an image of three equal channels, scaled to [0, 1]. ReLU comes after the
    pooling, which gives the same and leaves it a quarter of the values.
    """

    width = 128

    def __init__(self, source: Input, dropout: float) -> None:
        super().__init__()
        bands, frames = source.shape[-2:]
        self.silence_db = source.silence_db
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((3, 32, 32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3), nn.MaxPool2d(2), nn.ReLU()]
            bands, frames = (bands - 2) // 2, (frames - 2) // 2
        self.body = nn.Sequential(
            *layers, nn.Dropout(dropout), nn.Flatten(), nn.Linear(64 * bands * frames, self.width), nn.ReLU()
        )

    def forward(self, image: Tensor) -> Tensor:
        shares = image if image.ndim == 4 else (1 - image / self.silence_db).unsqueeze(1)
        return self.body(shares.expand(-1, 3, -1, -1))


def _small(source: Input, classes: int, dropout: float) -> nn.Module:
    """Conv 32, Conv 64, Conv 128 (3x3, each pooled by 2), dropout, one linear layer over all that remains."""
    height, width = (side // 8 for side in source.shape[1:])
    blocks = [_block(source.channels, 32), _block(32, 64), _block(64, 128)]
    flat = nn.Linear(128 * height * width, classes)
    return nn.Sequential(Standardise(source), *blocks, nn.Flatten(), nn.Dropout(dropout), flat)


def build(settings: Cnn, inputs: list[Input], classes: int) -> nn.Module:
    (image,) = inputs
    if settings.arch == "tutorial":
        return nn.Sequential(Tutorial(image, settings.dropout), nn.Linear(Tutorial.width, classes))
    if settings.arch == "small":
        return _small(image, classes, settings.dropout)
    return nn.Sequential(Compact(image), nn.Dropout(settings.dropout), nn.Linear(Compact.width, classes))
