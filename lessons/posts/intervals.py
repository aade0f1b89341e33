"""Rank correlations, their differences, and means, with 95 % intervals over authors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lessons.posts.settings import Array
from pipeline.evaluation.bootstrap import Interval


@dataclass(frozen=True)
class Correlations:
    """Spearman's rank correlation of columns of predictions with the truth, of all posts and of each draw of authors.

    Posts of an author are alike, so authors are drawn, with all of their posts.
    """

    values: pd.Series
    draws: pd.DataFrame
    authors: int

    def of(self, column: str) -> Interval:
        return self._interval(self.values[column], self.draws[column])

    def lead(self, column: str, other: str) -> Interval:
        """How far the one is ahead of the other on the same posts."""
        return self._interval(self.values[column] - self.values[other], self.draws[column] - self.draws[other])

    def _interval(self, value: float, drawn: pd.Series) -> Interval:
        """As of the macro F1, see :mod:`pipeline.evaluation.bootstrap`."""
        error = drawn.std() * np.sqrt(self.authors / (self.authors - 1))
        margin = float(stats.t.ppf(0.975, self.authors - 1) * error)
        return Interval(float(value), float(value) - margin, float(value) + margin)


def correlations(predictions: pd.DataFrame, truth: Array, authors: pd.Series, draws: int, seed: int) -> Correlations:
    columns = np.column_stack([truth, predictions.to_numpy()])
    rows = list(authors.groupby(authors).indices.values())
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        chosen = np.concatenate([rows[place] for place in rng.integers(0, len(rows), len(rows))])
        drawn.append(_spearman(columns[chosen]))
    names = list(predictions)
    return Correlations(pd.Series(_spearman(columns), names), pd.DataFrame(drawn, columns=names), len(rows))


def _spearman(columns: Array) -> Array:
    """Of the first column with each other one; 0 with one that never varies."""
    ranks = stats.rankdata(columns, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    found: Array = (ranks[:, 1:].T @ ranks[:, 0]) / np.maximum(length[1:] * length[0], 1e-12)
    return found


def mean(values: Array, authors: pd.Series, tests: int = 1) -> Interval:
    """
    Args:
        tests: intervals that are to hold at once (Bonferroni).
    """
    return regression(np.ones((len(values), 1)), values, authors).contrast(np.ones(1), tests)


@dataclass(frozen=True)
class Regression:
    coefficients: Array
    covariance: Array
    authors: int

    def contrast(self, weights: Array, tests: int = 1) -> Interval:
        """Of a weighted sum of coefficients."""
        value, variance = float(weights @ self.coefficients), float(weights @ self.covariance @ weights)
        margin = float(stats.t.ppf(1 - 0.025 / tests, max(self.authors - 1, 1)) * np.sqrt(max(variance, 0.0)))
        return Interval(value, value - margin, value + margin)


def regression(table: Array, values: Array, authors: pd.Series) -> Regression:
    """Least squares, with a covariance that allows for authors whose posts are alike (Liang and Zeger 1986, Longitudinal data
    analysis using generalized linear models, Biometrika 73(1); with the factors of Stata's CR1)."""
    inverse = np.linalg.pinv(table.T @ table)
    coefficients = inverse @ (table.T @ values)
    scores = table * (values - table @ coefficients)[:, None]
    sums = pd.DataFrame(scores).groupby(authors.to_numpy()).sum().to_numpy()
    count, width, groups = len(values), table.shape[1], len(sums)
    factor = groups / max(groups - 1, 1) * (count - 1) / max(count - width, 1)
    return Regression(coefficients, factor * inverse @ (sums.T @ sums) @ inverse, groups)
