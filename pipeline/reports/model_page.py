"""One HTML page about a model: its most confident mistakes on the test set, and what its answers depend on.

Predictions are a table as in :mod:`pipeline.evaluation.metrics`, of the test set alone, with calibrated
probabilities and the columns ``fold`` and ``seed``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.base import files
from pipeline.data import urls
from pipeline.data.split import leaky
from pipeline.data.urls import Url
from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.bootstrap import Interval
from pipeline.features.store import Store
from pipeline.reports import data_figures, saliency_figures
from pipeline.reports.answer import confusions, estimate
from pipeline.reports.examples import PICTURES, SECONDS, examples, excerpt, floor, sound, ticks
from pipeline.reports.pages import Picture, data_uri, environment
from pipeline.reports.saliency import Patches, Saliency, saliencies
from pipeline.training.trials import specs

MISTAKES = 8
EXPLAINED = 3
"""Mistakes, and as many right answers of different labels, of which the page shows what they depend on."""
FAINTEST = 0.05
"""A drop of this much or less is never drawn in the strongest colour."""
NONE = 1e-6
"""Drops up to this are rounding."""
PICTURE = "spectrogram"
"""What a mistake's clip is shown as, whatever the model's features are."""


@dataclass(frozen=True)
class Model:
    key: str
    description: str
    """Model and features, e.g. ``cnn on spectrogram``."""
    leak: str | None
    """Why its scores are too optimistic, where its split is leaky."""
    macro_f1: Interval
    """On the test set."""
    links: Mapping[str, str]
    """Addresses of other pages, by the name to show."""


def mistakes(test: pd.DataFrame) -> pd.DataFrame:
    """Wrong answers, the most confident first, one for each clip."""
    wrong = _by_confidence(test[test["label"] != test["predicted"]])
    return wrong.drop_duplicates("clip_id").head(MISTAKES)


def explained(test: pd.DataFrame) -> pd.DataFrame:
    """The answers of which the page shows what they depend on: a few mistakes, then a few right ones."""
    right = _by_confidence(test[test["label"] == test["predicted"]])
    hits = right.drop_duplicates("label").head(EXPLAINED)
    return pd.concat([mistakes(test).head(EXPLAINED), hits], ignore_index=True)


def model_page(
    key: str,
    answers: pd.DataFrame,
    models: Path,
    table: pd.DataFrame,
    split: pd.DataFrame,
    features: Path,
    confusion: bytes,
    macro_f1: Interval,
    links: Mapping[str, str],
    out: Path,
) -> None:
    """The page of one experiment, from its predictions, its models and their data.

    Args:
        answers: validation and test predictions of all trials, with the ``temperature`` of each.
        models: the folder of the experiment's models.
        table: the clips table.
        features: the folder of the feature stores.
        confusion: PNG of :func:`pipeline.reports.figures.confusion` of the test set.
        macro_f1: of the test set.
        links: addresses of other pages, by the name to show.
    """
    test = calibration.tempered(metrics.of_part(answers, "test"))
    found = saliencies(explained(test), models, table, split, features)
    model = Model(key, specs(models)[0].description, leaky(split), macro_f1, links)
    write(model, test, found, table, {PICTURE: Store(features / PICTURE)}, confusion, out)


def write(
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
        saliencies: of the answers that :func:`explained` gives, in their order.
        clips: the clips table, see :mod:`pipeline.data.clips`.
        stores: by feature kind, all with frames of dB; a mistake has a picture from each.
        confusion: as for :func:`model_page`.
    """
    wrong = mistakes(test)
    known = clips.set_index("clip_id", drop=False)
    views = [
        _view(answer, own, urls.place(known.loc[answer["clip_id"], "path"]), excerpt(stores))
        for answer, own in zip(explained(test).to_dict("records"), saliencies, strict=True)
    ]
    right = [view["answer"]["label"] == view["answer"]["predicted"] for view in views]
    content = {
        "model": model,
        "answered": len(test),
        "clips": test["clip_id"].nunique(),
        "wrong": int((test["label"] != test["predicted"]).sum()),
        "mistakes": list(zip(wrong.to_dict("records"), examples(known.loc[wrong["clip_id"]], stores), strict=True)),
        "seconds": SECONDS,
        "floor": f"{floor(stores):g}",
        "scale": data_uri("image/png", data_figures.scale()),
        "confusions": confusions(metrics.confusion(test, metrics.label_names(test))),
        "confusion": Picture(
            "confusion",
            f"Confusion matrix of {model.key} on the test set",
            "Rows are the true labels, columns the predictions. A cell's shade is its share of the row.",
            confusion,
        ),
        "macro_f1": estimate(model.macro_f1, "95 % interval "),
        "views": {
            "Mistakes": [view for view, hit in zip(views, right, strict=True) if not hit],
            "Correct predictions": [view for view, hit in zip(views, right, strict=True) if hit],
        },
        "windowed": any(view["plots"] for view in views),
        "moved": any(view["plots"] or view["bars"] for view in views),
    }
    files.write_text(out, environment().get_template("model.html.j2").render(content))


def _by_confidence(rows: pd.DataFrame) -> pd.DataFrame:
    """With the ``probability`` of the prediction, the highest first."""
    # of equals, an order that does not depend on the table's
    return rows.assign(probability=calibration.confidence(rows)).sort_values(
        ["probability", "clip_id", "fold", "seed"], ascending=[False, True, True, True]
    )


def _view(answer: Any, own: Saliency, file: Path | Url, stored: str) -> dict[str, Any]:
    """What one answer depends on, as the page shows it; neither plots nor bars if on nothing."""
    falls = [shown.falls if isinstance(shown, Patches) else list(shown.values()) for shown in own.inputs]
    largest = max(float(np.abs(some).max()) for some in falls)
    given = own.inputs if largest > NONE else []
    limit = max(largest, FAINTEST)
    plots = [_plot(shown, own, limit, answer["clip_id"]) for shown in given if isinstance(shown, Patches)]
    return {
        "answer": answer,
        "plots": plots,
        "bars": [bar for shown in given if not isinstance(shown, Patches) for bar in bars(shown)],
        "limit": f"{limit:.2f}",
        "span": f"{own.start_s:.1f} to {own.start_s + own.seconds:.1f}",
        "sound": sound(file, stored, own.start_s, own.seconds) if plots else None,
    }


def _plot(shown: Patches, own: Saliency, limit: float, clip_id: str) -> dict[str, Any]:
    """A window, with the parts that the answer depends on in colour, and the numbers of its axes."""
    name = PICTURES.get(shown.kind, shown.kind)
    png = (
        saliency_figures.waveform(shown.window, shown.falls, limit)
        if shown.spec.get("unit") == "sample"
        else saliency_figures.window(shown.window, shown.falls, limit, float(shown.spec["silence_db"]))
    )
    return {
        "picture": Picture(name, f"Parts of the {name} of {clip_id} that the prediction depends on", name, png),
        "hertz": saliency_figures.hertz(shown.spec, len(shown.window)),
        "ticks": ticks(own.seconds, own.start_s),
    }


def bars(falls: Mapping[str, float]) -> list[dict[str, Any]]:
    """A bar for each family of columns: drops go to the right of a common line, rises to the left.

    ``left`` and ``width`` are in percent of the widest bars on either side together; ``text`` says by how much the
    probability changes when the family is hidden.
    """
    low, high = min(0.0, *falls.values()), max(0.0, *falls.values())
    scale = 100 / max(high - low, FAINTEST)
    return [
        {
            "name": name,
            "left": scale * (min(fall, 0) - low),
            "width": scale * abs(fall),
            "text": _signed(-fall),
            "rises": fall < 0,
        }
        for name, fall in falls.items()
    ]


def _signed(change: float) -> str:
    text = f"{abs(change):.2f}"
    return text if float(text) == 0 else ("+" if change > 0 else "−") + text
