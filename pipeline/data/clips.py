"""The clips table: a row for each file of the data set, good or rejected."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write

COLUMNS = {
    **dict.fromkeys(("clip_id", "path", "label", "group", "source"), "string"),
    "duration_s": "float64",
    "sample_rate": "int64",
    **dict.fromkeys(("sha256", "status", "reason", "origin", "licence"), "string"),
}
"""``status`` is ``ok`` or ``rejected``; ``reason`` is empty for ``ok``. ``origin`` says what the audio is."""

CREDIT = {"credit": "string"}
"""The artist as credited, where that is not the group's name; only of sources that know it."""


class ClipsError(UserError):
    """The clips table is damaged; the message says what to do."""


def write(table: pd.DataFrame, file: Path = paths.CLIPS) -> None:
    columns = COLUMNS | CREDIT if "credit" in table and table["credit"].ne("").any() else COLUMNS
    with atomic_write(file) as partial:
        table[list(columns)].astype(columns).to_parquet(partial, index=False)


def read(file: Path = paths.CLIPS) -> pd.DataFrame:
    """All rows, as the audit wrote them, with the rejected ones.

    Raises:
        ClipsError: the file is no clips table.
    """
    try:
        table = pd.read_parquet(file)
    except (pa.ArrowException, OSError) as error:
        cure = f"`dvc checkout {file}`, or delete it, and `dvc repro`"
        raise ClipsError(f"{file} cannot be read ({error}): {cure}") from None
    if missing := set(COLUMNS) - set(table.columns):
        raise ClipsError(f"{file} lacks the columns {sorted(missing)}: delete it and `dvc repro`")
    return table


def computed(file: Path = paths.CLIPS, failed: Path = paths.FAILED) -> pd.DataFrame:
    """As :func:`read`, with clips rejected whose features could not be computed."""
    table = read(file)
    if failed.exists():
        reasons = pd.read_csv(failed, dtype="string", keep_default_na=False).set_index("clip_id")["reason"]
        lost = table["clip_id"].isin(reasons.index)
        table.loc[lost, "reason"] = table.loc[lost, "clip_id"].map(reasons)
        table.loc[lost, "status"] = "rejected"
    return table


def good(table: pd.DataFrame) -> pd.DataFrame:
    """The clips that are not rejected."""
    return table[table["status"] == "ok"].reset_index(drop=True)


def source(table: pd.DataFrame) -> str:
    return str(table["source"].iloc[0])


def labels(table: pd.DataFrame) -> list[str]:
    """Labels of the good clips, sorted: the order of every model's outputs."""
    return sorted(good(table)["label"].unique())
