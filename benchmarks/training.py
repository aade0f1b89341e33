"""A training step of the tutorial's CNN against Keras, and a frozen backbone run once against once an epoch."""

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.timing import Row, compare
from pipeline.models import Input
from pipeline.models.cnn import Tutorial
from pipeline.models.exported import Exported, export
from pipeline.parallel import cores
from pipeline.training.fit import keep_memory

Array = np.ndarray[Any, np.dtype[Any]]
SIZE, CLASSES, BATCH, STEPS = 256, 10, 32, 4


def run(repeats: int) -> Iterator[Row]:
    keep_memory()
    torch.set_num_threads(cores())
    rng = np.random.default_rng(0)
    images = rng.uniform(-80, 0, (BATCH, SIZE, SIZE)).astype(np.float32)
    targets = rng.integers(0, CLASSES, BATCH)
    fp32 = _torch_steps(images, targets, torch.float32)
    if importlib.util.find_spec("keras") is None:
        print("Keras: not installed (pip install tensorflow-cpu keras), so its step is left out")
    else:
        theirs = _keras_steps(images, targets)
        yield _per_image(compare("tutorial CNN, fp32, per image", fp32, "Keras", theirs, repeats))
        if torch.cpu.get_capabilities().get("avx512_bf16"):
            bf16 = _torch_steps(images, targets, torch.bfloat16)
            yield _per_image(compare("tutorial CNN, bf16, per image", bf16, "Keras", theirs, repeats))
    yield _per_image(_backbone(images, repeats))


def _per_image(found: Row) -> Row:
    images = BATCH * STEPS
    return found._replace(ours_s=found.ours_s / images, theirs_s=found.theirs_s / images)


def _torch_steps(images: Array, targets: Array, dtype: torch.dtype) -> Callable[[], None]:
    bands = np.zeros(SIZE, np.float32)
    net: Any = Tutorial(Input((SIZE, SIZE), bands, bands + 1, floor=-80.0), CLASSES, 0.4)
    net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    inputs, wanted = torch.from_numpy(images), torch.from_numpy(targets)

    def steps() -> None:
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss: Any = functional.cross_entropy(net(inputs), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    steps()
    return steps


def _keras_steps(images: Array, targets: Array) -> Callable[[], None]:
    import keras
    from keras import layers

    pooled = [
        layer
        for width in (32, 32, 64)
        for layer in (layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D(2))
    ]
    net = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            *pooled,
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    net.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    pictures = np.repeat((1 + images / 80)[..., None], 3, axis=-1)

    def steps() -> None:
        for _ in range(STEPS):
            net.train_on_batch(pictures, targets)

    steps()
    return steps


def _backbone(images: Array, repeats: int) -> Row:
    """MobileNetV2 with random weights, forward: as it runs once per window, and as a training would run it."""
    from transformers import MobileNetV2Config, MobileNetV2Model

    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = MobileNetV2Model(MobileNetV2Config(tf_padding=True), add_pooling_layer=False)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            maps: torch.Tensor = self.net(image[:, None].expand(-1, 3, -1, -1)).last_hidden_state
            return maps.mean(dim=(2, 3))

    net: Any = Maps().eval()
    net, inputs = net.to(memory_format=torch.channels_last), torch.from_numpy(images)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        export(net, [inputs[:2]], ["window"], "embedding", file)
        exported = Exported(file, cores())

        def once() -> None:
            for _ in range(STEPS):
                exported([images])

        def in_torch() -> None:
            with torch.no_grad():
                for _ in range(STEPS):
                    net(inputs)

        once()
        in_torch()
        return compare("frozen MobileNetV2, per window", once, "torch, each epoch anew", in_torch, repeats)
