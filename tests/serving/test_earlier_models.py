"""A model that was registered before bundles had a manifest (interface 0) is used by the commands of today.

``fixtures/model-before-1.0.zip`` is MLflow's folder of such a model: logistic regression on the tabular features of
``checkouts.make_music``, with 8 clips a label. It has its own code, whose modules have other names.
"""

import http.client
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from checkouts import CHORDS, environment, make_music, run
from processes import PATIENCE_S, free_port, wait_until

from pipeline import config
from pipeline.base.files import read_json, sha256
from pipeline.serving import manifest, promotion
from pipeline.serving.bundle import Candidate
from pipeline.tracking import registry
from pipeline.tracking.registry import Registered
from pipeline.training.trials import Trial

MODEL = Path(__file__).parents[1] / "fixtures/model-before-1.0.zip"
ROOT = Path(__file__).parents[2]
OLD_CLIPS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    folder = tmp_path_factory.mktemp("earlier")
    with zipfile.ZipFile(MODEL) as archive:
        archive.extractall(folder)
    return Registered("1", folder, "models:/soundtrack/1")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips a label more than the model has seen."""
    folder = tmp_path_factory.mktemp("music") / "music"
    make_music(folder, OLD_CLIPS + 2)
    return folder


def new(music: Path) -> list[Path]:
    return sorted(file for file in music.rglob("*.wav") if int(file.stem.split()[1]) >= OLD_CLIPS)


def test_its_summary_has_the_keys_of_today(model: Registered) -> None:
    found = manifest.summary(model.bundle)
    old = read_json(model.bundle / "about.json")
    assert found.interface == manifest.OLD_INTERFACE
    assert found.labels == sorted(CHORDS)
    assert (found.confidence_threshold, found.target_precision) == (old["sure"], old["precision"])
    assert found.ood_threshold == old["familiar"]


CLASSIFY = [sys.executable, "-m", "pipeline.cli", "classify", "songs", "--json", "songs.json", "--model"]
HERE = {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def classified(model: Registered, music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `soundtrack classify` wrote ``songs.json``."""
    folder = tmp_path_factory.mktemp("classified")
    (folder / "songs").mkdir()
    for file in new(music):
        shutil.copy(file, folder / "songs")
    (folder / "songs/text.mp3").write_text("not audio")
    (folder / "shown.txt").write_text(run(folder, *CLASSIFY, str(model.folder), variables=HERE))
    return folder


def test_it_classifies_a_folder(classified: Path, model: Registered, music: Path) -> None:
    *songs, text = read_json(classified / "songs.json")["songs"]
    assert "cannot be decoded" in text["reason"]
    shown = (classified / "shown.txt").read_text()
    assert f"{len(songs) + 1} files: " in shown
    assert f"Model: {model.folder} (logreg), {len(songs) + 1} songs." in shown
    assert [song["guess"] for song in songs] == [file.parent.name for file in new(music)]
    assert {song["verdict"] for song in songs} <= {"confident", "uncertain", "out-of-distribution"}
    confident = [song["verdict"] == "confident" for song in songs]
    assert [bool(song["label"]) for song in songs] == confident
    run(classified, *CLASSIFY, str(model.folder), "--precision", "0.1", variables=HERE)
    *again, _ = read_json(classified / "songs.json")["songs"]
    assert sum(song["verdict"] == "confident" for song in again) >= sum(confident)
    assert [song["probabilities"] for song in again] == [song["probabilities"] for song in songs]


@pytest.mark.parametrize("command", ["serve", "page"])
def test_it_is_served(command: str, model: Registered, music: Path, classified: Path, tmp_path: Path) -> None:
    song = new(music)[0]
    expected = read_json(classified / "songs.json")["songs"][0]
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", command, "--model", str(model.folder), "--port", str(port)],
        cwd=tmp_path,
        env=environment(ROOT),
        text=True,
    )
    try:
        wait_until(partial(answers, port), server)
        if command == "serve":
            songs = {"dataframe_split": {"columns": ["path"], "data": [[str(song)]]}}
            answer = ask(port, "/invocations", json.dumps(songs).encode())["predictions"][0]
            probabilities = {label: answer[f"p:{label}"] for label in CHORDS}
        else:
            answer = ask(port, "/classify", song.read_bytes())
            probabilities = dict(answer["ranking"])
        assert answer["guess"] == song.parent.name
        assert probabilities == pytest.approx(expected["probabilities"], abs=1e-6)
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False


def ask(port: int, path: str, body: bytes) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    found: dict[str, Any] = json.loads(response.read())
    assert response.status == 200, found
    return found


@pytest.fixture
def champion(model: Registered, checkout: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a registered model in a store of its own, with the earlier model as version 1 and champion."""
    (checkout / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{checkout}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{checkout}/mlflow.db")
    name = "earlier"
    client = mlflow.MlflowClient()
    client.create_registered_model(name)
    version = client.create_model_version(name, source=str(model.folder), run_id=None).version
    client.set_registered_model_alias(name, registry.ALIAS, version)
    return name


@pytest.fixture
def candidate(music: Path) -> Callable[[float], Candidate]:
    """``candidate(0.5)``: right on this share of all clips of ``music``, as its validation set."""

    def make(right: float) -> Candidate:
        files = sorted(music.rglob("*.wav"))
        labels = np.array([file.parent.name for file in files])
        rng = np.random.default_rng(3)
        wrong = np.roll(sorted(CHORDS), 1)[np.searchsorted(sorted(CHORDS), labels)]
        clips = pd.DataFrame(
            {
                "clip_id": [file.name for file in files],
                "path": [str(file) for file in files],
                "sha256": [sha256(file) for file in files],
                "group": [file.name for file in files],
                "label": labels,
                "part": "valid",
                "fold": 0,
                "seed": 7,
            }
        )
        guesses = np.where(rng.random(len(files)) < right, labels, wrong)
        named = {f"p:{label}": 1 / 3 for label in CHORDS}
        return Candidate("logreg", Trial(0, 7), clips.assign(predicted=guesses, **named), clips, [clips])

    return make


def test_it_defends_its_place_at_the_gate(champion: str, candidate: Callable[[float], Candidate], music: Path) -> None:
    """On the clips that it was not trained on; those that it has never seen are given to its own code."""
    present = registry.champion(champion)
    assert present is not None
    assert present.version == "1"
    refused = promotion.gate(candidate(0.4), present, config.load())
    assert not refused.passed
    seen = pd.read_parquet(present.bundle / manifest.SEEN)
    compared = len(list(music.rglob("*.wav"))) - int((seen["part"] == "train").sum())
    assert "the champion is better by" in refused.reason
    assert f"on {compared} clips" in refused.reason
    assert compared > int((seen["part"] == "valid").sum())
