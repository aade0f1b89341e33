"""A store gives back what was written, and says when it changed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import write_store

from pipeline.features.store import Store

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

CLIPS = ["jazz/b.wav", "jazz/a.wav", "rock/c.wav"]
SPEC = {"kind": "spectrogram", "windowed": True, "silence_db": -80.0}


def blocks(seed: int = 7) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(-40, 20, (rows, 4)).astype(np.float32) for rows in (3, 1, 5)]


def stored(folder: Path, seed: int = 7, clips: list[str] = CLIPS, dtype: str = "float16") -> Store:
    write_store(folder, clips, iter(blocks(seed)), dtype, SPEC)
    return Store(folder)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_come_back(tmp_path: Path, dtype: str) -> None:
    store = stored(tmp_path / "s", dtype=dtype)
    assert store.array.shape == (9, 4)
    assert store.array.dtype == dtype
    starts, stops = store.rows(CLIPS)
    for block, start, stop in zip(blocks(), starts, stops, strict=True):
        np.testing.assert_array_equal(store.array[start:stop], block.astype(dtype))


def test_rows_are_in_the_order_asked_for(tmp_path: Path) -> None:
    store = stored(tmp_path / "s")
    starts, stops = store.rows(["rock/c.wav", "jazz/b.wav"])
    assert (list(starts), list(stops)) == ([4, 0], [9, 3])


def test_an_unknown_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"rock/gone\.wav"):
        stored(tmp_path / "s").rows(["jazz/a.wav", "rock/gone.wav"])


def test_the_spec_tells_all_there_is(tmp_path: Path) -> None:
    spec = stored(tmp_path / "s").spec
    assert spec == {**SPEC, "dtype": "float16", "width": 4, "shape": [9, 4], "digest": spec["digest"]}
    assert {file.name for file in (tmp_path / "s").iterdir()} == {"array.bin", "index.csv", "spec.json"}


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    first = stored(tmp_path / "first").spec["digest"]
    assert stored(tmp_path / "same").spec["digest"] == first
    others = [
        stored(tmp_path / "values", seed=8),
        stored(tmp_path / "clips", clips=CLIPS[::-1]),
        stored(tmp_path / "dtype", dtype="float32"),
    ]
    assert len({first, *(store.spec["digest"] for store in others)}) == 4


def test_the_same_rows_cut_otherwise_have_another_digest(tmp_path: Path) -> None:
    rows = np.concatenate(blocks())
    write_store(tmp_path / "a", CLIPS, np.split(rows, [3, 4]), "float16", SPEC)
    write_store(tmp_path / "b", CLIPS, np.split(rows, [2, 4]), "float16", SPEC)
    assert Store(tmp_path / "a").spec["digest"] != Store(tmp_path / "b").spec["digest"]
