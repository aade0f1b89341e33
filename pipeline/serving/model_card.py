"""The model card: what a model was trained on, how good it is, and what its limits are.

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
from pipeline.reports.pages import UNKNOWN, Table, markdown, table
from pipeline.serving.manifest import About
from pipeline.serving.ood_evaluation import Roc

REJECTED = {
    "noises": ("noise", "synthetic noise: white, pink, hum, clicks, sweep, speech-like bursts"),
    "labels": ("left-out labels", "each label in turn, left out of training"),
}
"""What out-of-distribution detection is measured on: in the figure, and in the table."""


@dataclass(frozen=True)
class Card:
    about: About
    name: str
    version: str
    decision: str
    """Whether it became the champion, and why."""
    description: str
    parameters: int
    data: str
    protocol: str
    scores: Mapping[str, float]
    """As in ``evaluation/<key>/scores.json``."""
    test: pd.DataFrame
    """Its predictions on the test set."""
    distances: np.ndarray[Any, np.dtype[np.float64]]
    """Of the test clips."""
    rocs: Mapping[str, Roc]
    """By the keys of REJECTED."""
    limits: list[str]
    size_mb: float
    latency_ms: float
    latency_of_s: float


def write(card: Card, file: Path, picture: Path) -> None:
    about, test = card.about, calibration.tempered(card.test)
    labelled = test[calibration.confidence(test) >= about.sure]
    curves = {
        f"{REJECTED[name][0]} (AUROC {roc.auc:.2f})": (roc.familiar, roc.foreign)
        for name, roc in card.rocs.items()
    }
    figures.save(figures.roc(curves), picture)
    content = {
        **vars(card),
        "scores": _scores(card.scores),
        "per_label": _per_label(card.test),
        "threshold": about.sure,
        "precision": about.precision,
        "valid_coverage": about.named,
        "test_coverage": len(labelled) / len(test),
        "test_right": f"{int((labelled['label'] == labelled['predicted']).sum())} of {len(labelled)}",
        "distance": about.familiar,
        "test_rejected": float(np.mean(card.distances > about.familiar)),
        "ood": _ood(card.rocs),
        "ood_picture": picture.name,
        "similar_labels_pass": card.rocs["labels"].auc < 0.7,
    }
    files.write_text(file, markdown().get_template("card.md.j2").render(content))


def _scores(scores: Mapping[str, float]) -> Table:
    rows: list[dict[str, object]] = [{"score": "macro F1, validation", "value": scores["valid_macro_f1"]}]
    for name, words in (("macro_f1", "macro F1, test"), ("accuracy", "accuracy, test")):
        low, high = (scores[f"test_{name}_{end}"] for end in ("low", "high"))
        interval = f"{low:.3f} to {high:.3f}" if np.isfinite(low) else UNKNOWN
        rows.append({"score": words, "value": scores[f"test_{name}"], "95 % interval": interval})
    rows.append({"score": "calibration error, test", "value": scores["test_ece_scaled"]})
    return table([{"score": "", "value": "", "95 % interval": UNKNOWN} | row for row in rows], "lrr")


def _per_label(test: pd.DataFrame) -> str:
    scores = metrics.per_class(test, metrics.label_names(test)).sort_values("f1", ascending=False)
    best_first = ", ".join(f"{row.label} ({row.f1:.2f})" for row in scores.itertuples())
    return f"Test F1 by label: {best_first}."


def _ood(rocs: Mapping[str, Roc]) -> Table:
    rows = [
        {
            "out of distribution": REJECTED[name][1],
            "clips": roc.clips,
            "rejected": f"{roc.refused:.0%}",
            "AUROC": f"{roc.auc:.2f}",
        }
        for name, roc in rocs.items()
    ]
    return table(rows, "lrrr")
