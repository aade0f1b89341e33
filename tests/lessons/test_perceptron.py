"""The tutorials' numbers, the perceptron rule, its theorem, and scikit-learn's perceptron as the reference."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Perceptron as SklearnPerceptron

from lessons.perceptron import perceptron
from lessons.perceptron.perceptron import ONE, THREE, WRONG, Array, Params, Perceptron

PARAMS = Params(
    seed=7,
    threshold=50_000,
    largest_income=100_000,
    margin=500,
    applicants=200,
    fresh_applicants=100,
    wrong_labels=0.1,
    learning_rate=1.0,
    epochs=200,
)


def approves(*incomes: float) -> bool:
    """As the tutorials' neuron: a weight of 1 for each income, a bias of minus 50,000."""
    return bool(Perceptron(np.ones(len(incomes)), -50_000).answer(np.array(incomes)))


def in_order(count: int) -> np.random.Generator:
    """Draws no permutation, so that applicants come in their own order."""

    class Same:
        def permutation(self, size: int) -> Array:
            assert size == count
            return np.arange(size)

    return Same()  # type: ignore[return-value]


def test_a_loan_is_approved_from_50_000_on() -> None:
    assert not approves(49_999)
    assert approves(50_000)
    assert not approves(20_000, 20_000, 9_999)
    assert approves(20_000, 20_000, 10_000)


def test_the_beach_day() -> None:
    """Weights 5, 2, 4; no rain, traffic, beachside; threshold 3: 5*0 + 2*1 + 4*1 - 3 = 3, so go."""
    day = np.array([0, 1, 1])
    beach = Perceptron(np.array([5, 2, 4]), -3)
    assert beach.z(day) == 3
    assert beach.answer(day) == 1
    assert Perceptron(np.array([5, 2, 4]), -7).answer(day) == 0
    assert Perceptron(np.array([5, -2, 4]), -3).answer(day) == 0


@pytest.mark.parametrize("people", [1, 3])
def test_separable_applicants_are_learned_within_the_theorems_bound(people: int) -> None:
    rng = np.random.default_rng(1)
    rule = Perceptron(np.ones(people), -50_000)
    incomes = perceptron.applicants(200, people, PARAMS, rng)
    labels = rule.answer(incomes)
    learned, history = perceptron.train(incomes, labels, 50_000, 1.0, 500, rng)
    mistakes = [row["mistakes"] for row in history]
    assert mistakes[-1] == 0
    assert min(mistakes[:-1]) > 0
    assert sum(mistakes) <= perceptron.most_mistakes(incomes, 50_000, rule)
    np.testing.assert_array_equal(learned.answer(incomes), labels)
    assert learned.threshold() == pytest.approx(50_000, rel=0.1)
    assert history[-1]["threshold"] == learned.threshold()


def test_the_bound_is_that_of_the_theorem() -> None:
    """Inputs 0 and 2 with a constant 1 beside: radius √5; z = x - 1 is 1 away, weights (1, -1) are √2 long."""
    bound = perceptron.most_mistakes(np.array([[0.0], [2.0]]), 1.0, Perceptron(np.ones(1), -1.0))
    assert bound == pytest.approx(5 * 2)


def test_a_mistake_moves_weights_and_bias_towards_the_right_answer() -> None:
    incomes, labels = np.array([[3.0, 1.0], [1.0, 2.0]]), np.array([0, 1])
    learned, history = perceptron.train(incomes, labels, 1.0, 0.5, 1, in_order(2))
    # z = 0 approves the first, wrongly: weights -(1.5, 0.5), bias -0.5; that refuses the second, wrongly
    np.testing.assert_allclose(learned.weights, [-1.5 + 0.5, -0.5 + 1.0])
    assert learned.bias == -0.5 + 0.5
    assert history[0]["mistakes"] == 2


def test_in_the_same_order_scikit_learn_finds_the_same_weights() -> None:
    rng = np.random.default_rng(3)
    incomes = perceptron.applicants(100, 3, PARAMS, rng)
    labels = (incomes.sum(axis=1) >= 50_000).astype(int)
    labels[:10] = 1 - labels[:10]
    order = np.argsort(labels, kind="stable")  # at z = 0 scikit-learn refuses, so a refused one comes first
    incomes, labels = incomes[order], labels[order]
    ours, _ = perceptron.train(incomes, labels, 50_000, 1.0, 7, in_order(100))
    theirs = SklearnPerceptron(max_iter=7, tol=None, shuffle=False).fit(incomes / 50_000, labels)
    np.testing.assert_allclose(ours.weights * 50_000, theirs.coef_[0])
    assert ours.bias == pytest.approx(theirs.intercept_[0])


def test_wrong_labels_leave_no_epoch_without_a_mistake() -> None:
    rng = np.random.default_rng(2)
    case = perceptron.draw(WRONG, PARAMS, rng)
    assert (case.labels != case.rule.answer(case.incomes)).sum() == 20
    _, history = perceptron.train(case.incomes, case.labels, 50_000, 1.0, 60, rng)
    assert len(history) == 60
    assert min(row["mistakes"] for row in history) > 0


def test_applicants_keep_the_margin_and_spread_over_all_incomes() -> None:
    sums = perceptron.applicants(5000, 3, PARAMS, np.random.default_rng(0)).sum(axis=1)
    assert np.abs(sums - 50_000).min() >= 500 - 1e-6
    assert np.abs(sums - 50_000).min() < 600
    assert 0 <= sums.min() < 200
    assert 99_800 < sums.max() <= 100_000


def test_the_lesson(ran: Callable[..., pd.DataFrame], leaves: Callable[[str, set[str]], None]) -> None:
    runs = ran("perceptron", applicants=60, fresh_applicants=50, epochs=40)
    expected = {f"{case}, {who}" for case in (ONE, THREE, WRONG) for who in ("by hand", "scikit-learn")}
    assert set(runs.index) == {"perceptron", *expected}
    assert (runs["status"] == "FINISHED").all()
    assert set(runs.loc[sorted(expected), "tags.mlflow.parentRunId"]) == {runs.loc["perceptron", "run_id"]}
    by_hand = runs.loc[[f"{case}, by hand" for case in (ONE, THREE, WRONG)]]
    assert list(by_hand["metrics.mistakes"] == 0) == [True, True, False]
    assert list(by_hand["metrics.train/accuracy"] == 1) == [True, True, False]
    assert set(by_hand["params.threshold"]) == {"50000.0"}
    leaves("perceptron", {"decisions", "threshold"})
