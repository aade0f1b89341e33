"""Training on targets that are numbers, and with nothing to monitor."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lessons.common.regressor import Regressor
from lessons.common.table import Table
from pipeline.config.base import ParamsError
from pipeline.config.check import check
from pipeline.config.training import Training
from pipeline.training.dataset import Array, Windows
from pipeline.training.trainer import fit

Trainings = Callable[..., Training]
COLUMNS = ["epoch", "train_loss", "train_rmse", "valid_loss", "valid_rmse"]


def line(seed: int, noise: float = 0.0) -> tuple[Array, Windows]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 2)).astype(np.float32)
    y = (x[:, 0] - 2 * x[:, 1] + 3 + rng.normal(0, noise, 40)).astype(np.float32)
    return x, Windows([Table(x)], y)


def trained(settings: Training, folder: Path) -> tuple[nn.Linear, pd.DataFrame]:
    torch.manual_seed(0)
    net = nn.Linear(2, 1)
    learner = Regressor(net, settings, 7)
    return net, fit(net, line(1)[1], line(2)[1], settings, 7, folder, lambda *_: None, learner)


def test_a_line_is_found(tmp_path: Path, training: Trainings) -> None:
    net, history = trained(
        training(epochs=60, batch_size=8, learning_rate=0.1, monitor="valid_loss", weight_decay=0.0), tmp_path
    )
    assert list(history.columns) == COLUMNS
    np.testing.assert_allclose(net.weight.detach()[0], [1, -2], atol=0.02)
    np.testing.assert_allclose(net.bias.detach(), [3], atol=0.02)
    np.testing.assert_allclose(history["valid_rmse"] ** 2, history["valid_loss"], rtol=1e-5)


def test_the_logged_error_is_that_of_the_best_epoch(tmp_path: Path, training: Trainings) -> None:
    settings = training(
        epochs=12, batch_size=8, learning_rate=1.5, monitor="valid_loss", patience=None, schedule="constant"
    )
    net, history = trained(settings, tmp_path)
    x, valid = line(2)
    with torch.no_grad():
        errors = net(torch.from_numpy(x))[:, 0].numpy() - valid.targets
    assert history["valid_rmse"].min() == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert history["valid_rmse"].min() < history["valid_rmse"].iloc[-1]


def test_with_nothing_to_monitor_the_last_epoch_is_used(tmp_path: Path, training: Trainings) -> None:
    settings = training(epochs=12, batch_size=8, learning_rate=1.5, monitor=None, patience=None, schedule="constant")
    net, history = trained(settings, tmp_path / "one")
    x, valid = line(2)
    with torch.no_grad():
        errors = net(torch.from_numpy(x))[:, 0].numpy() - valid.targets
    assert history["valid_rmse"].iloc[-1] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    assert history["valid_rmse"].iloc[-1] > history["valid_rmse"].min()
    again, repeated = trained(settings, tmp_path / "two")
    pd.testing.assert_frame_equal(history, repeated, check_exact=True)
    assert torch.equal(net.weight, again.weight)


def test_patience_needs_something_to_monitor(training: Trainings) -> None:
    raw = training().model_dump() | {"monitor": None, "patience": 3}
    with pytest.raises(ParamsError, match="patience needs something to monitor"):
        check(raw, Training, "params.yaml")


def test_a_table_describes_its_columns() -> None:
    described = Table(np.array([[1, 10], [3, 30]], dtype=np.float32)).describe()
    assert described.shape == (2,)
    assert described.mean.tolist() == [2, 20]
    assert described.std.tolist() == [1, 10]
