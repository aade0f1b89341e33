"""The functions are those of the tutorials, with their slips mended; linear layers collapse; each net is trained."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from lessons.activations import activations
from lessons.activations.activations import Spirals, flat_from, merged, merged_all, response, slope
from pipeline.config.models import Activation
from pipeline.models.layers import activate, dense

X = torch.linspace(-8, 8, 1601, dtype=torch.float64)


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


@pytest.mark.parametrize(
    ("name", "formula", "derivative"),
    [
        ("linear", X, torch.ones_like(X)),
        ("sigmoid", sigmoid(X), sigmoid(X) * (1 - sigmoid(X))),
        ("tanh", 2 / (1 + torch.exp(-2 * X)) - 1, 1 - torch.tanh(X) ** 2),
        ("relu", torch.maximum(torch.zeros_like(X), X), (X > 0).double()),
        ("softmax", torch.exp(X) / (torch.exp(X) + 1), sigmoid(X) * (1 - sigmoid(X))),
    ],
)
def test_functions_and_slopes_are_those_of_the_formulas(name: Activation, formula: Tensor, derivative: Tensor) -> None:
    torch.testing.assert_close(response(name, X), formula)
    torch.testing.assert_close(slope(name, X), derivative)


def test_tanh_is_a_sigmoid_twice_as_high_and_steep() -> None:
    torch.testing.assert_close(response("tanh", X), 2 * response("sigmoid", 2 * X) - 1)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("sigmoid", 0, 1), ("tanh", -1, 1), ("relu", 0, math.inf), ("linear", -math.inf, math.inf)],
)
def test_ranges(name: Activation, low: float, high: float) -> None:
    """An end that is finite is neared and, but for ReLU's 0, not met; an infinite one grows with x."""
    near = response(name, torch.tensor([-15.0, 15.0], dtype=torch.float64))
    far = response(name, torch.tensor([-1e6, 1e6], dtype=torch.float64))
    for end, close, away in zip((low, high), near.tolist(), far.tolist(), strict=True):
        if math.isinf(end):
            assert away == math.copysign(1e6, end)
        else:
            assert close == pytest.approx(end, abs=1e-6)
            assert low <= close <= high
            assert (close == end) == (name == "relu")


def test_relu_is_sparse_and_softmax_shares_one_out() -> None:
    values = torch.tensor([[-2.0, -0.5, 0.0, 3.0]])
    assert activate("relu")(values).tolist() == [[0, 0, 0, 3]]
    shares = activate("softmax")(values)
    assert shares.sum().item() == pytest.approx(1)
    assert (shares > 0).all()
    assert shares.argmax() == 3


def test_the_sigmoid_is_steep_from_minus_2_to_2() -> None:
    """The tutorial's words: it covers three quarters of its range there, and its slope falls beyond to less than half."""
    ends = response("sigmoid", torch.tensor([-2.0, 2.0]))
    assert (ends[1] - ends[0]).item() > 0.75
    steep = slope("sigmoid", torch.tensor([0.0, 2.0]))
    assert steep[0].item() == pytest.approx(0.25)
    assert steep[1].item() < steep[0].item() / 2


def test_saturation_is_where_the_slope_is_gone() -> None:
    found = flat_from("tanh", 0.01, 8.0)
    assert found == pytest.approx((-math.atanh(math.sqrt(0.99)), math.atanh(math.sqrt(0.99))), abs=1e-3)
    found = flat_from("sigmoid", 0.01, 8.0)
    assert found is not None
    for x in found:
        assert slope("sigmoid", torch.tensor([x])).item() == pytest.approx(0.0025, rel=0.01)
    assert flat_from("linear", 0.01, 8.0) is None
    assert flat_from("relu", 0.01, 8.0) is None


def test_two_linear_layers_are_one_by_hand() -> None:
    """W = W2 W1, b = W2 b1 + b2."""
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        first.bias.copy_(torch.tensor([5.0, 6.0]))
        second.weight.copy_(torch.tensor([[7.0, 8.0]]))
        second.bias.copy_(torch.tensor([9.0]))
    one = merged(first, second)
    assert one.weight.tolist() == [[7 * 1 + 8 * 3, 7 * 2 + 8 * 4]]
    assert one.bias.tolist() == [7 * 5 + 8 * 6 + 9]


def test_a_stack_of_linear_layers_is_one_and_no_other_stack_is() -> None:
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    stack = dense(3, [8, 8], 2, 0.0, ["linear", "linear"])
    with torch.no_grad():
        assert (stack(values) - merged_all(stack)(values)).abs().max() < 1e-5
        bent = dense(3, [8, 8], 2, 0.0, ["relu", "relu"])
        assert (bent(values) - merged_all(bent)(values)).abs().max() > 0.01


def test_a_net_has_relu_unless_told_otherwise() -> None:
    kinds = [type(layer) for layer in dense(3, [4, 4], 2, 0.0)]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert nn.Tanh in [type(layer) for layer in dense(3, [4], 2, 0.0, ["tanh"])]


def test_arms_are_of_equal_size_and_turn_into_each_other() -> None:
    settings = Spirals(arms=3, points=300, turns=0.6, noise=0.0)
    points, arms = activations.spirals(settings, np.random.default_rng(0))
    assert list(np.bincount(arms)) == [100, 100, 100]
    turned = points[arms == 0] @ np.array([[-0.5, np.sqrt(3) / 2], [-np.sqrt(3) / 2, -0.5]])
    nearest = np.linalg.norm(turned[:, None] - points[arms == 1][None], axis=2).min(axis=1)
    assert np.median(nearest) < 0.05


def test_the_lesson(ran: Callable[..., pd.DataFrame], leaves: Callable[[str, set[str]], None]) -> None:
    runs = ran("activations", activations=["linear", "relu"], training={"epochs": 5})
    assert set(runs.index) == {"activations", "linear", "relu"}
    assert runs.loc["relu", "metrics.valid/accuracy"] > runs.loc["linear", "metrics.valid/accuracy"] + 0.1
    assert runs.loc["linear", "metrics.distance_to_one_layer"] < 1e-5
    assert runs.loc["relu", "metrics.distance_to_one_layer"] > 0.1
    assert runs.loc["relu", "params.activation"] == "relu"
    leaves("activations", {"regions", "functions", "curves"})
