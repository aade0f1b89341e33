"""How far scores can be trusted: 95 % intervals, and which models are significantly different.

Predictions are a table as in :mod:`pipeline.evaluation.metrics` with the columns ``group``, ``fold`` and
``seed``. All rows given are scored: pick a part first, see :func:`pipeline.evaluation.metrics.of_part`.

A score is worked out for each seed from the counts of all its folds together, the least biased way for F1
(Forman and Scholz 2010, Apples-to-apples in cross-validation studies, SIGKDD Explorations 12(1)), and is then
the mean over the seeds. Macro F1 is the mean over the labels that have clips.

Clips of a group are alike, so the bootstrap resamples groups. It does not train again: an interval is the range to
expect with other groups, and :func:`by_run` shows the spread of trainings. Intervals are too narrow for labels with
one or two groups, and a model without a mistake has one of width 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.evaluation import f1
from pipeline.evaluation.f1 import HITS, PREDICTED, TRUE, Array

Metric = Literal["macro_f1", "accuracy"]
METRICS: tuple[Metric, ...] = get_args(Metric)
BLOCK = 2**20
"""Numbers drawn at a time: of many groups all draws together would take gigabytes."""


@dataclass(frozen=True)
class Interval:
    """The ends are NaN if there is only one group."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two models on the same clips; ``better`` has the higher macro F1, or of equals comes first by name."""

    better: str
    worse: str
    difference: Interval
    """How far ``better`` is ahead in macro F1."""
    clips: int
    groups: int

    @property
    def distinct(self) -> bool:
        """Whether the difference is significant."""
        return self.difference.low > 0

    def lead(self, key: str) -> Interval:
        """How far ``key``, one of the two, is ahead of the other; below 0 if it is behind."""
        ahead = self.difference
        return ahead if key == self.better else Interval(-ahead.value, -ahead.high, -ahead.low)

    @property
    def sentence(self) -> str:
        if not self.distinct:
            return f"{self.better} and {self.worse} are not significantly different on {self.clips} clips"
        value, low, high = _above_zero(self.difference)
        return f"{self.better} beats {self.worse} by {value} ({low} to {high})"


def interval(rows: pd.DataFrame, metric: Metric, seed: int, level: float = 0.95, draws: int = 2000) -> Interval:
    """The score, and the ends between which it lies with the probability ``level`` for other groups of this kind.

    Raises:
        ValueError: the seeds do not have the same clips.
    """
    counts = _counts(rows)
    ends = _interval(*_bootstrap(counts, metric, seed, draws), counts.shape[1], level)
    return Interval(ends.value, *np.clip([ends.low, ends.high], 0.0, 1.0).tolist())


def compare(
    predictions: Mapping[str, pd.DataFrame], seed: int, level: float = 0.95, draws: int = 2000
) -> list[Comparison]:
    """All pairs of models, in their order, by macro F1.

    All intervals hold at once with the probability ``level`` (Bonferroni: each of n pairs has the level
    1 - (1 - level) / n): of models that are equally good, any pair is called distinct about once in twenty
    comparisons at most. Holm's procedure finds a little more, but decides without giving intervals.

    Raises:
        ValueError: two models are not scored on the same clips, or the seeds of one are not.
    """
    pairs = list(combinations(predictions, 2))
    clips = {
        key: rows[["clip_id", "group", "label"]].drop_duplicates().sort_values("clip_id").to_numpy().tolist()
        for key, rows in predictions.items()
    }
    for one, other in pairs:
        if clips[one] != clips[other]:
            raise ValueError(f"{one!r} and {other!r} are not scored on the same clips, groups and labels")
    counts = {key: _counts(rows) for key, rows in predictions.items()}
    # One seed and as many groups: each draw has the same groups for every model.
    scores = {key: _bootstrap(table, "macro_f1", seed, draws) for key, table in counts.items()}
    found = []
    for pair in pairs:
        better, worse = sorted(pair, key=lambda key: (-scores[key][0], key))
        (value, drawn), (lower, drawn_lower) = scores[better], scores[worse]
        groups = counts[better].shape[1]
        difference = _interval(value - lower, drawn - drawn_lower, groups, 1 - (1 - level) / len(pairs))
        found.append(Comparison(better, worse, difference, len(clips[better]), groups))
    return found


def difference(one: pd.DataFrame, other: pd.DataFrame, seed: int) -> Interval:
    """How far ``one`` is ahead of ``other`` in macro F1 on the same clips; below 0 if it is behind."""
    (pair,) = compare({"one": one, "other": other}, seed)
    return pair.lead("one")


def by_run(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns ``fold, seed, macro_f1, accuracy``: a row per trained model, over the labels of its own clips."""
    runs = []
    for (fold, seed), run in rows.groupby(["fold", "seed"]):
        counts = _counts(run).sum(axis=1)[0]
        runs.append((fold, seed, float(f1.macro_f1(counts)), float(f1.accuracy(counts))))
    return pd.DataFrame(runs, columns=["fold", "seed", "macro_f1", "accuracy"])


def _counts(rows: pd.DataFrame) -> Array:
    """Clips by seed, group, one of HITS, TRUE and PREDICTED, and label; all that the scores need."""
    (run, seeds), (group, groups), (true, labels) = (
        pd.factorize(rows[column], sort=True) for column in ("seed", "group", "label")
    )
    predicted = labels.get_indexer(rows["predicted"])  # -1 for a label that no clip has
    hit, known = predicted == true, predicted >= 0
    counts = np.zeros((len(seeds), len(groups), 3, len(labels)))
    np.add.at(counts, (run[hit], group[hit], HITS, true[hit]), 1)
    np.add.at(counts, (run, group, TRUE, true), 1)
    np.add.at(counts, (run[known], group[known], PREDICTED, predicted[known]), 1)
    if (counts[:, :, TRUE] != counts[0, :, TRUE]).any():
        raise ValueError("the seeds of a model are not scored on the same clips")
    return counts


def _bootstrap(counts: Array, metric: Metric, seed: int, draws: int) -> tuple[float, Array]:
    """The score of all groups, and those of ``draws`` draws of as many groups with replacement."""
    score = {"macro_f1": f1.macro_f1, "accuracy": f1.accuracy}[metric]
    groups = counts.shape[1]
    rng, even, block = np.random.default_rng(seed), np.full(groups, 1 / groups), max(1, BLOCK // groups)
    sizes = [min(block, draws - start) for start in range(0, draws, block)]
    drawn = [np.tensordot(rng.multinomial(groups, even, size=size), counts, axes=(1, 1)) for size in sizes]
    return float(score(counts.sum(axis=1)).mean()), score(np.concatenate(drawn)).mean(axis=1)


def _interval(value: float, drawn: Array, groups: int, level: float) -> Interval:
    """The t interval with the standard error of the bootstrap.

    The error is made larger by sqrt(n / (n - 1)) for n groups, because draws vary less than samples (Hesterberg
    2015, What teachers should know about the bootstrap, The American Statistician 69(4), arXiv:1411.5279).
    Percentiles of the draws would be the more usual ends, but macro F1 is lower on average in a draw than in
    the sample, since draws repeat groups; centred on the sample's value the interval covers better, and no far
    percentile has to be known from a few thousand draws.
    """
    if groups < 2:
        return Interval(value, float("nan"), float("nan"))
    error = float(drawn.std()) * np.sqrt(groups / (groups - 1))
    margin = float(stats.t.ppf((1 + level) / 2, groups - 1) * error)
    return Interval(value, value - margin, value + margin)


def _above_zero(interval: Interval) -> list[str]:
    """Two decimals, or as many as it takes for the low end not to be shown as 0."""
    digits = 2
    while float(f"{interval.low:.{digits}f}") == 0:
        digits += 1
    return [f"{number:.{digits}f}" for number in (interval.value, interval.low, interval.high)]
