"""When to post: the best hours of training posts, and what they are worth in later posts, words and all else aside."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lessons.posts.intervals import mean, regression
from pipeline.evaluation.bootstrap import Interval

WINDOW = 3
"""Hours."""
NINE = 9
"""The tool's advice."""


@dataclass(frozen=True)
class Window:
    start: int
    gain: Interval
    """Of later posts in these hours against later posts in others, in log points."""
    posts: int
    """Later ones in these hours."""

    @property
    def hours(self) -> str:
        return f"{self.start:02}:00 to {(self.start + WINDOW) % 24:02}:00"

    @property
    def matters(self) -> bool:
        return self.gain.low > 0

    @property
    def sentence(self) -> str:
        low, value, high = (
            f"{100 * (np.exp(end) - 1):+.0f} %" for end in (self.gain.low, self.gain.value, self.gain.high)
        )
        verdict = "the hour matters" if self.matters else "that may be chance"
        return f"{self.hours}: {value} points in later posts ({low} to {high}, {self.posts} posts), so {verdict}"


def inside(hours: pd.Series, start: int) -> pd.Series:
    return (hours - start) % 24 < WINDOW


def gain(rows: pd.DataFrame, start: int) -> Window:
    """
    Args:
        rows: of :func:`table`; later ones count.
    """
    later = rows[rows["later"]]
    within = inside(later["hour"], start).to_numpy(dtype=float)
    found = regression(np.column_stack([within, np.ones(len(later))]), later["rest"].to_numpy(), later["author"])
    return Window(start, found.contrast(np.array([1.0, 0.0])), int(within.sum()))


def best(rows: pd.DataFrame) -> Window:
    """The window whose training posts did best, and its gain in later posts, which did not choose it."""
    known = rows[~rows["later"]]
    means = [known["rest"][inside(known["hour"], start)].mean() for start in range(24)]
    return gain(rows, int(np.nanargmax(means)))


def such(rows: pd.DataFrame, domain: str, least: int) -> tuple[pd.DataFrame, str]:
    """Posts of the domain where there are enough of them, else all; and what they are."""
    own = rows[rows["domain"] == domain]
    enough = (~own["later"]).sum() >= least and own["later"].sum() >= least / 4
    return (own, f"posts of {domain}") if domain and enough else (rows, "all posts")


def cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns weekday, start, mean, low, high, posts: of eight windows a day; the intervals hold at once."""
    starts, days = range(0, 24, WINDOW), range(7)
    found = []
    for day in days:
        for start in starts:
            own = rows[(rows["weekday"] == day) & inside(rows["hour"], start)]
            few = own["author"].nunique() < 5
            ends = (
                Interval(*[float("nan")] * 3) if few else mean(own["rest"].to_numpy(), own["author"], len(starts) * 7)
            )
            found.append([day, start, ends.value, ends.low, ends.high, len(own)])
    return pd.DataFrame(found, columns=["weekday", "start", "mean", "low", "high", "posts"])
