"""A trial's model: one training, or several in one, each chosen on another share of train and valid.

With few clips the share that is kept from training to choose on is dear. An ensemble (training.members) learns from all
of train and valid, and still answers for each clip of valid by the member that did not learn from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from pipeline.files import write_json
from pipeline.models.fusion import fusions
from pipeline.models.transfer import joined
from pipeline.params import Experiment
from pipeline.training import EpochSink, untold
from pipeline.training.experiment import fitted, save
from pipeline.training.parts import Parts
from pipeline.training.predict import POWERS, VALID, Probabilities, averaged
from pipeline.training.windows import Array, Windows

BATCH = 32


@dataclass(frozen=True)
class Trained:
    net: nn.Module
    history: pd.DataFrame
    valid: pd.DataFrame | None
    """Of an ensemble: clip_id and ``p:<label>`` for the clips of valid, of whom each is answered for by a member
    that did not learn from it."""


def trained(
    experiment: Experiment,
    data: Parts,
    members: Sequence[Parts],
    seed: int,
    work: Path,
    kept: Path,
    sink: EpochSink,
) -> Trained:
    """See :func:`pipeline.training.experiment.fitted`; ``members`` are of :func:`pipeline.training.parts.members`."""
    if not members:
        net, history = fitted(experiment, data, seed, work, kept, sink)
        return Trained(net, history, None)
    nets, histories, tables = [], [], []
    for number, own in enumerate(members):
        net, history = fitted(experiment, own, seed, work / f"member{number}", kept, untold)
        nets.append(net)
        histories.append(history)
        columns = [f"p:{label}" for label in data.labels]
        found = pd.DataFrame(answers(net, own.windows["valid"], len(data.labels)), columns=columns)
        tables.append(pd.concat([own.clips["valid"][["clip_id"]], found], axis=1))
    valid = data.clips["valid"][["clip_id"]].merge(pd.concat(tables), on="clip_id", validate="1:1")
    history = pd.concat(histories).groupby("epoch", as_index=False).mean()
    for row in history.to_dict("records"):
        sink(int(row["epoch"]), {name: value for name, value in row.items() if name != "epoch"})
    return Trained(joined(nets).eval(), history, valid)


def keep(found: Trained, data: Parts, folder: Path) -> None:
    """Write the ONNX graph, and the answers of an ensemble's members beside it."""
    save(found.net, data, folder / "model.onnx")
    if found.valid is not None:
        found.valid.to_parquet(folder / VALID, index=False)
    if members := fusions(found.net):
        without = {name: [own.without[name].tolist() for own in members] for name in members[0].without}
        write_json(folder / POWERS, {"powers": [own.powers.tolist() for own in members], "without": without})


def answers(net: nn.Module, windows: Windows, labels: int) -> Probabilities:
    """(clips, labels): means over the windows of each clip."""

    def run(inputs: Sequence[Array]) -> Array:
        with torch.inference_mode():
            values: Array = net(*map(torch.from_numpy, inputs)).softmax(dim=1).numpy()
            return values

    return averaged(run, windows.batches(BATCH), len(windows), labels)
