"""Killed at any moment, a stage leaves nothing that is taken for whole, and goes on to what it would have been."""

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from processes import PATIENCE_S, ROOT, kill_at
from running import compare, evaluate, train

from pipeline.base import paths
from pipeline.base.errors import reported
from pipeline.base.files import read_json, remove, write_text

Setup = Callable[..., None]
MLP = {"name": "mlp", "hidden": [32], "dropout": 0.2}
EPOCHS = 25


def stage(name: str, *arguments: str, **environment: str) -> None:
    """As DVC runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.stages", name, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr


def outputs(key: str) -> dict[str, bytes]:
    """What the stages leave, but for the times and ids of a run."""
    (trial,) = (path for path in (paths.MODELS / key).iterdir() if path.is_dir())
    return {
        "model": (trial / "model.onnx").read_bytes(),
        "history": (paths.HISTORY / f"{key}.csv").read_bytes(),
        "predictions": (paths.EVALUATION / key / "predictions.parquet").read_bytes(),
        "metrics": (paths.METRICS / f"{key}.json").read_bytes(),
    }


def curve(store: str, run_id: str) -> list[int]:
    """The steps of a curve in the store, each as often as it was logged."""
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        query = "select step from metrics where run_uuid = ? and key = 'train/loss' order by step"
        return [step for (step,) in database.execute(query, (run_id,))]


def test_training_and_evaluation_killed_at_several_points(setup: Setup, checkout: Path, tracking_store: str) -> None:
    setup(
        experiments={"mlp": {"features": ["tabular"], "model": MLP, "training": {"epochs": EPOCHS, "patience": None}}}
    )
    train("mlp")
    evaluate("mlp")
    expected = outputs("mlp")
    for folder in (paths.MODELS, paths.HISTORY, paths.EVALUATION, paths.METRICS, paths.cache()):
        remove(folder)

    # each time 11 epochs are kept, then the last ones; then it is exported and not yet delivered
    for moment, number, kept in (
        ("last.ckpt", 12, 11),
        ("last.ckpt", 12, 22),
        (".result.partial/spec.json", 1, EPOCHS),
    ):
        kill_at(moment, number, "pipeline.stages", "train", "mlp")
        (last,) = (checkout / ".cache").rglob("last.ckpt")
        assert torch.load(last, weights_only=True)["epoch"] == kept - 1
        assert not paths.MODELS.exists()
        assert not paths.HISTORY.exists()
    assert any((checkout / ".cache").rglob("model.onnx"))
    begun = read_json(next((checkout / ".cache").rglob("run.json")))["run_id"]
    stage("train", "mlp", OMP_NUM_THREADS="3")
    assert read_json(paths.MODELS / "mlp/run.json")["run_id"] == begun
    assert curve(tracking_store, begun) == list(range(EPOCHS)), "each epoch once, in one run"

    kill_at(".mlp.partial/per_class.csv", 1, "pipeline.stages", "evaluate", "mlp")
    assert (paths.EVALUATION / ".mlp.partial/predictions.parquet").exists()
    assert not (paths.EVALUATION / "mlp").exists()
    assert not paths.METRICS.exists()
    evaluate("mlp")
    assert outputs("mlp") == expected, "bit for bit, whatever the environment says of threads"
    assert not any((checkout / ".cache/train").iterdir()), "what is done leaves no partial work"


def test_a_comparison_killed_half_way_is_made_again(setup: Setup) -> None:
    setup(leak=[])
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["experiments"] = {"majority": content["experiments"]["majority"]}
    paths.PARAMS.write_text(yaml.safe_dump(content))
    write_text(paths.AUDIT, "# Audit\n")
    train("majority")
    evaluate("majority")
    compare()
    expected = {file.name: file.read_bytes() for file in paths.REPORTS.rglob("*.*") if file.is_file()}
    assert {"comparison.html", "comparison.md", "scores.png", "per-class.png"} <= set(expected)
    for file in paths.REPORTS.glob("comparison.*"):
        remove(file)
    remove(paths.REPORTS / "figures")

    kill_at(".figures.partial/reliability.png", 1, "pipeline.stages", "compare")
    assert (paths.REPORTS / ".figures.partial/scores.png").exists()
    left = {path.name for path in paths.REPORTS.iterdir()}
    assert left == {paths.AUDIT.name, "models", paths.CHOICE.name, ".figures.partial"}
    compare()
    assert {file.name: file.read_bytes() for file in paths.REPORTS.rglob("*.*") if file.is_file()} == expected


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_an_error_in_words_and_costs_no_earlier_output(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup(experiments={"mlp": {"features": ["tabular"], "model": MLP, "training": {"epochs": 2}}})
    train("mlp")
    evaluate("mlp")
    before = outputs("mlp")
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(SystemExit, match="error: no space left"), reported():
        evaluate("mlp")
    assert outputs("mlp") == before
    assert {path.name for path in paths.EVALUATION.iterdir()} == {"mlp"}


def test_the_same_twice_and_another_seed(setup: Setup) -> None:
    """Features, split and params being equal, so are metrics and predictions; with another seed they are others."""
    found = []
    for seed in (7, 7, 8):
        setup(seed=seed, experiments={"mlp": {"features": ["tabular"], "model": MLP, "training": {"epochs": 3}}})
        train("mlp")
        evaluate("mlp")
        table = pd.read_parquet(paths.SPLIT)
        found.append({**outputs("mlp"), "split": table.to_csv().encode()})
    assert found[0] == found[1]
    assert all(found[0][name] != found[2][name] for name in found[0])
