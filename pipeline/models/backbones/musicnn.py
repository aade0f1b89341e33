"""musicnn, a small convolutional network trained to tag three seconds of music: windows of the feature ``musicnn`` in dB.

Pons and Serra 2019, musicnn: pre-trained convolutional neural networks for music audio tagging, arXiv:1909.06654; layer
by layer after models.py of their package musicnn 0.1.0. Its weights: ``pipeline/models/pretrained/musicnn.py``.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.features import Form
from pipeline.config.models import Transfer
from pipeline.models import Input
from pipeline.models.backbones._common import Backbone, check_tensors, read_tensors
from pipeline.models.pretrained import WeightsError

OPTIONS: frozenset[str] = frozenset()
HEARS: Form = "frames"
BANDS = 96
TIMBRAL = (0.4, 0.7)
"""Heights of the filters that look for a timbre, as shares of the bands; each is seven frames long."""
TEMPORAL = (128, 64, 32)
"""Frames of the filters that look for a rhythm, one band high."""
PENULTIMATE = 200

NORM: dict[str, Any] = {"eps": 1e-3, "momentum": 0.01}
"""TensorFlow's defaults for a batch norm; its momentum of 0.99 is 0.01 in torch's sense."""


class Filters(nn.Module):
    """(B, 1, bands, frames) to (B, filters, frames): each filter's greatest activation over all bands."""

    def __init__(self, filters: int, bands: int, frames: int) -> None:
        super().__init__()
        before = (frames - 1) // 2
        # an even filter has the odd frame of zeros behind, as TensorFlow's "same"
        self.pad = nn.ZeroPad2d((before, frames - 1 - before, 0, 0))
        self.convolution = nn.Conv2d(1, filters, (bands, frames))
        self.norm = nn.BatchNorm2d(filters, **NORM)

    def forward(self, image: Tensor) -> Tensor:
        activations: Tensor = self.norm(self.convolution(self.pad(image)).relu())
        return activations.amax(dim=2)


class Layer(nn.Module):
    """(B, inputs, frames) to (B, 64, frames), looking at seven frames at once."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, 64, 7, padding=3)
        self.norm = nn.BatchNorm1d(64, **NORM)

    def forward(self, features: Tensor) -> Tensor:
        activations: Tensor = self.norm(self.convolution(features).relu())
        return activations


class Musicnn(nn.Module):
    """(B, 96, frames) of log10(10000 x mel power + 1) to an embedding (B, 1706).

    The first 200 columns are the original's "penultimate" (after its ReLU and batch norm), then come 753 of "max_pool" and
    753 of "mean_pool": greatest value and mean over time of all activations. The weights were trained on 187 frames, which
    is 3 s; other lengths are possible. Frames of zeros at the end, which pad a shorter sound, do not change the embedding.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        timbral = [Filters(204, int(share * BANDS), 7) for share in TIMBRAL]
        temporal = [Filters(51, 1, frames) for frames in TEMPORAL]
        self.input_norm = nn.BatchNorm2d(1, **NORM)
        self.front = nn.ModuleList(timbral + temporal)
        self.middle = nn.ModuleList([Layer(561), Layer(64), Layer(64)])
        self.pool_norm = nn.BatchNorm1d(2 * 753, **NORM)
        self.dense = nn.Linear(2 * 753, PENULTIMATE)
        self.dense_norm = nn.BatchNorm1d(PENULTIMATE, **NORM)
        self.output = nn.Linear(PENULTIMATE, tags)

    def forward(self, window: Tensor) -> Tensor:
        mask = _mask(window)
        found = self._activations(window, mask)
        greatest = found.masked_fill(~mask, -torch.inf).amax(dim=2)
        mean = found.sum(dim=2) / mask.sum(dim=2)
        # the original interleaves the two
        pooled = torch.stack([greatest, mean], dim=2).flatten(1)
        penultimate = self.dense_norm(self.dense(self.pool_norm(pooled)).relu())
        return torch.cat([penultimate, greatest, mean], dim=1)

    def tags(self, window: Tensor) -> Tensor:
        """(B, tags): how likely each tag is; several may apply at once."""
        logits: Tensor = self.output(self(window)[:, :PENULTIMATE])
        return logits.sigmoid()

    def _activations(self, window: Tensor, mask: Tensor) -> Tensor:
        """(B, 753, frames): of the front's filters and each layer behind them, zero where the mask is.

        So they are padded as at the end of a window that ends there.
        """
        image = self.input_norm(window.unsqueeze(1)) * mask.unsqueeze(1)
        front = torch.cat([filters(image) for filters in self.front], dim=1) * mask
        first = self.middle[0](front) * mask
        second = self.middle[1](first) * mask + first
        third = self.middle[2](second) * mask + second
        return torch.cat([front, first, second, third], dim=1)


def _mask(window: Tensor) -> Tensor:
    """(B, 1, frames): whether this frame or a later one holds a sound; true for the first frame in any case."""
    sounding = window.amax(dim=1, keepdim=True) > 0
    later = sounding.flip(2).to(window.dtype).cumsum(dim=2).flip(2) > 0
    first = torch.arange(window.shape[2], device=window.device) == 0
    return later | first


class MusicBackbone(Backbone):
    """The layer before musicnn's tags."""

    def __init__(self, source: Input, network: Musicnn, trainable: bool) -> None:
        super().__init__(network, trainable)
        self.silence_db = source.silence_db

    def forward(self, window: Tensor) -> Tensor:
        levels = torch.log10(1e4 * 10 ** (window / 10) + 1)
        found: Tensor = self.network(torch.where(window > self.silence_db, levels, 0))
        return found[:, :PENULTIMATE]


def tagger(folder: Path) -> tuple[list[str], nn.Linear]:
    return _tags(folder), load(folder).output


def _tags(folder: Path) -> list[str]:
    tags = json.loads((folder / "config.json").read_bytes()).get("tags")
    if not isinstance(tags, list):
        raise WeightsError(f"{folder / 'config.json'} gives no musicnn: it lacks the list of its tags")
    return tags


def load(folder: Path) -> Musicnn:
    given, tags = read_tensors(folder), _tags(folder)
    network = Musicnn(len(tags))
    wanted = network.state_dict()
    shapes = [(name, given[name].shape, wanted[name].shape) for name in wanted.keys() & given.keys()]
    check_tensors(folder, wanted.keys() - given.keys(), given.keys() - wanted.keys(), shapes)
    network.load_state_dict(given)
    return network


def build(folder: Path, source: Input, settings: Transfer) -> MusicBackbone:
    if source.shape[:-1] != (BANDS,):
        raise UserError(
            f"weights.{folder.name} takes windows of {BANDS} bands, not {source.shape[:-1]}: "
            "give the experiment `features: [musicnn]`"
        )
    return MusicBackbone(source, load(folder).eval(), not settings.frozen)
