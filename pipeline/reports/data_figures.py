"""Figures of a data set: its groups and parts, durations, and spectrograms of its clips."""

import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from pipeline.data.split import PARTS
from pipeline.reports.figures import OKABE_ITO, WIDTH, Array, canvas, narrow, short, tidy

Levels = np.ndarray[Any, np.dtype[np.uint8]]

NO_PART = "no part"
"""Of a clip that the split leaves out."""
COLOURS = dict(zip((*PARTS, NO_PART), (OKABE_ITO[0], OKABE_ITO[4], OKABE_ITO[2], "#b5b5b5"), strict=True))

LEVELS = 32
"""Colours of a spectrogram: of 80 dB steps of 2.5 dB, in less than half the bytes that 256 colours take."""
BINS = 40
WIDE = 20.0
"""From this ratio of the longest to the shortest clip durations are shown on a logarithmic axis."""


def groups(table: pd.DataFrame, thing: str = "clip") -> Figure:
    """Clips by label, the first label on top: a segment for each group, coloured by part, large ones first.

    Args:
        table: one row per clip, with ``label``, ``group`` and ``part`` (of PARTS, or NO_PART).
        thing: what a clip is called.
    """
    sizes = _sizes(table)
    labels = list(sizes["label"].unique())
    most = int(sizes["right"].max())
    width = narrow(labels)
    figure = canvas(width, 1.1 + 0.34 * len(labels))
    axes = figure.add_subplot()
    axes.add_collection(
        PolyCollection(
            _boxes(sizes, labels),
            facecolors=[COLOURS[part] for part in sizes["part"]],
            edgecolors="white",
            # points; a narrow segment must not be all edge
            linewidths=min(0.8, 0.2 * 72 * width / most),
        )
    )
    # parse_math: a pair of dollars in a label is no formula
    axes.set_yticks(range(len(labels)), [short(label) for label in labels], parse_math=False)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, most)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"{thing}s")
    tidy(axes, grid="x")
    present = set(table["part"])
    handles = [Patch(color=colour, label=part) for part, colour in COLOURS.items() if part in present]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=9)
    return figure


def _sizes(table: pd.DataFrame) -> pd.DataFrame:
    """One row per label, part and group, in the order of the segments, with the place where each ends."""
    sizes = table.groupby(["label", "part", "group"]).size().rename("clips").reset_index()
    sizes["part"] = pd.Categorical(sizes["part"], list(COLOURS))
    sizes = sizes.sort_values(["label", "part", "clips"], ascending=[True, True, False])
    return sizes.assign(right=sizes.groupby("label")["clips"].cumsum())


def _boxes(sizes: pd.DataFrame, labels: list[str]) -> Array:
    """The corners of each segment, (segments, 4, 2)."""
    row = sizes["label"].map({label: number for number, label in enumerate(labels)})
    right = sizes["right"]
    left, top, bottom = right - sizes["clips"], row - 0.38, row + 0.38
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]]).transpose(2, 0, 1)


def durations(seconds: pd.Series) -> Figure:
    """Histogram of the clips' durations."""
    values = seconds.to_numpy(dtype=float)
    low, high = values.min(), values.max()
    wide = bool(low > 0 and high / low >= WIDE)
    edges = np.geomspace(low, high, BINS + 1) if wide else np.histogram_bin_edges(values, BINS)
    figure = canvas(WIDTH / 2, 3.2)
    axes = figure.add_subplot()
    axes.hist(values, bins=edges, color=OKABE_ITO[0], edgecolor="white", linewidth=0.5)
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("duration in s")
    axes.set_ylabel("clips")
    tidy(axes, grid="y")
    return figure


def bands(decibels: Array, floor: float) -> bytes:
    """PNG of (frames, bands), a pixel each: time runs to the right, the first band is at the bottom.

    The darkest colour stands for ``floor`` dB and less, the brightest for 0 dB.
    """
    shares = 1 - np.asarray(decibels, dtype=np.float32) / floor
    return indexed_png(np.clip(shares * LEVELS, 0, LEVELS - 1).astype(np.uint8).T[::-1], _colours())


def scale() -> bytes:
    """PNG of the colours of :func:`bands`, from the floor at the left to 0 dB."""
    return indexed_png(np.arange(LEVELS, dtype=np.uint8)[np.newaxis], _colours())


def _colours() -> Levels:
    colours: Levels = colormaps["magma"].resampled(LEVELS)(range(LEVELS), bytes=True)[:, :3]
    return colours


def indexed_png(levels: Levels, colours: Levels) -> bytes:
    """PNG with a palette: one byte per pixel, where matplotlib's own PNG has four.

    Args:
        levels: (height, width) numbers of colours.
        colours: (colours, 3), at most 256.
    """
    image = Image.fromarray(np.ascontiguousarray(levels))
    image.putpalette(colours.tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=9)
    return stream.getvalue()
