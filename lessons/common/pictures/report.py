"""A data set of pictures as one HTML page: what is in it, how it is split, looks, and what was left out."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.base import files
from pipeline.data import clips
from pipeline.features.store import Store
from pipeline.reports import figures
from pipeline.reports.data_report import DataSet, common, count, first_duplicates
from pipeline.reports.pages import Picture, Table, environment

SHOWN = 20
COLUMNS = 10
"""Pictures in a row."""


def picture_report(data: DataSet, store: Store, seed: int, out: Path) -> None:
    """Write one HTML file that needs nothing from outside.

    Args:
        store: of the kind ``image``.
        seed: decides which pictures are shown.
    """
    good = clips.good(data.clips)
    rejected = int((data.clips["status"] == "rejected").sum())
    content = {
        **common(data, "picture"),
        "sentences": [
            f"{count(len(good), 'picture')} with {count(good['label'].nunique(), 'label')} in "
            f"{count(good['group'].nunique(), 'group')}.",
            f"Rejected: {count(rejected, 'more picture')}." if rejected else "No picture was rejected.",
        ],
        "shown": _shown(good, store, seed),
        "duplicates": _duplicates(data.duplicates),
    }
    files.write_text(out, environment("lessons.common.pictures").get_template("pictures.html.j2").render(content))


def _shown(good: pd.DataFrame, store: Store, seed: int) -> Picture:
    """A few pictures as the models see them, of as many labels as possible."""
    shuffled = good.sort_values("clip_id").sample(frac=1, random_state=seed)
    turn = shuffled.groupby("label").cumcount()
    chosen = shuffled.loc[turn.sort_values(kind="stable").index].head(SHOWN).sort_values("label")
    starts, _ = store.rows(chosen["clip_id"])
    pixels = np.asarray(store.array[starts]).reshape(-1, *store.spec["image"])
    return Picture(
        "pictures",
        f"{len(chosen)} pictures of the data set with their labels",
        f"{count(len(chosen), 'picture')} drawn at random, as the models see them: {store.spec['image'][1]} pixels wide.",
        figures.png(_in_rows(pixels, list(chosen["label"]))),
    )


def _in_rows(pixels: np.ndarray[Any, np.dtype[np.uint8]], labels: list[str]) -> Figure:
    """Pictures (number, channels, height, width) in rows of COLUMNS, each with its label above it."""
    rows = -(-len(labels) // COLUMNS)
    figure = figures.canvas(figures.WIDTH, rows * 1.25)
    cells = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes in cells:
        axes.set_axis_off()
    for axes, planes, label in zip(cells, pixels, labels, strict=False):
        colours = planes if len(planes) == 3 else np.repeat(planes, 3, axis=0)
        axes.imshow(colours.transpose(1, 2, 0))
        axes.set_title(figures.short(label), fontsize=10, parse_math=False)
    return figure


def _duplicates(pairs: pd.DataFrame) -> Table:
    rows = [
        [pair.first, pair.second, pair.kind, f"{1 - pair.error_rate:.3f}", "yes" if pair.labels_differ else "no"]
        for pair in first_duplicates(pairs).itertuples()
    ]
    return Table(["picture", "other picture", "kind", "correlation", "two labels"], "lllrl", rows)
