"""One trial of an experiment: a model built for its features, fitted, and kept as an ONNX graph."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.config.experiment import Experiment
from pipeline.config.models import Transfer
from pipeline.config.training import Training
from pipeline.models.exported import EACH, export
from pipeline.models.fusion import Fusion
from pipeline.parallel import blas_threads
from pipeline.training import HISTORY, EpochSink
from pipeline.training.dataset import Windows
from pipeline.training.hardware import resolved
from pipeline.training.splits import Splits, examples


def train_single(
    experiment: Experiment, data: Splits, seed: int, work: Path, kept: Path, sink: EpochSink
) -> tuple[nn.Module, pd.DataFrame]:
    """The model at the epoch that is kept, and its history (no rows for a model not trained by epochs).

    Args:
        work: checkpoints; where it holds some, training goes on from there.
        kept: what a frozen backbone made of windows, for the trainings to come.
    """
    threads = experiment.training.threads
    torch.set_num_threads(threads)
    with blas_threads(threads):  # of what is fitted in closed form
        return _train(experiment, data, seed, work, kept, sink)


def _train(
    experiment: Experiment, data: Splits, seed: int, work: Path, kept: Path, sink: EpochSink
) -> tuple[nn.Module, pd.DataFrame]:
    module = models.load(experiment.model.name)
    windows, valid = data.windows["train"], data.windows["valid"]
    if hasattr(module, "fit"):
        net = module.fit(experiment.model, _rows(windows), _rows(valid), len(data.labels), seed)
        return net, pd.DataFrame(columns=list(HISTORY))
    from pipeline.training.trainer import (
        fit,  # Lightning takes seconds to import, and fitted models do without
    )

    settings = resolved(experiment).training
    torch.manual_seed(seed)
    inputs = [feature.describe() for feature in data.features["train"]]
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    net = module.build(experiment.model, inputs, len(data.labels)).to(memory_format=layout)
    model, history = experiment.model, pd.DataFrame(columns=list(HISTORY))
    closed = model if isinstance(model, Transfer) and model.closed else None
    if getattr(net, "frozen", False):
        windows, valid = _embedded(windows, valid, net.backbones, settings, kept)
        if closed is None:
            history = fit(net.head, windows, valid, settings, seed, work, sink)
    else:
        history = fit(net, windows, valid, settings, seed, work, sink)
        if closed is not None:
            net.backbones = module.part_way(net.backbones, closed, *inputs).to(memory_format=layout)
            # beside its checkpoints: no other training has these weights
            windows, valid = _embedded(windows, valid, net.backbones, settings, work)
    if closed is not None:
        net.head = module.fit_head(closed.shrinkage, _rows(windows), _rows(valid), len(data.labels))
    return net.cpu().eval(), history


def _embedded(
    windows: Windows, valid: Windows, backbones: Iterable[nn.Module], settings: Training, kept: Path
) -> tuple[Windows, Windows]:
    """Train in windows that overlap; valid in those that evaluation scores, so that an epoch is kept by that score."""
    from pipeline.training.embeddings import ASKED_OF, TRAINED_ON, embed

    train, held_out = embed([windows, valid], backbones, settings, kept, [TRAINED_ON, ASKED_OF])
    return train, held_out


def _rows(windows: Windows) -> models.Rows:
    every = windows[windows.even(1)]
    return models.Rows(every.inputs[0], every.targets)


class Probabilities(nn.Module):
    """And of a fusion, what each branch says."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if isinstance(self.net, Fusion):
            each = self.net.each(*inputs)
            return self.net.pooled(each).softmax(dim=1), each
        probabilities: Tensor = self.net(*inputs).softmax(dim=1)
        return probabilities


def save(net: nn.Module, data: Splits, file: Path) -> None:
    """Write the ONNX graph, from features to label probabilities."""
    inputs = examples(data)
    tensors = [torch.from_numpy(values) for values in inputs.values()]
    outputs = ["probabilities", EACH] if isinstance(net, Fusion) else ["probabilities"]
    export(Probabilities(net).eval(), tensors, list(inputs), outputs, file)
