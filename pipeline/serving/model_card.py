"""The model card: what a model that is handed out was made from, how good it is, and where it ends.

In the spirit of Mitchell et al. 2019 (Model cards for model reporting, arXiv:1810.03993).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import files
from pipeline.evaluation import calibration, metrics
from pipeline.reports import figures
from pipeline.reports.pages import Table, markdown
from pipeline.serving.manifest import About
from pipeline.serving.ood_evaluation import Roc

FOREIGN = {
    "noises": "noises made for this: white, pink, hum, clicks, sweep, syllables of noise",
    "labels": "labels held back from training, each in its turn",
}
SHORT = {"noises": "noises", "labels": "labels held back"}


@dataclass(frozen=True)
class Card:
    about: About
    name: str
    version: str
    decision: str
    """Whether it is the champion, and why."""
    description: str
    parameters: int
    data: str
    protocol: str
    scores: Mapping[str, float]
    """As in ``evaluation/<key>/scores.json``."""
    test: pd.DataFrame
    """Its answers for the test part."""
    distances: np.ndarray[Any, np.dtype[np.float64]]
    """Of the test clips."""
    rocs: Mapping[str, Roc]
    """By the keys of FOREIGN."""
    limits: list[str]
    size_mb: float
    latency_ms: float
    latency_of_s: float


def write(card: Card, file: Path, picture: Path) -> None:
    sure = _sure(card)
    right = int((sure["label"] == sure["predicted"]).sum())
    curves = {
        f"{SHORT[name]} (area {roc.auc:.2f})": (roc.familiar, roc.foreign) for name, roc in card.rocs.items()
    }
    figures.save(figures.roc(curves), picture)
    content = {
        **vars(card),
        "scores": _scores(card.scores),
        "per_label": _per_label(card.test),
        "test_named": len(sure) / len(card.test),
        "test_right": f"{right} of {len(sure)}",
        "test_refused": float(np.mean(card.distances > card.about.familiar)),
        "depth": _depth(card.rocs),
        "depth_note": _depth_note(card.rocs["labels"]),
    }
    files.write_text(file, markdown().get_template("card.md.j2").render(content))


def _sure(card: Card) -> pd.DataFrame:
    tempered = calibration.tempered(card.test)
    return tempered[calibration.confidence(tempered) >= card.about.sure]


def _scores(scores: Mapping[str, float]) -> Table:
    rows = [["macro F1, validation", f"{scores['valid_macro_f1']:.3f}", "–"]]
    for name, words in (("macro_f1", "macro F1, test"), ("accuracy", "accuracy, test")):
        ends = [scores[f"test_{name}_{end}"] for end in ("low", "high")]
        interval = f"{ends[0]:.3f} to {ends[1]:.3f}" if np.isfinite(ends).all() else "–"
        rows.append([words, f"{scores[f'test_{name}']:.3f}", interval])
    rows.append(["calibration error, test", f"{scores['test_ece_scaled']:.3f}", "–"])
    return Table(["score", "value", "interval"], "lrr", rows)


def _per_label(test: pd.DataFrame) -> str:
    table = metrics.per_class(test, metrics.label_names(test)).sort_values("f1", ascending=False)
    told = [f"{row.label} ({row.f1:.2f})" for row in table.itertuples()]
    return f"F1 on test by label, the best first: {', '.join(told)}."


def _depth(rocs: Mapping[str, Roc]) -> Table:
    rows = [
        [FOREIGN[name], str(roc.clips), f"{roc.refused:.0%}", f"{roc.auc:.2f}"] for name, roc in rocs.items()
    ]
    return Table(["what it never heard", "clips", "refused", "area under ROC"], "lrrr", rows)


def _depth_note(labels: Roc) -> str:
    if labels.auc < 0.7:
        return (
            "It does not recognise a style that it never heard as such, where that sounds like the ones it knows: "
            "then the probabilities alone can warn."
        )
    return "Styles that it never heard are told from those it knows, though not always."
