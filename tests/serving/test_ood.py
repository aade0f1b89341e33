"""Distances from training clips, and how well they detect what is out of distribution."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.config.project import Params
from pipeline.features.sound import Sound
from pipeline.serving import ood_evaluation
from pipeline.serving.bundle import TimbreSplit
from pipeline.serving.manifest import load
from pipeline.serving.ood import OodDetector, row


def clouds(seed: int, clips: int = 60, apart: float = 12.0, columns: int = 50) -> TimbreSplit:
    """Three labels as clouds of standard deviation 1 whose middles lie apart; two columns say the same."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(99).normal(size=(3, columns))
    middles *= apart / np.linalg.norm(middles, axis=1, keepdims=True)
    number = np.arange(clips) % 3
    values = middles[number] + rng.normal(size=(clips, columns))
    values[:, 1] = values[:, 0] * 1000
    return TimbreSplit(np.array(["a", "b", "c"])[number], values)


def test_a_training_clip_has_distance_zero_and_an_outlier_a_large_one() -> None:
    train, valid = clouds(1), clouds(2)
    detector = OodDetector.fit(train.values)
    assert detector.distances(train.values) == pytest.approx(np.zeros(60), abs=1e-9)
    near = detector.distances(valid.values)
    far = detector.distances(valid.values + np.r_[np.zeros(10), np.full(40, 30.0)])
    assert far.min() > 3 * near.max()


def test_units_and_repeated_columns_do_not_matter() -> None:
    train, valid = clouds(1), clouds(2)
    units = np.geomspace(1e-3, 1e3, 50)
    before = OodDetector.fit(train.values).distances(valid.values)
    after = OodDetector.fit(train.values * units).distances(valid.values * units)
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_identical_training_clips_give_finite_distances() -> None:
    detector = OodDetector.fit(np.ones((4, 50)))
    assert np.isfinite(detector.distances(np.zeros((2, 50)))).all()


def test_the_detector_is_saved_without_pickle(tmp_path: Path) -> None:
    train, valid = clouds(1), clouds(2)
    detector = OodDetector.fit(train.values)
    detector.save(tmp_path / "ood.npz")
    loaded = OodDetector.load(tmp_path / "ood.npz")
    np.testing.assert_array_equal(loaded.distances(valid.values), detector.distances(valid.values))
    np.savez(tmp_path / "evil.npz", mean=np.array([{}], dtype=object), whitening=0, training=0)
    with pytest.raises(ValueError, match="allow_pickle"):
        OodDetector.load(tmp_path / "evil.npz")


def test_held_out_labels_are_detected_where_labels_lie_apart() -> None:
    apart = ood_evaluation.held_out_labels([{"train": clouds(1), "valid": clouds(2)}], 0.95)
    alike = ood_evaluation.held_out_labels([{"train": clouds(1, apart=0.0), "valid": clouds(2, apart=0.0)}], 0.95)
    assert apart.auc > 0.95
    assert apart.detected > 0.8
    assert alike.auc == pytest.approx(0.5, abs=0.15)
    assert alike.clips == apart.clips == 60


def test_noises_are_the_same_each_time_and_are_detected(settings: Params, bundle: Path) -> None:
    noises = [
        signal / np.abs(signal).max()
        for seed in (1, 1)
        for signal in ood_evaluation._signals(22050, 22050, np.random.default_rng(seed))
    ]
    assert len(noises) == 12
    for first, second in zip(noises[:6], noises[6:], strict=True):
        np.testing.assert_array_equal(first, second)
    rng = np.random.default_rng(4)
    columns = np.concatenate([row(_chord(rng), settings.features) for _ in range(24)])
    label = np.array(["a", "b"] * 12)
    detector, valid = OodDetector.fit(columns[:16]), TimbreSplit(label[16:], columns[16:])
    near = detector.distances(valid.values)
    known = load(bundle).model_copy(update={"ood_threshold": float(near.max())})
    found = ood_evaluation.noises(detector, near, known, 1.0, 7)
    assert found.auc > 0.95
    assert found.clips == 6 * ood_evaluation.NOISES


def _chord(rng: np.random.Generator) -> Sound:
    time = np.arange(22050) / 22050
    pitch = rng.uniform(200, 500)
    signal = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 5)) * 0.1
    return Sound((signal + rng.normal(0, 0.002, len(time))).astype(np.float32), 22050)
