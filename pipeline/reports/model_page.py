"""A model's most confident mistakes on the test part as one HTML page, and what its answers hang on.

Predictions are a table as in :mod:`pipeline.evaluation.metrics`, of the test part alone, with calibrated
probabilities and the columns ``fold`` and ``seed``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import files
from pipeline.evaluation import metrics
from pipeline.evaluation.attribution import Array
from pipeline.features.store import Store
from pipeline.reports import data_figures, saliency
from pipeline.reports.examples import SECONDS, Example, examples, floor, reader_name, sound, ticks
from pipeline.reports.pages import Picture, data_uri, environment

MISTAKES = 8
LOOKED_INTO = 3
"""Mistakes, and as many right answers of different labels, of which the page says what they hang on."""
CONFUSIONS = 5
FAINTEST = 0.05
"""A fall of this much or less is never drawn in the strongest colour."""
NONE = 1e-6
"""Falls up to this are rounding."""


@dataclass(frozen=True)
class Patches:
    """Falls of an answer's probability over one window that a model hears."""

    kind: str
    """Of feature."""
    spec: Mapping[str, Any]
    """Of the feature's store."""
    window: Array
    """(bands, frames) in dB."""
    falls: Array
    """(band patches, time patches)."""


@dataclass(frozen=True)
class Columns:
    """Falls of an answer's probability by family of columns."""

    falls: dict[str, float]


@dataclass(frozen=True)
class Saliency:
    """What one answer hangs on."""

    start_s: float
    """In the clip, of what the model hears."""
    seconds: float
    inputs: Sequence[Patches | Columns]


@dataclass(frozen=True)
class Model:
    key: str
    description: str
    """Model and features, e.g. ``cnn on spectrogram``."""
    leak: str | None
    """Why its scores promise too much, where its split is leaky."""


@dataclass(frozen=True)
class Card:
    """One answer to one clip."""

    clip_id: str
    label: str
    predicted: str
    probability: str
    """Of the predicted label."""
    of_true: str
    """Probability of the true label."""


@dataclass(frozen=True)
class Plot:
    """A window and what of it the answer hangs on."""

    picture: Picture
    hertz: list[tuple[float, str]]
    """Of the frequency axis: place in percent from the bottom, and text."""
    ticks: list[tuple[float, str]]
    """Of the time axis: place in percent from the left, and text."""


@dataclass(frozen=True)
class Bar:
    name: str
    left: float
    width: float
    """In percent of the widest bar on either side together."""
    text: str
    """By how much the probability changes when this is hidden."""
    rises: bool


@dataclass(frozen=True)
class View:
    """What one answer hangs on, as it is shown; neither plots nor bars if on nothing."""

    card: Card
    plots: list[Plot]
    bars: list[Bar]
    limit: str
    """The fall of the strongest colour."""
    span: str
    """The seconds that are seen and heard."""
    sound: str | None


def mistakes(test: pd.DataFrame) -> pd.DataFrame:
    """Wrong answers, the most confident first, one for each clip."""
    wrong = _by_confidence(test[test["label"] != test["predicted"]])
    return wrong.drop_duplicates("clip_id").head(MISTAKES)


def looked_into(test: pd.DataFrame) -> pd.DataFrame:
    """The answers of which the page says what they hang on: a few mistakes, then a few right ones."""
    right = _by_confidence(test[test["label"] == test["predicted"]])
    hits = right.drop_duplicates("label").head(LOOKED_INTO)
    return pd.concat([mistakes(test).head(LOOKED_INTO), hits], ignore_index=True)


def explanation(
    model: Model,
    test: pd.DataFrame,
    saliencies: Sequence[Saliency],
    clips: pd.DataFrame,
    stores: Mapping[str, Store],
    confusion: bytes,
    out: Path,
) -> None:
    """Write one HTML file that needs nothing from outside.

    Args:
        saliencies: of the answers that :func:`looked_into` gives, in their order.
        clips: the clips table, see :mod:`pipeline.data.clips`.
        stores: by feature kind, all with frames of dB; a mistake has a picture from each.
        confusion: PNG of :func:`pipeline.reports.figures.confusion` of the test part.
    """
    wrong = mistakes(test)
    known = clips.set_index("clip_id", drop=False)
    matrix = metrics.confusion(test, metrics.label_names(test))
    answers = looked_into(test)
    views = [
        _view(answer, own, Path(known.loc[answer["clip_id"], "path"]))
        for (_, answer), own in zip(answers.iterrows(), saliencies, strict=True)
    ]
    missed = answers["label"] != answers["predicted"]
    content = {
        "model": model,
        "answered": len(test),
        "clips": test["clip_id"].nunique(),
        "wrong": int((test["label"] != test["predicted"]).sum()),
        "mistakes": _shown(wrong, known, stores),
        "seconds": SECONDS,
        "floor": f"{floor(stores):g}",
        "scale": data_uri("image/png", data_figures.scale()),
        "confusions": confusions(matrix),
        "confusion": _confusion(confusion, model.key),
        "views": {
            "Mistakes": [view for view, miss in zip(views, missed, strict=True) if miss],
            "Right answers": [view for view, miss in zip(views, missed, strict=True) if not miss],
        },
        "windowed": any(view.plots for view in views),
        "moved": any(view.plots or view.bars for view in views),
    }
    files.write_text(out, environment().get_template("explanation.html.j2").render(content))


def confusions(matrix: pd.DataFrame) -> list[str]:
    """The most frequent ones in words, from counts as :func:`pipeline.evaluation.metrics.confusion` gives them."""
    counts = matrix.to_numpy()
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [divmod(int(place), len(counts)) for place in order]
    return [
        f"{matrix.index[actual]} was taken for {matrix.columns[predicted]} "
        f"{off[actual, predicted]} of {counts[actual].sum()} times"
        for actual, predicted in pairs
        if off[actual, predicted]
    ]


def _by_confidence(rows: pd.DataFrame) -> pd.DataFrame:
    """Highest probability of the predicted label first, then in an order that does not hang on the table's."""
    columns = [metrics.PROBABILITY + label for label in metrics.label_names(rows)]
    return rows.assign(probability=rows[columns].max(axis=1)).sort_values(
        ["probability", "clip_id", "fold", "seed"], ascending=[False, True, True, True]
    )


def _card(answer: Any) -> Card:
    return Card(
        clip_id=answer["clip_id"],
        label=answer["label"],
        predicted=answer["predicted"],
        probability=f"{answer['probability']:.2f}",
        of_true=f"{answer[metrics.PROBABILITY + answer['label']]:.2f}",
    )


def _shown(
    wrong: pd.DataFrame, known: pd.DataFrame, stores: Mapping[str, Store]
) -> list[tuple[Card, Example]]:
    cards = [_card(answer) for _, answer in wrong.iterrows()]
    return list(zip(cards, examples(known.loc[wrong["clip_id"]], stores), strict=True))


def _confusion(png: bytes, key: str) -> Picture:
    return Picture(
        "confusion",
        f"Table of the test clips' labels against what {key} answered",
        "Rows are the true labels, columns the answers. A cell's shade is its share of the row.",
        png,
    )


def _view(answer: Any, own: Saliency, file: Path) -> View:
    largest = max(_largest(shown) for shown in own.inputs)
    given = own.inputs if largest > NONE else []
    limit = max(largest, FAINTEST)
    plots = [_plot(shown, own, limit, answer["clip_id"]) for shown in given if isinstance(shown, Patches)]
    return View(
        card=_card(answer),
        plots=plots,
        bars=[bar for shown in given if isinstance(shown, Columns) for bar in bars(shown.falls)],
        limit=f"{limit:.2f}",
        span=f"{own.start_s:.1f} to {own.start_s + own.seconds:.1f}",
        sound=sound(file, own.start_s, own.seconds) if plots else None,
    )


def _largest(shown: Patches | Columns) -> float:
    falls = list(shown.falls.values()) if isinstance(shown, Columns) else shown.falls
    return float(np.abs(falls).max())


def _plot(shown: Patches, own: Saliency, limit: float, clip_id: str) -> Plot:
    name = reader_name(shown.kind)
    picture = Picture(
        name,
        f"What of the {name} of {clip_id} the answer hangs on",
        name,
        saliency.window(shown.window, shown.falls, limit, float(shown.spec["silence_db"])),
    )
    return Plot(picture, saliency.hertz(shown.spec, len(shown.window)), ticks(own.seconds, own.start_s))


def bars(falls: Mapping[str, float]) -> list[Bar]:
    """To the right of a line that all have in common where the probability falls, else to the left."""
    low, high = min(0.0, *falls.values()), max(0.0, *falls.values())
    scale = 100 / max(high - low, FAINTEST)
    return [
        Bar(name, scale * (min(fall, 0) - low), scale * abs(fall), _signed(-fall), fall < 0)
        for name, fall in falls.items()
    ]


def _signed(change: float) -> str:
    text = f"{abs(change):.2f}"
    return text if float(text) == 0 else ("+" if change > 0 else "−") + text
