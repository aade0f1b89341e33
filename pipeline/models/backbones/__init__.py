"""Pre-trained backbones, one module per family: window or image in, embedding out.

A family's module is named after the ``model_type`` in the weights' config.json, with ``_`` for ``-``, or lists several
types in HEARERS; ``image`` takes every other type. It follows :class:`Family`; to add one takes no line elsewhere.
"""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from pipeline.config.base import ParamsError
from pipeline.config.features import Form
from pipeline.config.models import Transfer
from pipeline.models import Input
from pipeline.models.pretrained import WeightsError

if TYPE_CHECKING:
    from torch import nn

    from pipeline.models.backbones._common import Backbone

FROM_ELSEWHERE = {"attn_implementation", "_attn_implementation", "quantization_config"}
"""Keys of a config.json by which transformers may fetch code from the Hub, or take that of other packages."""
IMAGE, SOUND = "an image network", "a network of raw sound that gives hidden states"
OPTIONS = {
    "upsample": IMAGE,
    "feature_maps": IMAGE,
    "layers": SOUND,
    "over_time": SOUND,
    "lora": "a network of raw sound",
    "gradient_checkpointing": SOUND,
}
"""Params of a model that some families take and others refuse, and who takes them."""
HEARERS = dict.fromkeys(
    ("data2vec_audio", "hubert", "mert_model", "unispeech", "unispeech_sat", "wav2vec2", "wavlm", "whisper"), "hf_audio"
)
"""The module of each type that has none of its own name."""


class Family(Protocol):
    OPTIONS: frozenset[str]
    """Those that this family takes."""
    HEARS: Form
    """``samples``, ``frames`` of a spectrogram, or ``image`` for networks that take both images and frames."""

    def load(self, folder: Path) -> "nn.Module":
        """The bare network in float32, without classifier or pooling head.

        Raises:
            WeightsError: a file is unreadable, or a tensor is missing, left over or of another shape.
        """
        ...

    def build(self, folder: Path, source: Input, settings: Transfer) -> "Backbone":
        """The network behind the scaling that its input needs.

        Raises:
            UserError: the network was trained on another feature or window than ``source``.
        """
        ...


def family(folder: Path) -> str:
    """Name of the module in this package that the weights in ``folder`` belong to; nothing heavy is imported.

    Raises:
        WeightsError: config.json is unreadable, or asks for code from elsewhere.
    """
    kind = str(_config(folder / "config.json").get("model_type")).replace("-", "_")
    kind = HEARERS.get(kind, kind)
    return kind if kind in {file.stem for file in Path(__file__).parent.glob("[a-z]*.py")} else "image"


def load(folder: Path) -> "nn.Module":
    """The bare network in evaluation mode; see :meth:`Family.load`."""
    return _module(folder).load(folder).eval()


def build(folder: Path, source: Input, settings: Transfer) -> "Backbone":
    module = _module(folder)
    for key, takers in OPTIONS.items():
        if key not in module.OPTIONS and getattr(settings, key) != Transfer.model_fields[key].default:
            raise ParamsError(f"model.{key}: weights.{folder.name} is not {takers}: leave it out")
    if source.rate and module.HEARS != "samples":
        raise ParamsError(
            f"weights.{folder.name} does not hear raw sound: give the experiment another feature than waveform"
        )
    if not source.rate and module.HEARS == "samples":
        raise ParamsError(f"weights.{folder.name} hears raw sound: give the experiment `features: [waveform]`")
    return module.build(folder, source, settings)


def tagger(folder: Path) -> "tuple[list[str], nn.Linear]":
    """Names of the network's tags, and the layer from its embedding to their logits.

    Raises:
        ParamsError: the network gives no tags.
    """
    module = _module(folder)
    if not hasattr(module, "tagger"):
        cure = (
            "give it a prompt"
            if hasattr(module, "named")
            else "zero-shot takes musicnn's networks, or CLAP with a prompt"
        )
        raise ParamsError(f"weights.{folder.name} gives no tags: {cure}")
    found: tuple[list[str], nn.Linear] = module.tagger(folder)
    return found


def named(folder: Path, texts: Sequence[Sequence[str]]) -> "nn.Linear":
    """The layer from the network's embedding to the logits of things that ``texts`` describe, each by several.

    Raises:
        ParamsError: the network knows no text.
    """
    module = _module(folder)
    if not hasattr(module, "named"):
        raise ParamsError(f"model.prompt: weights.{folder.name} knows no text: only CLAP does")
    found: nn.Linear = module.named(folder, texts)
    return found


def _module(folder: Path) -> Family:
    return cast("Family", importlib.import_module(f"{__name__}.{family(folder)}"))


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} gives no model that transformers knows: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{file} gives no model that transformers knows: it holds no keys and values")
    if asked := sorted(FROM_ELSEWHERE & config.keys()):
        raise WeightsError(f"{file} asks for code from elsewhere: take {' and '.join(asked)} out of it")
    return config
