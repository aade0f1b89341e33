"""Transformers of raw sound, as transformers has them: wav2vec2, HuBERT, WavLM, Data2Vec, UniSpeech, MERT, and Whisper's encoder.

The embedding is of the hidden states that ``layers`` names, over the part of a window that is not padding. The input is
scaled as ``preprocessor_config.json`` says, within the network, so that the exported model takes samples.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config.base import ParamsError
from pipeline.config.features import Form
from pipeline.config.models import Transfer
from pipeline.models import Input
from pipeline.models.backbones._common import Backbone, load_transformers
from pipeline.models.backbones._sound import LogMel, check_rate, read_extractor, samples
from pipeline.models.pretrained import WeightsError

OPTIONS = frozenset({"layers", "over_time", "lora", "gradient_checkpointing"})
HEARS: Form = "samples"
WHISPER, MERT = "whisper", "mert_model"


class SoundBackbone(Backbone):
    """(B, 1, samples) to the mean over time of some hidden states, and perhaps their standard deviation."""

    half_precision = True

    def __init__(self, network: nn.Module, settings: Transfer) -> None:
        super().__init__(network, not settings.frozen)
        self.layers = tuple(_numbers(settings.layers, network))
        self.with_std = settings.over_time == "mean and std"
        self.averaged = settings.closed_form
        self.states = 1 if self.averaged else len(self.layers)

    def forward(self, window: Tensor) -> Tensor:
        states, mask = self.hidden_states(window)
        share = (mask / mask.sum(dim=1, keepdim=True)).unsqueeze(2)
        pooled = torch.stack([self._over_time(states[number], share) for number in self.layers], dim=1)
        return pooled.mean(dim=1) if self.averaged else pooled.flatten(1)

    def _over_time(self, state: Tensor, share: Tensor) -> Tensor:
        mean = (state * share).sum(dim=1)
        if not self.with_std:
            return mean
        variance = ((state - mean.unsqueeze(1)) ** 2 * share).sum(dim=1)
        return torch.cat([mean, (variance + 1e-8).sqrt()], dim=1)

    def hidden_states(self, window: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """(B, frames, width) of each layer, that of its input first; (B, frames), 1 for what is not padding."""
        raise NotImplementedError


class SampleBackbone(SoundBackbone):
    """wav2vec 2.0 (arXiv:2006.11477) and what is built like it: convolutions on samples, and a transformer."""

    def __init__(self, network: nn.Module, settings: Transfer, normalises: bool, masks: bool) -> None:
        """
        Args:
            normalises: each window to zero mean and unit variance, as do_normalize in the preprocessor's settings.
            masks: what is padded from attention, as return_attention_mask there; else it counts as silence.
        """
        super().__init__(network, settings)
        self.normalises, self.masks = normalises, masks

    def hidden_states(self, window: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        signal, mask = samples(window)
        known = mask if self.masks else torch.ones_like(mask)
        if self.normalises:
            count = known.sum(dim=1, keepdim=True)
            centred = torch.where(known, signal - signal.sum(dim=1, keepdim=True) / count, 0)
            signal = centred / ((centred**2).sum(dim=1, keepdim=True) / count + 1e-7).sqrt()
        found = self.network(signal, attention_mask=mask.long() if self.masks else None, output_hidden_states=True)
        return found.hidden_states, _heard(self._frames(mask.sum(dim=1, keepdim=True)), found.last_hidden_state)

    def _frames(self, count: Tensor) -> Tensor:
        config: Any = self.network.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            count = torch.div(count - kernel, stride, rounding_mode="floor") + 1
        return count


class WhisperBackbone(SoundBackbone):
    """The encoder of Whisper (arXiv:2212.04356): every window is filled up with silence to the 30 s of its training."""

    def __init__(self, network: nn.Module, settings: Transfer, extractor: Any) -> None:
        super().__init__(network, settings)
        self.length, self.hop_length = extractor.n_samples, extractor.hop_length
        self.mel = LogMel(extractor.n_fft, extractor.hop_length, extractor.mel_filters)

    def hidden_states(self, window: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        signal, mask = samples(window)
        levels = self.mel(nn.functional.pad(signal, (0, self.length - signal.shape[1])))[:, :, :-1]
        levels = torch.maximum(levels, levels.amax(dim=(1, 2), keepdim=True) - 8)
        found = self.network((levels + 4) / 4, output_hidden_states=True)
        frames = torch.div(mask.sum(dim=1, keepdim=True), 2 * self.hop_length, rounding_mode="floor")
        return found.hidden_states, _heard(frames, found.last_hidden_state)


def _heard(frames: Tensor, state: Tensor) -> Tensor:
    """(B, frames of ``state``), 1 for the first ``frames`` (B, 1), and for at least one."""
    places = torch.arange(state.shape[1], device=state.device)
    return (places < frames.clamp_min(1)).to(state.dtype)


def _numbers(layers: str | list[int], network: Any) -> list[int]:
    last = network.config.num_hidden_layers
    numbers = list(range(last + 1)) if layers == "all" else [last] if isinstance(layers, str) else list(layers)
    if max(numbers) > last:
        raise ParamsError(f"model.layers: the network has hidden states 0 to {last}, not {max(numbers)}")
    return numbers


def load(folder: Path) -> nn.Module:
    """Its ``hidden_states`` are (B, frames, width) for each layer.

    Raises:
        WeightsError: also where the preprocessor's settings are missing.
    """
    kind = _config(folder)["model_type"]
    _extractor(folder)  # for an error to come before training
    if kind == WHISPER:
        found: Any = load_transformers(folder, "input_features")
        network: nn.Module = found.encoder
    else:
        network = load_transformers(folder, "input_values", _mert(folder) if kind == MERT else None)
    # what is hidden or left out at random in pre-training
    network.config.apply_spec_augment, network.config.layerdrop = False, 0.0  # type: ignore[union-attr]
    return network


def build(folder: Path, source: Input, settings: Transfer) -> SoundBackbone:
    extractor = _extractor(folder)
    network: Any = load(folder).eval()
    check_rate(folder, source, extractor.sampling_rate)
    if settings.gradient_checkpointing:
        # the second is its name in older versions
        enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if _config(folder)["model_type"] != WHISPER:
        return SampleBackbone(network, settings, extractor.do_normalize, extractor.return_attention_mask)
    if source.shape[1] > extractor.n_samples:
        raise ParamsError(f"window.waveform: weights.{folder.name} hears at most {extractor.n_samples} samples")
    return WhisperBackbone(network, settings, extractor)


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return config


def _extractor(folder: Path) -> Any:
    from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    whisper = _config(folder)["model_type"] == WHISPER
    return read_extractor(folder, WhisperFeatureExtractor if whisper else Wav2Vec2FeatureExtractor)


def _mert(folder: Path) -> tuple[Any, Any]:
    """MERT (arXiv:2306.00107) is a HuBERT of music, if its settings are those of the released networks. (Its attention_relax
    divides before the softmax what it multiplies again: the same in exact arithmetic.)

    Raises:
        WeightsError: the settings ask for what HuBERT has not.
    """
    from transformers import HubertConfig, HubertModel

    given = _config(folder)
    for key in ("feature_extractor_cqt", "deepnorm"):
        if given.get(key):
            raise WeightsError(
                f"{folder / 'config.json'} has {key}: such a MERT is more than a HuBERT and not supported; "
                "MERT-v1-95M and MERT-v1-330M have it off"
            )
    return HubertModel, HubertConfig.from_dict({**given, "model_type": "hubert"})
