"""From params.yaml to a served prediction with backbones of raw sound: evaluation and every way to classify agree."""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from checkouts import make_music
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server
from networks import make_clap, make_sound
from running import audit, champion, compare, download, evaluate, features, inputs, split, train, weights

from pipeline import cli
from pipeline.base import paths
from pipeline.evaluation.temperature import at_temperature
from pipeline.serving import manifest

pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")
EXPERIMENTS: dict[str, dict[str, Any]] = {
    "wav2vec2": {
        "model": {"name": "transfer", "backbone": "wav2vec2", "frozen": True, "layers": "all", "hidden": [8]},
        "training": {"epochs": 5},
    },
    "wav2vec2-discriminant": {
        "model": {
            "name": "transfer", "backbone": "wav2vec2", "frozen": True, "layers": [1, 2], "over_time": "mean and std",
            "shrinkage": 0.9,
        },
    },
    "wav2vec2-tuned": {
        "model": {
            "name": "transfer", "backbone": "wav2vec2", "frozen": False, "unfreeze_from": "encoder.layers.1",
            "gradient_checkpointing": True,
        },
        "training": {"epochs": 2, "layer_decay": 0.8},
    },
    "clap": {"model": {"name": "zero-shot", "backbone": "clap", "prompt": ["a {label} sound", "{label}"]}},
}  # fmt: skip


CHAMPIONS = ("wav2vec2", "clap")


@pytest.fixture
def run(checkout: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with music, features and networks."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout / 'mlflow.db'}")
    (checkout / "mlflow.db").write_bytes(empty_store.read_bytes())
    make_music(checkout / paths.MUSIC, clips=6)
    make_sound(checkout / "hub" / "wav2vec2", "wav2vec2", masks=True)
    make_clap(checkout / "hub" / "clap")
    content = yaml.safe_load((checkout / "params.yaml").read_text())
    content["data"]["source"] = "folder"
    content["features"]["waveform"] = {}
    content["window"]["waveform"] = 15_000
    content["weights"] = {name: {"source": "path", "path": f"hub/{name}"} for name in ("wav2vec2", "clap")}
    content["training"] |= {"threads": 1, "accelerator": "cpu", "batch_size": 8}
    content["champion"]["min_valid_macro_f1"] = 0.0
    content |= {"leak": [], "sweeps": {}, "experiments": {}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(content))
    return checkout


def use(checkout: Path, key: str) -> None:
    content = yaml.safe_load((checkout / "params.yaml").read_text())
    content["experiments"] = {key: {"features": ["waveform"], **EXPERIMENTS[key]}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(content))


def test_evaluation_and_classification_agree(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a head on learned layers, and of text, each as the champion; a discriminant and a tuned network are evaluated too."""
    use(run, "wav2vec2")
    for stage in (download, audit, split, features):
        stage()
    for name in ("wav2vec2", "clap"):
        weights(name)
    for key in EXPERIMENTS:
        use(run, key)
        inputs()
        train(key)
        evaluate(key)
        if key not in CHAMPIONS:
            continue
        compare()
        champion()
        known = manifest.load(paths.CANDIDATE)
        answers = pd.read_parquet(paths.EVALUATION / key / "predictions.parquet")
        test = answers[answers["part"] == "test"]
        raw = test[[f"p:{label}" for label in known.labels]].to_numpy()
        expected = at_temperature(raw, known.temperature)
        assert expected.std(axis=0).max() > 1e-3, f"{key}: the clips differ"
        files = list(pd.read_parquet(paths.CLIPS).set_index("clip_id").loc[test["clip_id"], "path"])
        for way, found in {"classify": classified(monkeypatch), "serve": served(files)}.items():
            given = [[found[Path(file).name][label] for label in known.labels] for file in files]
            np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6, err_msg=f"{key}, {way}")


def classified(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, float]]:
    """Probabilities by name of the file, of the music with `soundtrack classify`."""
    command = ["soundtrack", "classify", str(paths.MUSIC), "--json", "songs.json", "--model", "champion"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    songs = json.loads(Path("songs.json").read_text())["songs"]
    return {Path(song["file"]).name: song["probabilities"] for song in songs}


def served(files: list[str]) -> dict[str, dict[str, float]]:
    """The same from the server of `soundtrack serve`."""
    model = mlflow.pyfunc.load_model("models:/soundtrack@champion")
    paths_given = {"dataframe_split": {"columns": ["path"], "data": [[str(Path(file).absolute())] for file in files]}}
    answer = TestClient(scoring_server.init(model)).post("/invocations", json=paths_given)
    return {
        Path(file).name: {name.removeprefix("p:"): value for name, value in row.items() if name.startswith("p:")}
        for file, row in zip(files, answer.json()["predictions"], strict=True)
    }
