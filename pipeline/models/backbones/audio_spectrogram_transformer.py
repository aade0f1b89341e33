"""The Audio Spectrogram Transformer (Gong et al. 2021, arXiv:2104.01778): windows of the feature ``fbank`` in dB.

Its ``preprocessor_config.json`` says how the filter banks of its training were scaled.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from pipeline.base.errors import UserError
from pipeline.config.features import Form
from pipeline.config.models import Transfer
from pipeline.models import Input
from pipeline.models.backbones._common import Backbone, load_transformers
from pipeline.models.pretrained import PREPROCESSOR, WeightsError

OPTIONS: frozenset[str] = frozenset()
HEARS: Form = "frames"
LOG_PER_DB = math.log(10) / 10
"""A dB in natural logarithms of power."""


class Preprocessor(BaseModel):
    """What the file leaves out is as in transformers' ASTFeatureExtractor: mean and deviation are AudioSet's."""

    model_config = ConfigDict(allow_inf_nan=False)
    do_normalize: bool = True
    mean: float = -4.2677393
    std: Annotated[float, Field(gt=0)] = 4.5689974
    sampling_rate: Literal[16_000] = 16_000
    num_mel_bins: Literal[128] = 128

    @property
    def scale(self) -> tuple[float, float]:
        """What is subtracted from filter banks, and what they are divided by."""
        return (self.mean, 2 * self.std) if self.do_normalize else (0.0, 1.0)


class AudioBackbone(Backbone):
    """The pooled output for a window, which is scaled as in the network's training.

    Padding is 0 before that, as its own extractor has it.
    """

    def __init__(self, source: Input, network: nn.Module, trainable: bool, preprocessor: Preprocessor) -> None:
        super().__init__(network, trainable)
        self.silence_db = source.silence_db
        self.centre, self.spread = preprocessor.scale

    def forward(self, window: Tensor) -> Tensor:
        banks = torch.where(window > self.silence_db, LOG_PER_DB * window, 0)
        scaled = (banks - self.centre) / self.spread
        embedding: Tensor = self.network(scaled.transpose(1, 2)).pooler_output
        return embedding


def load(folder: Path) -> nn.Module:
    """``pooler_output`` of its output is the embedding."""
    network = load_transformers(folder, "input_values")
    read_preprocessor(folder)  # for an error to come before training
    return network


def build(folder: Path, source: Input, settings: Transfer) -> AudioBackbone:
    network: Any = load(folder).eval()
    bands, frames = network.config.num_mel_bins, network.config.max_length
    if source.shape != (bands, frames):
        raise UserError(
            f"weights.{folder.name} takes windows of {bands} bands and {frames} frames, not {source.shape}: "
            f"give the experiment `features: [fbank]`, and set window.fbank to {frames}"
        )
    return AudioBackbone(source, network, not settings.frozen, read_preprocessor(folder))


def read_preprocessor(folder: Path) -> Preprocessor:
    """
    Raises:
        WeightsError: the file is broken, or asks for filter banks that are not the feature ``fbank``.
    """
    file = folder / PREPROCESSOR
    if not file.exists():
        return Preprocessor()
    try:
        return Preprocessor.model_validate_json(file.read_bytes())
    except ValidationError as error:
        places = [f"{'.'.join(map(str, item['loc']))} {item['msg']}".strip() for item in error.errors()]
        raise WeightsError(
            f"{file} asks for what the feature fbank is not: {'; '.join(places)}. Without this file, "
            "filter banks are normalised as AudioSet's"
        ) from None
