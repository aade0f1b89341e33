"""What the comparison tells, in sentences: which model is best, how good it is, and what cannot be told."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.base.text import UNKNOWN, listed, percent
from pipeline.evaluation.bootstrap import Comparison, Interval
from pipeline.evaluation.choice import Choice
from pipeline.evaluation.scores import macro_f1
from pipeline.reports.entries import BASELINE, ZERO_SHOT, DataSummary, Entry
from pipeline.reports.pages import Table

CONFUSIONS = 5
"""Pairs of labels that are named."""
NOTABLE = 0.05
"""A difference of mean confidence and accuracy that is worth a word."""
Write = Callable[[float], str]
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def two(value: float) -> str:
    """With a dash for what is not finite."""
    return f"{value:.2f}" if math.isfinite(value) else UNKNOWN


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def ends(interval: Interval, write: Write = two) -> str:
    return f"{write(interval.low)} to {write(interval.high)}" if math.isfinite(interval.low) else UNKNOWN


def estimate(interval: Interval, before: str = "", write: Write = two) -> str:
    """0.48 (0.42 to 0.54)."""
    value = write(interval.value)
    return f"{value} ({before}{ends(interval, write)})" if math.isfinite(interval.low) else value


def _word(number: int) -> str:
    return WORDS[number] if number < len(WORDS) else str(number)


def answer(ranked: Sequence[Entry], choice: Choice, pairs: Sequence[Comparison], data: DataSummary) -> list[str]:
    """
    Args:
        ranked: the chosen model first.
        pairs: all pairs of them; of a single model none.
    """
    best = ranked[0]
    keys = [entry.key for entry in ranked if entry.learned]
    found = [
        f"Macro F1 on the test set: {estimate(best.interval, '95 % interval ')}. "
        f"{percent(best.metrics['test_accuracy'])} of its {best.test_clips} clips are labelled correctly.",
        differences(best.key, keys, pairs),
        *without_training(ranked, keys, pairs),
        baseline(ranked, keys, pairs),
        _most_frequent_mistake(best),
        _few_groups(data.few_groups),
        f"{choice.sentence} Its macro F1 on validation is {estimate(macro_f1(best.metrics, 'valid'))}. {_expected(best)}"
        f"Test scores were not used to choose.{_better_on_test(ranked)}",
        f"Split: {data.protocol}" if data.leaky else "",
    ]
    return [sentence for sentence in found if sentence]


def _expected(best: Entry) -> str:
    """Empty where nothing was cross-validated."""
    ahead = macro_f1(best.metrics, "expected")
    if ahead == macro_f1(best.metrics, "valid"):
        return ""
    return f"As delivered it has learned from all these clips, and {estimate(ahead)} is expected of it. "


def differences(best: str, keys: Sequence[str], pairs: Sequence[Comparison]) -> str:
    """How the best model compares with the other trained ones on the test set."""
    among = [pair for pair in pairs if {pair.better, pair.worse} <= {best, *keys}]
    if not among:
        return ""
    if best in keys and not any(pair.distinct for pair in among):
        return (
            f"No significant difference between the {_word(len(keys))} trained models on these {among[0].clips} clips: "
            "on other clips the order may change."
        )
    own = [pair for pair in among if best in (pair.better, pair.worse)]
    others = {
        "significantly better than": [pair.worse for pair in own if pair.distinct and pair.better == best],
        "significantly worse than": [pair.better for pair in own if pair.distinct and pair.worse == best],
        "not significantly different from": [
            pair.better if pair.worse == best else pair.worse for pair in own if not pair.distinct
        ],
    }
    told = [f"{words} {listed(names)}" for words, names in others.items() if names]
    return f"On the test set it is {'; it is '.join(told)}." if told else ""


def without_training(ranked: Sequence[Entry], keys: Sequence[str], pairs: Sequence[Comparison]) -> list[str]:
    """Whether training was better than what a pre-trained network already calls the labels, for each such model."""
    told = []
    for entry in ranked:
        if entry.model != ZERO_SHOT:
            continue
        own = [pair for pair in pairs if pair.distinct and entry.key in (pair.better, pair.worse)]
        above = [key for key in keys if any(pair.better == key for pair in own)]
        below = [key for key in keys if any(pair.worse == key for pair in own)]
        text = f"Without training, {entry.key} reaches {two(entry.metrics['test_macro_f1'])}"
        text += f"; significantly better: {listed(above)}" if above else "; no trained model is significantly better"
        text += f"; significantly worse: {listed(below)}" if below else ""
        told.append(f"{text}.{_never(entry)}")
    return told


def _never(entry: Entry) -> str:
    return f" It never predicts {listed(entry.never)}, for which it knows no tag." if entry.never else ""


def baseline(ranked: Sequence[Entry], keys: list[str], pairs: Sequence[Comparison]) -> str:
    """What always predicting the most frequent label reaches, and which models are significantly better."""
    if ranked[0].key == BASELINE:
        return "No model beats the baseline on validation, which always predicts the most frequent label."
    known = [entry for entry in ranked if entry.key == BASELINE]
    if not known:
        return ""
    above = {pair.better for pair in pairs if pair.worse == BASELINE and pair.distinct}
    better = [key for key in keys if key in above]
    every = {1: "it is", 2: "both models are"}.get(len(keys), f"all {_word(len(keys))} models are")
    if better == keys:
        told = f"{every} significantly better"
    else:
        told = f"significantly better: {listed(better)}" if better else "no model is significantly better"
    score = two(known[0].metrics["test_macro_f1"])
    return f"The baseline {BASELINE}, which always predicts the most frequent label, reaches {score}; {told}."


def _most_frequent_mistake(best: Entry) -> str:
    return next((f"Most frequent mistake: {mistake}." for mistake in confusions(best.confusion)), "")


def _few_groups(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    return f"Scores of {listed(labels)} are uncertain: their test clips are of one or two groups."


def _better_on_test(ranked: Sequence[Entry]) -> str:
    f1 = {entry.key: entry.metrics["test_macro_f1"] for entry in ranked}
    better = [f"{key} ({two(score)})" for key, score in f1.items() if score > f1[ranked[0].key]]
    if not better:
        return ""
    return f" Higher on the test set: {listed(better)}. We do not choose by test score; that would make it optimistic."


def confusions(matrix: pd.DataFrame) -> list[str]:
    """The most frequent ones in words, from counts as :func:`pipeline.evaluation.metrics.confusion` gives them."""
    return [
        f"{actual} was predicted as {predicted} {count} of {matrix.loc[actual].sum()} times"
        for (actual, predicted), count in _wrong(matrix).items()
    ]


def confusion_table(ranked: Sequence[Entry]) -> Table:
    """The best model's most frequent confusions, and how often all trained models together have each."""
    best, every = ranked[0], sum(entry.confusion for entry in [one for one in ranked if one.learned] or ranked)
    rows = [
        [
            str(actual),
            str(predicted),
            *(f"{own.loc[actual, predicted]} of {own.loc[actual].sum()}" for own in (best.confusion, every)),
        ]
        for actual, predicted in _wrong(best.confusion).index
    ]
    columns = ["true label", "predicted as", f"clips, {best.key}", "clips, all trained models"]
    return Table(columns, "llrr", rows)


def _wrong(matrix: pd.DataFrame) -> pd.Series:
    """Counts of the most frequent confusions, by true and predicted label."""
    wrong = matrix.mul(1 - np.eye(len(matrix), dtype=int)).stack()
    return wrong[wrong > 0].sort_values(ascending=False, kind="stable").head(CONFUSIONS)


def trained(ranked: Sequence[Entry]) -> list[Entry]:
    """Without the baseline, unless there is nothing else."""
    return [entry for entry in ranked if entry.key != BASELINE] or list(ranked)


def calibration(ranked: Sequence[Entry]) -> list[str]:
    """Whether the best model's confidence can be believed, and for which models temperature scaling made that worse."""
    best = ranked[0]
    after = best.reliability[1]
    confidence, accuracy = (
        float(np.average(after[name], weights=after["clips"])) for name in ("confidence", "accuracy")
    )
    told = f"On the test set {best.key} has a mean confidence of {percent(confidence)} after scaling and is right in "
    told += f"{percent(accuracy)} of the clips"
    if abs(confidence - accuracy) >= NOTABLE:
        told += f": it is {'over' if confidence > accuracy else 'under'}confident"
    errors = {entry.key: (entry.metrics["test_ece"], entry.metrics["test_ece_scaled"]) for entry in trained(ranked)}
    worse = [f"{key} ({two(one)} to {two(other)})" for key, (one, other) in errors.items() if worsened(one, other)]
    if not worse:
        return [f"{told}."]
    return [
        f"{told}.",
        f"Temperature scaling made the calibration error larger for {listed(worse)}: a temperature that suits the "
        "validation clips need not suit the test clips.",
    ]


def worsened(before: float, after: float) -> bool:
    """By more than rounding shows."""
    return math.isfinite(before) and math.isfinite(after) and round(after, 2) > round(before, 2)


State = Literal["ahead", "behind", "level"]


@dataclass(frozen=True)
class Difference:
    """A cell of the matrix of differences: how far the row's model is ahead of the column's."""

    value: str
    ends: str
    state: State


def matrix(keys: Sequence[str], pairs: Sequence[Comparison]) -> list[tuple[str, list[Difference | None]]]:
    """Each model but the last, with its lead over each but the first; None where a row would repeat another."""
    found = {frozenset((pair.better, pair.worse)): pair for pair in pairs}
    if not found:
        return []
    return [
        (row, [None] * place + [_lead(row, found[frozenset((row, column))]) for column in keys[place + 1 :]])
        for place, row in enumerate(keys[:-1])
    ]


def _lead(key: str, pair: Comparison) -> Difference:
    lead = pair.lead(key)
    state: State = "level" if not pair.distinct else "ahead" if pair.better == key else "behind"
    return Difference(signed(lead.value), ends(lead, signed), state)
