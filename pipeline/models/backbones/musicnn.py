"""musicnn, a small convolutional network that was trained to tag three seconds of music, as its authors built it.

Pons and Serra 2019, musicnn: pre-trained convolutional neural networks for music audio tagging,
arXiv:1909.06654; layer by layer after models.py of their package musicnn 0.1.0. Its weights:
``pipeline/models/pretrained/musicnn.py``.
"""

from typing import Any

import torch
from torch import Tensor, nn

BANDS = 96
TIMBRAL = (0.4, 0.7)
"""Heights of the filters that look for a timbre, as shares of the bands; each is seven frames long."""
TEMPORAL = (128, 64, 32)
"""Frames of the filters that look for a rhythm, one band high."""
PENULTIMATE = 200

NORM: dict[str, Any] = {"eps": 1e-3, "momentum": 0.01}
"""TensorFlow's defaults for a batch norm; its momentum of 0.99 is 0.01 in torch's sense."""


class Filters(nn.Module):
    """(B, 1, bands, frames) to (B, filters, frames): each filter's loudest answer over all bands."""

    def __init__(self, filters: int, bands: int, frames: int) -> None:
        super().__init__()
        before = (frames - 1) // 2
        # an even filter has the odd frame of zeros behind, as TensorFlow's "same"
        self.pad = nn.ZeroPad2d((before, frames - 1 - before, 0, 0))
        self.convolution = nn.Conv2d(1, filters, (bands, frames))
        self.norm = nn.BatchNorm2d(filters, **NORM)

    def forward(self, image: Tensor) -> Tensor:
        answers: Tensor = self.norm(self.convolution(self.pad(image)).relu())
        return answers.amax(dim=2)


class Layer(nn.Module):
    """(B, inputs, frames) to (B, 64, frames), looking at seven frames at once."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, 64, 7, padding=3)
        self.norm = nn.BatchNorm1d(64, **NORM)

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.norm(self.convolution(features).relu())
        return answers


class Musicnn(nn.Module):
    """(B, 96, frames) of log10(10000 x mel power + 1) to an embedding (B, 1706).

    The first 200 columns are the original's "penultimate" (after its ReLU and batch norm), then come 753 of
    "max_pool" and 753 of "mean_pool": greatest value and mean over time of all that the layers found. The
    weights were trained on 187 frames, which is 3 s; other lengths are possible. Frames of zeros at the end, with
    which a shorter sound is filled up, count for nothing: the embedding is that of the sound alone.

    The sound: mono, 16 kHz; mel: librosa's of 96 bands, ``n_fft=512, hop_length=256``.
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
        heard = _heard(window)
        found = self._found(window, heard)
        greatest = found.masked_fill(~heard, -torch.inf).amax(dim=2)
        mean = found.sum(dim=2) / heard.sum(dim=2)
        # the original interleaves the two
        pooled = torch.stack([greatest, mean], dim=2).flatten(1)
        penultimate = self.dense_norm(self.dense(self.pool_norm(pooled)).relu())
        return torch.cat([penultimate, greatest, mean], dim=1)

    def tags(self, window: Tensor) -> Tensor:
        """(B, tags): how likely each tag is; several may apply at once."""
        logits: Tensor = self.output(self(window)[:, :PENULTIMATE])
        return logits.sigmoid()

    def _found(self, window: Tensor, heard: Tensor) -> Tensor:
        """(B, 753, frames): what the front's filters and each layer behind them answer, zero where nothing is heard.

        So they are padded as at the end of a window that ends there.
        """
        image = self.input_norm(window.unsqueeze(1)) * heard.unsqueeze(1)
        front = torch.cat([filters(image) for filters in self.front], dim=1) * heard
        first = self.middle[0](front) * heard
        second = self.middle[1](first) * heard + first
        third = self.middle[2](second) * heard + second
        return torch.cat([front, first, second, third], dim=1)


def _heard(window: Tensor) -> Tensor:
    """(B, 1, frames): whether this frame or a later one holds a sound; the first counts in any case."""
    sounding = window.amax(dim=1, keepdim=True) > 0
    later = sounding.flip(2).to(window.dtype).cumsum(dim=2).flip(2) > 0
    first = torch.arange(window.shape[2], device=window.device) == 0
    return later | first
