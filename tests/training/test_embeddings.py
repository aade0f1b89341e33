"""A frozen backbone sees each window once: its embeddings are its own, aligned with the clips, and kept."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from stores import write_store
from torch import Tensor, nn

from pipeline.base import paths
from pipeline.config.training import Training
from pipeline.features.store import Store
from pipeline.models.exported import Exported
from pipeline.training import embeddings
from pipeline.training.dataset import Feature, Windows
from pipeline.training.embeddings import EVAL_SPACING, SPACINGS, TRAIN_SPACING, Embeddings, embed, pack

FRAMES = 8
LENGTHS = {"a": 20, "b": 3, "c": 8, "d": 9}
Trainings = Callable[..., Training]
RTOL = 5e-6
"""Of sums of 40 numbers of one sign in float32, added in any order and any batch: 40 times its eps."""


class Told(nn.Module):
    """A backbone whose embedding tells which window it saw; dropout would show that it was in training mode."""

    __module__ = "pipeline.models.backbones.image"  # whose code is part of its cache key

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, image: Tensor) -> Tensor:
        embedding: Tensor = self.dropout(torch.stack([image.sum(dim=(1, 2)), image[:, 0, 0]], dim=1) * self.factor)
        return embedding


def rows(clip: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(ord(clip)).uniform(-79, 0, (LENGTHS[clip], 5)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store") / "five"
    write_store(folder, list(LENGTHS), map(rows, LENGTHS), "float32", {"windowed": True, "silence_db": -80.0})
    return Store(folder)


def windows(store: Store, clips: str) -> Windows:
    return Windows([Feature.stored(store, list(clips), FRAMES)], np.arange(len(clips)))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows went through the backbone, batch by batch."""
    sizes: list[int] = []

    class Counting(Exported):
        def __call__(self, inputs: Any) -> Any:
            sizes.append(len(inputs[0]))
            return super().__call__(inputs)

    monkeypatch.setattr(embeddings, "Exported", Counting)
    return sizes


def test_embeddings_are_the_backbones_and_aligned_with_the_clips(
    store: Store, tmp_path: Path, training: Trainings
) -> None:
    (embedded,) = embed([windows(store, "cab")], [Told().train()], training(batch_size=2), tmp_path, [TRAIN_SPACING])
    (source,) = embedded.sources
    assert isinstance(source, Embeddings)
    assert embedded.targets.tolist() == [0, 1, 2]
    # three windows cover a, and two more are midway; one covers c and one b
    assert list(source.counts) == [1, 5, 1]
    assert list(embedded.max_offset) == [0, 4, 0]
    expected = {(c, k): o for c, offsets in enumerate([[0], [0, 3, 6, 9, 12], [0]]) for k, o in enumerate(offsets)}
    pairs = embedded.even(embedded.frames)
    assert [tuple(pair) for pair in pairs] == list(expected)
    batch = embedded[pairs]
    for (clip, number), values in zip(pairs, batch.inputs[0], strict=True):
        window = np.full((FRAMES, 5), -80.0)
        seen = rows("cab"[clip])[expected[clip, number] :][:FRAMES]
        window[: len(seen)] = seen
        np.testing.assert_allclose(values, [window.sum(), window[0, 0]], rtol=RTOL)
    assert batch.targets.tolist() == [0, 1, 1, 1, 1, 1, 2]


def test_every_second_window_is_of_evaluation(
    store: Store, tmp_path: Path, training: Trainings, ran: list[int]
) -> None:
    """Which a clip's score is the mean over: nothing is run for them that training has not."""
    both = [windows(store, "dab"), windows(store, "abd")]
    train, valid = embed(both, [Told()], training(), tmp_path, SPACINGS)
    assert sum(ran[1:]) == 3 + 5 + 1
    (covering,) = embed([windows(store, "dab")], [Told()], training(), tmp_path, [EVAL_SPACING])
    own = train[train.even(1)].inputs[0]
    np.testing.assert_array_equal(covering[covering.even(1)].inputs[0], own[[0, 2, 3, 5, 7, 8]])
    assert valid.targets.tolist() == [0, 1, 2] and list(valid.max_offset) == [2, 0, 1]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_only_windows_not_seen_before_run_through_the_backbone(
    store: Store, tmp_path: Path, training: Trainings, ran: list[int], batch_size: int
) -> None:
    settings = training(batch_size=batch_size)
    embed([windows(store, "ca")], [Told()], settings, tmp_path, [TRAIN_SPACING])
    del ran[:]
    (again,) = embed([windows(store, "dabc")], [Told()], settings, tmp_path, [TRAIN_SPACING])
    assert sum(ran) == 4, "three windows of d and one of b"
    (fresh,) = embed([windows(store, "dabc")], [Told()], settings, tmp_path / "other", [TRAIN_SPACING])
    pairs = again.even(1)
    np.testing.assert_allclose(again[pairs].inputs[0], fresh[pairs].inputs[0], rtol=RTOL)


def test_other_weights_are_another_backbone(store: Store, tmp_path: Path, training: Trainings, ran: list[int]) -> None:
    (first,) = embed([windows(store, "a")], [Told(1.0)], training(), tmp_path, [TRAIN_SPACING])
    del ran[:]
    (other,) = embed([windows(store, "a")], [Told(2.0)], training(), tmp_path, [TRAIN_SPACING])
    assert sum(ran[1:]) == 5
    np.testing.assert_allclose(other[other.even(1)].inputs[0], 2 * first[first.even(1)].inputs[0], rtol=RTOL)


def test_what_is_packed_is_not_run_again(
    store: Store, tmp_path: Path, training: Trainings, ran: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine, which has the versioned store alone; by another backbone it is not taken for its own."""
    monkeypatch.setattr(paths, "EMBEDDINGS", tmp_path / "tracked")
    target = paths.EMBEDDINGS / "transfer" / "0" / "backbone"
    pack(windows(store, "abcd"), list("abcd"), Told(), training(), tmp_path / "here", target)
    packed = Store(target)
    assert packed.spec["shape"] == [5 + 1 + 1 + 3, 2]
    del ran[:]
    for apart in SPACINGS:
        (found,) = embed([windows(store, "dabc")], [Told()], training(), tmp_path / "there", [apart])
        assert not ran
        (fresh,) = embed([windows(store, "dabc")], [Told()], training(), tmp_path / "here", [apart])
        np.testing.assert_allclose(found[found.even(1)].inputs[0], fresh[fresh.even(1)].inputs[0], rtol=RTOL)
    embed([windows(store, "a")], [Told(2.0)], training(), tmp_path / "there", [TRAIN_SPACING])
    assert sum(ran[1:]) == 5


def test_a_clip_taken_away_is_in_no_new_store(
    store: Store, tmp_path: Path, training: Trainings, ran: list[int]
) -> None:
    pack(windows(store, "abcd"), list("abcd"), Told(), training(), tmp_path / "kept", tmp_path / "first")
    del ran[:]
    pack(windows(store, "ac"), list("ac"), Told(), training(), tmp_path / "kept", tmp_path / "second")
    assert not ran
    index = pd.read_csv(tmp_path / "second" / "index.csv")
    assert sorted(set(index["clip_id"])) == ["a", "c"]


def test_each_gpu_has_a_copy_and_batches_keep_their_order(
    store: Store, tmp_path: Path, training: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    class Slow(Told):
        __module__ = Told.__module__

        def forward(self, image: Tensor) -> Tensor:
            calls.append(id(self))
            time.sleep(0.2 / len(calls))  # of two at once the later one ends first
            return super().forward(image)

    both = [windows(store, "dab"), windows(store, "abd")]
    alone = embed(both, [Told()], training(batch_size=2), tmp_path / "one", SPACINGS)
    monkeypatch.setattr(embeddings, "gpus", lambda _: ["cpu", "cpu"])
    spread = embed(both, [Slow()], training(batch_size=2), tmp_path / "two", SPACINGS)
    assert len(set(calls)) == 2
    for own, other in zip(alone, spread, strict=True):
        pairs = own.even(1)
        np.testing.assert_allclose(own[pairs].inputs[0], other[pairs].inputs[0], rtol=RTOL)


def test_batches_shrink_until_they_fit() -> None:
    pytest.importorskip("accelerate", reason="it is an extra: pip install 'soundtrack[lora]'")
    tried: list[int] = []

    def run(inputs: Any) -> Any:
        tried.append(len(inputs))
        if len(inputs) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return inputs * 2

    fitting = embeddings._fitting(run, 8)
    values = np.arange(10, dtype=np.float32)[:, None]
    for _ in "12":
        np.testing.assert_array_equal(fitting(values), values * 2)
    assert tried[-4:] == [3, 3, 3, 1], "the size that fits is kept"
