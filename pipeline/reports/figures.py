"""Figures of scores, curves and confusions, drawn without pyplot and its global state.

Every function returns a :class:`matplotlib.figure.Figure`; :func:`png` and :func:`save` make pictures of it.
A model has the same colour in all figures that are given the same set of models, in whatever order.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.base import files
from pipeline.reports.pages import DPI

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
"""Colours that most colour-blind people can distinguish (Okabe and Ito 2008, https://jfly.uni-koeln.de/color/),
without the yellow that is too pale on white, and with a dark grey for black."""
LINES = ("-", "--", ":", "-.")
"""With more models than colours, colours repeat with the next line style."""

WIDTH = 10.0
"""Inches; every figure is drawn for the width of a report's text column."""
LONGEST = 26
"""Characters of a name that a figure shows."""
GREY = "#666666"
AFTER = OKABE_ITO[1]
"""Of a reliability diagram, where no model has a colour of its own."""
SHADES = colormaps["Blues"].with_extremes(bad="#eeeeee")
DARK = 0.68
"""From this share of SHADES on white text is easier to read than black."""


def confusion(matrix: pd.DataFrame, title: str) -> Figure:
    """Counts of clips, rows actual and columns predicted; a cell's shade is its share of the row."""
    size = float(np.clip(0.55 * len(matrix) + 2.5, 5.0, WIDTH))
    figure = canvas(size, size * 0.9)
    axes = figure.add_subplot()
    _draw_confusion(axes, matrix, fontsize=10)
    axes.set_title(plain(title, 3 * LONGEST), fontsize=12, loc="left")
    _name_rows(axes, matrix.index)
    _name_columns(axes, matrix.columns)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    return figure


def confusion_grid(matrices: Mapping[str, pd.DataFrame]) -> Figure:
    """The confusion of every model side by side; all matrices have the same labels, shown by number."""
    labels = len(next(iter(matrices.values())))
    rows = -(-len(matrices) // int(np.clip(40 / labels, 1, 4)))
    columns = -(-len(matrices) // rows)
    side = (WIDTH - 2.2) / columns
    points = 72 * side / labels  # of one cell
    figure = canvas(WIDTH, 0.4 + rows * (0.5 + side))
    cells = figure.subplots(rows, columns, squeeze=False).flatten()
    for number, (key, matrix) in enumerate(matrices.items()):
        axes = cells[number]
        _draw_confusion(axes, matrix, fontsize=float(np.clip(0.43 * points, 4, 9)))
        axes.set_title(plain(key), fontsize=11)
        numbered = [f"{short(label)}  {place}" for place, label in enumerate(matrix.index, start=1)]
        _name_rows(axes, numbered if number % columns == 0 else range(1, labels + 1), longest=LONGEST + 8)
        axes.set_xticks(range(labels), range(1, labels + 1))
        axes.tick_params(labelsize=float(np.clip(0.5 * points, 4, 9)))
    for axes in cells[len(matrices) :]:
        axes.set_visible(False)
    figure.supxlabel("predicted", fontsize=10)
    figure.supylabel("actual", fontsize=10)
    return figure


def scores(table: pd.DataFrame, baseline: str = "majority") -> Figure:
    """Macro F1 on validation and test: a pair of bars per model, the first model on top, their values beside them.

    Args:
        table: indexed by model, with the columns ``valid_macro_f1`` and ``test_macro_f1``. With
            ``test_macro_f1_low`` and ``test_macro_f1_high`` a line over the bar shows the interval.
        baseline: the model whose test score is drawn as a line across; without it there is no line.
    """
    figure = canvas(narrow(table.index), 1.1 + 0.55 * len(table))
    axes = figure.add_subplot()
    looks = styles(table.index)
    for place, (key, row) in enumerate(table.iterrows()):
        colour = looks[str(key)]["color"]
        for offset, part, alpha in ((-0.2, "valid", 0.45), (0.2, "test", 1.0)):
            value = float(row[f"{part}_macro_f1"])
            axes.barh(place + offset, value, height=0.38, color=colour, alpha=alpha)
            low, high = (float(row.get(f"{part}_macro_f1_{end}", np.nan)) for end in ("low", "high"))
            told = number(value)
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [place + offset] * 2, color="black", linewidth=1, marker="|", markersize=6)
                told += f" ({low:.2f} to {high:.2f})"
            # in a column at the right, where no bar and no interval is
            axes.text(1.02, place + offset, told, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    _name_rows(axes, table.index)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("macro F1")
    tidy(axes, grid="x")
    handles: list[Any] = [Patch(color=GREY, alpha=0.45, label="validation"), Patch(color=GREY, label="test")]
    if baseline in table.index:
        level = float(table.loc[baseline, "test_macro_f1"])
        label = f"{plain(baseline)}, test"
        handles.append(axes.axvline(level, color="black", linestyle="--", linewidth=1, label=label))
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize=9)
    return figure


def curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Loss, accuracy and macro F1 by epoch: training above, validation below, all models in each.

    Columns as in ``history/<key>.csv``, one line for each fold and seed. Models with no epochs are left out.
    """
    figure = canvas(WIDTH, 6.0)
    grid = figure.subplots(2, 3, sharex=True)
    looks = styles(histories)
    trained = {key: history for key, history in histories.items() if len(history)}
    for axes, column, title in (
        (grid[0, 0], "train_loss", "training loss"),
        (grid[0, 1], "train_accuracy", "training accuracy"),
        (grid[1, 0], "valid_loss", "validation loss"),
        (grid[1, 1], "valid_accuracy", "validation accuracy"),
        (grid[1, 2], "valid_macro_f1", "validation macro F1"),
    ):
        for key, history in trained.items():
            trainings = [rows for _, rows in history.groupby(["fold", "seed"])]
            faint = 1.0 if len(trainings) == 1 else 0.5
            for rows in trainings:
                marker = "o" if len(rows) == 1 else None
                axes.plot(rows["epoch"], rows[column], marker=marker, linewidth=1.3, alpha=faint, **looks[key])
        axes.set_title(title, fontsize=11, loc="left")
        tidy(axes)
    for axes in grid[:, 0]:
        scale_loss(axes)
    for axes in (*grid[:, 1], grid[1, 2]):
        axes.set_ylim(0, 1)
    for axes in grid[1]:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    grid[0, 2].set_axis_off()
    grid[0, 2].legend(
        [Line2D([], [], linewidth=2.5, **looks[key]) for key in trained],
        [plain(key) for key in trained],
        loc="center",
        title=None if trained else "no model was trained by epochs",
        frameon=False,
        fontsize=10,
    )
    return figure


def per_class_heatmap(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """F1 of every label (rows, the highest mean on top) and model (columns).

    Tables as :func:`pipeline.evaluation.metrics.per_class` makes them. A label with no clips has no F1 and
    shows a dash.
    """
    by_label = {key: table.set_index("label") for key, table in tables.items()}
    f1 = pd.DataFrame({key: table["f1"].where(table["support"] > 0) for key, table in by_label.items()})
    order = f1.mean(axis=1).sort_values(ascending=False, kind="stable").index
    f1 = f1.loc[order]
    support = next(iter(by_label.values()))["support"].reindex(order, fill_value=0)
    figure = canvas(float(np.clip(2.8 + 0.9 * f1.shape[1], 5.0, WIDTH)), 1.4 + 0.42 * len(f1))
    axes = figure.add_subplot()
    mesh = _draw_cells(axes, np.ma.masked_invalid(f1))
    for (row, column), value in np.ndenumerate(f1.to_numpy()):
        _write_in_cell(axes, row, column, number(value, 2), value, fontsize=10)
    _name_rows(axes, [f"{short(label)} ({count})" for label, count in support.items()], longest=LONGEST + 8)
    _name_columns(axes, f1.columns)
    axes.set_ylabel("label (clips)")
    figure.colorbar(mesh, ax=axes, label="F1", fraction=0.03, pad=0.02)
    return figure


def reliability(tables: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> Figure:
    """Accuracy by confidence of each model, before and after temperature scaling.

    A pair of tables per model as :func:`pipeline.evaluation.calibration.reliability` makes them. A calibrated model lies on
    the diagonal. Lines at the dots are Wilson's 95 % intervals of the accuracy after scaling.
    """
    rows = -(-len(tables) // 3)
    columns = min(len(tables), 3)
    figure = canvas(1.0 + 3.0 * columns, 0.8 + 3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    ticks = np.linspace(0, 1, 6)
    for place, (key, (before, after)) in enumerate(tables.items()):
        axes = panels[place]
        axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
        axes.plot(before["confidence"], before["accuracy"], "o:", color=GREY, markerfacecolor="white", clip_on=False)
        ends = _wilson(after["accuracy"].to_numpy(), after["clips"].to_numpy())
        axes.vlines(after["confidence"], *ends, color=AFTER, linewidth=1.2, alpha=0.6)
        axes.plot(after["confidence"], after["accuracy"], "o-", color=AFTER, clip_on=False)
        axes.set_title(plain(key), fontsize=11, loc="left")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=ticks, yticks=ticks, aspect="equal")
        axes.set_xlabel("confidence" if place + columns >= len(tables) else "")
        axes.set_ylabel("accuracy" if place % columns == 0 else "")
        tidy(axes)
    for x, y, text, side in ((0.02, 0.98, "underconfident", "left"), (0.98, 0.02, "overconfident", "right")):
        panels[0].text(x, y, text, ha=side, va="top" if side == "left" else "bottom", color=GREY, fontsize=9)
    for axes in panels[len(tables) :]:
        axes.set_visible(False)
    handles = [
        Line2D([], [], color=GREY, linestyle=":", marker="o", markerfacecolor="white", label="before"),
        Line2D([], [], color=AFTER, marker="o", label="after temperature scaling"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return figure


def _wilson(shares: Array, clips: Array) -> tuple[Array, Array]:
    """Ends of the 95 % intervals of shares (Wilson 1927, Probable inference, JASA 22(158)); never outside 0 to 1."""
    z = 1.96
    centre = (shares + z**2 / (2 * clips)) / (1 + z**2 / clips)
    margin = z / (1 + z**2 / clips) * np.sqrt(shares * (1 - shares) / clips + z**2 / (4 * clips**2))
    return centre - margin, centre + margin


def leak(table: pd.DataFrame) -> Figure:
    """Macro F1 of each model with groups kept together and with groups ignored, and beside it the gap between them.

    Args:
        table: indexed by model; ``grouped`` and ``random`` with their intervals in ``<name>_low``, ``<name>_high``.
    """
    figure = canvas(narrow(table.index), 1.3 + 0.6 * len(table))
    axes = figure.add_subplot()
    for offset, name, label, colour in (
        (-0.15, "grouped", "groups kept together", OKABE_ITO[0]),
        (0.15, "random", "groups ignored (leaky)", OKABE_ITO[1]),
    ):
        widths = [table[name] - table[f"{name}_low"], table[f"{name}_high"] - table[name]]
        places = np.arange(len(table)) + offset
        axes.errorbar(table[name], places, xerr=np.nan_to_num(widths), fmt="o", capsize=3, color=colour, label=label)
    for place, gap in enumerate(table["random"] - table["grouped"]):
        axes.text(1.02, place, f"{gap:+.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=10)
    _name_rows(axes, table.index)
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("test macro F1")
    tidy(axes, grid="x")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return figure


def roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """ROC curves of out-of-distribution detection.

    Args:
        curves: by name in the legend, the shares of in-distribution and of out-of-distribution clips rejected.
    """
    figure = canvas(5.2, 4.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
    for (name, shares), style in zip(curves.items(), styles(curves).values(), strict=True):
        axes.plot(*shares, label=plain(name, 2 * LONGEST), **style)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel("in-distribution clips rejected")
    axes.set_ylabel("out-of-distribution clips rejected")
    tidy(axes)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes (no date, no version of the software)."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def save(figure: Figure, file: Path) -> None:
    with files.atomic_write(file) as partial:
        partial.write_bytes(png(figure))


def canvas(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def narrow(names: Iterable[object]) -> float:
    """Inches: of bars with such names a width that a telephone can show."""
    return 4.2 + 0.08 * min(LONGEST, max(len(str(name)) for name in names))


def styles(keys: Iterable[object]) -> dict[str, dict[str, str]]:
    """Colour and line style by model; sorted, so that the order of the models does not matter."""
    return {
        key: {"color": OKABE_ITO[number % len(OKABE_ITO)], "linestyle": LINES[number // len(OKABE_ITO) % len(LINES)]}
        for number, key in enumerate(sorted(map(str, keys)))
    }


def _draw_confusion(axes: Any, matrix: pd.DataFrame, fontsize: float) -> None:
    counts = matrix.to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    _draw_cells(axes, shares)
    axes.set_aspect("equal")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            _write_in_cell(axes, row, column, str(count), shares[row, column], fontsize)


def _write_in_cell(axes: Any, row: int, column: int, text: str, shade: float, fontsize: float) -> None:
    colour = "white" if shade > DARK else "black"
    cell = axes.text(column, row, text, ha="center", va="center", fontsize=fontsize, color=colour)
    # A cell's text lies inside the axes; measuring hundreds of them would take most of the layout's time.
    cell.set_in_layout(False)


def scale_loss(axes: Any) -> None:
    """Logarithmic, since one diverging model would flatten the others; ticks as plain numbers."""
    if not np.isfinite(axes.dataLim.minposy):
        return  # no loss above zero
    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 10 else (1, 1.5, 2, 3, 4, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def tidy(axes: Any, grid: str = "both") -> None:
    """Pale lines behind the data on this axis or both, and no frame at the top and on the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def _draw_cells(axes: Any, shades: Any) -> Any:
    """A table of shades, first row on top, white lines between the cells and no frame."""
    rows, columns = shades.shape
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    mesh = axes.pcolormesh(*edges, shades, cmap=SHADES, vmin=0, vmax=1, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return mesh


def _name_rows(axes: Any, names: Iterable[object], longest: int = LONGEST) -> None:
    shown = [plain(name, longest) for name in names]
    axes.set_yticks(range(len(shown)), shown)
    axes.tick_params(axis="y", labelsize=9)


def _name_columns(axes: Any, names: Iterable[object]) -> None:
    shown = [plain(name) for name in names]
    axes.set_xticks(range(len(shown)), shown, fontsize=9, rotation=45, ha="right", rotation_mode="anchor")


def plain(text: object, longest: int = LONGEST) -> str:
    """Text that matplotlib shows as it is: a pair of dollars would start a formula."""
    return short(text, longest).replace("$", r"\$")


def short(text: object, longest: int = LONGEST) -> str:
    text = str(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def number(value: float, digits: int = 3) -> str:
    """With a dash for what is not finite."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"
