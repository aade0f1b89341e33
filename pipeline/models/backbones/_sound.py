"""What families of raw sound share: samples of a padded window, their log-mel spectrogram, the settings of a preprocessor."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.config.base import ParamsError
from pipeline.models import Input
from pipeline.models.pretrained import PREPROCESSOR, WeightsError

LOWEST = -1.5
"""Below it is no sample but padding (:data:`pipeline.features.waveform.PADDING`)."""


def samples(window: Tensor) -> tuple[Tensor, Tensor]:
    """(B, samples), 0 where (B, 1, samples) is padding; (B, samples), whether it is not."""
    signal = window[:, 0]
    mask = signal > LOWEST
    return torch.where(mask, signal, 0), mask


class LogMel(nn.Module):
    """(B, samples) to log10 of the mel power, (B, bands, 1 + samples / hop_length), at least -10.

    As transformers.audio_utils.spectrogram with a periodic Hann window and reflected edges. The Fourier transform is a
    product of matrices, which every ONNX runtime has, in double precision, as theirs.
    """

    waves: Tensor
    filters: Tensor

    def __init__(self, n_fft: int, hop_length: int, filters: Any) -> None:
        """``filters``: (1 + n_fft / 2, bands)."""
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        angles = 2 * np.pi * np.outer(np.arange(n_fft), np.arange(1 + n_fft // 2)) / n_fft
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        waves = hann[:, None] * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
        # made from the preprocessor's settings: none of the network's own weights
        self.register_buffer("waves", torch.from_numpy(waves), persistent=False)
        self.register_buffer("filters", torch.from_numpy(np.asarray(filters, np.float64)), persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        half = self.n_fft // 2
        signal = nn.functional.pad(signal.unsqueeze(1), (half, half), mode="reflect")[:, 0]
        frames = 1 + (signal.shape[1] - self.n_fft) // self.hop_length
        steps = torch.arange(frames, device=signal.device) * self.hop_length
        places = steps[:, None] + torch.arange(self.n_fft, device=signal.device)
        real, imaginary = (signal[:, places].double() @ self.waves).chunk(2, dim=2)
        power = (real**2 + imaginary**2) @ self.filters
        return power.clamp_min(1e-10).log10().transpose(1, 2).to(signal.dtype)


def read_extractor(folder: Path, kind: Any) -> Any:
    """The preprocessor of this class.

    Raises:
        WeightsError: its settings are missing or broken.
    """
    file = folder / PREPROCESSOR
    if not file.exists():
        raise WeightsError(
            f"{file} is not here, which says how the network's input is made: take it from its repository"
        )
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, TypeError, ValueError) as error:
        raise WeightsError(f"{file} is not usable: {error}") from error


def check_rate(folder: Path, source: Input, rate: int) -> None:
    """
    Raises:
        ParamsError: the windows are at another rate than the network was trained at.
    """
    if source.rate != rate:
        raise ParamsError(
            f"weights.{folder.name} hears sound at {rate} Hz, and features.waveform has {source.rate} Hz: "
            f"set features.waveform to {{sample_rate: {rate}}}, and window.waveform to the samples that you want"
        )
