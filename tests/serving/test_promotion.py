"""Which candidate passes the promotion gate, and what confidence threshold a model has."""

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.calibration import NEVER, confidence_threshold
from pipeline.serving import promotion

LABELS = ("jazz", "polka", "rock")


def answers(right: float, clips: int = 90, seed: int = 0) -> pd.DataFrame:
    """Of a model that is right about this share of the clips, three to a group."""
    rng = np.random.default_rng(seed)
    label = np.array(LABELS)[np.arange(clips) % 3]
    wrong = np.array(LABELS)[(np.arange(clips) + 1) % 3]
    return pd.DataFrame(
        {
            "clip_id": [f"clip {number}" for number in range(clips)],
            "group": [f"group {number // 3}" for number in range(clips)],
            "fold": 0,
            "seed": 7,
            "label": label,
            "predicted": np.where(rng.random(clips) < right, label, wrong),
        }
    )


def present(right: float) -> pd.DataFrame:
    return answers(right, seed=1)[["clip_id", "predicted"]]


def test_a_first_candidate_passes_above_the_minimum() -> None:
    assert promotion.decide(answers(0.8), 0.3, None, False, 7).passed
    refused = promotion.decide(answers(0.2), 0.3, None, False, 7)
    assert not refused.passed
    assert refused.reason == "validation macro F1 0.188 (minimum 0.3), see champion.min_valid_macro_f1"


def test_a_worse_candidate_is_refused_with_numbers() -> None:
    refused = promotion.decide(answers(0.5), 0.3, present(0.9), False, 7)
    assert not refused.passed
    assert "the champion is better by 0." in refused.reason
    assert "on 90 clips" in refused.reason


def test_a_better_candidate_passes_with_numbers() -> None:
    passed = promotion.decide(answers(0.9), 0.3, present(0.5), False, 7)
    assert passed.passed
    assert "better than the previous champion by 0." in passed.reason


def test_a_candidate_that_is_worse_by_chance_passes() -> None:
    candidate = answers(0.78)
    assert promotion.decide(candidate, 0.3, present(0.82), False, 7).passed
    same = promotion.decide(candidate, 0.3, candidate[["clip_id", "predicted"]], False, 7)
    assert same.passed
    assert "not significantly different" in same.reason


def test_only_clips_that_the_champion_was_not_trained_on_count() -> None:
    """The champion is right about those it was trained on, and only about those."""
    candidate = answers(0.9)
    assert promotion.decide(candidate, 0.3, present(0.2).iloc[:60], False, 7).passed
    none = promotion.decide(candidate, 0.3, present(1.0).iloc[:0], False, 7)
    assert none.passed
    assert "not compared, the previous champion was trained on these clips" in none.reason


def test_other_labels_are_not_compared() -> None:
    passed = promotion.decide(answers(0.5), 0.3, None, True, 7)
    assert passed.passed
    assert "has other labels" in passed.reason
    assert not promotion.decide(answers(0.1), 0.3, None, True, 7).passed


@pytest.mark.parametrize(
    ("right", "precision", "lowest", "coverage"),
    [
        ([1, 1, 1, 1], 0.8, 0.6, 1.0),
        ([1, 1, 0, 0], 0.8, 0.8, 0.5),
        ([1, 1, 0, 1], 0.75, 0.6, 1.0),
        ([0, 1, 1, 1], 0.8, NEVER, 0.0),
        ([0, 0, 0, 0], 0.1, NEVER, 0.0),
    ],
)
def test_the_threshold_is_the_lowest_that_is_precise_enough(
    right: list[int], precision: float, lowest: float, coverage: float
) -> None:
    rows = pd.DataFrame({"probability": [0.9, 0.8, 0.7, 0.6], "label": "a"})
    rows["predicted"] = np.where(right, "a", "b")
    assert confidence_threshold(rows.sample(frac=1, random_state=3), precision) == pytest.approx((lowest, coverage))


def test_clips_of_equal_probability_are_accepted_together() -> None:
    rows = pd.DataFrame({"probability": [0.9, 0.5, 0.5], "label": "a", "predicted": ["a", "a", "b"]})
    assert confidence_threshold(rows, 0.9) == pytest.approx((0.9, 1 / 3))
