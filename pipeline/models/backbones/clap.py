"""CLAP (arXiv:2211.06687): sound and text in one space. The embedding is of the sound, of length 1; texts that describe labels
become a layer behind it, so that the labels may be any at all."""

from collections.abc import Sequence
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
from pipeline.models.pretrained import TOKENIZER, WeightsError

OPTIONS = frozenset({"lora"})
HEARS: Form = "samples"


class ClapBackbone(Backbone):
    """(B, 1, samples) to the embedding of the sound, (B, projection_dim)."""

    mel: LogMel
    half_precision = True

    def __init__(self, network: nn.Module, trainable: bool, extractor: Any) -> None:
        super().__init__(network, trainable)
        self.length, self.padding = extractor.nb_max_samples, extractor.padding
        self.fusion = extractor.truncation == "fusion"
        filters = extractor.mel_filters if self.fusion else extractor.mel_filters_slaney
        self.mel = LogMel(extractor.fft_window_size, extractor.hop_length, filters)

    def forward(self, window: Tensor) -> Tensor:
        levels = 10 * self.mel(self._filled(window)).transpose(1, 2).unsqueeze(1)
        # a window is never longer than what the network hears, so the four inputs of a fusion are the same
        longer = torch.zeros(levels.shape[0], 1, dtype=torch.bool, device=levels.device)
        network: Any = self.network
        found = network.audio_model(levels.expand(-1, 4 if self.fusion else 1, -1, -1), is_longer=longer)
        projected: Tensor = network.audio_projection(found.pooler_output)
        return nn.functional.normalize(projected, dim=1)

    def _filled(self, window: Tensor) -> Tensor:
        """(B, length): a shorter sound is repeated, as often as it fits or until it is cut, and then padded with silence."""
        signal, mask = samples(window)
        if self.padding == "pad":
            return nn.functional.pad(signal, (0, self.length - signal.shape[1]))
        count = mask.sum(dim=1, keepdim=True)
        places = torch.arange(self.length, device=window.device).expand(signal.shape[0], -1)
        whole = count * torch.div(self.length, count, rounding_mode="floor")
        end = whole if self.padding == "repeatpad" else torch.full_like(count, self.length)
        return torch.where(places < end, signal.gather(1, places % count), 0)


def load(folder: Path) -> nn.Module:
    """With both towers.

    Raises:
        WeightsError: also where the preprocessor's settings are missing.
    """
    _extractor(folder)  # for an error to come before training
    return load_transformers(folder, "input_ids")


def build(folder: Path, source: Input, settings: Transfer) -> ClapBackbone:
    extractor, network = _extractor(folder), load(folder).eval()
    check_rate(folder, source, extractor.sampling_rate)
    if source.shape[1] > extractor.nb_max_samples:
        raise ParamsError(f"window.waveform: weights.{folder.name} hears at most {extractor.nb_max_samples} samples")
    del network.text_model, network.text_projection
    return ClapBackbone(network, not settings.frozen, extractor)


@torch.no_grad()
def named(folder: Path, texts: Sequence[Sequence[str]]) -> nn.Linear:
    """The layer from embeddings to logits: of each thing that some texts describe, the mean of their embeddings, of length 1,
    times the scale that the network learned."""
    network: Any = load(folder).eval()
    each = [torch.cat([_embedded(network, folder, text) for text in own]).mean(dim=0) for own in texts]
    weight = nn.functional.normalize(torch.stack(each), dim=1) * network.logit_scale_a.exp()
    layer = nn.Linear(weight.shape[1], len(texts)).requires_grad_(False)
    layer.weight.copy_(weight)
    layer.bias.zero_()
    return layer


def _embedded(network: Any, folder: Path, text: str) -> Tensor:
    from tokenizers import Tokenizer

    file = folder / TOKENIZER
    if not file.exists():
        raise WeightsError(f"{file} is not here, without which no text is read: take it from the network's repository")
    tokens = torch.tensor([Tokenizer.from_file(str(file)).encode(text).ids])
    projected: Tensor = network.text_projection(network.text_model(input_ids=tokens).pooler_output)
    return nn.functional.normalize(projected, dim=1)


def _extractor(folder: Path) -> Any:
    from transformers import ClapFeatureExtractor

    return read_extractor(folder, ClapFeatureExtractor)
