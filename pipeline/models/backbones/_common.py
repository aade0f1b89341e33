"""What several families need: the base class, and tensors read and checked."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Size, Tensor, nn

from pipeline.models.pretrained import WeightsError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

SUPPORTED = (
    "image networks that give feature maps, the Audio Spectrogram Transformer, musicnn, CLAP, and of raw sound wav2vec2, "
    "HuBERT, WavLM, Data2Vec, UniSpeech, MERT and Whisper's encoder"
)

BUFFERS = {"position_ids", "relative_position_index"}
"""Last names of what older checkpoints hold and a network makes itself."""
HEADS = {
    "pooler",
    "lm_head",
    "proj_out",
    "projector",
    "quantizer",
    "project_hid",
    "project_q",
    "final_proj",
    "speaker_proj",
    "ctc_proj",
    "label_embeddings_concat",
    "layer_norm_for_extract",
    "label_embs_concat",
}
"""First names of the tensors behind a bare network, in checkpoints of its pre-training or of another task."""


class Backbone(nn.Module):
    """Window or image to embedding, (B, width)."""

    states = 1
    """Hidden states of equal width that lie side by side in the embedding."""
    half_precision = False
    """Whether embeddings may be computed in 16 bits on a GPU: those of large transformers, whose time it halves."""

    def __init__(self, network: nn.Module, trainable: bool) -> None:
        super().__init__()
        self.network = network.requires_grad_(trainable)
        self.trainable = trainable

    def train(self, mode: bool = True) -> Any:
        # a frozen backbone keeps its batch norms' running statistics too
        return super().train(mode and self.trainable)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    try:
        return dict(load_file(file))
    except FileNotFoundError:
        raise WeightsError(f"{file} is not here: fetch it with `dvc repro` or `dvc pull`") from None
    except SafetensorError as error:
        raise WeightsError(f"{file} is not a whole safetensors file ({error}): fetch it again") from error


def check_tensors(
    folder: Path, missing: Iterable[str], unknown: Iterable[str], shapes: Iterable[tuple[str, Size, Size]]
) -> None:
    """
    Args:
        shapes: by name of a tensor, as given and as wanted.

    Raises:
        WeightsError: a tensor is missing, left over or of another shape.
    """
    problems = [
        *(f"{name} is missing" for name in sorted(missing)),
        *(f"{name} is not in the model" for name in sorted(unknown)),
        *(
            f"{name} has shape {list(given)}, not {list(wanted)}"
            for name, given, wanted in sorted(shapes)
            if given != wanted
        ),
    ]
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        file = folder / "model.safetensors"
        raise WeightsError(f"{file} does not fit its config.json: {'; '.join(problems[:10] + more)}")


def load_transformers(
    folder: Path, main_input: str, architecture: "tuple[type[PreTrainedModel], PreTrainedConfig] | None" = None
) -> nn.Module:
    """A network that transformers knows; tensors may have the names of its older versions.

    Args:
        main_input: what transformers calls the network's input.
        architecture: its class and settings, where transformers does not know its config.json.

    Raises:
        WeightsError: also where transformers does not know the network, or its input is another.
    """
    from transformers.utils import logging

    given = read_tensors(folder)
    kind, config = architecture or _architecture(folder)
    if kind.main_input_name != main_input:
        raise WeightsError(
            f"{folder / 'config.json'} is of {config.model_type!r}, which takes neither images nor sound: "
            f"supported are {SUPPORTED}"
        )
    pooling = "add_pooling_layer" in inspect.signature(kind).parameters
    # its report is in the error, and a second's work needs no progress bar
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    network, info = kind.from_pretrained(
        None,
        config=config,
        state_dict=given,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **({"add_pooling_layer": False} if pooling else {}),
    )
    bare = {name.removeprefix(f"{kind.base_model_prefix}.") for name in info["unexpected_keys"]}
    unknown = {name for name in bare if not _is_head(name)}
    missing = set(info["missing_keys"]) - {"masked_spec_embed"}  # which stands for what pre-training hides
    check_tensors(folder, missing, unknown, info["mismatched_keys"])
    found: nn.Module = network
    return found


def _architecture(folder: Path) -> "tuple[type[PreTrainedModel], PreTrainedConfig]":
    """The bare network's class and its settings."""
    from transformers import AutoConfig, AutoModel

    file = folder / "config.json"
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            kind = type(AutoModel.from_config(config, trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{file} gives no model that transformers knows: {error}\n"
            f"Supported are {SUPPORTED}; code that comes with weights is never run"
        ) from error
    return kind, config


def _is_head(name: str) -> bool:
    top = name.split(".")[0]
    return top in HEADS or name.split(".")[-1] in BUFFERS or top.endswith("classifier")
