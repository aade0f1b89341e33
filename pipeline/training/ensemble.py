"""A trial's model: a single network, an ensemble, or a fusion of branches.

An ensemble (``training.ensemble_size``) is for few clips: train and valid are re-split into k inner folds, and member i
validates on fold i and trains on the others. So every clip is trained on, and a validation clip still gets the
prediction of the one member that was not trained on it. A fusion fits its pooling weights to such predictions.
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
from pipeline.training.dataset import Array, Windows
from pipeline.training.embeddings import EVAL_SPACING, embed
from pipeline.training.predict import (
    FUSION_FILE,
    VALID,
    Probabilities,
    averaged,
    fit_weights,
    pooled,
    probability_table,
)
from pipeline.training.single import save, train_single
from pipeline.training.splits import Splits

BATCH = 32

InnerFolds = Callable[[int], list[Splits]]
"""See :func:`pipeline.training.splits.resplit`."""


@dataclass(frozen=True)
class Trained:
    net: nn.Module
    history: pd.DataFrame
    valid: pd.DataFrame | None = None
    """Where the net was trained on valid too: clip_id and ``p:<label>``, out of fold."""
    pooling: dict[str, Any] | None = None
    """Of a fusion: ``pooling_weights`` of the branches, and ``without``, the same by branch left out."""


def train_trial(
    experiment: Experiment,
    data: Splits,
    inner_folds: InnerFolds,
    seed: int,
    checkpoint_dir: Path,
    cache_dir: Path,
    on_epoch: OnEpoch,
) -> Trained:
    """See :func:`pipeline.training.single.train_single`."""
    if isinstance(experiment.model, FusionSettings):
        return _fused(experiment.model.branches, data, inner_folds, seed, checkpoint_dir, cache_dir)
    if experiment.training.ensemble_size == 1:
        return Trained(*train_single(experiment, data, seed, checkpoint_dir, cache_dir, on_epoch))
    nets, histories, tables = [], [], []
    for number, fold in enumerate(inner_folds(experiment.training.ensemble_size)):
        folder = checkpoint_dir / f"member{number}"
        net, history = train_single(experiment, fold, seed, folder, cache_dir, no_callback)
        nets.append(net)
        histories.append(history)
        tables.append(answers(net, fold, experiment, cache_dir))
    history = pd.concat(histories).groupby("epoch", as_index=False).mean()
    for row in history.to_dict("records"):
        on_epoch(int(row.pop("epoch")), row)
    valid = data.clips["valid"][["clip_id"]].merge(pd.concat(tables), on="clip_id", validate="1:1")
    joined: Callable[[list[nn.Module]], nn.Module] = getattr(models.load(experiment.model.name), "joined", Ensemble)
    return Trained(joined(nets).eval(), history, valid)


def save_trial(found: Trained, data: Splits, folder: Path) -> None:
    """Write the ONNX graph, and beside it the out-of-fold predictions and pooling weights."""
    save(found.net, data, folder / "model.onnx")
    if found.valid is not None:
        found.valid.to_parquet(folder / VALID, index=False)
    if found.pooling is not None:
        write_json(folder / FUSION_FILE, found.pooling)


def answers(net: Any, data: Splits, experiment: Experiment, cache_dir: Path) -> pd.DataFrame:
    """clip_id and ``p:<label>`` for the validation clips: means over the windows that evaluation uses."""
    windows: Windows = data.windows["valid"]
    if getattr(net, "frozen", False):
        (windows,) = embed([windows], net.backbones, experiment.training, cache_dir, [EVAL_SPACING])
        net = net.head

    def run(inputs: Sequence[Array]) -> Array:
        with torch.inference_mode():
            values: Array = net(*map(torch.from_numpy, inputs)).softmax(dim=1).numpy()
            return values

    return _table(data, averaged(run, windows.batches(BATCH), len(windows), len(data.labels)))


def _table(data: Splits, probabilities: Probabilities) -> pd.DataFrame:
    clips = data.clips["valid"][["clip_id"]].reset_index(drop=True)
    return clips.join(probability_table(probabilities, data.labels))


def _fused(
    branches: dict[str, Experiment],
    data: Splits,
    inner_folds: InnerFolds,
    seed: int,
    checkpoint_dir: Path,
    cache_dir: Path,
) -> Trained:
    """The branches, each with its own features, and pooling weights fitted to their validation predictions.

    The weights are fitted to means over a clip's windows; the graph applies them to each window.
    """
    found, each = [], []
    for name, branch in branches.items():
        own = data.of(branch.features)

        def own_folds(count: int, branch: Experiment = branch) -> list[Splits]:
            return [fold.of(branch.features) for fold in inner_folds(count)]

        one = train_trial(branch, own, own_folds, seed, checkpoint_dir / name, cache_dir, no_callback)
        found.append(one)
        valid = answers(one.net, own, branch, cache_dir) if one.valid is None else one.valid
        each.append(np.log(valid.drop(columns="clip_id").to_numpy().clip(models.MIN_PROBABILITY)))
    log_probs, targets = np.stack(each, axis=1), data.windows["valid"].targets
    weights = fit_weights(log_probs, targets)
    without = {}
    for place, name in enumerate(branches):
        others = fit_weights(np.delete(log_probs, place, axis=1), targets)
        without[name] = [*others[:place], 0.0, *others[place:]]
    places = [[data.kinds.index(kind) for kind in branch.features] for branch in branches.values()]
    out_of_fold = any(one.valid is not None for one in found)
    return Trained(
        Fusion([one.net for one in found], places, weights).eval(),
        pd.DataFrame(columns=list(HISTORY)),
        _table(data, pooled(log_probs, weights)) if out_of_fold else None,
        {"pooling_weights": weights, "without": without},
    )
