"""The stage `inputs` leaves all that training asks of an experiment's frozen backbones."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkouts import make_backbone
from processes import ROOT
from running import inputs, train
from stores import write_store

from pipeline.base import paths
from pipeline.base.files import remove, sha256
from pipeline.data import clips
from pipeline.features.store import Store
from pipeline.models import transfer
from pipeline.training import embeddings
from pipeline.workflow import cache_key, dependencies

BANDS = 32
FROZEN = {"name": "transfer", "backbone": "mobilenet_v2", "frozen": True, "hidden": [], "dropout": 0.0}
EXPERIMENTS: dict[str, Any] = {
    "table": {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}},
    "transfer": {"features": ["spectrogram"], "model": FROZEN, "training": {"epochs": 1}},
    "members": {"features": ["spectrogram"], "model": {**FROZEN, "shrinkage": 0.9}, "training": {"ensemble_size": 3}},
    "fusion": {
        "features": ["tabular", "spectrogram"],
        "model": {
            "name": "fusion",
            "branches": {
                "table": {"features": ["tabular"], "model": {"name": "lda", "shrinkage": 0.5}},
                "image": {"features": ["spectrogram"], "model": {**FROZEN, "shrinkage": 0.9}},
            },
        },
    },
}


@pytest.fixture
def checkout(checkout: Path, setup: Any) -> Path:
    make_backbone(paths.WEIGHTS / "mobilenet_v2")
    setup(experiments=EXPERIMENTS, leak=[], window={"frames": 16})
    rng = np.random.default_rng(3)
    ids = list(clips.good(clips.read())["clip_id"])
    rows = (rng.uniform(-80, 0, (rng.integers(10, 50), BANDS)).astype(np.float16) for _ in ids)
    write_store(paths.FEATURES / "spectrogram", ids, rows, "float16", {"windowed": True, "silence_db": -80.0})
    paths.FAILED.write_text("clip_id,reason\n")
    return checkout


def test_an_experiment_without_frozen_backbones_has_none(checkout: Path) -> None:  # noqa: ARG001
    inputs()
    assert not (paths.EMBEDDINGS / "table").exists()


@pytest.mark.parametrize(("key", "branch"), [("transfer", "0"), ("members", "0"), ("fusion", "1")])
def test_training_runs_no_backbone_that_has_run(
    checkout: Path,  # noqa: ARG001
    key: str,
    branch: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where `dvc pull` has fetched the embeddings; also with an ensemble, whose members predict valid."""
    inputs()
    assert [store.name for store in (paths.EMBEDDINGS / key).glob("*/*")] == ["mobilenet_v2"]
    packed = Store(paths.EMBEDDINGS / key / branch / "mobilenet_v2")
    assert packed.spec["shape"][1] == packed.spec["width"]
    monkeypatch.setattr(paths, "cache", lambda: Path("nothing/known"))

    def runs(*_: Any) -> None:
        raise AssertionError("the backbone ran")

    monkeypatch.setattr(embeddings, "_on_cpu", runs)
    train(key)
    assert (paths.MODELS / key / "fold0-seed7" / "model.onnx").exists()


def packed() -> set[str]:
    return {folder.name for folder in (paths.cache() / "packed").iterdir()}


def test_embeddings_are_packed_once(checkout: Path) -> None:  # noqa: ARG001
    inputs()
    before = packed()
    inputs()
    assert packed() == before


def test_the_backbone_is_read_for_new_audio_alone(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """With a label corrected, or a clip gone, the stores are the same as where nothing was known."""
    read: list[object] = []
    load_backbones = transfer.load_backbones

    def counted(*given: Any) -> Any:
        read.append(given)
        return load_backbones(*given)

    monkeypatch.setattr(transfer, "load_backbones", counted)

    def stores() -> list[str]:
        inputs()
        return [Store(file.parent).spec["digest"] for file in sorted(paths.EMBEDDINGS.glob("*/*/*/spec.json"))]

    stores()
    first, table = len(read), clips.read()
    relabelled, gone = table.assign(label=list(table["label"])[::-1]), table.iloc[1:]
    for changed in (relabelled, gone):
        clips.write(changed)
        known = stores()
        assert len(read) == first
        with monkeypatch.context() as patch:
            patch.setattr(paths, "cache", lambda: Path("nothing/known"))
            assert stores() == known
        del read[first:]
    remove(paths.FEATURES / "spectrogram")
    ids = list(clips.good(clips.read())["clip_id"])
    rows = (np.full((30, BANDS), -number, np.float16) for number in range(len(ids)))
    write_store(paths.FEATURES / "spectrogram", ids, rows, "float16", {"windowed": True, "silence_db": -80.0})
    stores()
    assert len(read) > first, "of this audio nothing was known"


def test_other_code_or_another_library_packs_embeddings_anew(
    checkout: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs()
    before = packed()
    monkeypatch.setattr(cache_key, "version", lambda name: "99" if name == "onnxruntime" else version(name))
    inputs()
    upgraded = packed()
    assert len(upgraded) == 2 * len(before)
    changed = ROOT / "pipeline/training/embeddings.py"
    monkeypatch.setattr(dependencies, "sha256", lambda file: "other" if file == changed else sha256(file))
    inputs()
    assert len(packed()) == 3 * len(before)
