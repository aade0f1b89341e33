"""The stage ``evaluate``: every score with its interval, what each branch is worth, calibration, the leak, effects, hours."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lessons.common import lesson
from lessons.posts import hours, intervals, models
from lessons.posts.effects import effects, planted
from lessons.posts.encoder import Encoder
from lessons.posts.made_up import Recipe
from lessons.posts.settings import (
    ANSWERS,
    DESCRIBED,
    EVALUATION,
    HOURS,
    LESSON,
    MODELS,
    POSTS,
    PREDICTED,
    SPLIT,
    WHOLE,
    Array,
    Params,
)
from lessons.posts.train import log_points
from pipeline import tracking
from pipeline.base.errors import reported
from pipeline.base.files import atomic_write, read_json, write_json
from pipeline.config.load import read
from pipeline.evaluation.bootstrap import Interval

TOGETHER = "mean of all"
"""Of the models' predictions, each with a standard deviation of 1."""
TOP = 0.9
"""Quantile of the training posts' points from which a post is in the top tenth."""
TENTHS = range(1, 11)
TONES = [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]


@dataclass(frozen=True)
class Data:
    posts: pd.DataFrame
    described: pd.DataFrame
    train: Array
    valid: Array
    """Of authors that train does not have."""
    test: Array
    """Of authors that neither train nor valid has."""
    last: Array
    """All posts from the test's first one on."""
    log_points: Array

    def correlations(self, predictions: pd.DataFrame, rows: Array, params: Params) -> intervals.Correlations:
        return intervals.correlations(
            predictions[rows], self.log_points[rows], self.posts["author"][rows], params.bootstrap, params.seed
        )


def load() -> Data:
    posts, split = pd.read_parquet(POSTS), pd.read_parquet(SPLIT)
    parts = {part: (split["part"] == part).to_numpy() for part in ("train", "valid", "test")}
    new = ~split["returning"].to_numpy()
    return Data(
        posts,
        pd.read_parquet(DESCRIBED),
        parts["train"],
        parts["valid"] & new,
        parts["test"] & new,
        parts["test"],
        log_points(posts),
    )


def ends(name: str, found: Interval) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def scores(data: Data, whole: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Of each model: rank correlation on valid, on test, and on all of the last posts."""
    parts = {
        part: data.correlations(whole, rows, params)
        for part, rows in (("valid", data.valid), ("test", data.test), ("last", data.last))
    }
    return pd.DataFrame(
        [
            {"model": name, **{key: end for part, of in parts.items() for key, end in ends(part, of.of(name)).items()}}
            for name in whole
        ]
    )


def ablation(data: Data, predicted: Mapping[str, pd.DataFrame], params: Params) -> pd.DataFrame:
    """What each branch adds to the others in each model, and of ridge what it is worth alone; on test."""
    rows = []
    for name, table in predicted.items():
        found = data.correlations(table, data.test, params)
        for branch in (column[1:] for column in table if column.startswith("-")):
            alone = ends("alone", found.of(f"+{branch}")) if f"+{branch}" in table else {}
            rows.append({"model": name, "branch": branch, **ends("worth", found.lead(WHOLE, f"-{branch}")), **alone})
    return pd.DataFrame(rows)


def leak(data: Data, alpha: float, params: Params) -> pd.DataFrame:
    """Ridge's rank correlation under four splits with as many training posts; the first is the honest one."""
    rng = np.random.default_rng(params.seed)
    authors = data.posts["author"]
    shuffled = rng.permutation(len(authors))
    first = authors.iloc[shuffled].drop_duplicates()
    turn = authors.map(pd.Series(range(len(first)), first.to_numpy())).to_numpy()
    by_author = np.argsort(turn, kind="stable")  # authors in a random order, each with all posts
    count = int(data.last.sum())
    edge = turn[by_author[-count]]
    splits = {
        "later, new authors": (data.train, data.test),
        "later, all authors": (data.train, data.last),
        "any time, new authors": (_some(np.flatnonzero(turn < edge), data, rng), turn >= edge),
        "any time, all authors": (
            _some(shuffled[:-count], data, rng),
            np.isin(np.arange(len(authors)), shuffled[-count:]),
        ),
    }
    rows = []
    for name, (train, test) in splits.items():
        encoder = Encoder.fit(data.described[train], params.features)
        inputs = encoder.transform(data.described)
        targets = data.log_points - data.log_points[train].mean()
        says, _ = models.fit("ridge", [], [values[train] for values in inputs], targets[train], alpha, params.models, 0)
        predictions = pd.DataFrame({WHOLE: says(inputs).sum(axis=1)})
        found = data.correlations(predictions, test, params).of(WHOLE)
        rows.append({"test posts": name, "posts": int(test.sum()), **ends("rank correlation", found)})
    return pd.DataFrame(rows)


def _some(rows: Array, data: Data, rng: np.random.Generator) -> Array:
    chosen = rng.choice(rows, min(len(rows), int(data.train.sum())), replace=False)
    return np.isin(np.arange(len(data.train)), chosen)


def tenths(data: Data, predicted: Array) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a score from 1 to 10 means on training posts, and how often posts with it are in the top tenth, there and in test.

    Args:
        predicted: out of fold for training posts.
    """
    edges = np.quantile(predicted[data.train], np.arange(1, 10) / 10)
    score = np.searchsorted(edges, predicted) + 1
    top = data.log_points >= np.quantile(data.log_points[data.train], TOP)
    points = data.posts["points"].to_numpy()
    rows, meaning = [], []
    for tenth in TENTHS:
        known, new = data.train & (score == tenth), data.test & (score == tenth)
        known = known if known.any() else data.train  # predictions that are all the same
        seen = (
            intervals.mean(top[new].astype(float), data.posts["author"][new])
            if new.sum() > 1
            else Interval(*[np.nan] * 3)
        )
        rows.append({"score": tenth, "train": top[known].mean(), "posts": int(new.sum()), **ends("test", seen)})
        quartiles = np.quantile(points[known], [0.25, 0.5, 0.75]).tolist()
        meaning.append({"points": quartiles, "top": float(top[known].mean())})
    return {"edges": edges.tolist(), "scores": meaning}, pd.DataFrame(rows)


def tones(data: Data) -> pd.DataFrame:
    """Mean points by the title's tone, as the tool shows them: nothing else is held equal."""
    tone = data.described["sentiment compound"].to_numpy()
    place = np.clip(np.searchsorted(TONES, tone, side="right") - 1, 0, len(TONES) - 2)
    rows = []
    for number, (low, high) in enumerate(pairwise(TONES)):
        own = data.train & (place == number)
        if own.sum() > 1:
            found = intervals.mean(data.log_points[own], data.posts["author"][own])
            rows.append({"tone": f"{low:+.1f} to {high:+.1f}", "posts": int(own.sum()), **ends("log points", found)})
    return pd.DataFrame(rows)


def times(data: Data, without_time: Array) -> pd.DataFrame:
    """Of each post its hour and weekday, and the log points that all but the time leave unexplained.

    Args:
        without_time: predictions, out of fold for training posts.
    """
    rest = data.log_points - data.log_points[data.train].mean() - without_time
    at = data.posts["at"].dt
    table = data.posts[["author", "domain"]].assign(hour=at.hour, weekday=at.day_of_week, rest=rest, later=~data.train)
    # later posts as a whole may do better or worse
    return table.assign(rest=table["rest"] - table.groupby("later")["rest"].transform("mean"))


def evaluate(params: Params, folder: Path) -> str:
    data = load()
    predicted = {name: pd.read_parquet(MODELS / name / PREDICTED) for name in models.NAMES}
    known = {name: read_json(MODELS / name / "model.json") for name in models.NAMES}
    whole = pd.DataFrame({name: table[WHOLE] for name, table in predicted.items()})
    whole[TOGETHER] = (whole / whole[data.valid].std()).mean(axis=1)
    found = scores(data, whole, params)
    answers = max(models.SERVED, key=lambda name: known[name]["valid"])
    meaning, calibration = tenths(data, predicted[answers][WHOLE].to_numpy())
    rows = times(data, predicted["ridge"]["-time"].to_numpy())
    train = data.train
    worth = effects(data.posts[train], data.described[train], data.log_points[train], params.page.words)
    if Path(params.data.path).suffix == ".yaml":
        worth = planted(worth, read(Path(params.data.path), Recipe))
    tables = {
        "scores": found,
        "ablation": ablation(data, predicted, params),
        "calibration": calibration,
        "leak": leak(data, known["ridge"]["choice"], params),
        "effects": worth,
        "tones": tones(data),
        "cells": hours.cells(rows),
        "windows": pd.DataFrame(
            [
                {"hours": window.hours, "why": why, "posts": window.posts, **ends("gain", window.gain)}
                for why, window in (
                    ("best in training", hours.best(rows)),
                    ("the tool's", hours.gain(rows, hours.NINE)),
                )
            ]
        ),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    rows.to_parquet(folder / HOURS.name)
    write_json(folder / ANSWERS.name, {"model": answers, **meaning})
    by_model = found.set_index("model")
    metrics = {
        f"{part}_{name.replace(' ', '_')}_rank_correlation": float(by_model.loc[name, part])
        for name in by_model.index
        for part in ("valid", "test", "last")
    }
    write_json(folder / "metrics.json", metrics)
    for name in models.NAMES:
        with tracking.run(LESSON, name, known[name]["run_id"], {}) as run:
            row = by_model.loc[name]
            run.log_metrics(
                {
                    f"{part}_rank_correlation{end}": float(row[f"{part}{end}"])
                    for part in ("test", "last")
                    for end in ("", "_low", "_high")
                }
            )
    return f"{answers} answers: rank correlation {by_model.loc[answers, 'test']:.3f} on test"


def main() -> None:
    with atomic_write(EVALUATION) as folder:
        folder.mkdir()
        print(f"{LESSON}: {evaluate(lesson.params(Params), folder)}")


if __name__ == "__main__":
    with reported():
        main()
