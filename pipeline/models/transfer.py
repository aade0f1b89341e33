"""A pre-trained image backbone and a small head on a window of a spectrogram or scalogram, or on an image."""

import torch
from torch import Tensor, nn

from pipeline import paths
from pipeline.models import Input
from pipeline.models.layers import dense, planes
from pipeline.models.weights.loading import load
from pipeline.params import ParamsError
from pipeline.params import Transfer as Settings

MOMENTUM = 0.1
"""Of batch norms while a backbone is fine-tuned, PyTorch's own. As MobileNetV2 was trained (0.003) their statistics
would look back over more steps than fine-tuning has, to the weights and pictures of before."""


class Backbone(nn.Module):
    """Window or image to embedding, (B, width): means over the backbone's last feature maps.

    It sees three channels in [-1, 1], as the ImageNet models were trained on. Those of a window are equal: the training
    part's mean is grey, two standard deviations are black or white. An image keeps its own black and white.
    """

    def __init__(self, source: Input, network: nn.Module, trainable: bool) -> None:
        super().__init__()
        self.network = network.requires_grad_(trainable)
        self.trainable = trainable
        self.centre, self.spread = (0.5, 0.5) if len(source.shape) == 3 else _range(source)

    def forward(self, image: Tensor) -> Tensor:
        seen = planes(((image - self.centre) / self.spread).clamp(-1, 1))
        maps: Tensor = self.network(seen.expand(-1, 3, -1, -1)).last_hidden_state
        return maps.mean(dim=(2, 3))

    def train(self, mode: bool = True) -> "Backbone":
        # a frozen backbone keeps its batch norms' running statistics too
        return super().train(mode and self.trainable)


def _range(source: Input) -> tuple[float, float]:
    """Mean and twice the standard deviation over all bands."""
    centre = source.mean.mean()
    return float(centre), 2 * float(((source.std**2 + (source.mean - centre) ** 2).mean()) ** 0.5)


class Transfer(nn.Module):
    """``frozen`` tells the training loop that ``backbone`` may be run once per window and kept."""

    def __init__(self, backbone: Backbone, head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.backbone, self.head, self.frozen = backbone, head, frozen

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.backbone(image))


def build(settings: Settings, inputs: list[Input], classes: int) -> nn.Module:
    (image,) = inputs
    network = load(paths.WEIGHTS / settings.backbone)
    backbone = Backbone(image, network, trainable=not settings.frozen)
    if not settings.frozen:
        _tune(network, settings.tuned_from)
    with torch.no_grad():
        width = backbone.eval()(torch.zeros(1, *image.shape)).shape[1]
    return Transfer(backbone, dense(width, settings.hidden, classes, settings.dropout), settings.frozen)


def _tune(network: nn.Module, first: str | None) -> None:
    """Leave what lies before the module ``first`` as it is, but for the statistics of its batch norms.

    Raises:
        ParamsError: there is no such module, or it has no weights.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
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
