"""What many tests need: seeded sounds, a checkout of their own, the default params, real clips."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from checkouts import finish
from filelock import FileLock

from lessons.common.pictures import inspect as pictures
from pipeline import config
from pipeline.base.parallel import share_cores, workers
from pipeline.config.project import Params
from pipeline.config.training import Training
from pipeline.data import audit
from pipeline.features import extract, numba_cache

ROOT = Path(__file__).parents[1]
RATE = 22050
Array = np.ndarray[Any, np.dtype[np.float32]]


# before anything imports torch, and for all processes to come: several to a core, they would wait for each other spinning
share_cores()
# how long an example takes says how busy the machine is
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


def pytest_sessionstart() -> None:
    """Before xdist starts its workers, which would compile librosa's functions side by side."""
    numba_cache.fill(config.load(ROOT / "params.yaml").features, ["tabular"])


LONG = (
    "test_pipeline.py",  # first: it makes the checkout that the other end-to-end tests wait for
    "test_starter.py",
    "test_experiments_effects.py",
    "test_use_effects.py",
    "test_documented.py",
    "test_versions.py",
    "test_documented_experiments.py",
    "test_documented_lessons.py",
    "test_sources.py",
    "test_suggest_loop.py",
    "test_copies.py",
    "test_dvc_views.py",
    "test_jobs.py",
    "test_kills.py",
    "test_faults.py",
    "test_ways_in.py",
    "test_other_users.py",
    "test_split_protocols.py",
    "test_servers.py",
    "test_data_effects.py",
    "test_training_effects.py",
    "test_sweep.py",
    "test_awkward.py",
    "test_cache.py",
    "test_picture_lessons.py",
    "test_outages.py",
    "test_queue.py",
    "test_runs.py",
    "test_trials.py",
    "test_activations.py",
    "test_machine.py",
    "test_neuron.py",
    "test_trainer.py",
    "test_models.py",
    "test_config.py",
)
"""Files of tests, those that take longest before the others; short tests stand between the last ones, since a worker
takes several files of few tests at once."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no worker is left alone with them at the end."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session", autouse=True)
def _preloaded(settings: Params) -> None:
    """A process starts one server of workers: here with all that any test's workers need, imported once."""
    with workers(*extract.modules(settings.features), audit.__name__, pictures.__name__):
        pass


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
def settings() -> Params:
    """params.yaml as it comes."""
    return config.load(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def training(settings: Params) -> Callable[..., Training]:
    """``training(epochs=3)``: the defaults, on one thread of the CPU, with these changes."""

    def make(**changes: Any) -> Training:
        return Training.model_validate(
            {**settings.training, "accelerator": "cpu", "threads": 1, "precision": "32-true", **changes}
        )

    return make


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with nothing but params.yaml and genres.yaml, as working folder."""
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("params.yaml", "genres.yaml"):
        shutil.copy(ROOT / name, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, to be copied: making one takes more than a second."""
    from mlflow import MlflowClient

    file: Path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, which stand beside the checkout on some computers."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no real clips: {folder / 'data'} is not here")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed: made by the first worker that needs it."""
    own = tmp_path_factory.getbasetemp()
    top = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "finished"
    with FileLock(top.with_suffix(".lock")):
        if not (top / "done").exists():
            shutil.rmtree(top, ignore_errors=True)
            finish(top)
            (top / "done").touch()
    return top / "checkout"
