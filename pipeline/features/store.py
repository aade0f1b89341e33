"""The packed store of one feature kind: one memory-mapped array, one small index, one ``spec.json``.

``array.bin`` holds the rows of all clips one after another in C order; ``index.csv`` says which are whose (clip_id,
start, stop), from which file content they come (source, a sha256) and what they are (digest); ``spec.json`` gives
dtype, shape, parameters, units and a digest of it all. A store that is still being written has no digest.
"""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.base.files import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]
ARRAY = "array.bin"
INDEX = ("clip_id", "start", "stop", "source", "digest")
SUMS = ("shape", "digest")
"""What a spec has from when the last clip is written."""


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
        return np.memmap(self.folder / ARRAY, dtype=self.spec["dtype"], mode="r", shape=tuple(self.spec["shape"]))

    def index(self, clip_ids: Iterable[str]) -> "pd.DataFrame":
        """The index's lines of these clips, in the order asked for.

        Raises:
            KeyError: the store has no such clip.
        """
        import pandas as pd  # slow to import, and most callers read the spec alone

        index = pd.read_csv(self.folder / "index.csv", dtype={"clip_id": "string"}, keep_default_na=False)
        return index.set_index("clip_id").loc[list(clip_ids)]

    def rows(self, clip_ids: Iterable[str]) -> tuple[np.ndarray[Any, np.dtype[np.int64]], ...]:
        """First row and one past the last row of each clip; see :meth:`index`."""
        index = self.index(clip_ids)
        return index["start"].to_numpy(), index["stop"].to_numpy()


@dataclass(frozen=True)
class Block:
    """The rows of one clip as they stand in the file."""

    content: bytes
    digest: str


def block(values: Array, dtype: str) -> Block:
    content = np.ascontiguousarray(values, dtype=dtype).tobytes()
    return Block(content, hashlib.blake2b(content, digest_size=16).hexdigest())


class Writer:
    """Writes a store clip by clip; one that is killed leaves all clips before."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        """``spec`` has ``dtype`` and ``width``, the number of columns."""
        self.folder, self.spec = folder, spec
        self.row = spec["width"] * np.dtype(spec["dtype"]).itemsize
        self.rows = 0
        self.digest = hashlib.sha256()
        folder.mkdir(parents=True)
        write_json(folder / "spec.json", spec)
        self.array = (folder / ARRAY).open("wb")
        self.index = (folder / "index.csv").open("w", newline="", encoding="utf-8")
        self.lines = csv.writer(self.index)
        self.lines.writerow(INDEX)

    def add(self, clip_id: str, source: str, clip: Block) -> int:
        """Returns where in the file, in bytes, the clip's rows begin."""
        start, stop = self.rows, self.rows + len(clip.content) // self.row
        self.array.write(clip.content)
        self.array.flush()  # before the index says that it is there
        self.lines.writerow([clip_id, start, stop, source, clip.digest])
        self.index.flush()
        self.digest.update(f"{clip_id}\n{stop}\n{clip.digest}\n".encode())
        self.rows = stop
        return start * self.row

    def finish(self) -> None:
        self.array.close()
        self.index.close()
        about = {**self.spec, "shape": [self.rows, self.spec["width"]]}
        digest = hashlib.sha256(f"{self.digest.hexdigest()} {self.spec['dtype']}".encode()).hexdigest()
        write_json(self.folder / "spec.json", {**about, "digest": digest})
