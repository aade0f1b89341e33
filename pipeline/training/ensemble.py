"""A trial's model: a single network, an ensemble, or a fusion of branches.

An ensemble (``training.ensemble_size``) has k members; train is re-split into k inner folds, and member i trains on all
but fold i. A fusion fits its pooling weights to the answers for an inner fold that its branches are not trained on; then
they are trained on all of train.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from pipeline import models
from pipeline.base.files import write_json
from pipeline.config.experiment import Experiment
from pipeline.config.experiment import Fusion as FusionSettings
from pipeline.models.fusion import Fusion
from pipeline.models.layers import Ensemble
from pipeline.training import HISTORY, OnEpoch, no_callback
from pipeline.training.dataset import Array, Probabilities, Windows, averaged
from pipeline.training.embeddings import EVAL_SPACING, embed
from pipeline.training.predict import FUSION_FILE, fit_weights
from pipeline.training.single import save, train_single
from pipeline.training.splits import Splits

BATCH = 32
FUSION_FOLDS = 5
"""The inner fold that pooling weights are fitted to is one of so many."""


@dataclass(frozen=True)
class Trained:
    net: nn.Module
    history: pd.DataFrame
    pooling: dict[str, Any] | None = None
    """Of a fusion: ``pooling_weights`` of the branches, and ``without``, the same by branch left out."""


def train_trial(
    experiment: Experiment, data: Splits, seed: int, checkpoint_dir: Path, cache_dir: Path, on_epoch: OnEpoch
) -> Trained:
    """See :func:`pipeline.training.single.train_single`."""
    if isinstance(experiment.model, FusionSettings):
        return _fused(experiment.model.branches, data, seed, checkpoint_dir, cache_dir)
    if experiment.training.ensemble_size == 1:
        return Trained(*train_single(experiment, data, seed, checkpoint_dir, cache_dir, on_epoch))
    nets, histories = [], []
    for number, fold in enumerate(data.resplit(experiment.training.ensemble_size, seed)):
        folder = checkpoint_dir / f"member{number}"
        net, history = train_single(experiment, fold, seed, folder, cache_dir, no_callback)
        nets.append(net)
        histories.append(history)
    history = pd.concat(histories).groupby("epoch", as_index=False).mean()
    for row in history.to_dict("records"):
        on_epoch(int(row.pop("epoch")), row)
    joined: Callable[[list[nn.Module]], nn.Module] = getattr(models.load(experiment.model.name), "joined", Ensemble)
    return Trained(joined(nets).eval(), history)


def save_trial(found: Trained, data: Splits, folder: Path) -> None:
    """Write the ONNX graph, and beside it a fusion's pooling weights."""
    save(found.net, data, folder / "model.onnx")
    if found.pooling is not None:
        write_json(folder / FUSION_FILE, found.pooling)


def answers(net: Any, data: Splits, experiment: Experiment, cache_dir: Path) -> Probabilities:
    """(clips, labels) of the validation clips: means over the windows that evaluation uses."""
    windows: Windows = data.windows["valid"]
    if getattr(net, "frozen", False):
        (windows,) = embed([windows], net.backbones, experiment.training, cache_dir, [EVAL_SPACING])
        net = net.head

    def run(inputs: Sequence[Array]) -> Array:
        with torch.inference_mode():
            values: Array = net(*map(torch.from_numpy, inputs)).softmax(dim=1).numpy()
            return values

    return averaged(run, windows.batches(BATCH), len(windows), len(data.labels))


def _fused(branches: dict[str, Experiment], data: Splits, seed: int, checkpoint_dir: Path, cache_dir: Path) -> Trained:
    """The branches, each with its own features, and their pooling weights.

    The weights are fitted to means over a clip's windows; the graph applies them to each window.
    """
    inner = data.resplit(FUSION_FOLDS, seed)[0]

    def trained(name: str, part: Splits, folder: str) -> nn.Module:
        branch = branches[name]
        own = part.of(branch.features)
        return train_trial(branch, own, seed, checkpoint_dir / folder / name, cache_dir, no_callback).net

    each = []
    for name, branch in branches.items():
        found = answers(trained(name, inner, "inner"), inner.of(branch.features), branch, cache_dir)
        each.append(np.log(found.clip(models.MIN_PROBABILITY)))
    log_probs, targets = np.stack(each, axis=1), inner.windows["valid"].targets
    weights = fit_weights(log_probs, targets)
    without = {}
    for place, name in enumerate(branches):
        others = fit_weights(np.delete(log_probs, place, axis=1), targets)
        without[name] = [*others[:place], 0.0, *others[place:]]
    places = [[data.kinds.index(kind) for kind in branch.features] for branch in branches.values()]
    net = Fusion([trained(name, data, "whole") for name in branches], places, weights)
    pooling = {"pooling_weights": weights, "without": without}
    return Trained(net.eval(), pd.DataFrame(columns=list(HISTORY)), pooling)
