"""Late fusion: a small network for each branch, whose outputs are added; so each branch's part in an answer is known."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lessons.common.regressor import Regressor
from lessons.posts.encoder import Branches
from lessons.posts.settings import Array, Net
from pipeline.config.training import Augment, Training
from pipeline.training import OnEpoch
from pipeline.training.dataset import Index, Windows
from pipeline.training.trainer import fit

NO_AUGMENT = Augment(time_masks=0, time_width=0, band_masks=0, band_width=0, gain_db=0.0)


class Branch(nn.Module):
    """A straight line and, beside it, a hidden layer."""

    def __init__(self, columns: int, settings: Net) -> None:
        super().__init__()
        self.line = nn.Linear(columns, 1)
        self.curve = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(columns, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, 1),
        )

    def forward(self, values: Tensor) -> Tensor:
        found: Tensor = self.line(values) + self.curve(values)
        return found


class LateFusion(nn.Module):
    """Branches (B, columns) to the sum of what each says, (B, 1)."""

    def __init__(self, columns: Sequence[int], settings: Net) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(count, settings) for count in columns)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.stack([branch(values) for branch, values in zip(self.branches, inputs, strict=True)]).sum(dim=0)


class SparseTable:
    """(posts, columns), most of which are 0; one row for each."""

    frames, silence_db = 1, 0.0

    def __init__(self, values: Any) -> None:
        self.values = values

    def max_offset(self) -> Index:
        return np.zeros(self.values.shape[0], dtype=np.int64)

    def cut(self, clips: Index, offsets: Index) -> Array:  # noqa: ARG002
        found: Array = self.values[clips].toarray()
        return found


def build(columns: Sequence[int], settings: Net, seed: int) -> LateFusion:
    torch.manual_seed(seed)
    return LateFusion(columns, settings)


def train(
    inputs: Branches, targets: Array, watch: tuple[Branches, Array], settings: Net, epochs: int, seed: int,
    on_epoch: OnEpoch = lambda *_: None,
) -> tuple[LateFusion, pd.DataFrame]:  # fmt: skip
    """The network after its last epoch, and its history.

    Args:
        targets: around 0.
        watch: inputs and targets whose error each epoch reports; it decides nothing.
    """
    training = Training(
        epochs=epochs, batch_size=settings.batch_size, windows_per_clip=1, optimizer="adamw",
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, schedule="cosine", label_smoothing=0.0,
        patience=None, monitor=None, class_weights=False, augment=NO_AUGMENT, threads=1, accelerator="cpu",
        precision="32-true", channels_last=False,
    )  # fmt: skip
    net = build([values.shape[1] for values in inputs], settings, seed)
    seen, watched = (
        Windows([SparseTable(values) for values in part], wanted.astype(np.float32))
        for part, wanted in ((inputs, targets), watch)
    )
    with TemporaryDirectory() as folder:
        history = fit(net, seen, watched, training, seed, Path(folder), on_epoch, Regressor(net, training, seed))
    return net, history


@torch.no_grad()
def says(net: LateFusion, inputs: Branches, rows: int = 1024) -> Array:
    """(posts, branches): what each branch says of each post."""
    net.eval()
    found = [
        np.concatenate(
            [
                branch(torch.from_numpy(values[at : at + rows].toarray())).numpy()
                for at in range(0, values.shape[0], rows)
            ]
        )
        for branch, values in zip(net.branches, inputs, strict=True)
    ]
    return np.concatenate(found, axis=1)
