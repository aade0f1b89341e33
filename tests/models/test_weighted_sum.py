"""Where the answer is in layer 1, learned weights of the layers find it, and the last layer does not have it."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from networks import make_sound
from stores import write_store
from torch import nn
from transformers import Wav2Vec2Model

from pipeline.config.features import Waveform
from pipeline.config.models import Transfer
from pipeline.config.training import Training
from pipeline.features import waveform
from pipeline.features.store import Store
from pipeline.models import transfer
from pipeline.training import no_callback
from pipeline.training.dataset import Feature, Windows
from pipeline.training.embeddings import EVAL_SPACING, embed
from pipeline.training.trainer import fit

RATE, LENGTH, CLIPS = 16_000, 8000, 60


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Noise, and as labels which side of the median a direction of layer 1 is on; the layers above are told to forget it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "weights" / "sound"
    make_sound(folder, "wav2vec2")
    network = Wav2Vec2Model.from_pretrained(folder).eval()
    with torch.no_grad():
        for layer in network.encoder.layers[1:]:
            layer.final_layer_norm.weight.mul_(0)  # all that comes out is the bias
    network.save_pretrained(folder)
    rng = np.random.default_rng(3)
    sounds = rng.normal(0, 0.1, (CLIPS, LENGTH)) * rng.uniform(0.2, 1, (CLIPS, 1))
    sounds += np.sin(np.arange(LENGTH) * rng.uniform(0.05, 1, (CLIPS, 1))) * 0.1
    rows = [(own[:, None] * waveform.FULL_SCALE).astype(np.int16) for own in sounds]
    ids = [str(number) for number in range(CLIPS)]
    write_store(tmp_path / "store", ids, rows, "int16", waveform.describe(Waveform(sample_rate=RATE)))
    feature = Feature.stored(Store(tmp_path / "store"), ids, LENGTH)
    net = transfer.build(Transfer(name="transfer", backbone="sound", frozen=True, layers=[1]), [feature.describe()], 2)
    assert isinstance(net, transfer.Transfer)
    with torch.no_grad():
        pairs = np.stack([np.arange(CLIPS), np.zeros(CLIPS, np.int64)], axis=1)
        (given,) = Windows([feature], np.zeros(CLIPS))[pairs].inputs
        first = net.backbones[0].eval()(torch.from_numpy(given)).numpy()
    column = first[:, first.std(axis=0).argmax()]
    return Windows([feature], (column > np.median(column)).astype(np.int64))


def accuracy(
    layers: Literal["last", "all"], windows: Windows, training: Callable[..., Training], folder: Path
) -> tuple[float, nn.Module]:
    (feature,) = windows.sources
    assert isinstance(feature, Feature)
    settings = Transfer(name="transfer", backbone="sound", frozen=True, layers=layers)
    torch.manual_seed(1)
    net = transfer.build(settings, [feature.describe()], 2)
    assert isinstance(net, transfer.Transfer)
    own = training(epochs=60, learning_rate=0.1, batch_size=20, patience=None, monitor=None, windows_per_clip=1)
    (embedded,) = embed([windows], net.backbones, own, folder / "cached", [EVAL_SPACING])
    fit(net.head, embedded, embedded, own, 1, folder / "checkpoints", no_callback)
    every = embedded[embedded.even(1)]
    with torch.no_grad():
        answers = net.head(torch.from_numpy(every.inputs[0])).argmax(dim=1).numpy()
    return float((answers == every.targets).mean()), net.head


def test_learned_weights_beat_the_last_layer(
    windows: Windows, training: Callable[..., Training], tmp_path: Path
) -> None:
    last, _ = accuracy("last", windows, training, tmp_path / "last")
    mixed, head = accuracy("all", windows, training, tmp_path / "all")
    assert last < 0.6, "the last layer knows nothing of it"
    assert mixed > 0.9
    assert isinstance(head, nn.Sequential)
    (mix, *_) = head
    assert isinstance(mix, transfer.WeightedSum)
    shares = mix.weights[0].softmax(dim=0)
    assert shares[1] > shares[2:].max() + 0.1, "most weight is on the layers that know"
