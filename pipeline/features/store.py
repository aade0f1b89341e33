"""The packed store of one feature kind: one memory-mapped array, one small index, one ``spec.json``.

``array.bin`` holds the rows of all clips one after another in C order, ``index.parquet`` (clip_id, start, stop)
says which are whose, and ``spec.json`` gives dtype, shape, parameters, units and a digest of the content.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import read_json, whole, write_json

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]


@dataclass(frozen=True)
class Store:
    folder: Path

    @cached_property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = read_json(self.folder / "spec.json")
        return spec

    @cached_property
    def array(self) -> Array:
        """(rows, columns), read from disk as it is used."""
        return np.memmap(
            self.folder / "array.bin", dtype=self.spec["dtype"], mode="r", shape=tuple(self.spec["shape"])
        )

    def rows(self, clip_ids: Iterable[str]) -> tuple[np.ndarray[Any, np.dtype[np.int64]], ...]:
        """First row and one past the last row of each clip, in the order asked for.

        Raises:
            KeyError: the store has no such clip.
        """
        index = pd.read_parquet(self.folder / "index.parquet").set_index("clip_id")
        asked = index.loc[list(clip_ids)]
        return asked["start"].to_numpy(), asked["stop"].to_numpy()


def write(
    folder: Path, clip_ids: list[str], blocks: Iterable[Array], dtype: str, spec: dict[str, Any]
) -> None:
    """Write a store block by block; only one clip's rows are in memory at a time."""
    digest = hashlib.sha256()
    stops: list[int] = []
    columns = 0
    with whole(folder) as partial:
        partial.mkdir()
        with (partial / "array.bin").open("wb") as out:
            for block in blocks:
                columns = block.shape[1]
                content = np.ascontiguousarray(block, dtype=dtype).tobytes()
                digest.update(content)
                out.write(content)
                stops.append((stops[-1] if stops else 0) + len(block))
        index = pd.DataFrame({"clip_id": clip_ids, "start": [0, *stops[:-1]], "stop": stops})
        index.to_parquet(partial / "index.parquet", index=False)
        digest.update(index.to_csv(index=False).encode())
        write_json(
            partial / "spec.json",
            {**spec, "dtype": dtype, "shape": [stops[-1], columns], "digest": digest.hexdigest()},
        )
