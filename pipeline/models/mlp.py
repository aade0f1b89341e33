"""Multi-layer perceptron on the tabular features or on an image's pixels: by default the tutorials' 512, 512, softmax."""

from math import prod

from torch import nn

from pipeline.config.models import Mlp
from pipeline.models import Input
from pipeline.models.layers import Standardise, dense


def build(settings: Mlp, inputs: list[Input], classes: int) -> nn.Module:
    (source,) = inputs
    scale = Standardise(source) if settings.standardise else nn.Identity()
    layers = dense(prod(source.shape), settings.hidden, classes, settings.dropout, settings.activations)
    return nn.Sequential(scale, nn.Flatten(), layers)
