"""Windows are what naive slicing gives, they cover the clips, and their order follows from seed and epoch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import write_store

from pipeline.features.store import Store
from pipeline.training.dataset import Feature, RandomWindows, Windows, even_batches

SILENCE_DB = -80.0
FRAMES = 8
LENGTHS = {"a": 20, "b": 3, "c": 8, "d": 9}
Array = np.ndarray[Any, np.dtype[np.float32]]


def content(bands: int) -> dict[str, Array]:
    rng = np.random.default_rng(bands)
    return {clip: rng.uniform(-79, 0, (rows, bands)).astype(np.float16) for clip, rows in LENGTHS.items()}


def stored(folder: Path, bands: int, windowed: bool = True) -> Store:
    rows = content(bands)
    if not windowed:
        rows = {clip: values[:1] for clip, values in rows.items()}
    write_store(folder, list(rows), iter(rows.values()), "float32", {"windowed": windowed, "silence_db": SILENCE_DB})
    return Store(folder)


@pytest.fixture
def feature(tmp_path: Path) -> Feature:
    """Five bands of the clips c, a and b, in that order."""
    return Feature.stored(stored(tmp_path / "five", 5), ["c", "a", "b"], FRAMES)


def sliced(clip: str, bands: int, offset: int) -> Array:
    """The window by plain slicing: (bands, frames)."""
    window = np.full((FRAMES, bands), SILENCE_DB, np.float32)
    rows = content(bands)[clip][offset : offset + FRAMES]
    window[: len(rows)] = rows
    return window.T


def test_a_window_is_a_slice_padded_with_the_floor(feature: Feature) -> None:
    assert (feature.shape, list(feature.max_offset())) == ((5, FRAMES), [0, 12, 0])
    pairs = [(0, 0), (1, 0), (1, 7), (1, 12), (2, 0), (1, 3)]
    clips, offsets = np.array(pairs).T
    windows = feature.cut(clips, offsets)
    assert windows.shape == (6, 5, FRAMES)
    assert windows.dtype == np.float32
    for window, (clip, offset) in zip(windows, pairs, strict=True):
        np.testing.assert_array_equal(window, sliced("cab"[clip], 5, offset))
    assert (windows[4, :, 3:] == SILENCE_DB).all(), "b has three frames"


def test_a_summary_is_its_row(tmp_path: Path) -> None:
    feature = Feature.stored(stored(tmp_path / "s", 5, windowed=False), ["b", "a"], FRAMES)
    assert (feature.shape, feature.frames, list(feature.max_offset())) == ((5,), 1, [0, 0])
    rows = feature.cut(np.array([1, 0, 1]), np.array([0, 0, 0]))
    expected = np.stack([content(5)[clip][0] for clip in "aba"])
    np.testing.assert_array_equal(rows, expected.astype(np.float32))


def test_statistics_are_those_of_the_rows_of_these_clips(feature: Feature) -> None:
    rows = np.concatenate([content(5)[clip] for clip in "cab"]).astype(np.float64)
    described = feature.describe()
    assert (described.shape, described.silence_db) == ((5, FRAMES), SILENCE_DB)
    np.testing.assert_allclose(described.mean, rows.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(described.std, rows.std(axis=0), rtol=1e-6)


def test_a_column_that_never_varies_has_no_deviation_at_all(tmp_path: Path) -> None:
    """Else the rounding of large numbers would pass for one, and scale noise up."""
    rows = [np.array([[3000.1, float(clip)]], np.float32) for clip in range(7)]
    write_store(tmp_path / "s", list("abcdefg"), rows, "float32", {"windowed": False})
    described = Feature.stored(Store(tmp_path / "s"), list("abcdefg"), FRAMES).describe()
    np.testing.assert_array_equal(described.mean, np.array([3000.1, 3.0], np.float32))
    np.testing.assert_array_equal(described.std, np.array([0.0, 2.0], np.float32))


def test_a_batch_has_the_same_place_of_every_feature(tmp_path: Path) -> None:
    features = [Feature.stored(stored(tmp_path / str(bands), bands), ["a", "b"], FRAMES) for bands in (5, 3)]
    windows = Windows(features, np.array([1, 0]))
    batch = windows[np.array([(0, 4), (1, 0), (0, 11)])]
    assert len(windows) == 2
    assert (batch.targets.tolist(), batch.clips.tolist()) == ([1, 0, 1], [0, 1, 0])
    for values, bands in zip(batch.inputs, (5, 3), strict=True):
        expected = [sliced("a", bands, 4), sliced("b", bands, 0), sliced("a", bands, 11)]
        np.testing.assert_array_equal(values, np.stack(expected))


def one_clip(length: int, frames: int) -> Windows:
    class Length:
        def __init__(self) -> None:
            self.frames, self.silence_db = frames, 0.0

        def max_offset(self) -> np.ndarray[Any, np.dtype[np.int64]]:
            return np.array([max(length - frames, 0)])

        def cut(self, clips: Any, offsets: Any) -> Array:
            raise NotImplementedError

    return Windows([Length()], np.zeros(1, dtype=np.int64))


@settings(max_examples=200)
@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 400))
def test_even_windows_go_from_the_first_frame_to_the_last(length: int, frames: int, spacing: int) -> None:
    pairs = one_clip(length, frames).even(spacing)
    offsets = pairs[:, 1]
    assert (pairs[:, 0] == 0).all()
    assert offsets[0] == 0
    assert offsets[-1] == max(length - frames, 0)
    assert (np.diff(offsets) > 0).all()
    assert (np.diff(offsets) <= spacing).all()
    assert len(pairs) == 1 + np.ceil(max(length - frames, 0) / spacing), "and no more of them than needed"


def test_even_windows_cover_every_frame_of_every_clip(feature: Feature) -> None:
    windows = Windows([feature], np.array([0, 1, 2]))
    covered = {clip: set() for clip in range(3)}  # type: dict[int, set[int]]
    for clip, offset in windows.even(windows.frames):
        covered[clip] |= set(range(offset, offset + FRAMES))
    for clip, name in enumerate("cab"):
        assert covered[clip] >= set(range(LENGTHS[name]))


def test_batches_are_the_even_windows_in_order(feature: Feature) -> None:
    windows = Windows([feature], np.array([0, 1, 2]))
    pairs = windows.even(windows.frames)
    batches = list(windows.batches(3))
    assert len(batches) == len(even_batches(pairs, 3)) == 2
    assert max(len(batch.targets) for batch in batches) <= 3
    assert np.concatenate([batch.clips for batch in batches]).tolist() == pairs[:, 0].tolist()
    np.testing.assert_array_equal(np.concatenate([b.inputs[0] for b in batches]), feature.cut(*pairs.T))


SLACK = np.array([0, 5, 100, 3, 0, 40, 7])


def drawn(seed: int, epoch: int, windows_per_clip: int = 3, batch_size: int = 4) -> list[list[list[int]]]:
    sampler = RandomWindows(SLACK, windows_per_clip, batch_size, seed)
    sampler.set_epoch(epoch)
    batches = [batch.tolist() for batch in sampler]
    assert len(batches) == len(sampler)
    return batches


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    first = drawn(7, 2)
    np.random.seed(1)
    assert drawn(7, 2) == first
    assert drawn(7, 3) != first
    assert drawn(8, 2) != first


@pytest.mark.parametrize("windows_per_clip", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_every_clip_is_drawn_as_often_as_asked(windows_per_clip: int, batch_size: int) -> None:
    batches = drawn(7, 0, windows_per_clip, batch_size)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1, "no small rest, which batch norm could not bear"
    clips, offsets = np.concatenate(batches).T
    assert np.bincount(clips).tolist() == [windows_per_clip] * len(SLACK)
    assert ((offsets >= 0) & (offsets <= SLACK[clips])).all()


def test_offsets_are_drawn_from_the_whole_clip() -> None:
    pairs = np.concatenate([batch for epoch in range(300) for batch in drawn(7, epoch)])
    for clip, max_offset in enumerate(SLACK[[0, 1, 3, 6]]):
        offsets = pairs[pairs[:, 0] == [0, 1, 3, 6][clip], 1]
        assert set(offsets.tolist()) == set(range(max_offset + 1))


def test_windows_of_other_frames_lie_at_the_same_place_of_the_clip(tmp_path: Path) -> None:
    """Clip a has 20 frames of one kind and 41 of another: both windows begin at its start, its middle and its end."""
    coarse, fine = tmp_path / "coarse", tmp_path / "fine"
    for folder, lengths in ((coarse, (20, 5)), (fine, (41, 11))):
        rows = [np.arange(length, dtype=np.float32)[:, None] for length in lengths]
        write_store(folder, ["a", "b"], iter(rows), "float32", {"windowed": True, "silence_db": -1.0})
    table = tmp_path / "table"
    write_store(table, ["a", "b"], iter([np.full((1, 2), 3.0), np.full((1, 2), 4.0)]), "float32", {"windowed": False})
    sources = [
        Feature.stored(Store(folder), ["a", "b"], frames) for folder, frames in ((coarse, 10), (table, 10), (fine, 11))
    ]
    windows = Windows(sources, np.array([0, 1]))
    assert list(windows.max_offset) == [30, 0], "the finer one needs more windows to be seen whole"
    batch = windows[np.array([(0, 0), (0, 15), (0, 30), (1, 0)])]
    first = [values[:, 0, 0].tolist() if values.ndim == 3 else values[:, 0].tolist() for values in batch.inputs]
    assert first == [[0, 5, 10, 0], [3, 3, 3, 4], [0, 15, 30, 0]]


@given(st.lists(st.integers(0, 9), min_size=4, max_size=30), st.integers(1, 4), st.integers(8, 12))
def test_processes_share_each_batch_of_one(spare: list[int], shares: int, batch_size: int) -> None:
    drawn = (np.array(spare), 2, batch_size, 7)
    parts = [list(RandomWindows(*drawn, share=(place, shares))) for place in range(shares)]
    whole = list(RandomWindows(*drawn))
    assert [np.concatenate(part).tolist() for part in zip(*parts, strict=True)] == [batch.tolist() for batch in whole]
    assert all(len(part) for batches in parts for part in batches)
