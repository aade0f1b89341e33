"""Image networks of transformers: the means of their feature maps. Takes images and windows of any size."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config.base import ParamsError
from pipeline.config.features import Form
from pipeline.config.models import Transfer
from pipeline.models import Input
from pipeline.models.backbones._common import SUPPORTED, Backbone, load_transformers
from pipeline.models.layers import planes
from pipeline.models.pretrained import WeightsError

OPTIONS = frozenset({"upsample", "feature_maps"})
HEARS: Form = "image"
SIDE = 64
"""Pixels of the image that a network is tried with."""


class ImageBackbone(Backbone):
    """Means over the network's last feature maps, or over those of each of its blocks.

    It gets three channels in [-1, 1], as the ImageNet models were trained on. Those of a window are equal: black (-1) is
    silence, white (1) is 0 dB. Nothing depends on the training part, so an embedding is the same in every fold.
    """

    def __init__(
        self, source: Input, network: nn.Module, trainable: bool, upsample: float = 1.0, every_block: bool = False
    ) -> None:
        super().__init__(network, trainable)
        self.upsample, self.every_block = upsample, every_block
        self.black, self.white = (0.0, 1.0) if len(source.shape) == 3 else (source.silence_db, 0.0)

    def forward(self, image: Tensor) -> Tensor:
        shares = (image - self.black) / (self.white - self.black)
        image = planes(shares.clamp(0, 1) * 2 - 1)
        if self.upsample > 1:
            image = functional.interpolate(image, scale_factor=self.upsample, mode="bilinear")
        maps = self._feature_maps(image.expand(-1, 3, -1, -1))
        return torch.cat([own.mean(dim=(2, 3)) for own in maps], dim=1)

    def _feature_maps(self, image: Tensor) -> list[Tensor]:
        if not self.every_block:
            return [self.network(image).last_hidden_state]
        made = self.network(image, output_hidden_states=True)
        # some networks have their last maps among those of the blocks, others compute them from the last block's
        blocks = [maps for maps in made.hidden_states if maps is not made.last_hidden_state]
        return [*blocks, made.last_hidden_state]


def load(folder: Path) -> nn.Module:
    """``last_hidden_state`` of its output are the feature maps (B, channels, height, width)."""
    network = load_transformers(folder, "pixel_values")
    if not _gives_maps(network):
        raise WeightsError(
            f"{folder / 'config.json'} gives no feature maps of an image of {SIDE} pixels: supported are {SUPPORTED}"
        )
    _use_torch_momentum(network)
    return network


def build(folder: Path, source: Input, settings: Transfer) -> ImageBackbone:
    network, every_block = load(folder).eval(), settings.feature_maps == "every block"
    if every_block and not _gives_maps_of_blocks(network):
        raise ParamsError(
            f"model.feature_maps: weights.{folder.name} has no feature maps for each block: set it to last"
        )
    return ImageBackbone(source, network, not settings.frozen, settings.upsample, every_block)


@torch.inference_mode()
def _gives_maps(network: nn.Module) -> bool:
    """A vision transformer gives none, and takes images of one size alone."""
    try:
        return bool(network(torch.zeros(1, 3, SIDE, SIDE)).last_hidden_state.ndim == 4)
    except (AttributeError, RuntimeError, ValueError):
        return False


@torch.inference_mode()
def _gives_maps_of_blocks(network: nn.Module) -> bool:
    """Swin's blocks give sequences."""
    blocks = network(torch.zeros(1, 3, SIDE, SIDE), output_hidden_states=True).hidden_states
    return bool(blocks) and all(maps.ndim == 4 for maps in blocks)


def _use_torch_momentum(network: nn.Module) -> None:
    """transformers hands TensorFlow's batch norm momentum of 0.997 to torch as it is (MobileNet, EfficientNet), where it
    should be one minus it: else fine-tuning replaces the running statistics by those of the last batch."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None and module.momentum > 0.5:
            module.momentum = 1 - module.momentum
