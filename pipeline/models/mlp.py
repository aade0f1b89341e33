"""Multi-layer perceptron on the tabular features: by default the tutorials' 512, 512, softmax."""

from torch import nn

from pipeline.models import Input
from pipeline.models.layers import Standardise, dense
from pipeline.params import Mlp


def build(settings: Mlp, inputs: list[Input], classes: int) -> nn.Module:
    (table,) = inputs
    layers = dense(table.shape[0], settings.hidden, classes, settings.dropout, settings.activation)
    return nn.Sequential(Standardise(table), layers)
