"""What each frequent word, domain, hour, weekday, picture and the tone are worth in log points, all else the same.

One least-squares fit to the training posts. Intervals of one kind hold at once (Bonferroni), since one looks for the largest.
"""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer

from lessons.posts.encoder import OTHER
from lessons.posts.intervals import regression
from lessons.posts.made_up import Recipe
from lessons.posts.settings import Array

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = range(24)
MIN_POSTS = 60
"""That a word or domain needs."""
ALIKE = 0.9
"""Correlation from which two columns cannot be told apart."""
KINDS = ("word", "domain", "sentiment", "picture", "hour", "weekday")


def effects(posts: pd.DataFrame, described: pd.DataFrame, targets: Array, most_words: int) -> pd.DataFrame:
    """Columns kind, name, posts, effect, low, high; words and domains against posts without them, hours and weekdays against
    the mean of all hours and weekdays."""
    columns = pd.concat(
        [
            _words(described["title"], most_words),
            _domains(described["domain"]),
            described[[name for name in described if name.startswith(("words ", "time "))]].drop(
                columns=["time sine of the week", "time cosine of the week"]
            ),
            described[["sentiment compound"]].rename(
                columns={"sentiment compound": "sentiment:from 0 to all positive"}
            ),
            _pictures(described),
            pd.DataFrame({f"weekday:{day}": posts["at"].dt.day_of_week == at for at, day in enumerate(DAYS)}).astype(
                float
            ),
        ],
        axis=1,
    )
    columns = _distinct(columns.loc[:, columns.std() > 0])
    table = np.column_stack([columns.to_numpy(), np.ones(len(columns))])
    found = regression(table, targets, posts["author"])
    rows = []
    for kind in KINDS:
        contrasts = _contrasts(kind, list(columns))
        for name, weights in contrasts.items():
            interval = found.contrast(np.append(weights, 0.0), len(contrasts))
            own = columns.get(f"{kind}:{name}")
            count = int((own != 0).sum()) if own is not None else int((posts["at"].dt.hour == int(name[:2])).sum())
            rows.append([kind, name, count, interval.value, interval.low, interval.high])
    return pd.DataFrame(rows, columns=["kind", "name", "posts", "effect", "low", "high"])


def planted(found: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """The effects with the truth of made-up posts, and whether it is within the interval."""
    truth = {
        "word": recipe.words,
        "domain": recipe.domains,
        "picture": {"there": recipe.pictures.effect, "from blue to red": recipe.pictures.warmth},
        "hour": {
            f"{hour:02}:00": recipe.hour.amplitude * float(np.cos(2 * np.pi * (hour - recipe.hour.peak) / 24))
            for hour in HOURS
        },
    }
    known = [truth.get(kind, {}).get(name, 0.0) for kind, name in zip(found["kind"], found["name"], strict=True)]
    return found.assign(planted=known, found=(found["low"] <= known) & (found["high"] >= known))


def _words(titles: pd.Series, most: int) -> pd.DataFrame:
    counter = CountVectorizer(stop_words=list(ENGLISH_STOP_WORDS), max_features=most, binary=True)
    found, names = counter.fit_transform(titles).toarray(), counter.get_feature_names_out()
    often = found.sum(axis=0) >= MIN_POSTS
    return _named("word", found[:, often], names[often], titles.index)


def _domains(domains: pd.Series) -> pd.DataFrame:
    counts = domains.value_counts()
    names = sorted(set(counts.index[counts >= MIN_POSTS]) - {"", OTHER})
    return _named(
        "domain", (domains.to_numpy()[:, None] == np.array(names, dtype=object)).astype(float), names, domains.index
    )


def _pictures(described: pd.DataFrame) -> pd.DataFrame:
    found = described[["picture there"]].rename(columns={"picture there": "picture:there"})
    if "picture 0" in described:
        warmth = (described["picture 0"] - described["picture 2"] + 1) / 2
        found["picture:from blue to red"] = warmth.fillna(0.0)
    return found


def _named(kind: str, values: Array, names: "list[str] | Array", index: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(values.astype(float), index, [f"{kind}:{name}" for name in names])


def _distinct(columns: pd.DataFrame) -> pd.DataFrame:
    """Without words and domains that an earlier column says as well."""
    close = np.triu(np.abs(np.corrcoef(columns.to_numpy(), rowvar=False)) > ALIKE, 1).any(axis=0)
    named = columns.columns.str.startswith(("word:", "domain:"))
    return columns.loc[:, ~(close & named)]


def _contrasts(kind: str, columns: list[str]) -> dict[str, Array]:
    """Weights of the coefficients, by the effect's name."""
    own = [place for place, name in enumerate(columns) if name.startswith(f"{kind}:")]
    if kind == "hour":
        return {f"{hour:02}:00": np.array([_wave(name, hour) for name in columns]) for hour in HOURS}
    found = {}
    for place in own:
        weights = np.zeros(len(columns))
        weights[place] = 1.0
        if kind == "weekday":
            weights[own] -= 1 / len(own)
        found[columns[place].partition(":")[2]] = weights
    return found


def _wave(name: str, hour: int) -> float:
    functions = {"sine": np.sin, "cosine": np.cos}
    for period, hours in (("half day", 12), ("day", 24)):
        for wave, function in functions.items():
            if name == f"time {wave} of the {period}":
                return float(function(2 * np.pi * hour / hours))
    return 0.0
