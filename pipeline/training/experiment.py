"""One trial of an experiment: a model built for its features, fitted, and kept as an ONNX graph."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.models import fusion
from pipeline.models.exported import EACH, export
from pipeline.params import Experiment, Fusion
from pipeline.training import HISTORY, EpochSink, untold
from pipeline.training.hardware import precision
from pipeline.training.parts import Parts, examples
from pipeline.training.windows import Windows

BATCH = 32
log = logging.getLogger(__name__)


def fitted(
    experiment: Experiment, data: Parts, seed: int, work: Path, kept: Path, sink: EpochSink
) -> tuple[nn.Module, pd.DataFrame]:
    """The model at its best epoch on valid, and its history (no rows for a model not trained by epochs).

    Args:
        work: checkpoints; where it holds some, training goes on from there.
        kept: what a frozen backbone made of windows, for the trainings to come.
    """
    if isinstance(experiment.model, Fusion):
        return _fused(experiment.model, data, seed, work, kept), pd.DataFrame(columns=list(HISTORY))
    module = models.load(experiment.model.name)
    windows, valid = data.windows["train"], data.windows["valid"]
    if hasattr(module, "fit"):
        values = windows.sources[0].cut(*windows.even(1).T)
        net = module.fit(experiment.model, values, windows.targets, len(data.labels), seed)
        return net, pd.DataFrame(columns=list(HISTORY))
    from pipeline.training.embeddings import embed
    from pipeline.training.fit import fit  # Lightning takes seconds to import, and fitted models do without

    settings = experiment.training.model_copy(update={"precision": precision(experiment)})
    torch.manual_seed(seed)
    inputs = [feature.describe() for feature in data.features["train"]]
    net = module.build(experiment.model, inputs, len(data.labels))
    if settings.channels_last:
        net = net.to(memory_format=torch.channels_last)
    trained = net
    if getattr(net, "frozen", False):
        windows, valid = embed([windows, valid], net.backbones, settings, kept)
        every = windows[windows.even(1)]
        if head := module.fit_head(experiment.model, every.inputs[0], every.targets, len(data.labels), seed):
            net.head = head
            return net.cpu().eval(), pd.DataFrame(columns=list(HISTORY))
        trained = net.head
    history = fit(trained, windows, valid, settings, seed, work, sink)
    return net.cpu().eval(), history


def _fused(settings: Fusion, data: Parts, seed: int, work: Path, kept: Path) -> nn.Module:
    """The branches, each with its own features, and the powers learned on valid."""
    nets, places = [], []
    for name, branch in settings.branches.items():
        log.info("branch %s", name)
        net, _ = fitted(branch, data.of(branch.features), seed, work / name, kept, untold)
        nets.append(net)
        places.append([data.kinds.index(kind) for kind in branch.features])
    windows = data.windows["valid"]
    each = [fusion.Fusion([net], [own], np.ones(1)) for net, own in zip(nets, places, strict=True)]
    logs = np.stack([np.log(answers(net, windows).clip(1e-12)) for net in each])
    powers = _powers(logs, windows)
    log.info("powers: %s", ", ".join(f"{n} {p:.2f}" for n, p in zip(settings.branches, powers, strict=True)))
    found = fusion.Fusion(nets, places, powers)
    found.without = {name: _without(place, logs, windows) for place, name in enumerate(settings.branches)}
    return found


def _powers(logs: fusion.Array, windows: Windows) -> fusion.Array:
    return fusion.learned(logs, windows.even(windows.frames)[:, 0], windows.targets)


def _without(place: int, logs: fusion.Array, windows: Windows) -> fusion.Array:
    """The powers where one branch is left out, whose own is 0."""
    return np.insert(_powers(np.delete(logs, place, axis=0), windows), place, 0.0)


def answers(net: nn.Module, windows: Windows) -> fusion.Array:
    """(windows, labels): probabilities for the windows that cover every clip, in their order."""
    net.eval()
    with torch.inference_mode():
        found = [
            net(*map(torch.from_numpy, batch.inputs)).softmax(dim=1).double().numpy()
            for batch in windows.batches(BATCH)
        ]
    return np.concatenate(found)


class Probabilities(nn.Module):
    """And of a fusion, what each branch says."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        probabilities: Tensor = self.net(*inputs).softmax(dim=1)
        return (probabilities, fusion.each(self.net, *inputs)) if fusion.fusions(self.net) else probabilities


def save(net: nn.Module, data: Parts, file: Path) -> None:
    """Write the ONNX graph, from features to label probabilities."""
    inputs = examples(data)
    tensors = [torch.from_numpy(values) for values in inputs.values()]
    outputs = ["probabilities", EACH] if fusion.fusions(net) else ["probabilities"]
    export(Probabilities(net).eval(), tensors, list(inputs), outputs, file)
