"""Requests to MLflow's server of the model: many songs, too little time, and nobody who waits for the answer."""

import base64
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, Schema
from processes import wait_until

from pipeline.serving.predictor import Predictor
from pipeline.tracking.registry import CODE

LIMIT = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"


@pytest.fixture
def model(bundle: Path, tmp_path: Path) -> Any:
    """The model as it is registered, without its copy of the code."""
    schema = Schema([ColSpec("binary", "audio", required=False), ColSpec("string", "path", required=False)])
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=str(CODE / "serving/pyfunc.py"),
        artifacts={"bundle": str(bundle)},
        signature=mlflow.models.ModelSignature(schema),
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(tmp_path / "model"))


def by_path(*songs: Path) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["path"], "data": [[str(song)] for song in songs]}}


def rows(song: Path) -> pd.DataFrame:
    return pd.DataFrame({"path": [str(song)]})


def answered(model: Any, body: dict[str, Any]) -> Any:
    return TestClient(scoring_server.init(model)).post("/invocations", json=body)


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Starts of the segments that were predicted."""
    starts: list[float] = []
    whole = Predictor.predict_segment

    def noted(self: Predictor, segment: Any, sound: Any) -> Any:
        starts.append(segment.start_s)
        return whole(self, segment, sound)

    monkeypatch.setattr(Predictor, "predict_segment", noted)
    return starts


def test_a_request_that_runs_out_of_time_says_so_and_goes_on_when_it_is_sent_again(
    model: Any, song: Callable[..., Path], predicted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    songs = [song("low", f"{number}.wav", 2.0, number) for number in range(3)]
    monkeypatch.setenv(LIMIT, "100")
    seconds = iter(range(0, 10_000, 40))  # each look at the clock is 40 s later
    code = sys.modules[type(model.unwrap_python_model()).__module__]
    monkeypatch.setattr(code, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    late = answered(model, by_path(*songs))
    assert late.status_code == 504
    assert "the request's time is over in song 2. The songs before are kept: send the request again" in late.text
    assert len(predicted) == 3
    again = answered(model, by_path(*songs))
    assert again.status_code == 200
    assert [row["guess"] for row in again.json()["predictions"]] == ["low"] * 3
    assert len(predicted) == 4, "of the song that was not done"


def test_a_song_is_asked_for_again_by_its_content(
    model: Any, song: Callable[..., Path], predicted: list[float]
) -> None:
    low, high = song("low", "a.wav").read_bytes(), song("high", "b.wav").read_bytes()

    def guesses(*songs: bytes) -> list[str]:
        coded = [[base64.b64encode(one).decode()] for one in songs]
        found = answered(model, {"dataframe_split": {"columns": ["audio"], "data": coded}})
        return [row["guess"] for row in found.json()["predictions"]]

    assert guesses(low, high, low) == ["low", "high", "low"]
    assert guesses(high) == ["high"]
    assert len(predicted) == 2


def test_a_request_that_nobody_waits_for_does_not_hold_up_another(
    model: Any, song: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of both come in turn: the other's single one is not behind the ten of a long song."""
    long, short = song("low", "long.wav", 20.0), song("high", "short.wav")
    turns = model.unwrap_python_model().turns
    submit, whole = turns.submit, Predictor.predict_segment
    submitted: list[Any] = []
    order: list[bool] = []
    others: list[threading.Thread] = []

    def asked(step: Any) -> Any:
        submitted.append(step)
        return submit(step)

    def noted(self: Predictor, segment: Any, sound: Any) -> Any:
        order.append(len(order) > 0 and segment.start_s == 0)
        if not others:
            others.append(threading.Thread(target=model.predict, args=(rows(short),)))
            others[0].start()
            wait_until(lambda: len(submitted) == 2)
        return whole(self, segment, sound)

    monkeypatch.setattr(turns, "submit", asked)
    monkeypatch.setattr(Predictor, "predict_segment", noted)
    model.predict(rows(long))
    others[0].join()
    assert order == [False, True, *[False] * 9], "the other's comes next"
