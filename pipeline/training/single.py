"""One training: a model built for its features, trained or fitted, and exported as an ONNX graph."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from pipeline import models
from pipeline.base.parallel import blas_threads
from pipeline.config.experiment import Experiment
from pipeline.config.models import Transfer, ZeroShot
from pipeline.config.training import Training
from pipeline.data.split import grouped_by
from pipeline.models.exported import LOG_PROBS, export
from pipeline.models.fusion import Fusion
from pipeline.training import HISTORY, OnEpoch
from pipeline.training.dataset import Windows
from pipeline.training.embeddings import EVAL_SPACING, TRAIN_SPACING, embed
from pipeline.training.hardware import resolved
from pipeline.training.splits import Splits, examples

STOPPING_FOLDS = 5
"""The inner part of train that a monitored training is judged on is one of so many."""


def train_single(
    experiment: Experiment, data: Splits, seed: int, checkpoint_dir: Path, cache_dir: Path, on_epoch: OnEpoch
) -> tuple[nn.Module, pd.DataFrame]:
    """The model, and its history (no rows for a model that is not trained by epochs).

    Where ``training.monitor`` says so it is that of the best epoch, judged on an inner part of train: nothing is chosen by
    the clips that models are compared on.

    Args:
        checkpoint_dir: where it holds checkpoints, training goes on from there.
        cache_dir: embeddings of frozen backbones, for later trainings.
    """
    module, model, labels = models.load(experiment.model.name), experiment.model, len(data.labels)
    closed_form = isinstance(model, ZeroShot) or (isinstance(model, Transfer) and model.closed_form)
    by_epochs = not hasattr(module, "fit") and not (closed_form and getattr(model, "frozen", True))
    if by_epochs and experiment.training.monitor:
        data = data.resplit(STOPPING_FOLDS, seed)[0]
    parts = {part: own for part, own in data.windows.items() if part != "test"}
    history = pd.DataFrame(columns=list(HISTORY))
    torch.set_num_threads(experiment.training.threads)
    with blas_threads(experiment.training.threads):  # of what is fitted in closed form
        if hasattr(module, "fit"):
            return module.fit(model, _rows(parts["train"], data), labels, seed), history
        # Lightning takes seconds to import, and fitted models do without
        from pipeline.training.trainer import fit

        settings = resolved(experiment).training
        torch.manual_seed(seed)
        inputs = [feature.describe() for feature in data.features["train"]]
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        net = module.build(model, inputs, labels).to(memory_format=layout)
        if getattr(net, "frozen", False):
            parts = _embedded(parts, net.backbones, settings, cache_dir)
            if not closed_form:
                history = fit(net.head, parts["train"], parts.get("valid"), settings, seed, checkpoint_dir, on_epoch)
        else:
            history = fit(net, parts["train"], parts.get("valid"), settings, seed, checkpoint_dir, on_epoch)
            if closed_form:
                net.backbones = module.interpolated(net.backbones, model, *inputs).to(memory_format=layout)
                # cached beside its checkpoints: no other training has these weights
                parts = _embedded(parts, net.backbones, settings, checkpoint_dir)
        if closed_form:
            net.head = module.fit_head(model, _rows(parts["train"], data), data.labels)
        return net.cpu().eval(), history


def _embedded(
    parts: dict[str, Windows], backbones: Iterable[nn.Module], settings: Training, cache_dir: Path
) -> dict[str, Windows]:
    """Train in overlapping windows; valid in those of evaluation, so that curves show that score."""
    spacings = {"train": TRAIN_SPACING, "valid": EVAL_SPACING}
    found = embed(list(parts.values()), backbones, settings, cache_dir, [spacings[part] for part in parts])
    return dict(zip(parts, found, strict=True))


def _rows(windows: Windows, data: Splits) -> models.Rows:
    every = windows[windows.even(1)]
    groups = grouped_by(data.clips["train"]).to_numpy()
    return models.Rows(every.inputs[0], every.targets, groups[every.clips])


class Probabilities(nn.Module):
    """Features to probabilities, and of a fusion also each branch's log probabilities."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if isinstance(self.net, Fusion):
            log_probs = self.net.log_probs(*inputs)
            return self.net.pooled(log_probs).softmax(dim=1), log_probs
        probabilities: Tensor = self.net(*inputs).softmax(dim=1)
        return probabilities


def save(net: nn.Module, data: Splits, file: Path) -> None:
    """Write the ONNX graph, from features to label probabilities."""
    inputs = examples(data)
    tensors = [torch.from_numpy(values) for values in inputs.values()]
    outputs = ["probabilities", LOG_PROBS] if isinstance(net, Fusion) else ["probabilities"]
    export(Probabilities(net).eval(), tensors, list(inputs), outputs, file)
