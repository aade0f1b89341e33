"""The tutorial's stages on a small made-up data set: its protocol, its run in MLflow, its page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from running import evaluate, train
from stores import write_store

from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.config.base import ParamsError
from pipeline.data import clips
from pipeline.training.trainer import History
from tutorial.config import load
from tutorial.paths import METRICS, PARAMS, REPORT, RESULTS
from tutorial.split import first_to_train
from tutorial.stages.report import report
from tutorial.stages.train import SPENT
from tutorial.stages.train import train as their_train

Setup = Callable[..., None]
EPOCHS = 4
CNN = {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "compact", "dropout": 0.1}}
THEIRS: dict[str, dict[str, Any]] = {
    "cnn": {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "tutorial", "dropout": 0.1}},
    "multimodal": {
        "features": ["spectrogram", "wavelet"],
        "model": {"name": "multimodal", "arch": "tutorial", "dropout": 0.1},
    },
}
FRAMES = 32


@pytest.fixture
def made(setup: Setup) -> None:
    """Two of the tutorial's models, and the experiments that they are set beside."""
    of_epochs = {"epochs": EPOCHS, "patience": None, "monitor": None}
    setup(experiments={key: {**CNN, "training": {"epochs": 2}} for key in THEIRS}, window={"frames": FRAMES})
    write_params(training=of_epochs, experiments=THEIRS)
    rng = np.random.default_rng(3)
    spec = {"windowed": True, "silence_db": -80.0, "bands": "mel", "sample_rate": 22050, "params": {"hop_length": 512}}
    names = list(clips.good(clips.read())["clip_id"])
    for kind in ("spectrogram", "wavelet"):
        rows = (rng.normal(-40, 9, (FRAMES + 4, 32)).astype(np.float32) for _ in names)
        write_store(paths.FEATURES / kind, names, rows, "float16", spec)


def write_params(**sections: Any) -> None:
    PARAMS.parent.mkdir(exist_ok=True)
    PARAMS.write_text(yaml.safe_dump(sections))


def runs() -> pd.DataFrame:
    table: pd.DataFrame = mlflow.search_runs(experiment_names=[Path.cwd().parent.name])
    return table.set_index("tags.mlflow.runName")


@pytest.mark.usefixtures("made")
def test_a_model_of_the_tutorials_is_trained_by_its_protocol() -> None:
    their_train(load(), "multimodal")
    folder = RESULTS / "multimodal"
    answers, history = pd.read_parquet(folder / "predictions.parquet"), pd.read_csv(folder / "history.csv")
    rows = first_to_train(clips.good(clips.read()))
    assert sorted(answers["clip_id"]) == sorted(rows.query("part == 'test'")["clip_id"])
    assert list(history["epoch"]) == list(range(EPOCHS))
    assert (history["valid_accuracy"].iloc[-1] * len(answers)) % 1 == pytest.approx(0, abs=1e-4)
    right = (answers["label"] == answers["predicted"]).mean()
    assert history["valid_accuracy"].iloc[-1] == pytest.approx(right), "the curve is that of the test clips"
    trained_on = clips.read().merge(rows.query("part == 'train'"), on="clip_id")["group"]
    assert (answers["seen"] == answers["group"].isin(trained_on)).all()
    assert answers["seen"].nunique() == 2
    assert read_json(folder / "training.json")["train_seconds"] > 0
    assert not any((paths.cache() / "tutorial").iterdir()), "what is done leaves no partial work"


@pytest.mark.usefixtures("made")
def test_its_run_is_marked_and_its_scores_have_names_of_their_own() -> None:
    their_train(load(), "cnn")
    run = runs().loc["tutorial cnn"]
    assert "in several parts" in run["tags.leaky"]
    assert run["tags.split.protocol"] == "first-to-train"
    named = {name.removeprefix("metrics.") for name in run.dropna().index if name.startswith("metrics.")}
    assert "tutorial/valid_loss" in named
    assert all(name.startswith("tutorial/") for name in named)


@pytest.mark.usefixtures("made")
def test_an_interrupted_training_goes_on_in_its_run_and_ends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    their_train(load(), "cnn")
    expected = (RESULTS / "cnn/history.csv").read_bytes()
    ended = History.on_train_epoch_end

    def cut(self: History, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt
        ended(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(History, "on_train_epoch_end", cut)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            their_train(load(), "cnn")
    (seconds,) = (paths.cache() / "tutorial").rglob(SPENT)
    before = read_json(seconds)
    their_train(load(), "cnn")
    assert (RESULTS / "cnn/history.csv").read_bytes() == expected
    assert len(runs()) == 2, "the interrupted one went on"
    assert read_json(RESULTS / "cnn/training.json")["train_seconds"] >= round(before, 1)


@pytest.mark.usefixtures("made")
def test_the_page_is_written_and_logged_to_mlflow() -> None:
    for key in THEIRS:
        train(key)
        evaluate(key)
        their_train(load(), key)
    report(load())
    page = REPORT.read_text()
    assert ">multimodal, tutorial</th>" in page
    assert ">multimodal, here</th>" in page
    assert "all clips of one artist, recording or piece stay in the same part" in page
    found = read_json(METRICS)
    honest = read_json(paths.METRICS / "cnn.json")["test_macro_f1"]
    assert found["tutorial_cnn_honest_macro_f1"] == pytest.approx(honest)
    run = runs().loc["tutorial"]
    assert run["metrics.tutorial_cnn_macro_f1"] == pytest.approx(found["tutorial_cnn_macro_f1"])
    assert "in several parts" in run["tags.leaky"]


@pytest.mark.usefixtures("made")
def test_a_model_that_is_not_there_is_named_with_the_one_meant() -> None:
    with pytest.raises(ParamsError, match=r"experiments\.cnm is not in tutorial/params\.yaml.*did you mean 'cnn'"):
        their_train(load(), "cnm")
    write_params(experiments={})
    with pytest.raises(ParamsError, match="no experiments to report on"):
        report(load())
