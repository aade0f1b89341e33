"""All scores of an experiment, from the predictions of all its trials, and the ablation of a fusion."""

from collections.abc import Mapping

import pandas as pd

from pipeline.base.text import interval
from pipeline.evaluation import bootstrap, calibration, metrics
from pipeline.evaluation.expected import expected

FUSION = "whole"
"""Key of the fusion with all its branches, among the branches that are left out."""


def scores(answers: pd.DataFrame, learned: pd.DataFrame, seed: int) -> dict[str, float]:
    """Validation and test scores over all trials, with 95 % intervals; calibration on the test set; and what is expected of
    the delivered model.

    Args:
        answers: predictions as in :mod:`pipeline.evaluation.metrics`, with ``group``, ``fold``, ``seed`` and the
            ``temperature`` of each trial.
        learned: see :func:`pipeline.evaluation.expected.expected`.
        seed: of the bootstrap.
    """
    valid, test = metrics.of_part(answers, "valid"), metrics.of_part(answers, "test")
    found = {**metrics.mean_scores(answers, "valid"), **metrics.mean_scores(answers, "test")}
    promised = bootstrap.interval(valid, "macro_f1", seed)
    found |= {"valid_macro_f1_low": promised.low, "valid_macro_f1_high": promised.high}
    ahead = expected(valid, learned, seed)
    found |= {
        "expected_macro_f1": ahead.value,
        "expected_macro_f1_low": ahead.low,
        "expected_macro_f1_high": ahead.high,
    }
    for name in bootstrap.METRICS:
        ends = bootstrap.interval(test, name, seed)
        found |= {f"test_{name}_low": ends.low, f"test_{name}_high": ends.high}
    by_trial = bootstrap.by_run(test)
    if len(by_trial) > 1:
        found["test_macro_f1_mean"] = float(by_trial["macro_f1"].mean())
        found["test_macro_f1_sd"] = float(by_trial["macro_f1"].std())
    return found | {
        "test_ece": calibration.ece(test),
        "test_ece_scaled": calibration.ece(calibration.tempered(test)),
        "temperature": float(test.groupby(["fold", "seed"])["temperature"].first().mean()),
    }


def macro_f1(found: Mapping[str, float], part: str = "test") -> bootstrap.Interval:
    """From :func:`scores`."""
    return bootstrap.Interval(*(found[f"{part}_macro_f1{end}"] for end in ("", "_low", "_high")))


def in_words(found: Mapping[str, float], test: pd.DataFrame) -> str:
    """What a person reads of :func:`scores` when the stage ends; ``test`` are the predictions."""
    test_f1 = macro_f1(found)
    ends = interval(test_f1.low, test_f1.high)
    text = f"test macro F1 {test_f1.value:.3f} ({ends}), validation {found['valid_macro_f1']:.3f}"
    never = metrics.impossible(test)
    return f"{text}; cannot predict: {', '.join(never)}" if never else text


def ablation(answers: Mapping[str, pd.DataFrame], seed: int) -> pd.DataFrame:
    """branch, macro_f1 without it, and its worth: the difference to the fusion, with its 95 % interval (low, high).

    Args:
        answers: test predictions of the fusion (FUSION), and without each branch by the branch's name.
    """
    rows = []
    for name, without in answers.items():
        if name != FUSION:
            gain = bootstrap.difference(answers[FUSION], without, seed)
            score = bootstrap.interval(without, "macro_f1", seed).value
            rows.append({"branch": name, "macro_f1": score, "worth": gain.value, "low": gain.low, "high": gain.high})
    return pd.DataFrame(rows)
