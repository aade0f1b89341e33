"""From params.yaml to a prediction, with a backbone on filter banks: the champion computes them from audio."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from checkouts import make_music
from networks import FRAMES, make_ast
from running import features, weights
from stores import split_table

from pipeline import config
from pipeline.base.files import sha256
from pipeline.config.project import Params
from pipeline.data import clips
from pipeline.evaluation.temperature import at_temperature
from pipeline.models.exported import Exported
from pipeline.serving import manifest
from pipeline.serving.predictor import Predictor
from pipeline.training import no_callback, splits
from pipeline.training.dataset import averaged
from pipeline.training.single import save, train_single

pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")
TRANSFER = {
    "features": ["fbank"],
    "model": {"name": "transfer", "backbone": "ast", "frozen": True, "shrinkage": 0.9, "hidden": [], "dropout": 0.0},
}


def configured(checkout: Path) -> Params:
    content = yaml.safe_load((checkout / "params.yaml").read_text())
    content["features"]["fbank"] = {}
    content["window"]["fbank"] = FRAMES
    content["weights"] = {"ast": {"source": "path", "path": "hub/ast"}}
    content["training"] |= {"threads": 1, "accelerator": "cpu"}
    content |= {"experiments": {"transfer-ast": TRANSFER}, "leak": [], "sweeps": {}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(content))
    return config.load()


def listed() -> pd.DataFrame:
    """The clips table that the audit would write."""
    files = sorted(Path("music").rglob("*.wav"))
    fixed = {"source": "folder", "status": "ok", "reason": "", "origin": "", "licence": ""}
    table = pd.DataFrame(
        {
            "clip_id": [file.as_posix() for file in files],
            "path": [file.as_posix() for file in files],
            "sha256": [sha256(file) for file in files],
            "label": [file.parent.name for file in files],
            "group": [file.as_posix() for file in files],
        }
    ).assign(**fixed, duration_s=2.0, sample_rate=22050)
    clips.write(table)
    return clips.read()


def test_a_champion_predicts_as_it_was_evaluated(checkout: Path, bundle: Path) -> None:
    make_ast(checkout / "hub" / "ast")
    make_music(checkout / "music", clips=6)
    settings, table = configured(checkout), listed()
    weights("ast")
    features()
    part = ["train", "train", "train", "valid", "valid", "test"] * 3
    split = split_table(table["clip_id"], part)
    experiment = settings.experiments["transfer-ast"]
    data = splits.load(experiment, settings.window, table, split, 0)
    net, _ = train_single(experiment, data, 7, checkout / "work", checkout / "cached", no_callback)
    save(net, data, bundle / manifest.GRAPH)
    change(
        bundle,
        kinds=["fbank"],
        features=settings.features.model_dump(),
        window=settings.window.model_dump(),
        labels=data.labels,
    )

    windows, test = data.windows["test"], data.clips["test"]
    assert len(windows.even(FRAMES)) == 4 * len(test), "a clip has several windows"
    run = Exported(bundle / manifest.GRAPH, 1)
    expected = at_temperature(averaged(run, windows.batches(32), 3, 3), 2.0)
    assert list(expected.argmax(axis=1)) == [data.labels.index(label) for label in test["label"]]
    predictor = Predictor(bundle)
    found = [predictor(Path(path)).probabilities for path in test["path"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def change(bundle: Path, **values: object) -> None:
    file = bundle / manifest.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
