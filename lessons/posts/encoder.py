"""Posts as columns of numbers by branch, scaled by what training posts are like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from lessons.posts.settings import BRANCHES, Array, Features
from pipeline.base.errors import UserError

Branches = Sequence[Any]
"""(posts, columns) of each branch, sparse."""
OTHER = "other"
"""Domains of few posts, as in Hacker News's table."""


@dataclass(frozen=True)
class Encoder:
    content: dict[str, Any]
    """All that was learned, as JSON: words with their idf, domains, mean and standard deviation of each column."""

    @classmethod
    def fit(cls, described: pd.DataFrame, settings: Features) -> Self:
        """
        Args:
            described: rows of :func:`lessons.posts.describe.describe`, of training posts alone.

        Raises:
            UserError: no word is frequent enough.
        """
        try:
            counter = _counter(min_df=settings.min_posts, max_features=settings.max_words).fit(described["title"])
        except ValueError:
            raise UserError(
                f"features.min_posts: no word is in {settings.min_posts} training posts: lower it"
            ) from None
        numbers = _numbers(described)
        spread = numbers.std(ddof=0).fillna(0.0)
        domains = described["domain"].value_counts()
        return cls(
            {
                "words": counter.get_feature_names_out().tolist(),
                "idf": counter.idf_.tolist(),
                "domains": sorted({*domains.index[domains >= settings.min_posts]} - {OTHER}),
                "mean": numbers.mean().fillna(0.0).to_dict(),
                # a column that never varies has no scale
                "std": spread.where(spread > 1e-8, 1.0).to_dict(),
            }
        )

    def names(self, branch: str) -> list[str]:
        """Of the branch's columns."""
        own = [name for name in self.content["mean"] if name.startswith(f"{branch} ")]
        first = {"words": self.content["words"], "domain": [*self.content["domains"], OTHER]}
        return [*first.get(branch, []), *own]

    def transform(self, described: pd.DataFrame, branches: Sequence[str] = BRANCHES) -> list[sparse.csr_matrix]:
        """(posts, columns) of each branch; 0 is what nothing is known of, or an average number."""
        mean, std = pd.Series(self.content["mean"]), pd.Series(self.content["std"])
        numbers = ((described.reindex(columns=mean.index) - mean) / std).fillna(0.0)
        first = {"words": self._words, "domain": self._domains}
        found = []
        for branch in branches:
            own = sparse.csr_matrix(numbers.filter(regex=f"^{branch} ").to_numpy(np.float32))
            found.append(sparse.hstack([*([first[branch](described)] if branch in first else []), own], "csr"))
        return found

    def knows(self, domain: str) -> bool:
        return domain in self.content["domains"]

    def _words(self, described: pd.DataFrame) -> Any:
        counter = _counter(vocabulary=self.content["words"])
        counter.idf_ = np.array(self.content["idf"])
        return counter.transform(described["title"]).astype(np.float32)

    def _domains(self, described: pd.DataFrame) -> Any:
        place = {name: number for number, name in enumerate(self.content["domains"])}
        columns = described["domain"].map(place).fillna(len(place)).astype(int)
        ones = np.ones(len(described), np.float32)
        return sparse.csr_matrix((ones, (np.arange(len(described)), columns)), shape=(len(described), len(place) + 1))


def _counter(**settings: Any) -> TfidfVectorizer:
    """Words and pairs of words."""
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **settings)


def _numbers(described: pd.DataFrame) -> pd.DataFrame:
    return described.drop(columns=["title", "domain"])


def stacked(branches: Branches) -> sparse.csr_matrix:
    """All branches side by side."""
    return sparse.hstack(branches, "csr")


def dense(values: Any) -> Array:
    found: Array = values.toarray()
    return found
