"""A trial's model: one training, or several in one.

With few clips the share that is kept from training to choose on is dear. An ensemble (training.members) learns from all
of train and valid, each member from another share, and still answers for each clip of valid by the member that did not
learn from it. A fusion learns from such answers how much each of its branches counts.
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
from pipeline.config.experiment import Experiment
from pipeline.config.experiment import Fusion as FusionSettings
from pipeline.files import write_json
from pipeline.models.fusion import Fusion
from pipeline.models.layers import Ensemble
from pipeline.training import HISTORY, EpochSink, no_callback, pooling
from pipeline.training.dataset import Array, Windows
from pipeline.training.predict import POWERS, VALID, Probabilities, averaged
from pipeline.training.single import save, train_single
from pipeline.training.splits import Splits

BATCH = 32

Deal = Callable[[int], list[Splits]]
"""For so many members, train and valid dealt anew: see :func:`pipeline.training.splits.inner_folds`."""


@dataclass(frozen=True)
class Trained:
    net: nn.Module
    history: pd.DataFrame
    valid: pd.DataFrame | None = None
    """Where the net itself has learned from valid: clip_id and ``p:<label>``, of members that have not."""
    powers: dict[str, Any] | None = None
    """Of a fusion: ``powers`` of the branches, and ``without``, the same by branch left out."""


def train_trial(
    experiment: Experiment, data: Splits, deal: Deal, seed: int, work: Path, kept: Path, sink: EpochSink
) -> Trained:
    """See :func:`pipeline.training.single.train_single`."""
    if isinstance(experiment.model, FusionSettings):
        return _fused(experiment.model.branches, data, deal, seed, work, kept)
    if experiment.training.members == 1:
        net, history = train_single(experiment, data, seed, work, kept, sink)
        return Trained(net, history)
    module = models.load(experiment.model.name)
    nets, histories, tables = [], [], []
    for number, own in enumerate(deal(experiment.training.members)):
        net, history = train_single(experiment, own, seed, work / f"member{number}", kept, no_callback)
        nets.append(net)
        histories.append(history)
        tables.append(answers(net, own, experiment, kept))
    history = pd.concat(histories).groupby("epoch", as_index=False).mean()
    for row in history.to_dict("records"):
        sink(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})
    valid = data.clips["valid"][["clip_id"]].merge(pd.concat(tables), on="clip_id", validate="1:1")
    joined: Callable[[list[nn.Module]], nn.Module] = getattr(module, "joined", Ensemble)
    return Trained(joined(nets).eval(), history, valid)


def save_trial(found: Trained, data: Splits, folder: Path) -> None:
    """Write the ONNX graph, and beside it what only training knows."""
    save(found.net, data, folder / "model.onnx")
    if found.valid is not None:
        found.valid.to_parquet(folder / VALID, index=False)
    if found.powers is not None:
        write_json(folder / POWERS, found.powers)


def answers(net: Any, data: Splits, experiment: Experiment, kept: Path) -> pd.DataFrame:
    """clip_id and ``p:<label>`` for the clips of valid: means over the windows of each, which are as in evaluation.

    Args:
        kept: what frozen backbones made of windows.
    """
    windows: Windows = data.windows["valid"]
    if getattr(net, "frozen", False):
        from pipeline.training.embeddings import ASKED_OF, embed

        (windows,) = embed([windows], net.backbones, experiment.training, kept, [ASKED_OF])
        net = net.head

    def run(inputs: Sequence[Array]) -> Array:
        with torch.inference_mode():
            values: Array = net(*map(torch.from_numpy, inputs)).softmax(dim=1).numpy()
            return values

    found = averaged(run, windows.batches(BATCH), len(windows), len(data.labels))
    return _table(data, found)


def _table(data: Splits, probabilities: Probabilities) -> pd.DataFrame:
    columns = [f"p:{label}" for label in data.labels]
    clips = data.clips["valid"][["clip_id"]].reset_index(drop=True)
    return pd.concat([clips, pd.DataFrame(probabilities, columns=columns)], axis=1)


def _fused(
    branches: dict[str, Experiment], data: Splits, deal: Deal, seed: int, work: Path, kept: Path
) -> Trained:
    """The branches, each with its own features, and the powers learned on what they answer for valid.

    They are learned on means over a clip's windows, and the graph applies them to each window.
    """
    found, logs = [], []
    for name, branch in branches.items():
        own = data.of(branch.features)

        def dealt(members: int, branch: Experiment = branch) -> list[Splits]:
            return [parts.of(branch.features) for parts in deal(members)]

        one = train_trial(branch, own, dealt, seed, work / name, kept, no_callback)
        found.append(one)
        told = answers(one.net, own, branch, kept) if one.valid is None else one.valid
        logs.append(np.log(told.drop(columns="clip_id").to_numpy().clip(models.LEAST)))
    said, targets = np.stack(logs, axis=1), data.windows["valid"].targets
    powers = pooling.fit_weights(said, targets)
    without = {name: pooling.fit_weights_without(place, said, targets) for place, name in enumerate(branches)}
    places = [[data.kinds.index(kind) for kind in branch.features] for branch in branches.values()]
    return Trained(
        Fusion([one.net for one in found], places, powers).eval(),
        pd.DataFrame(columns=list(HISTORY)),
        _table(data, pooling.pooled(said, powers)) if any(one.valid is not None for one in found) else None,
        {"powers": powers, "without": without},
    )
