"""Figures of training curves: loss and scores by epoch."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.reports.figures import GREY, LONGEST, WIDTH, canvas, plain, scale_loss, styles, tidy


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
    _legend_of_models(grid[0, 2], {key: looks[key] for key in trained})
    return figure


def beside(histories: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Loss and accuracy by epoch of the same models trained in several ways: dotted in training, solid on validation.

    Args:
        histories: by way, a column of panels, and by model; as for :func:`curves`.
    """
    figure = canvas(WIDTH, 6.4)
    grid = figure.subplots(2, len(histories), sharex="col", sharey="row", squeeze=False)
    looks = styles({key for every in histories.values() for key in every})
    for column, (way, every) in enumerate(histories.items()):
        for row, name in enumerate(("loss", "accuracy")):
            axes = grid[row, column]
            for key, history in every.items():
                for _, rows in history.groupby(["fold", "seed"]):
                    colour = looks[key]["color"]
                    axes.plot(rows["epoch"], rows[f"train_{name}"], color=colour, linestyle=":", linewidth=1.2)
                    axes.plot(rows["epoch"], rows[f"valid_{name}"], color=colour, linewidth=1.2)
            tidy(axes)
            axes.tick_params(labelleft=True)
        grid[0, column].set_title(plain(way, 3 * LONGEST), fontsize=11, loc="left")
        grid[1, column].set_xlabel("epoch")
        grid[1, column].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    scale_loss(grid[0, 0])
    grid[1, 0].set_ylim(0, 1)
    for row, name in enumerate(("loss", "accuracy")):
        grid[row, 0].set_ylabel(name)
    handles = [Line2D([], [], linewidth=2.5, color=looks[key]["color"], label=plain(key)) for key in looks]
    handles += [
        Line2D([], [], color=GREY, linestyle=":", label="training"),
        Line2D([], [], color=GREY, label="validation"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def _legend_of_models(axes: Any, looks: Mapping[str, Mapping[str, str]]) -> None:
    axes.set_axis_off()
    handles = [
        Line2D([], [], linewidth=2.5, color=style["color"], linestyle=style["linestyle"]) for style in looks.values()
    ]
    title = None if looks else "no model was trained by epochs"
    axes.legend(handles, [plain(key) for key in looks], loc="center", title=title, frameon=False, fontsize=10)
