"""Scores against numbers worked out by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from pipeline.evaluation import metrics
from pipeline.evaluation.temperature import LOWEST_PROBABILITY

LABELS = ["jazz", "polka", "rock"]


def table(rows: Sequence[tuple[str, str, str, tuple[float, ...]]], labels: list[str] = LABELS) -> pd.DataFrame:
    """Predictions from (part, label, predicted, probabilities)."""
    columns = ["part", "label", "predicted", *(metrics.PROBABILITY + label for label in labels)]
    frame = pd.DataFrame([[*row[:3], *row[3]] for row in rows], columns=columns)
    frame.insert(0, "clip_id", [f"clip-{number}" for number in range(len(frame))])
    return frame


def a_few() -> pd.DataFrame:
    return table(
        [
            ("test", "jazz", "jazz", (0.8, 0.1, 0.1)),
            ("test", "jazz", "rock", (0.2, 0.1, 0.7)),
            ("test", "polka", "polka", (0.25, 0.5, 0.25)),
            ("test", "rock", "rock", (0.0, 0.0, 1.0)),
            ("valid", "jazz", "polka", (0.1, 0.9, 0.0)),
            ("valid", "rock", "rock", (0.1, 0.5, 0.4)),
        ]
    )


def test_scores_of_the_test_part() -> None:
    scores = metrics.scores(a_few(), "test")
    # jazz: precision 1, recall 1/2; polka: 1, 1; rock: 1/2, 1. F1: 2/3, 1, 2/3. Clips: 2, 1, 1.
    assert scores == pytest.approx(
        {
            "test_macro_f1": (2 / 3 + 1 + 2 / 3) / 3,
            "test_accuracy": 3 / 4,
            "test_loss": -(math.log(0.8) + math.log(0.2) + math.log(0.5) + 0) / 4,
            "test_macro_precision": (1 + 1 + 1 / 2) / 3,
            "test_macro_recall": (1 / 2 + 1 + 1) / 3,
        }
    )
    assert all(type(value) is float for value in scores.values())


def test_validation_scores_are_over_its_own_labels() -> None:
    # No polka in this part: the mean is over jazz (0) and rock (1), though polka was answered once.
    assert metrics.scores(a_few(), "valid") == pytest.approx(
        {
            "valid_macro_f1": 1 / 2,
            "valid_accuracy": 1 / 2,
            "valid_loss": -(math.log(0.1) + math.log(0.4)) / 2,
            "valid_macro_precision": 1 / 2,
            "valid_macro_recall": 1 / 2,
        }
    )


def test_always_the_same_answer() -> None:
    rows = [("test", label, "rock", (0.0, 0.0, 1.0)) for label in LABELS for _ in range(2)]
    scores = metrics.scores(table(rows), "test")
    assert scores["test_macro_f1"] == pytest.approx((2 * (1 / 3) / (1 / 3 + 1)) / 3)
    assert scores["test_accuracy"] == pytest.approx(1 / 3)
    assert scores["test_loss"] == pytest.approx(-math.log(LOWEST_PROBABILITY) * 4 / 6)


def test_confident_and_right_has_loss_zero() -> None:
    assert metrics.scores(table([("test", "jazz", "jazz", (1.0, 0.0, 0.0))]), "test")["test_loss"] == 0


def test_loss_finds_the_column_of_the_true_label_in_any_order() -> None:
    shuffled = a_few()[["clip_id", "part", "label", "predicted", "p:rock", "p:jazz", "p:polka"]]
    assert metrics.scores(shuffled, "test") == metrics.scores(a_few(), "test")


def test_per_class_keeps_absent_labels_and_their_order() -> None:
    labels = ["rock", "polka", "waltz", "jazz"]
    result = metrics.per_class(metrics.of_part(a_few(), "test"), labels)
    expected = pd.DataFrame(
        {
            "label": labels,
            "precision": [1 / 2, 1.0, 0.0, 1.0],
            "recall": [1.0, 1.0, 0.0, 1 / 2],
            "f1": [2 / 3, 1.0, 0.0, 2 / 3],
            "support": [1, 1, 0, 2],
        }
    )
    pd.testing.assert_frame_equal(result, expected, check_dtype=False)


def test_confusion_has_actual_rows_and_predicted_columns() -> None:
    result = metrics.confusion(metrics.of_part(a_few(), "test"), [*LABELS, "waltz"])
    assert result.to_numpy().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert (result.index.name, result.columns.name) == ("actual", "predicted")
    assert result.loc["jazz", "rock"] == 1
    assert result.loc["rock", "jazz"] == 0


def test_label_names_are_those_of_the_probabilities() -> None:
    assert metrics.label_names(a_few()) == LABELS
    odd = table([("test", "p:x", "p:x", (1.0,))], labels=["p:x"])
    assert metrics.label_names(odd) == ["p:x"]


def test_scores_by_label_are_scikit_learns() -> None:
    """Also with a label that no clip has, one that is never predicted, or one that is neither."""
    draw, labels = np.random.default_rng(7), [f"label {number:02d}" for number in range(12)]
    for true, predicted in ((12, 12), (3, 12), (12, 2), (1, 1)):
        rows = pd.DataFrame(
            {
                "label": np.array(labels)[draw.integers(0, true, 90)],
                "predicted": np.array(labels)[draw.integers(0, predicted, 90)],
            }
        )
        columns = ["precision", "recall", "f1", "support"]
        expected = precision_recall_fscore_support(
            rows["label"], rows["predicted"], labels=labels, average=None, zero_division=0
        )
        found = metrics.per_class(rows, labels)
        assert found[columns].to_numpy().T.tolist() == np.array(expected).tolist()


def test_an_empty_part_is_named() -> None:
    with pytest.raises(ValueError, match="no clip of the part 'train', only of \\['test', 'valid'\\]"):
        metrics.scores(a_few(), "train")


def test_a_label_without_probabilities_is_named() -> None:
    with pytest.raises(ValueError, match="polka"):
        metrics.scores(a_few().drop(columns="p:polka"), "test")


@pytest.mark.parametrize("value", [math.nan, -0.1, 1.1, math.inf])
def test_what_is_no_probability_is_refused(value: float) -> None:
    frame = a_few()
    frame.loc[2, "p:rock"] = value
    with pytest.raises(ValueError, match="clip-2"):
        metrics.scores(frame, "test")


def test_fluctuation_by_hand() -> None:
    # Off the middle of the neighbours by 1 (at 1), by 1 (at 0) and by 0.5 (at 1, between 0 and 3).
    assert metrics.fluctuation(pd.Series([0, 1, 0, 1, 3])) == pytest.approx((1 + 1 + 0.5) / 3)


@pytest.mark.parametrize("slope", [0.0, -0.25, 8.0])
def test_a_straight_line_does_not_fluctuate(slope: float) -> None:
    assert metrics.fluctuation(pd.Series(2 + slope * np.arange(30))) == pytest.approx(0, abs=1e-12)


def test_fluctuation_grows_with_noise_and_not_with_the_trend() -> None:
    epochs = np.arange(60)
    noise = np.random.default_rng(3).normal(size=60)
    falling = 2 * np.exp(-epochs / 10)
    smooth, little, much = (metrics.fluctuation(pd.Series(falling + size * noise)) for size in (0, 0.02, 0.1))
    assert smooth < 0.1 * little < 0.1 * much
    assert little == pytest.approx(metrics.fluctuation(pd.Series(0.02 * noise)), rel=0.1)
    assert much == pytest.approx(5 * little, rel=0.1)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0, math.inf, 1.0, 2.0], [1.0, math.nan, 1.0]])
def test_fluctuation_is_unknown_without_enough_finite_epochs(values: list[float]) -> None:
    assert math.isnan(metrics.fluctuation(pd.Series(values, dtype=float)))
