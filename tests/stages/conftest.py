"""Checkouts up to the stage `inputs`, on a small table of features made up for them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from running import split
from stores import write_store

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import write_json
from pipeline.data import clips

LABELS = ("jazz", "polka", "rock")
GROUPS = 9
"""Of each label, with three clips each."""
SPECTROGRAM = {
    "windowed": True,
    "sample_rate": 22050,
    "params": {"hop_length": 512},
    "silence_db": -80.0,
    "bands": "mel",
}
Setup = Callable[..., None]


@pytest.fixture(scope="module")
def tracking_store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_store, tmp_path_factory.mktemp('mlflow'))}"


@pytest.fixture
def setup(checkout: Path, tracking_store: str, monkeypatch: pytest.MonkeyPatch) -> Setup:
    """``setup(experiments, seeds=[1, 2])``: a checkout up to the stage `inputs`, with these params."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_store)

    def make(**sections: Any) -> None:
        content = yaml.safe_load((checkout / "params.yaml").read_text())
        for key in ("cnn", "transfer", "multimodal"):
            content["experiments"].pop(key, None)
        content["experiments"]["mlp"]["training"] = {"epochs": 3}
        content["split"]["folds"] = 1  # one training of each; tests of folds ask for them
        content["training"] |= {"batch_size": 16, "threads": 1, "accelerator": "cpu"}
        content["tracking"]["experiment"] = checkout.parent.name
        content["sweeps"] = {}
        for name, values in sections.items():
            content[name] = content[name] | values if isinstance(values, dict) else values
        (checkout / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        settings = config.load()
        clips.write(a_table())
        good = clips.good(clips.read())
        split()
        features(good)
        for key in settings.experiments:
            write_json(paths.INPUTS / f"{key}.json", {})

    return make


def a_table() -> pd.DataFrame:
    rows = [
        {
            "label": label,
            "group": f"{label} {group}",
            "clip_id": f"{label}/{group}-{clip}.wav",
            "sha256": f"of {label}/{group}-{clip}",
        }
        for label in LABELS
        for group in range(GROUPS)
        for clip in range(3)
    ]
    fixed = {"path": "", "source": "folder", "status": "ok", "reason": "", "origin": "", "licence": ""}
    return pd.DataFrame(rows).assign(**fixed, duration_s=1.0, sample_rate=22050)


def features(good: pd.DataFrame) -> None:
    """Columns that say a little of the label and much of the group: what a model overfits to under a leaky split."""
    rng = np.random.default_rng(5)
    own = {group: rng.normal(0, 3, 8) for group in sorted(good["group"].unique())}
    label = {name: rng.normal(0, 1, 8) for name in LABELS}
    rows = [
        (label[row.label] + own[row.group] + rng.normal(0, 0.3, 8)).astype(np.float32)[None]
        for row in good.itertuples()
    ]
    spec = {"windowed": False, "columns": [f"c{number}" for number in range(8)]}
    names = list(good["clip_id"])
    for kind in ("tabular", "timbre"):
        write_store(paths.FEATURES / kind, names, rows, "float32", spec)
    # what a model's page shows of each clip
    write_store(paths.FEATURES / "spectrogram", names, (np.zeros((9, 4)) for _ in names), "float16", SPECTROGRAM)
