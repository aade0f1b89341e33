"""The clips table: one row per file of the data set, good or rejected."""

from pathlib import Path

import pandas as pd

from pipeline import paths
from pipeline.files import whole

COLUMNS = {
    "clip_id": "string",
    "path": "string",
    "label": "string",
    "group": "string",
    "source": "string",
    "duration_s": "float64",
    "sample_rate": "int64",
    "sha256": "string",
    "status": "string",
    "reason": "string",
    "origin": "string",
    "licence": "string",
}
"""``status`` is ``ok`` or ``rejected``; ``reason`` is empty for ``ok``. ``origin`` says what the audio is."""


def write(table: pd.DataFrame, file: Path = paths.CLIPS) -> None:
    with whole(file) as partial:
        table[list(COLUMNS)].astype(COLUMNS).to_parquet(partial, index=False)


def read(file: Path = paths.CLIPS) -> pd.DataFrame:
    """All rows, rejected ones too."""
    table = pd.read_parquet(file)
    missing = set(COLUMNS) - set(table.columns)
    if missing:
        raise ValueError(f"{file} lacks the columns {sorted(missing)}: run `dvc repro` to write it anew")
    return table


def good(table: pd.DataFrame) -> pd.DataFrame:
    """The clips that everything after the audit works with."""
    return table[table["status"] == "ok"].reset_index(drop=True)


def labels(table: pd.DataFrame) -> list[str]:
    """Labels of the good clips, sorted: the order of every model's outputs."""
    return sorted(good(table)["label"].unique())
