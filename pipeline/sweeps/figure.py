"""The figure of a sweep: how the best score grew, and where in the space the good scores lie."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline.config.sweep import Values
from pipeline.reports.figures import GREY, OKABE_ITO, WIDTH, canvas, tidy
from pipeline.sweeps.study import Results

COLUMNS = 3
"""Panels side by side."""


def figure(found: Results, space: Mapping[str, Values]) -> Figure:
    """Macro F1 on validation of each complete trial: above by its number, below by each value that was tried."""
    rows = -(-len(space) // COLUMNS)
    picture = canvas(WIDTH, 3.0 + 2.4 * rows)
    grid = picture.add_gridspec(1 + rows, COLUMNS)
    history = picture.add_subplot(grid[0, :])
    numbers = [one.number for one in found.outcomes]
    _draw(history, found, dict(zip(numbers, numbers, strict=True)))
    scores = [one.score for one in found.outcomes]
    history.step(numbers, np.fmax.accumulate(scores), where="post", color=GREY, linewidth=1, label="best so far")
    history.set_xlabel("trial")
    history.xaxis.set_major_locator(MaxNLocator(integer=True))
    for place, (name, values) in enumerate(space.items()):
        axes = picture.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS], sharey=history)
        tried = {one.number: one.values[name] for one in found.outcomes}
        if values.choices is None:
            _draw(axes, found, tried)
            axes.set_xscale("log" if values.log else "linear")
            axes.set_xlim(*values.tried)
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            names = [str(choice).strip("[]") for choice in values.choices]
            axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
            _draw(axes, found, {number: values.choices.index(value) for number, value in tried.items()})
        axes.set_xlabel(name)
    picture.supylabel("macro F1 on validation", fontsize=10)
    handles = history.get_legend_handles_labels()
    picture.legend(*handles, loc="outside upper right", ncols=5, frameon=False, fontsize=9)
    return picture


def _draw(axes: Any, found: Results, places: Mapping[int, float]) -> None:
    """A dot for each complete trial, at its place across; a tick below for each that was pruned."""
    complete = {one.number: one.score for one in found.outcomes if one.scores}
    across = [places[number] for number in complete]
    axes.scatter(across, list(complete.values()), s=18, color=OKABE_ITO[0], alpha=0.7, label="complete")
    pruned = [places[one.number] for one in found.outcomes if one.state == "pruned"]
    axes.scatter(
        pruned, [0.02] * len(pruned), marker="|", color=GREY, transform=axes.get_xaxis_transform(), label="pruned"
    )
    for one, colour, name in ((found.present, OKABE_ITO[2], "params.yaml"), (found.best, OKABE_ITO[1], "best")):
        axes.scatter(places[one.number], one.score, s=45, color=colour, label=name)
    tidy(axes)
