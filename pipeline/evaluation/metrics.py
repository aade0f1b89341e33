"""Scores of predictions, and the fluctuation of a training curve.

Predictions are a table with one row per clip: ``clip_id``, ``part`` (``valid`` or ``test``), ``label``
(the true one), ``predicted``, and one column ``p:<label>`` per label with its probability.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.evaluation import f1
from pipeline.evaluation.temperature import LOWEST_PROBABILITY

PROBABILITY = "p:"
"""Prefix of the probability columns."""


def label_names(predictions: pd.DataFrame) -> list[str]:
    """All labels the model can answer, in the order of the probability columns."""
    return [name.removeprefix(PROBABILITY) for name in predictions.columns if name.startswith(PROBABILITY)]


def probabilities(predictions: pd.DataFrame) -> f1.Array:
    """(clips, labels)"""
    return predictions[[PROBABILITY + label for label in label_names(predictions)]].to_numpy(dtype=float)


def impossible(predictions: pd.DataFrame) -> list[str]:
    """Labels that have no probability for any clip."""
    highest = probabilities(predictions).max(axis=0)
    return [label for label, most in zip(label_names(predictions), highest, strict=True) if most == 0]


def true_places(predictions: pd.DataFrame) -> f1.Labels:
    """(clips,): the column of :func:`probabilities` that is the true label's.

    Raises:
        ValueError: a true label has none.
    """
    places = pd.Index(label_names(predictions)).get_indexer(predictions["label"])
    if (places < 0).any():
        unknown = sorted(set(predictions["label"][places < 0]))
        raise ValueError(f"predictions have no column {PROBABILITY}<label> for the true label(s) {unknown}")
    return places


def of_part(predictions: pd.DataFrame, part: str) -> pd.DataFrame:
    """The rows of one part.

    Raises:
        ValueError: there are none.
    """
    rows = predictions[predictions["part"] == part]
    if rows.empty:
        raise ValueError(f"predictions have no clip of the part {part!r}, only of {sorted(set(predictions['part']))}")
    return rows


def scores(predictions: pd.DataFrame, part: str) -> dict[str, float]:
    """All of METRICS for one part, by names that start with the part.

    Raises:
        ValueError: the part is empty, a true label has no column, or a probability is not in [0, 1].
    """
    rows = of_part(predictions, part)
    return {f"{part}_{name}": float(metric.score(rows)) for name, metric in METRICS.items()}


def mean_scores(predictions: pd.DataFrame, part: str) -> dict[str, float]:
    """The scores of one part as a mean over seeds; a seed's are those of its pooled answers over all folds.

    Pooled counts give the least biased F1 (Forman and Scholz 2010, Apples-to-apples in cross-validation studies,
    SIGKDD Explorations 12(1)).
    """
    by_seed = [scores(rows, part) for _, rows in of_part(predictions, part).groupby("seed")]
    return {name: float(np.mean([one[name] for one in by_seed])) for name in by_seed[0]}


def per_class(predictions: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Columns ``label, precision, recall, f1, support``, one row per label, in their order.

    All rows given are scored: pick a part first, see :func:`of_part`. A score without a denominator (no clip
    has the label, or none is given it) is 0; ``support`` is the number of clips that truly have the label.
    """
    counts = _counts(predictions, labels)
    hits, true, predicted = counts
    return pd.DataFrame(
        {
            "label": labels,
            "precision": hits / np.maximum(predicted, 1),
            "recall": hits / np.maximum(true, 1),
            "f1": f1.by_label(counts),
            "support": true.astype(int),
        }
    )


def confusion(predictions: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """Counts of clips: a row per actual, a column per predicted label, both in the order of ``labels``."""
    counts = pd.crosstab(predictions["label"], predictions["predicted"])
    actual, predicted = (pd.Index(labels, name=name) for name in ("actual", "predicted"))
    return counts.reindex(index=actual, columns=predicted, fill_value=0)


def fluctuation(history: pd.Series) -> float:
    """How far an epoch's value lies, on average, from the middle of its two neighbours; in the curve's unit.

    That is the mean of ``|x[t] - (x[t-1] + x[t+1]) / 2|``. The middle of the neighbours follows the trend, so
    a straight line has 0 and a smoothly falling loss nearly 0, however steep. The more usual standard
    deviation of the steps between epochs is also high for a model that just learns fast at first and slowly later.

    NaN for fewer than three epochs, or where a value is not finite.
    """
    curve = history.to_numpy(dtype=float)
    if len(curve) < 3 or not np.isfinite(curve).all():
        return float("nan")
    return float(np.abs(curve[1:-1] - (curve[:-2] + curve[2:]) / 2).mean())


def _loss(rows: pd.DataFrame) -> float:
    """Mean negative logarithm of the true label's probability, in nats; probabilities are at least LOWEST_PROBABILITY."""
    each, places = probabilities(rows), true_places(rows)
    # Softmax in float32 may exceed 1 by rounding.
    valid = ((each >= 0) & (each <= 1 + 1e-5)).all(axis=1)
    if not valid.all():
        raise ValueError(f"predictions of the clip {rows['clip_id'][~valid].iloc[0]!r} are not probabilities")
    true = each[np.arange(len(rows)), places]
    return float(-np.log(np.clip(true, LOWEST_PROBABILITY, 1.0)).mean())


def _counts(rows: pd.DataFrame, labels: list[str] | None = None) -> f1.Array:
    """By default of all labels that the model can answer."""
    index = pd.Index(label_names(rows) if labels is None else labels)
    return f1.counts(index.get_indexer(rows["label"]), index.get_indexer(rows["predicted"]), len(index))


def _over_labels(column: str) -> Callable[[pd.DataFrame], float]:
    """The mean of a column of :func:`per_class` over the labels that have clips."""
    return lambda rows: float(f1.over_labels(per_class(rows, label_names(rows))[column].to_numpy(), _counts(rows)))


class Metric(NamedTuple):
    score: Callable[[pd.DataFrame], float]
    """Of the predictions of one part."""
    logged: bool = True
    """Whether MLflow gets it; ``evaluation/<experiment>/scores.json`` has all."""


METRICS = {
    "loss": Metric(_loss),
    "accuracy": Metric(lambda rows: float(f1.accuracy(_counts(rows)))),
    "macro_f1": Metric(lambda rows: float(f1.macro_f1(_counts(rows)))),
    "macro_precision": Metric(_over_labels("precision"), logged=False),
    "macro_recall": Metric(_over_labels("recall"), logged=False),
}
"""By name. A new metric is a new line here."""
