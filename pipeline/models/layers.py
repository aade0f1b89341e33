"""Layers that several models share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.config.models import Activation
from pipeline.evaluation.temperature import Matrix
from pipeline.models import MIN_PROBABILITY, Array, Input


class Standardise(nn.Module):
    """Zero mean, unit variance per column, band or channel, by the training part's statistics, which are in the model."""

    mean: Tensor
    std: Tensor

    def __init__(self, source: Input) -> None:
        super().__init__()
        trailing = (1,) * (len(source.shape) - 1)
        # a column that never varies in training would blow up noise elsewhere: leave its scale alone
        std = torch.from_numpy(source.std).clone()
        std[std < 1e-8] = 1.0
        self.register_buffer("mean", torch.from_numpy(source.mean).reshape(-1, *trailing))
        self.register_buffer("std", std.reshape(-1, *trailing))

    def forward(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.std


def scaled(values: Array) -> tuple[Standardise, Array]:
    """The layer that standardises these rows, and what it makes of them."""
    layer = Standardise(Input((values.shape[1],), values.mean(axis=0), values.std(axis=0)))
    with torch.no_grad():
        return layer, layer(torch.from_numpy(values)).numpy()


def fitted_linear(coefficients: Matrix, intercept: Matrix, classes: int) -> nn.Linear:
    """The layer that computes what a fitted linear model decides by."""
    layer = nn.Linear(coefficients.shape[1], classes)
    with torch.no_grad():
        if len(coefficients) < classes:
            # scikit-learn's regression has one row for two classes: the log odds of the second against the first
            layer.weight[0], layer.bias[0] = 0.0, 0.0
            layer.weight[1], layer.bias[1] = torch.from_numpy(coefficients[0]), float(intercept[0])
        else:
            layer.weight.copy_(torch.from_numpy(coefficients))
            layer.bias.copy_(torch.from_numpy(intercept))
    return layer


class Ensemble(nn.Module):
    """Features to logits, whose probabilities are the mean of the members'."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: Tensor) -> Tensor:
        probabilities = torch.stack([member(*inputs).softmax(dim=1) for member in self.members]).mean(dim=0)
        return probabilities.clamp_min(MIN_PROBABILITY).log()


def activate(name: Activation) -> nn.Module:
    """A layer that applies this function; ``linear`` leaves values as they are."""
    kinds = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}
    return nn.Softmax(dim=1) if name == "softmax" else kinds[name]()


def planes(image: Tensor) -> Tensor:
    """(B, channels, height, width) of an image, or of a window (B, bands, frames), which is one plane."""
    return image.unsqueeze(1) if image.ndim == 3 else image


def dense(
    inputs: int, hidden: Sequence[int], classes: int, dropout: float, activations: Sequence[Activation] | None = None
) -> nn.Sequential:
    """Fully connected layers, by default ReLU, with dropout after each, and before the last one in any case."""
    layers: list[nn.Module] = [] if hidden else [nn.Dropout(dropout)]
    relus: list[Activation] = ["relu"] * len(hidden)
    for width, activation in zip(hidden, activations or relus, strict=True):
        layers += [nn.Linear(inputs, width), activate(activation), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))
