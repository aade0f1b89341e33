"""Descent finds the least-squares line, diverges where it must, and its gradient is that of the error."""

import math
from collections.abc import Callable

import mlflow
import numpy as np
import pandas as pd
import pytest

from lessons.neuron import neuron
from lessons.neuron.neuron import Array, Descent

POINTS = 40


@pytest.fixture(scope="module")
def points() -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 2, POINTS)
    return x, 2 * x - 1 + rng.normal(0, 0.3, POINTS)


def descend(points: tuple[Array, Array], rate: float, size: int = POINTS, epochs: int = 400, seed: int = 1) -> Descent:
    return neuron.descend(*points, (0.5, -0.5), rate, size, epochs, 1000.0, np.random.default_rng(seed))


def test_errors_by_hand() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 7.0])
    assert neuron.mse(2, 1, x, y) == pytest.approx((0 + 4 + 4) / 3)
    assert neuron.rmse(2, 1, x, y) == pytest.approx(math.sqrt(8 / 3))
    assert neuron.gradient(2, 1, x, y) == pytest.approx((2 * (0 * 0 + 2 * 1 - 2 * 2) / 3, 2 * (0 + 2 - 2) / 3))


def test_the_gradient_is_the_slope_of_the_bowl(points: tuple[Array, Array]) -> None:
    step = 1e-6
    by_m = (neuron.mse(0.3 + step, 0.7, *points) - neuron.mse(0.3 - step, 0.7, *points)) / (2 * step)
    by_b = (neuron.mse(0.3, 0.7 + step, *points) - neuron.mse(0.3, 0.7 - step, *points)) / (2 * step)
    assert neuron.gradient(0.3, 0.7, *points) == pytest.approx((by_m, by_b), rel=1e-6)


def test_least_squares_is_numpys(points: tuple[Array, Array]) -> None:
    x, y = points
    (m, b), *_ = np.linalg.lstsq(np.stack([x, np.ones_like(x)], axis=1), y, rcond=None)
    assert neuron.least_squares(x, y) == pytest.approx((m, b))


def test_a_right_learning_rate_ends_at_least_squares(points: tuple[Array, Array]) -> None:
    found = descend(points, 0.3)
    assert not found.diverged
    assert found.end == pytest.approx(neuron.least_squares(*points), abs=1e-6)
    errors = found.history["mse"].to_numpy()
    assert (np.diff(errors) <= 1e-12).all()
    assert list(found.history["epoch"]) == list(range(401))


def test_a_small_learning_rate_is_on_its_way(points: tuple[Array, Array]) -> None:
    found, right = descend(points, 0.001, epochs=100), descend(points, 0.3, epochs=100)
    start = found.history["mse"].iloc[0]
    assert right.history["mse"].iloc[-1] < found.history["mse"].iloc[-1] < start


@pytest.mark.parametrize(("share", "diverges"), [(0.98, False), (1.02, True)])
def test_the_largest_learning_rate_is_a_sharp_limit(points: tuple[Array, Array], share: float, diverges: bool) -> None:
    limit = neuron.largest_learning_rate(points[0])
    found = descend(points, share * limit, epochs=1000)
    assert found.diverged == diverges
    if diverges:
        assert len(found.history) < 1000
        assert found.history["mse"].iloc[-1] > 1000 * found.history["mse"].iloc[0]
    else:
        assert found.end == pytest.approx(neuron.least_squares(*points), abs=1e-3)


@pytest.mark.parametrize(
    ("start", "rate", "end"), [((0.0, 0.0), 1e200, math.inf), ((3000.0, -3450.0), 1e308, math.nan)]
)
def test_numbers_that_overflow_count_as_divergence(
    points: tuple[Array, Array], start: tuple[float, float], rate: float, end: float
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        found = neuron.descend(*points, start, rate, POINTS, 10, 1000.0, np.random.default_rng(1))
    assert found.diverged
    assert found.history["mse"].iloc[-1] == pytest.approx(end, nan_ok=True)
    assert len(found.history) == 2


@pytest.mark.parametrize(("size", "updates"), [(1, 40), (7, 6), (40, 1)])
def test_an_epoch_sees_all_points_in_batches(points: tuple[Array, Array], size: int, updates: int) -> None:
    assert len(descend(points, 0.05, size, epochs=3).path) == 1 + 3 * updates


def test_full_batches_do_not_depend_on_the_order_and_small_ones_do(points: tuple[Array, Array]) -> None:
    full = [descend(points, 0.1, epochs=20, seed=seed).end for seed in (1, 2)]
    small = [descend(points, 0.1, 1, epochs=20, seed=seed).end for seed in (1, 2)]
    assert full[0] == pytest.approx(full[1], abs=1e-12)
    assert small[0] != pytest.approx(small[1], abs=1e-6)
    assert descend(points, 0.1, 1, epochs=20, seed=1).end == small[0]


def test_the_lesson(ran: Callable[..., pd.DataFrame], leaves: Callable[[str, set[str]], None]) -> None:
    runs = ran("neuron", points=30, epochs=60, batches={"epochs": 5, "sizes": [1, 10, 30]})
    rates = ["learning rate 0.003, too small", "learning rate 0.3, right", "learning rate 0.5, too large"]
    assert set(runs.index) == {"neuron", *rates, "batch of 1", "batch of 10", "batch of 30"}
    assert list(runs.loc[rates, "metrics.diverged"]) == [0, 0, 1]
    right, small = runs.loc[rates[1], "metrics.distance"], runs.loc[rates[0], "metrics.distance"]
    assert right < small / 10
    for name in ("m", "b"):
        client = mlflow.MlflowClient()
        starts = {client.get_metric_history(run, name)[0].value for run in runs["run_id"].drop("neuron")}
        assert len(starts) == 1
        assert -1 < starts.pop() < 1
    leaves("neuron", {"learning-rates", "batches"})
