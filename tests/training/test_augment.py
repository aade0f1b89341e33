"""Augmented windows are other ones, within the bounds that were set."""

from typing import Any

import pytest
import torch

from pipeline.config.training import Augment
from pipeline.training.augment import augment, mixed

OFF = Augment(time_masks=0, time_width=0, band_masks=0, band_width=0, gain_db=0.0)
SILENCE_DB = -80.0


def settings(**changes: Any) -> Augment:
    return OFF.model_copy(update=changes)


@pytest.mark.parametrize(("widest", "limit"), [(0, 0), (1, 1), (5, 5), (20, 20), (99, 20)])
@pytest.mark.parametrize("axis", ["time", "band"])
def test_a_mask_is_one_run_of_bounded_width_with_the_windows_mean(axis: str, widest: int, limit: int) -> None:
    values = torch.randn(400, 20, 20, generator=torch.Generator().manual_seed(7))
    torch.manual_seed(1)
    masked = augment(values, settings(**{f"{axis}_masks": 1, f"{axis}_width": widest}), SILENCE_DB)
    if axis == "time":
        values, masked = values.transpose(1, 2), masked.transpose(1, 2)
    changed = values != masked
    rows = changed.any(dim=2)
    assert torch.equal(rows, changed.all(dim=2)), "whole bands or whole frames"
    widths = rows.sum(dim=1)
    assert set(widths.tolist()) == set(range(limit + 1))
    edges = rows.int().diff(dim=1, prepend=torch.zeros(400, 1), append=torch.zeros(400, 1)).abs().sum(dim=1)
    assert set(edges.tolist()) <= {0, 2}, "in one run"
    means = values.mean(dim=(1, 2))[:, None, None].expand_as(values)
    torch.testing.assert_close(masked[changed], means[changed])
    if 0 < limit < 20:
        assert rows[:, 0].any()
        assert rows[:, -1].any(), "anywhere from the first to the last"


def test_the_gain_is_one_per_window_and_bounded() -> None:
    values = torch.zeros(500, 3, 4)
    gains = augment(values, settings(gain_db=6.0), SILENCE_DB)
    assert (gains == gains[:, :1, :1]).all()
    assert gains.abs().max() <= 6
    assert gains.max() > 5
    assert gains.min() < -5


def test_silence_stays_silence() -> None:
    values = torch.full((200, 12, 40), SILENCE_DB)
    values[:, :, :20] = torch.rand(200, 12, 20, generator=torch.Generator().manual_seed(7)) * 40 - 60
    torch.manual_seed(1)
    gained = augment(values, settings(gain_db=6.0), SILENCE_DB)
    assert (gained[:, :, 20:] == SILENCE_DB).all()
    assert (gained[:, :, :20] != values[:, :, :20]).all()
    moved = augment(values, settings(gain_db=6.0, band_shift=2.0, stretch=0.2), SILENCE_DB)
    assert (moved[:, :, 26:] == SILENCE_DB).all(), "to the last digit"


def test_nothing_asked_for_is_nothing_done() -> None:
    images, rows = torch.randn(2, 3, 4), torch.randn(2, 3)
    assert torch.equal(augment(images, settings(), SILENCE_DB), images)
    assert torch.equal(augment(rows, settings(gain_db=6.0, band_shift=2.0, stretch=0.1), SILENCE_DB), rows), (
        "a summary has no frames to mask"
    )
    assert mixed((images,), 0.0) == ((images,), 1.0)


def test_a_shift_moves_a_window_along_its_bands() -> None:
    values = torch.zeros(300, 32, 6)
    values[:, 16] = 1.0
    torch.manual_seed(1)
    moved = augment(values, settings(band_shift=5.0), SILENCE_DB)
    assert (moved == moved[:, :, :1]).all(), "in all frames alike"
    place = (moved[:, :, 0] * torch.arange(32)).sum(dim=1)
    assert (place - 16).abs().max() <= 5
    assert float(place.min()) == pytest.approx(11, abs=0.3)
    assert float(place.max()) == pytest.approx(21, abs=0.3)
    torch.testing.assert_close(moved.sum(dim=1), torch.ones(300, 6))


def test_a_stretch_is_about_the_middle_frame() -> None:
    values = torch.arange(-20.0, 21).expand(300, 3, 41)
    torch.manual_seed(1)
    stretched = augment(values, settings(stretch=0.25), SILENCE_DB)
    assert (stretched == stretched[:, :1]).all(), "in all bands alike"
    torch.testing.assert_close(stretched[:, 0, 20], torch.zeros(300), atol=1e-4, rtol=0)
    slope = 1 / (stretched[:, 0, 25] - stretched[:, 0, 24])
    assert float(slope.min()) == pytest.approx(0.75, abs=0.02)
    assert float(slope.max()) == pytest.approx(1.25, abs=0.02)
    assert stretched.min() == -20, "past the edges the last frames go on"
    assert stretched.max() == 20


def test_a_window_is_mixed_with_the_one_before_it_and_keeps_the_greater_share() -> None:
    windows, rows = torch.eye(4)[:, :, None].expand(4, 4, 3), torch.eye(4)
    torch.manual_seed(1)
    shares = []
    for _ in range(200):
        (mixed_windows, mixed_rows), share = mixed((windows, rows), 0.4)
        shares.append(share)
        torch.testing.assert_close(mixed_rows, share * rows + (1 - share) * rows.roll(1, dims=0))
        torch.testing.assert_close(mixed_windows[:, :, 0], mixed_rows)
    assert 0.5 <= min(shares) < 0.6
    assert 0.95 < max(shares) <= 1
