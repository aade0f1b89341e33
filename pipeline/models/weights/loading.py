"""Load a backbone from its folder."""

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.models.weights import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def load(folder: Path) -> "nn.Module":
    """The backbone in ``folder``, without classifier or pooling head, in float32 and in evaluation mode.

    Its output is transformers' usual one: ``last_hidden_state`` is the feature map, for MobileNetV2 of shape
    (batch, 1280, height / 32, width / 32), rounded up. Tensors must bear the names that the installed
    transformers gives them; checkpoints that it renames while loading (ViT's) are refused.

    A config.json of ``model_type`` "musicnn" gives a Musicnn, which transformers does not know.

    Raises:
        WeightsError: a file is unreadable, the architecture is unknown to transformers, or a tensor is
            missing, left over or of another shape.
    """
    config_file, file = folder / "config.json", folder / "model.safetensors"
    config = _config(config_file)
    model: nn.Module
    if config.get("model_type") == "musicnn":
        model = _empty_musicnn(config_file, config)
        state = _read(file)
    else:
        model = _empty_backbone(config_file)
        state = _headless(_read(file), model)
    if problems := _mismatches(model.state_dict(), state):
        more = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
        raise WeightsError(f"{file} does not fit its config.json: {'; '.join(problems[:10] + more)}")
    model.load_state_dict(state)
    _use_torch_momentum(model)
    return model.eval()


def _config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} gives no model that transformers knows: {error}") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{file} gives no model that transformers knows: it holds no keys and values")
    return config


def _empty_musicnn(file: Path, config: dict[str, Any]) -> "nn.Module":
    from pipeline.models.musicnn import Musicnn

    tags = config.get("tags")
    if not isinstance(tags, list):
        raise WeightsError(f"{file} gives no musicnn: it lacks the list of its tags")
    return Musicnn(len(tags))


def _empty_backbone(config_file: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(
            config_file.parent, local_files_only=True, trust_remote_code=False
        )
        with torch.device("meta"):
            kind = type(AutoModel.from_config(config, trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{config_file} gives no model that transformers knows: {error}") from error
    options = (
        {"add_pooling_layer": False} if "add_pooling_layer" in inspect.signature(kind).parameters else {}
    )
    return AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32, **options)


def _read(file: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except FileNotFoundError:
        raise WeightsError(f"{file} is not here: bring it with `dvc repro` or `dvc pull`") from None
    except SafetensorError as error:
        raise WeightsError(f"{file} is not a whole safetensors file ({error}): fetch it again") from error


def _headless(tensors: "dict[str, Tensor]", model: "PreTrainedModel") -> "dict[str, Tensor]":
    """``tensors`` under the bare backbone's names, without the classifier and pooler that it lacks."""
    bare = {name.removeprefix(f"{model.base_model_prefix}."): tensor for name, tensor in tensors.items()}
    wanted = model.state_dict().keys()
    return {name: tensor for name, tensor in bare.items() if name in wanted or not _is_head(name)}


def _is_head(name: str) -> bool:
    top = name.split(".")[0]
    return top == "pooler" or top.endswith("classifier")


def _mismatches(wanted: "dict[str, Tensor]", given: "dict[str, Tensor]") -> list[str]:
    missing = [f"{name} is missing" for name in wanted if name not in given]
    unexpected = [f"{name} is not in the model" for name in given if name not in wanted]
    misshapen = [
        f"{name} has shape {list(given[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    return missing + unexpected + misshapen


def _use_torch_momentum(model: "nn.Module") -> None:
    """Turn TensorFlow's batch norm momentum into torch's, which is one minus it.

    transformers hands TensorFlow's 0.997 to torch as it stands (MobileNet, EfficientNet). Fine-tuning would
    then replace the running statistics by those of the last batch.
    """
    from torch.nn import BatchNorm2d

    for module in model.modules():
        if isinstance(module, BatchNorm2d) and module.momentum is not None and module.momentum > 0.5:
            module.momentum = 1 - module.momentum
