"""One trial of an experiment: a model built for its features, fitted, and kept as an ONNX graph."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from pipeline import models
from pipeline.models.exported import export
from pipeline.params import Experiment
from pipeline.training import HISTORY, EpochSink
from pipeline.training.parts import Parts, examples
from pipeline.training.windows import embed

if TYPE_CHECKING:
    from torch import nn


def fitted(
    experiment: Experiment, data: Parts, seed: int, work: Path, sink: EpochSink
) -> "tuple[nn.Module, pd.DataFrame]":
    """The model at its best epoch on valid, and its history (no rows for a model not trained by epochs).

    Args:
        work: checkpoints; where it holds some, training goes on from there.
    """
    module = models.load(experiment.model.name)
    windows, valid = data.windows["train"], data.windows["valid"]
    if hasattr(module, "fit"):
        values = windows.sources[0].cut(*windows.even(1).T).numpy()
        net = module.fit(experiment.model, values, windows.targets.numpy(), len(data.labels), seed)
        return net, pd.DataFrame(columns=list(HISTORY))
    from pipeline.training.fit import fit  # Lightning takes seconds to import, and fitted models do without

    torch.manual_seed(seed)
    inputs = [feature.describe() for feature in data.features["train"]]
    # convolutions on the CPU are up to twice as fast with the channels last
    net = module.build(experiment.model, inputs, len(data.labels)).to(memory_format=torch.channels_last)
    trained = net
    if getattr(net, "frozen", False):
        size = experiment.training.batch_size
        windows, valid = embed(windows, net.backbone, size), embed(valid, net.backbone, size)
        trained = net.head
    history = fit(trained, windows, valid, experiment.training, seed, work, sink)
    return net.eval(), history


def save(net: "nn.Module", data: Parts, file: Path) -> None:
    """Write the ONNX graph."""
    inputs = examples(data)
    export(net, [torch.from_numpy(values) for values in inputs.values()], list(inputs), file)
