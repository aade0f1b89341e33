"""One or several pre-trained backbones and a small head on a window of a feature, or on an image."""

import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from pipeline.base import paths
from pipeline.config.base import ParamsError
from pipeline.config.models import Transfer as Settings
from pipeline.models import Input, Rows, backbones, lda
from pipeline.models.backbones._common import Backbone
from pipeline.models.backbones._lora import adapt
from pipeline.models.layers import Ensemble, dense

MOMENTUM = 0.1
"""Of batch norms while a backbone is fine-tuned, PyTorch's own. With MobileNetV2's (0.003) their statistics would average
over more steps than fine-tuning has, and stay those of ImageNet."""

MODULE = re.compile(r"(?:[^.\d]+\.)+\d+(?=\.)|[^.]+(?:\.[^.]+)?")
"""Of a parameter's name, the module that may be unfrozen from: up to its first number."""


class Transfer(nn.Module):
    """Where it is ``frozen``, the training loop runs ``backbones`` once per window and caches their embeddings."""

    def __init__(self, backbones: Iterable[nn.Module], head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.backbones, self.head, self.frozen = nn.ModuleList(backbones), head, frozen

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.cat([backbone(image) for backbone in self.backbones], dim=1))


class WeightedSum(nn.Module):
    """Of the hidden states of each backbone, which lie side by side, their sum with weights that are learned and add up to 1
    (SUPERB, arXiv:2105.01051)."""

    def __init__(self, states: Sequence[int], widths: Sequence[int]) -> None:
        """``widths`` are those of all states of a backbone."""
        super().__init__()
        self.widths = list(widths)
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(own)) for own in states)

    def forward(self, embedding: Tensor) -> Tensor:
        parts = [
            weights.softmax(dim=0) @ own.view(own.shape[0], len(weights), -1)
            for weights, own in zip(self.weights, torch.split(embedding, self.widths, dim=1), strict=True)
        ]
        return torch.cat(parts, dim=1)


def build(settings: Settings, inputs: list[Input], classes: int) -> nn.Module:
    """
    Raises:
        UserError: a backbone was trained on another feature than the experiment gives it.
    """
    (image,) = inputs
    if settings.closed_form and not settings.frozen:
        # tuned with its last maps, as in pre-training; those of its blocks are for the discriminant (:func:`interpolated`)
        settings = settings.model_copy(update={"feature_maps": "last"})
    nets = load_backbones(settings, image)
    example = torch.zeros(1, *image.shape)
    with torch.no_grad():
        widths = [backbone.eval()(example).shape[1] for backbone in nets]
    states = [backbone.states for backbone in nets]
    width = sum(all_states // own for all_states, own in zip(widths, states, strict=True))
    head = dense(width, settings.hidden, classes, settings.dropout)
    if max(states) > 1:
        head = nn.Sequential(WeightedSum(states, widths), *head)
    return Transfer(nets, head, settings.frozen)


def load_backbones(settings: Settings, source: Input) -> list[Backbone]:
    found = [backbones.build(paths.WEIGHTS / name, source, settings) for name in settings.backbones]
    if not settings.frozen:
        for backbone in found:
            if settings.lora:
                adapt(backbone.network, settings.lora)
            else:
                _unfreeze(backbone.network, settings.unfreeze_from)
    return found


def joined(nets: Sequence[nn.Module]) -> nn.Module:
    """The ensemble of these, in which they share their backbones: frozen ones are the same in all."""
    transfers = [net for net in nets if isinstance(net, Transfer) and net.frozen]
    if len(transfers) < len(nets):
        return Ensemble(nets)
    return Transfer(transfers[0].backbones, Ensemble([net.head for net in transfers]), frozen=True)


def interpolated(tuned: nn.ModuleList, settings: Settings, source: Input) -> nn.ModuleList:
    """Backbones with the feature maps of ``settings``, and weights and statistics interpolated between the pre-trained
    ones and ``tuned`` by ``wise_ft_alpha`` (WiSE-FT, arXiv:2109.01903). A discriminant is fitted to them.
    """
    found = nn.ModuleList(load_backbones(settings, source))
    ends = tuned.state_dict()
    for name, tensor in found.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(ends[name], settings.wise_ft_alpha)
    return found


def fit_head(settings: Settings, train: Rows, labels: Sequence[str]) -> nn.Module:
    """A linear discriminant of embeddings, in closed form. They are not standardised: their columns have one unit, and
    where one of MobileNetV2's varies more it says more (docs/training.md)."""
    assert settings.shrinkage is not None
    return lda.discriminant(settings.shrinkage, train, len(labels))


def _unfreeze(network: nn.Module, first: str | None) -> None:
    """Train the module ``first`` and those behind it; before it only the statistics of batch norms move.

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
        modules = dict.fromkeys(found[0] for name in names if (found := MODULE.match(name)))
        raise ParamsError(f"model.unfreeze_from: the backbone has no module {first!r}, but {', '.join(modules)}")
    for parameter in list(network.parameters())[:begins]:
        parameter.requires_grad_(False)
