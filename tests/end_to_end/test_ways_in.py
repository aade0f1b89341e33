"""The champion of a finished checkout, in every way to use it."""

import base64
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import requests
from checkouts import run
from processes import PATIENCE_S, free_port, wait_until

from pipeline.base.files import read_json
from pipeline.evaluation import calibration

REGISTRY = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri("sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model("models:/soundtrack@champion")
import pipeline
assert "mlartifacts" in pipeline.__file__, "the model's own code, not the checkout's"
with open(sys.argv[1], "w") as file:
    json.dump(pd.DataFrame(model.predict(pd.DataFrame({"path": sys.argv[2:]}))).to_dict("records"), file)
"""
PLAIN = {"OPENBLAS_CORETYPE": "Prescott"} if platform.machine() in ("x86_64", "AMD64") else {}
"""OpenBLAS's plainest kernels, which all such processors have, and in whose sums the number of threads shows."""


def test_all_ways_in_give_what_evaluation_found(finished: Path, tmp_path: Path) -> None:
    """On the test part: the registry's model, the server, and `soundtrack classify`. Of all clips they give each other's
    answers to the last bit, each with a number of threads of its own.
    """
    clips, expected = _evaluated(finished)
    labels = list(expected.columns)

    environment = {"PYTHONPATH": "", "PATH": os.environ["PATH"], **PLAIN, "OMP_NUM_THREADS": "2"}
    loaded = tmp_path / "loaded.json"
    elsewhere = [sys.executable, "-c", REGISTRY, str(loaded), *clips]
    subprocess.run(elsewhere, cwd=_without_code(finished, tmp_path), env=environment, check=True)
    registered = pd.DataFrame(read_json(loaded))
    probabilities = registered[[f"p:{label}" for label in labels]].to_numpy()
    assert 3 < len(expected) < len(probabilities) == len(clips)
    np.testing.assert_allclose(probabilities[: len(expected)], expected.to_numpy(), rtol=0, atol=1e-4)

    with _served(finished, tmp_path) as address:
        songs: Any = {"dataframe_split": {"columns": ["audio"], "data": [[_base64(clip)] for clip in clips]}}
        answer = requests.post(f"{address}/invocations", json=songs, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        served = pd.DataFrame(answer.json()["predictions"])
        pd.testing.assert_frame_equal(served[registered.columns], registered, check_exact=True)
        assert set(served["verdict"]) <= {"confident", "uncertain", "out-of-distribution"}
        likeliest = np.array(labels)[probabilities.argmax(axis=1)]
        assert list(served["guess"]) == list(likeliest)
        assert list(served["label"]) == list(np.where(served["verdict"] == "confident", likeliest, ""))
        refusals: list[tuple[Any, str]] = [
            ({"columns": ["audio"], "data": [[base64.b64encode(b"no music").decode()]]}, "cannot be decoded"),
            ({"columns": ["path"], "data": [["nowhere.wav"]]}, "No such file"),
            ({"columns": ["audio", "path"], "data": [[_base64(clips[0]), clips[0]]]}, "give either audio"),
        ]
        for bad, reason in refusals:
            refused = requests.post(f"{address}/invocations", json={"dataframe_split": bad}, timeout=PATIENCE_S)
            assert refused.status_code == 400, refused.text
            assert reason in refused.text
        assert requests.get(f"{address}/ping", timeout=PATIENCE_S).status_code == 200

    (tmp_path / "text.mp3").write_text("no music")
    music = tmp_path / "songs"
    music.mkdir()
    for number, clip in enumerate([*clips, str(tmp_path / "text.mp3")]):
        shutil.copy(clip, music / f"{number:03}{Path(clip).suffix}")
    command = [sys.executable, "-m", "pipeline.cli", "classify", str(music), "--model", "champion"]
    command += ["--json", str(tmp_path / "songs.json")]
    output = run(finished, *command, variables={**PLAIN, "OMP_NUM_THREADS": "1"})
    found = read_json(tmp_path / "songs.json")["songs"]
    classified = pd.DataFrame([song["probabilities"] for song in found[:-1]])[labels]
    np.testing.assert_array_equal(classified.to_numpy(), probabilities)
    np.testing.assert_array_equal([song["distance"] for song in found[:-1]], registered["distance"])
    assert found[-1]["reason"] == "cannot be decoded: there is no audio in it"
    assert f"{len(found)} files: " in output


def _evaluated(finished: Path) -> tuple[list[str], pd.DataFrame]:
    """All files, those of the test part first, and their calibrated probabilities, as the champion's experiment was
    evaluated.
    """
    key = read_json(finished / "candidate/manifest.json")["experiment"]
    rows = pd.read_parquet(finished / "evaluation" / key / "predictions.parquet")
    rows = calibration.tempered(rows[rows["part"] == "test"]).sort_values("clip_id")
    places = pd.read_parquet(finished / "data/clips.parquet").set_index("clip_id")["path"]
    probabilities = rows[[name for name in rows if name.startswith("p:")]]
    named = probabilities.rename(columns=lambda name: name.removeprefix("p:"))
    every = [*rows["clip_id"], *places.index.difference(rows["clip_id"])]
    return [str(finished / places[clip]) for clip in every], named.reset_index(drop=True)


def _without_code(finished: Path, tmp_path: Path) -> Path:
    """A folder with the checkout's store and none of its code."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(finished / "mlflow.db", folder)
    return folder


def _base64(file: str) -> str:
    return base64.b64encode(Path(file).read_bytes()).decode()


@contextmanager
def _served(finished: Path, tmp_path: Path) -> Iterator[str]:
    """As `make serve` does, on a free port."""
    port = free_port()
    log = (tmp_path / "server.log").open("w")
    environment = {**os.environ, "PYTHONPATH": str(finished), **PLAIN, "OMP_NUM_THREADS": "4"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "serve", "--port", str(port)],
        cwd=finished,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(partial(_answers, address), server)
        yield address
    finally:
        os.killpg(server.pid, 15)
        server.wait(PATIENCE_S)
        log.close()


def _answers(address: str) -> Any:
    try:
        return requests.get(f"{address}/ping", timeout=5).ok
    except requests.RequestException:
        return False
