"""Augmentation of training windows. Random numbers are from torch's global generator, seeded anew each epoch."""

import torch
from torch import Tensor

from pipeline.config.training import Augment


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
    fill = values.mean(dim=(1, 2), keepdim=True)
    if settings.gain_db:
        gain = (torch.rand(batch, 1, 1, device=values.device) * 2 - 1) * settings.gain_db
        # as torch.where(values > silence_db, values + gain, values), which takes seven times the time
        values = torch.addcmul(values, gain, (values - silence_db).sign_().clamp_(min=0))
    for _ in range(settings.band_masks):
        values = torch.where(_spans(batch, bands, settings.band_width, values.device)[:, :, None], fill, values)
    for _ in range(settings.time_masks):
        values = torch.where(_spans(batch, frames, settings.time_width, values.device)[:, None, :], fill, values)
    return values


def _warped(values: Tensor, settings: Augment) -> Tensor:
    """Each window moved along its bands and stretched about its middle frame; past an edge its last value goes on."""
    batch, bands, frames = values.shape
    shift, stretch = torch.rand(2, batch, 1, device=values.device) * 2 - 1
    if settings.band_shift:
        values = _taken(values, torch.arange(bands, device=values.device) + settings.band_shift * shift)
    if settings.stretch:
        from_middle = torch.arange(frames, device=values.device) - (frames - 1) / 2
        places = from_middle / (1 + settings.stretch * stretch) + (frames - 1) / 2
        values = _taken(values.transpose(1, 2), places).transpose(1, 2)
    return values


def _taken(values: Tensor, places: Tensor) -> Tensor:
    """(B, rows, columns) at fractional rows ``places`` (B, rows), interpolated; between two equal values exactly these."""
    batch, rows, columns = values.shape
    places = places.clamp(0, rows - 1)
    below = places.floor()
    first = below.long() + rows * torch.arange(batch, device=values.device)[:, None]
    second = first + (below < rows - 1)
    # as grid_sample, and as values[window, row], in a fraction of the time
    flat = values.reshape(-1, columns)
    lower, upper = (flat.index_select(0, each.flatten()).view(batch, rows, columns) for each in (first, second))
    return lower.lerp(upper, (places - below)[:, :, None])


def _spans(batch: int, size: int, widest: int, device: torch.device) -> Tensor:
    """(B, size) of bool: one run per row, its width uniform in 0..widest, its place uniform."""
    width = torch.randint(0, min(widest, size) + 1, (batch, 1), device=device)
    start = (torch.rand(batch, 1, device=device) * (size - width + 1)).long()
    place = torch.arange(size, device=device)
    return (place >= start) & (place < start + width)
