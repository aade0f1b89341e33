"""Augmentation of training windows. Random numbers are from torch's global generator, seeded anew each epoch."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.config.training import Augment

ROUNDING = 1e-3
"""dB by which interpolated silence may differ from ``silence_db``."""


def mixed(inputs: tuple[Tensor, ...], alpha: float) -> tuple[tuple[Tensor, ...], float]:
    """Mixup: each window mixed with the one before it in the batch, and its own share, at least a half; 1 if ``alpha`` is 0.

    In the paper (Zhang et al. 2018, arXiv:1710.09412) the share is drawn from Beta(alpha, alpha). In a batch in random order
    the greater of both shares is equivalent, and leaves each window its own label.
    """
    if not alpha:
        return inputs, 1.0
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    share = max(share, 1 - share)
    return tuple(values.lerp(values.roll(1, dims=0), 1 - share) for values in inputs), share


def augment(values: Tensor, settings: Augment, silence_db: float) -> Tensor:
    """Windows (B, bands, frames) in dB shifted, stretched, with a gain, and masked by their mean; all else unchanged.

    Silence, as behind a clip's end, gets no gain: models would see the padding.
    """
    if values.ndim != 3:
        return values
    batch, bands, frames = values.shape
    if settings.band_shift or settings.stretch:
        values = _warped(values, settings)
        values = torch.where(values > silence_db + ROUNDING, values, silence_db)
    fill = values.mean(dim=(1, 2), keepdim=True)
    if settings.gain_db:
        gain = (torch.rand(batch, 1, 1, device=values.device) * 2 - 1) * settings.gain_db
        values = torch.where(values > silence_db, values + gain, values)
    for _ in range(settings.band_masks):
        values = torch.where(_spans(batch, bands, settings.band_width, values.device)[:, :, None], fill, values)
    for _ in range(settings.time_masks):
        values = torch.where(_spans(batch, frames, settings.time_width, values.device)[:, None, :], fill, values)
    return values


def _warped(values: Tensor, settings: Augment) -> Tensor:
    """Each window moved along its bands and stretched about its middle frame; past an edge its last value goes on."""
    batch, bands, frames = values.shape
    shift, stretch = torch.rand(2, batch, 1, device=values.device) * 2 - 1
    # places from -1 to 1 of what comes to each band and frame; affine_grid takes three times as long as grid_sample
    across = torch.linspace(1 / frames - 1, 1 - 1 / frames, frames, device=values.device) / (
        1 + settings.stretch * stretch
    )
    along = (
        torch.linspace(1 / bands - 1, 1 - 1 / bands, bands, device=values.device)
        + 2 / bands * settings.band_shift * shift
    )
    places = (across[:, None, :].expand(values.shape), along[:, :, None].expand(values.shape))
    grid = torch.stack(places, dim=-1)
    moved = functional.grid_sample(values[:, None], grid, padding_mode="border", align_corners=False)
    return moved[:, 0]


def _spans(batch: int, size: int, widest: int, device: torch.device) -> Tensor:
    """(B, size) of bool: one run per row, its width uniform in 0..widest, its place uniform."""
    width = torch.randint(0, min(widest, size) + 1, (batch, 1), device=device)
    start = (torch.rand(batch, 1, device=device) * (size - width + 1)).long()
    place = torch.arange(size, device=device)
    return (place >= start) & (place < start + width)
