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

from benchmarks import keras_cnn
from benchmarks.timing import Row, compare, row
from pipeline.base.parallel import cores
from pipeline.config.models import Cnn
from pipeline.models import Input, cnn
from pipeline.models.exported import Exported, export
from pipeline.training.hardware import has_bf16
from pipeline.training.trainer import keep_memory

BF16, FP32, LOSS, BACKBONE = FIGURES = (
    "the tutorial's CNN, bfloat16, per image and step",
    "the tutorial's CNN, 32 bits, per image and step",
    "the tutorial's CNN, 32 bits: its loss after 20 steps from the same weights",
    "frozen MobileNetV2, per window",
)
Array = np.ndarray[Any, np.dtype[Any]]
SIZE, CLASSES, BATCH, STEPS = 256, 10, 32, 4
DROPOUT, LEARNING_RATE = 0.4, 1e-4
EQUAL_STEPS = 20
KERAS = "Keras, 32 bits"


def run(_: list[Path], repeats: int) -> Iterator[Row]:
    images, targets = _batch()
    if importlib.util.find_spec("keras") is None:
        print("Keras: not installed (pip install '.[keras]'), so its step is left out")
    else:
        theirs = _keras_steps(images, targets)
        yield _against_keras(FP32, images, targets, torch.float32, theirs, repeats)
        if has_bf16():
            yield _against_keras(BF16, images, targets, torch.bfloat16, theirs, repeats)
        yield row(LOSS, KERAS, [losses()], unit="")
    yield _per_image(_backbone(images, repeats))


def losses() -> tuple[float, float]:
    """Ours and Keras', of one batch after EQUAL_STEPS steps on it from the same weights, without dropout."""
    images, targets = _batch()
    net = _tutorial(0.0)
    peer = keras_cnn.build(SIZE, CLASSES, 0.0, LEARNING_RATE)
    keras_cnn.take_weights(peer, {name: values.numpy().copy() for name, values in net.state_dict().items()})
    step, pictures = _step(net, images, targets, torch.float32), keras_cnn.pictures(images)
    for _ in range(EQUAL_STEPS):
        ours, theirs = step(), peer.train_on_batch(pictures, targets)
    return float(ours), float(theirs)


def _batch() -> tuple[Array, Array]:
    keep_memory()
    torch.set_num_threads(cores())
    rng = np.random.default_rng(0)
    images = rng.uniform(-80, 0, (BATCH, SIZE, SIZE)).astype(np.float32)
    return images, rng.integers(0, CLASSES, BATCH)


def _against_keras(
    name: str, images: Array, targets: Array, dtype: torch.dtype, theirs: Callable[[], None], repeats: int
) -> Row:
    step = _step(_tutorial(DROPOUT), images, targets, dtype)

    def steps() -> None:
        for _ in range(STEPS):
            step()

    steps()
    return _per_image(compare(name, steps, KERAS, theirs, repeats))


def _per_image(found: Row) -> Row:
    images = BATCH * STEPS
    return found._replace(ours=found.ours / images, theirs=found.theirs / images)


def _tutorial(dropout: float) -> Any:
    torch.manual_seed(0)
    bands = np.zeros(SIZE, np.float32)
    settings = Cnn(name="cnn", arch="tutorial", dropout=dropout)
    net = cnn.build(settings, [Input((SIZE, SIZE), bands, bands + 1, silence_db=-80.0)], CLASSES)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _step(net: Any, images: Array, targets: Array, dtype: torch.dtype) -> Callable[[], float]:
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, eps=1e-7)  # eps as in Keras
    inputs, wanted = torch.from_numpy(images), torch.from_numpy(targets)

    def step() -> float:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss: Any = functional.cross_entropy(net(inputs), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _keras_steps(images: Array, targets: Array) -> Callable[[], None]:
    net, pictures = keras_cnn.build(SIZE, CLASSES, DROPOUT, LEARNING_RATE), keras_cnn.pictures(images)

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
        export(net, [inputs[:2]], ["window"], ["embedding"], file)
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
        return compare(BACKBONE, once, "PyTorch, which each epoch would need anew", in_torch, repeats)
