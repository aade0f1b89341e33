"""Calibration against numbers worked out by hand and against probabilities that are right, or overconfident."""

import math

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import calibration, metrics
from pipeline.evaluation.temperature import HIGHEST_TEMPERATURE, LOWEST_PROBABILITY

LABELS = ["jazz", "polka", "rock"]
COLUMNS = [metrics.PROBABILITY + label for label in LABELS]


def table(*rows: tuple[str, tuple[float, ...]]) -> pd.DataFrame:
    """Predictions from (label, probabilities)."""
    frame = pd.DataFrame([values for _, values in rows], columns=COLUMNS)
    return with_answers(frame, [label for label, _ in rows])


def with_answers(probabilities: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    frame = probabilities.astype(float)
    frame.insert(0, "clip_id", [f"clip-{number}" for number in range(len(frame))])
    frame.insert(1, "label", labels)
    frame.insert(2, "predicted", [LABELS[place] for place in probabilities.to_numpy().argmax(axis=1)])
    return frame


def drawn(clips: int, seed: int, sharpness: float = 1.0) -> pd.DataFrame:
    """Labels drawn from softmax(logits); the table says softmax(sharpness * logits)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1.5, (clips, len(LABELS)))
    weights = np.exp(logits)
    shares = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    places = (draw.random((clips, 1)) > shares[:, :-1]).sum(axis=1)
    said = np.exp(sharpness * logits)
    said /= said.sum(axis=1, keepdims=True)
    return with_answers(pd.DataFrame(said, columns=COLUMNS), [LABELS[place] for place in places])


def loss(rows: pd.DataFrame) -> float:
    return metrics.scores(rows.assign(part="valid"), "valid")["valid_loss"]


def test_reliability_and_ece_by_hand() -> None:
    rows = table(
        ("jazz", (0.9, 0.1, 0.0)),
        ("rock", (0.8, 0.1, 0.1)),
        ("polka", (0.3, 0.5, 0.2)),
        ("rock", (0.2, 0.2, 0.6)),
        ("jazz", (0.3, 0.3, 0.4)),
    )
    expected = pd.DataFrame({"clips": [3, 2], "confidence": [0.5, 0.85], "accuracy": [2 / 3, 0.5]})
    pd.testing.assert_frame_equal(calibration.reliability(rows, fewest=2), expected)
    assert calibration.ece(rows, bins=4) == pytest.approx((2 * 0.05 + 1 * 0.4 + 2 * 0.35) / 5)


@pytest.mark.parametrize(("clips", "sizes"), [(1, {1}), (19, {19}), (39, {39}), (106, {21, 22}), (1000, {100})])
def test_bins_of_the_diagram_have_enough_clips(clips: int, sizes: set[int]) -> None:
    found = calibration.reliability(drawn(clips, 1))
    assert set(found["clips"]) == sizes
    assert found["clips"].sum() == clips
    assert found["confidence"].is_monotonic_increasing


def test_what_rounding_made_of_one_is_in_the_last_bin() -> None:
    rows = table(("jazz", (1 + 1e-6, 0.0, 0.0)), ("rock", (0.0, 0.0, 0.0)))
    assert calibration.ece(rows, bins=2) == pytest.approx(0.0, abs=1e-5)


def test_confident_and_right_is_perfect_and_confident_and_wrong_is_worst() -> None:
    assert calibration.ece(table(("jazz", (1, 0, 0)), ("rock", (0, 0, 1)))) == 0
    assert calibration.ece(table(("rock", (1, 0, 0)), ("jazz", (0, 0, 1)))) == 1


def test_true_probabilities_are_calibrated() -> None:
    rows = drawn(20_000, seed=1)
    assert calibration.ece(rows) < 0.015
    assert calibration.temperature(rows) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("sharpness", [3.0, 0.5])
def test_temperature_undoes_a_wrong_sharpness_on_clips_not_seen(sharpness: float) -> None:
    t = calibration.temperature(drawn(4000, seed=2, sharpness=sharpness))
    assert t == pytest.approx(sharpness, rel=0.08)
    fresh = drawn(5000, seed=3, sharpness=sharpness)
    better = calibration.scaled(fresh, t)
    assert calibration.ece(fresh) > 0.1
    assert calibration.ece(better) < 0.03
    assert loss(better) < loss(fresh) - 0.02


def test_no_other_temperature_has_a_lower_loss() -> None:
    rows = drawn(300, seed=4, sharpness=2.0)
    best = calibration.temperature(rows)
    lowest = loss(calibration.scaled(rows, best))
    assert all(loss(calibration.scaled(rows, t)) > lowest for t in (0.1, 0.5 * best, 0.99 * best, 1.01 * best, 19))


def test_scaling_by_hand() -> None:
    rows = table(("jazz", (0.8, 0.2, 0.0)))
    cold, same, hot = (calibration.scaled(rows, t)[COLUMNS].to_numpy()[0] for t in (0.5, 1, 2))
    assert cold == pytest.approx([16 / 17, 1 / 17, 0], abs=1e-6)
    assert same == pytest.approx([0.8, 0.2, 0], abs=1e-6)
    smallest = math.sqrt(LOWEST_PROBABILITY)
    whole = math.sqrt(0.8) + math.sqrt(0.2) + smallest
    assert hot == pytest.approx([math.sqrt(0.8) / whole, math.sqrt(0.2) / whole, smallest / whole])


@pytest.mark.parametrize("t", [0.05, 0.4, 3.0, 20.0])
def test_scaling_changes_probabilities_and_nothing_else(t: float) -> None:
    rows = drawn(500, seed=5, sharpness=4.0)
    before = rows.copy()
    after = calibration.scaled(rows, t)
    pd.testing.assert_frame_equal(rows, before)
    pd.testing.assert_frame_equal(after.drop(columns=COLUMNS), rows.drop(columns=COLUMNS))
    assert list(after.columns) == list(rows.columns)
    assert not np.allclose(after[COLUMNS], rows[COLUMNS])
    np.testing.assert_allclose(after[COLUMNS].sum(axis=1), 1)
    assert [LABELS[place] for place in after[COLUMNS].to_numpy().argmax(axis=1)] == rows["predicted"].tolist()


def test_predicted_stays_even_where_it_is_not_the_most_probable() -> None:
    rows = table(("jazz", (0.8, 0.2, 0.0)), ("rock", (0.3, 0.3, 0.4))).assign(predicted="polka")
    assert calibration.scaled(rows, 5.0)["predicted"].tolist() == ["polka", "polka"]


def test_the_same_answer_for_every_clip() -> None:
    often = [(label, (0.5, 0.3, 0.2)) for label in ["jazz"] * 5 + ["polka"] * 3 + ["rock"] * 2]
    assert calibration.temperature(table(*often)) == pytest.approx(1, abs=0.01)
    assert calibration.ece(table(*often)) == pytest.approx(0, abs=1e-9)

    confident = table(*((label, (1.0, 0.0, 0.0)) for label in LABELS))
    t = calibration.temperature(confident)
    assert t == pytest.approx(HIGHEST_TEMPERATURE, rel=0.01)
    assert calibration.ece(calibration.scaled(confident, t)) < calibration.ece(confident) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "rows",
    [
        table(("jazz", (0.6, 0.2, 0.2)), ("rock", (0.1, 0.1, 0.8))),
        table(*((label, (1 / 3, 1 / 3, 1 / 3)) for label in LABELS)),
        table(("jazz", (0.6, 0.2, 0.2))).iloc[:0],
    ],
    ids=["all right", "all equal", "no clips"],
)
def test_temperature_is_one_where_the_clips_do_not_decide(rows: pd.DataFrame) -> None:
    assert calibration.temperature(rows) == 1.0


@pytest.mark.parametrize("t", [0.0, -1.0, math.nan])
def test_what_is_no_temperature_is_refused(t: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        calibration.scaled(table(("jazz", (0.8, 0.2, 0.0))), t)


def test_what_cannot_be_measured_is_named() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        calibration.ece(table(("jazz", (0.8, 0.2, 0.0))).iloc[:0])
    with pytest.raises(ValueError, match="waltz"):
        calibration.temperature(table(("jazz", (0.8, 0.2, 0.0)), ("waltz", (0.8, 0.2, 0.0))))
