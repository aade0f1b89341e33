"""A store of features from arrays, and a split table from parts."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.base.files import atomic_write
from pipeline.features.store import Writer, block


def write_store(
    folder: Path, clip_ids: list[str], blocks: Iterable[np.ndarray[Any, Any]], dtype: str, spec: dict[str, Any]
) -> None:
    """One array of rows for each clip, all of one width."""
    with atomic_write(folder) as partial:
        writer: Writer | None = None
        for clip_id, values in zip(clip_ids, blocks, strict=True):
            writer = writer or Writer(partial, {**spec, "dtype": dtype, "width": values.shape[1]})
            writer.add(clip_id, "", block(values, dtype))
        assert writer is not None, "a store needs at least one clip"
        writer.finish()


def split_table(clip_ids: Iterable[str], parts: Sequence[str]) -> pd.DataFrame:
    """Of one fold."""
    rows = pd.DataFrame({"clip_id": list(clip_ids), "part": parts})
    return rows.assign(fold=0, test_fold=0, protocol="grouped")
