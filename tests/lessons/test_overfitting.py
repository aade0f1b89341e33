"""More capacity is less error in training and, past a point, more on new samples; the loop's cures."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lessons.overfitting import overfitting
from lessons.overfitting.overfitting import Sample, polynomial, rmse, sample, truth


@pytest.fixture(scope="module")
def parts() -> tuple[Sample, Sample]:
    rng = np.random.default_rng(3)
    return sample(15, 0.25, rng), sample(2000, 0.25, rng)


def test_points_scatter_around_the_sine() -> None:
    points = sample(20_000, 0.25, np.random.default_rng(1))
    assert rmse(truth, points) == pytest.approx(0.25, rel=0.02)
    assert 0 <= points.x.min() < points.x.max() <= 1
    assert list(points.first(3).y) == list(points.y[:3])


def test_rmse_by_hand() -> None:
    points = Sample(np.array([0.0, 1.0]), np.array([3.0, 5.0]))
    assert rmse(lambda x: np.zeros_like(x), points) == pytest.approx(np.sqrt((9 + 25) / 2))


def test_error_in_training_only_falls_with_capacity(parts: tuple[Sample, Sample]) -> None:
    errors = [rmse(polynomial(degree, parts[0]), parts[0]) for degree in range(15)]
    assert (np.diff(errors) <= 1e-9).all()
    assert errors[14] < 1e-6, "15 points determine a polynomial of degree 14"
    assert errors[13] > 1e-3


def test_the_lower_error_in_training_is_the_higher_one_on_new_samples(parts: tuple[Sample, Sample]) -> None:
    """The tutorial's two models: one has memorised the points, the other generalises."""
    seen, fresh = parts
    straight, fitting, memory = (polynomial(degree, seen) for degree in (1, 3, 14))
    assert rmse(memory, seen) < rmse(fitting, seen) < rmse(straight, seen)
    assert rmse(fitting, fresh) < rmse(straight, fresh) < rmse(memory, fresh)


def test_waves_are_sines_and_cosines_of_half_waves() -> None:
    found = overfitting.waves(np.array([0.0, 0.5]), 2)
    np.testing.assert_allclose(found, [[0, 0, 1, 1], [1, 0, 0, -1]], atol=1e-6)


def test_the_lesson(ran: Callable[..., pd.DataFrame], leaves: Callable[[str, set[str]], None]) -> None:
    fewer = dict.fromkeys(["small net", "weight decay", "dropout"])
    runs = ran("overfitting", degrees=[0, 3, 14], points={"test": 100}, training={"epochs": 6}, experiments=fewer)
    degrees, nets = ["degree 0", "degree 3", "degree 14"], ["large net", "early stopping", "more data"]
    assert set(runs.index) == {"overfitting", *degrees, *nets}
    assert runs.loc["degree 14", "metrics.train/rmse"] < 1e-6 < 10 < runs.loc["degree 14", "metrics.test/rmse"]
    assert runs.loc["large net", "metrics.train/rmse"] < runs.loc["more data", "metrics.train/rmse"]
    assert runs.loc["large net", "metrics.test/rmse"] > runs.loc["more data", "metrics.test/rmse"]
    assert runs.loc["early stopping", "params.training.monitor"] == "valid_loss"
    assert runs.loc["large net", "params.training.monitor"] == "None"
    assert runs.loc["early stopping", "metrics.valid/rmse"] <= runs.loc["large net", "metrics.valid/rmse"]
    leaves("overfitting", {"capacity", "cures"})
