"""One or several pre-trained backbones and a small head on a window of a feature, or on an image."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline import paths
from pipeline.config.base import ParamsError
from pipeline.config.models import Transfer as Settings
from pipeline.errors import UserError
from pipeline.models import Input, Rows, lda
from pipeline.models.backbones.musicnn import BANDS, PENULTIMATE, Musicnn
from pipeline.models.layers import Ensemble, dense, planes
from pipeline.models.pretrained import preprocessor
from pipeline.models.pretrained.loading import gives_maps_of_blocks, is_ast, load
from pipeline.models.pretrained.preprocessor import Preprocessor

MOMENTUM = 0.1
"""Of batch norms while a backbone is fine-tuned, PyTorch's own. As MobileNetV2 was trained (0.003) their statistics
would look back over more steps than fine-tuning has, to the weights and pictures of before."""
LOG_PER_DB = math.log(10) / 10
"""What a dB is in natural logarithms of power."""


class Backbone(nn.Module):
    """Window or image to embedding, (B, width)."""

    def __init__(self, network: nn.Module, trainable: bool) -> None:
        super().__init__()
        self.network = network.requires_grad_(trainable)
        self.trainable = trainable

    def train(self, mode: bool = True) -> Any:
        # a frozen backbone keeps its batch norms' running statistics too
        return super().train(mode and self.trainable)


class ImageBackbone(Backbone):
    """Means over the last feature maps of a network for pictures, or over those that each of its blocks makes.

    It sees three channels in [-1, 1], as the ImageNet models were trained on. Those of a window are equal, from its floor,
    which is black, to 0 dB, which is white; nothing is learned of the training part, so that an embedding is the same in
    every fold.
    """

    def __init__(
        self, source: Input, network: nn.Module, trainable: bool, zoom: float = 1.0, every_block: bool = False
    ) -> None:
        super().__init__(network, trainable)
        self.zoom, self.every_block = zoom, every_block
        self.black, self.white = (0.0, 1.0) if len(source.shape) == 3 else (source.floor, 0.0)

    def forward(self, image: Tensor) -> Tensor:
        shares = (image - self.black) / (self.white - self.black)
        seen = planes(shares.clamp(0, 1) * 2 - 1)
        if self.zoom > 1:
            seen = functional.interpolate(seen, scale_factor=self.zoom, mode="bilinear")
        return torch.cat([maps.mean(dim=(2, 3)) for maps in self._maps(seen.expand(-1, 3, -1, -1))], dim=1)

    def _maps(self, picture: Tensor) -> list[Tensor]:
        if not self.every_block:
            return [self.network(picture).last_hidden_state]
        made = self.network(picture, output_hidden_states=True)
        # some networks have their last maps among those of the blocks, others make them of the last block's
        blocks = [maps for maps in made.hidden_states if maps is not made.last_hidden_state]
        return [*blocks, made.last_hidden_state]


class MusicBackbone(Backbone):
    """The layer before musicnn's tags, of a window in dB; what is at the floor is silence."""

    def __init__(self, source: Input, network: Musicnn, trainable: bool) -> None:
        super().__init__(network, trainable)
        self.floor = source.floor

    def forward(self, window: Tensor) -> Tensor:
        levels = torch.log10(1e4 * 10 ** (window / 10) + 1)
        heard: Tensor = self.network(torch.where(window > self.floor, levels, 0))
        return heard[:, :PENULTIMATE]


class AudioBackbone(Backbone):
    """What an Audio Spectrogram Transformer (Gong et al. 2021, arXiv:2104.01778) pools, of a window of filter banks in dB.

    The window is scaled as in its training. What fills one up is a zero before that, as its own extractor has it.
    """

    def __init__(self, source: Input, network: nn.Module, trainable: bool, heard: Preprocessor) -> None:
        super().__init__(network, trainable)
        self.floor = source.floor
        self.centre, self.spread = heard.scale

    def forward(self, window: Tensor) -> Tensor:
        banks = torch.where(window > self.floor, LOG_PER_DB * window, 0)
        seen = (banks - self.centre) / self.spread
        embedding: Tensor = self.network(seen.transpose(1, 2)).pooler_output
        return embedding


class Transfer(nn.Module):
    """``frozen`` tells the training loop that ``backbones`` may be run once per window and their embeddings kept."""

    def __init__(self, backbones: Iterable[nn.Module], head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.backbones, self.head, self.frozen = nn.ModuleList(load_backbones), head, frozen

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.cat([backbone(image) for backbone in self.backbones], dim=1))


def build(settings: Settings, inputs: list[Input], classes: int) -> nn.Module:
    """
    Raises:
        UserError: a backbone was trained on another feature than the experiment gives it.
    """
    (image,) = inputs
    if settings.closed and not settings.frozen:
        # tuned by its last maps, as it was trained; those of its blocks are for the discriminant (:func:`part_way`)
        settings = settings.model_copy(update={"maps": "last"})
    seeing = load_backbones(settings, image)
    example = torch.zeros(1, *image.shape)
    with torch.no_grad():
        width = sum(backbone.eval()(example).shape[1] for backbone in seeing)
    return Transfer(seeing, dense(width, settings.hidden, classes, settings.dropout), settings.frozen)


def load_backbones(settings: Settings, source: Input) -> list[Backbone]:
    """See :func:`build`."""
    return [_backbone(name, source, settings) for name in settings.backbones]


def joined(nets: Sequence[nn.Module]) -> nn.Module:
    """The ensemble of these, in which they share their backbones: frozen ones are the same in all."""
    transfers = [net for net in nets if isinstance(net, Transfer) and net.frozen]
    if len(transfers) < len(nets):
        return Ensemble(nets)
    return Transfer(transfers[0].backbones, Ensemble([net.head for net in transfers]), frozen=True)


def interpolated(tuned: nn.ModuleList, settings: Settings, source: Input) -> nn.ModuleList:
    """What a discriminant is fitted to: backbones with the maps of ``settings``, and their weights and statistics
    ``tuned_share`` of the way from those they were loaded with to the tuned ones.
    """
    found = nn.ModuleList(load_backbones(settings, source))
    ends = tuned.state_dict()
    for name, tensor in found.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(ends[name], settings.tuned_share)
    return found


def fit_head(shrinkage: float, train: Rows, valid: Rows, classes: int) -> nn.Module:
    """A linear discriminant of embeddings, in closed form.

    They are not standardised: their columns have one unit, and where one of MobileNetV2's varies more it says more
    (docs/training.md).
    """
    return lda.discriminant(shrinkage, train, valid, classes)


def _backbone(name: str, source: Input, settings: Settings) -> Backbone:
    network, trainable = load(paths.WEIGHTS / name), not settings.frozen
    if not (isinstance(network, Musicnn) or is_ast(network)):
        backbone: Backbone = _image(name, source, network, settings)
    elif settings.zoom > 1:
        raise ParamsError(f"model.zoom: weights.{name} hear music, and cannot hear it enlarged")
    elif settings.maps != "last":
        raise ParamsError(f"model.maps: weights.{name} hear music, and have an embedding of their own")
    elif isinstance(network, Musicnn):
        backbone = _musicnn(name, source, network, trainable)
    else:
        backbone = _transformer(name, source, network, trainable)
    if trainable:
        _tune(network, settings.tuned_from)
    return backbone


def _image(name: str, source: Input, network: nn.Module, settings: Settings) -> Backbone:
    every_block = settings.maps == "every block"
    if every_block and not gives_maps_of_blocks(network):
        raise ParamsError(
            f"model.maps: weights.{name} do not tell the feature maps of their blocks: give the model `maps: last`"
        )
    return ImageBackbone(source, network, not settings.frozen, settings.zoom, every_block)


def _musicnn(name: str, source: Input, network: Musicnn, trainable: bool) -> Backbone:
    if source.shape[:-1] != (BANDS,):
        raise UserError(
            f"weights.{name} hear windows of {BANDS} bands, not {source.shape[:-1]}: "
            "give the experiment `features: [musicnn]`"
        )
    return MusicBackbone(source, network, trainable)


def _transformer(name: str, source: Input, network: Any, trainable: bool) -> Backbone:
    bands, frames = network.config.num_mel_bins, network.config.max_length
    if source.shape != (bands, frames):
        raise UserError(
            f"weights.{name} hear windows of {bands} bands and {frames} frames, not {source.shape}: "
            f"give the experiment `features: [fbank]`, and set window.fbank to {frames}"
        )
    return AudioBackbone(source, network, trainable, preprocessor.read(paths.WEIGHTS / name))


def _tune(network: nn.Module, first: str | None) -> None:
    """Leave what lies before the module ``first`` as it is, but for the statistics of its batch norms.

    Raises:
        ParamsError: there is no such module, or it has no weights.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = MOMENTUM
    if first is None:
        return
    names = [name for name, _ in network.named_parameters()]
    begins = next((place for place, name in enumerate(names) if name.startswith(f"{first}.")), None)
    if begins is None:
        modules = dict.fromkeys(".".join(name.split(".")[:2]) for name in names)
        raise ParamsError(f"model.tuned_from: the backbone has no module {first!r}, but {', '.join(modules)}")
    for parameter in list(network.parameters())[:begins]:
        parameter.requires_grad_(False)
