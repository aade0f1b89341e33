"""What many tests need: seeded sounds, a checkout of their own, the default params, real clips."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import params
from pipeline.features import numba_cache
from pipeline.params import SoundParams, Training

ROOT = Path(__file__).parents[1]
RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]


def pytest_sessionstart() -> None:
    """Before xdist starts its workers, which would compile librosa's functions side by side."""
    numba_cache.fill(params.load_sound(ROOT / "params.yaml").features)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long end-to-end tests at both ends: one worker makes their checkout, and when it is there each takes one."""
    places = {"test_pipeline.py": 0, "test_copies.py": 2, "test_jobs.py": 2, "test_versions.py": 2}
    items.sort(key=lambda item: places.get(item.path.name, 1))


@pytest.fixture(scope="session")
def tone() -> Callable[..., Array]:
    """``tone(hertz, seconds)``: a sine at half of full scale."""

    def make(hertz: float, seconds: float = 1.0) -> Array:
        time = np.arange(round(seconds * RATE)) / RATE
        return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def noise() -> Callable[..., Array]:
    """``noise(seed, seconds)``: white, far from silence and from clipping."""

    def make(seed: int, seconds: float = 1.0) -> Array:
        return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def settings() -> SoundParams:
    """params.yaml as it comes."""
    return params.load_sound(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def training(settings: SoundParams) -> Callable[..., Training]:
    """``training(epochs=3)``: the defaults, on one thread of the CPU, with these changes."""

    def make(**changes: Any) -> Training:
        return Training.model_validate(
            {**settings.training, "accelerator": "cpu", "threads": 1, "precision": "32-true", **changes}
        )

    return make


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with nothing but params.yaml, as working folder."""
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, which stand beside the checkout on some computers."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real clips: {folder / 'data'} is not here")
    return folder
