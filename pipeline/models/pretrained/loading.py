"""Load a backbone from its folder."""

import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.models.pretrained import WeightsError, preprocessor

if TYPE_CHECKING:
    from torch import Size, Tensor, nn
    from transformers import PreTrainedConfig, PreTrainedModel


SUPPORTED = "networks that give feature maps of pictures, the Audio Spectrogram Transformer and musicnn"
SIDE = 64
"""Pixels of the picture on which a network is tried."""
AST = "audio-spectrogram-transformer"
"""Its ``model_type``."""
FROM_ELSEWHERE = {"attn_implementation", "_attn_implementation", "quantization_config"}
"""Keys of a config.json by which transformers may fetch code from the Hub, or take that of other packages."""


def load(folder: Path) -> "nn.Module":
    """The backbone in ``folder``, without classifier or pooling head, in float32 and in evaluation mode.

    Its output is transformers' usual one: of a network for pictures ``last_hidden_state`` is the feature map, for
    MobileNetV2 of shape (batch, 1280, height / 32, width / 32), rounded up; of the Audio Spectrogram Transformer
    ``pooler_output`` is the embedding. Tensors may bear the names that older versions of transformers gave them.

    A config.json of ``model_type`` "musicnn" gives a Musicnn, which transformers does not know.

    Raises:
        WeightsError: a file is unreadable, the architecture is unknown to transformers or not supported, or a
            tensor is missing, left over or of another shape.
    """
    config_file, file = folder / "config.json", folder / "model.safetensors"
    config = _config(config_file)
    if config.get("model_type") == "musicnn":
        model, problems = _musicnn(config_file, config, _read(file))
    else:
        model, problems = _of_transformers(config_file, _read(file))
    if problems:
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise WeightsError(f"{file} does not fit its config.json: {'; '.join(problems[:10] + more)}")
    _use_torch_momentum(model)
    return model.eval()


def is_ast(network: "nn.Module") -> bool:
    """Whether it is an Audio Spectrogram Transformer; asked without transformers, which takes seconds to import."""
    return getattr(getattr(network, "config", None), "model_type", None) == AST


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


def _musicnn(file: Path, config: dict[str, Any], given: "dict[str, Tensor]") -> "tuple[nn.Module, list[str]]":
    """The network, and what is wrong with its tensors."""
    from pipeline.models.backbones.musicnn import Musicnn

    tags = config.get("tags")
    if not isinstance(tags, list):
        raise WeightsError(f"{file} gives no musicnn: it lacks the list of its tags")
    model = Musicnn(len(tags))
    wanted = model.state_dict()
    problems = _problems(
        wanted.keys() - given.keys(),
        given.keys() - wanted.keys(),
        [(name, given[name].shape, wanted[name].shape) for name in wanted.keys() & given.keys()],
    )
    if not problems:
        model.load_state_dict(given)
    return model, problems


def _of_transformers(file: Path, given: "dict[str, Tensor]") -> "tuple[nn.Module, list[str]]":
    """As :func:`_musicnn`; transformers finds old names of tensors itself."""
    import torch
    from transformers.utils import logging

    kind, settings = _kind(file)
    options = (
        {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}
    )
    # what it has to say stands in the error, and a bar for a second's work says nothing
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model, told = kind.from_pretrained(
        None,
        config=settings,
        state_dict=given,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    if settings.model_type == AST:
        preprocessor.read(file.parent)  # for an error to come before training
    elif not _gives_maps(model):
        raise WeightsError(
            f"{file} gives no feature maps of a picture of {SIDE} pixels: supported are {SUPPORTED}"
        )
    bare = {name.removeprefix(f"{kind.base_model_prefix}.") for name in told["unexpected_keys"]}
    unknown = {name for name in bare if not _is_head(name)}
    return model, _problems(told["missing_keys"], unknown, told["mismatched_keys"])


def gives_maps_of_blocks(network: "nn.Module") -> bool:
    """Whether a network for pictures tells the feature maps of each of its blocks; Swin's are sequences."""
    import torch

    with torch.inference_mode():
        blocks = network(torch.zeros(1, 3, SIDE, SIDE), output_hidden_states=True).hidden_states
    return bool(blocks) and all(maps.ndim == 4 for maps in blocks)


def _gives_maps(model: "nn.Module") -> bool:
    """A vision transformer gives none, and sees pictures of one size alone."""
    import torch

    try:
        with torch.inference_mode():
            return bool(model(torch.zeros(1, 3, SIDE, SIDE)).last_hidden_state.ndim == 4)
    except (AttributeError, RuntimeError, ValueError):
        return False


def _kind(config_file: Path) -> "tuple[type[PreTrainedModel], PreTrainedConfig]":
    """The bare network's class, and the settings of this one.

    Raises:
        WeightsError: transformers does not know it, or it takes neither pictures nor filter banks.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(
            config_file.parent, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            kind = type(AutoModel.from_config(config, trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{config_file} gives no model that transformers knows: {error}\n"
            f"Supported are {SUPPORTED}; code that comes with weights is never run"
        ) from error
    if kind.main_input_name != "pixel_values" and config.model_type != AST:
        raise WeightsError(
            f"{config_file} is of {config.model_type!r}, which takes neither pictures nor filter banks (networks that "
            f"hear raw samples are not supported): supported are {SUPPORTED}"
        )
    return kind, config


def _read(file: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except FileNotFoundError:
        raise WeightsError(f"{file} is not here: bring it with `dvc repro` or `dvc pull`") from None
    except SafetensorError as error:
        raise WeightsError(f"{file} is not a whole safetensors file ({error}): fetch it again") from error


def _is_head(name: str) -> bool:
    top = name.split(".")[0]
    return top == "pooler" or top.endswith("classifier")


def _problems(
    missing: Iterable[str], unknown: Iterable[str], shapes: "Iterable[tuple[str, Size, Size]]"
) -> list[str]:
    """
    Args:
        shapes: by name of a tensor, as given and as wanted.
    """
    return [
        *(f"{name} is missing" for name in sorted(missing)),
        *(f"{name} is not in the model" for name in sorted(unknown)),
        *(
            f"{name} has shape {list(given)}, not {list(wanted)}"
            for name, given, wanted in sorted(shapes)
            if given != wanted
        ),
    ]


def _use_torch_momentum(model: "nn.Module") -> None:
    """Turn TensorFlow's batch norm momentum into torch's, which is one minus it.

    transformers hands TensorFlow's 0.997 to torch as it stands (MobileNet, EfficientNet). Fine-tuning would
    then replace the running statistics by those of the last batch.
    """
    from torch.nn import BatchNorm2d

    for module in model.modules():
        if isinstance(module, BatchNorm2d) and module.momentum is not None and module.momentum > 0.5:
            module.momentum = 1 - module.momentum
