"""A small bundle: three labels that differ in pitch, and a graph over the tabular columns that classifies them."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import soundfile

from pipeline.base.files import write_json
from pipeline.config.project import Params
from pipeline.features import tabular
from pipeline.features.sound import Sound
from pipeline.features.tabular import NAMES
from pipeline.serving import manifest
from pipeline.serving.manifest import Manifest
from pipeline.serving.ood import OodDetector, row
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered

RATE = 22050
SECONDS = 2.0
LABELS = {"low": 110.0, "middle": 660.0, "high": 2600.0}
GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
pitch (float[batch, 57] tabular) => (float[batch, 3] probabilities)
{{
    column = Constant <value_int = {column}> ()
    centroid = Gather <axis = 1> (tabular, column)
    rows = Unsqueeze (centroid, axis)
    far = Sub (rows, pitches)
    squared = Mul (far, far)
    scaled = Mul (squared, minus)
    probabilities = Softmax <axis = 1> (scaled)
}}
"""


def chord(hertz: float, seconds: float, seed: int) -> np.ndarray:
    """A tone with overtones and a little noise, of its own for each seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * hertz * rng.uniform(0.97, 1.03) * k * time) / k for k in (1, 2, 3))
    return (0.1 * tone * (1 + 0.3 * np.sin(2 * np.pi * 3 * time)) + rng.normal(0, 0.005, len(time))).astype(np.float32)


@pytest.fixture
def song(tmp_path: Path) -> Callable[..., Path]:
    """``song("low", "a.wav", seconds=2.0, seed=0)``: a file of that label's pitch."""

    def make(label: str, name: str, seconds: float = SECONDS, seed: int = 0) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, chord(LABELS[label], seconds, seed), RATE)
        return file

    return make


def known_of(settings: Params, **changes: Any) -> Manifest:
    """The manifest of a model on the tabular columns, with these changes."""
    values = {
        "interface": manifest.INTERFACE,
        "experiment": "pitch",
        "run_id": "0" * 32,
        "source": "folder",
        "synthesised": False,
        "test_accuracy": 0.5,
        "examples": [],
        "labels": list(LABELS),
        "kinds": ["tabular"],
        "features": settings.features,
        "window": settings.window,
        "batch_size": 4,
        "audit": settings.audit,
        "longest_s": SECONDS,
        "temperature": 2.0,
        "confidence_threshold": 0.5,
        "target_precision": 0.8,
        "coverage": 0.9,
        "ood_threshold": 3.0,
    }
    return Manifest.model_validate(values | changes)


@pytest.fixture(scope="session")
def known(settings: Params) -> Callable[..., Manifest]:
    """``known(labels=["a", "b"], ood_threshold=9.0)``: as :func:`known_of`."""
    return partial(known_of, settings)


@pytest.fixture(scope="session")
def _bundle(settings: Params, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(settings, tmp_path_factory.mktemp("models") / "bundle")


def make(settings: Params, folder: Path) -> Path:
    """The bundle, in a new folder."""
    folder.mkdir(parents=True)
    sounds = [Sound(chord(hertz, SECONDS, 100 + seed), RATE) for hertz in LABELS.values() for seed in range(8)]
    rows = np.concatenate([tabular.compute(sound, settings.features.tabular) for sound in sounds])
    column = NAMES.index("spectral_centroid_mean")
    pitches = rows[:, column].reshape(3, 8).mean(axis=1)
    graph = onnx.parser.parse_model(GRAPH.format(column=column))
    for name, values in (
        ("axis", np.array([1], np.int64)),
        ("pitches", pitches[None].astype(np.float32)),
        ("minus", np.array(-2.0 / pitches.std() ** 2, np.float32)),
    ):
        graph.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.checker.check_model(graph)
    onnx.save(graph, folder / manifest.GRAPH)
    OodDetector.fit(np.concatenate([row(sound, settings.features) for sound in sounds])).save(folder / manifest.OOD)
    write_json(folder / manifest.FILE, known_of(settings).model_dump())
    return folder


@pytest.fixture
def bundle(_bundle: Path, tmp_path: Path) -> Path:
    """The model's folder, a copy to change."""
    return Path(shutil.copytree(_bundle, tmp_path / "bundle"))


@pytest.fixture
def model(bundle: Path, tmp_path: Path) -> Registered:
    return registered(bundle, tmp_path / "model")


def registered(bundle: Path, folder: Path) -> Registered:
    """The bundle as MLflow keeps it, with the code of this checkout."""
    shutil.copytree(bundle, folder / "artifacts" / registry.BUNDLE)
    (folder / "MLmodel").write_text("one")
    (folder / "code").mkdir()
    (folder / "code/pipeline").symlink_to(registry.CODE)
    return Registered("1", folder, "models:/soundtrack/1")
