"""The real `dvc repro` on a tiny data set: what runs, what is skipped, and what reaches MLflow."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from checkouts import NOTHING, edit_params, ran, run, runs
from documented import Typed

from pipeline.base import paths


def test_every_model_is_in_the_report_and_in_mlflow(finished: Path) -> None:
    experiments = yaml.safe_load((finished / "params.yaml").read_text())["experiments"]
    found = runs(finished).set_index("name")
    assert set(found.index) == {*experiments, "leak", "leak logreg", "comparison"}
    assert (found["status"] == "FINISHED").all()
    assert set(found["git.dirty"].drop("leak")) == {"false"}, "what the pipeline itself writes makes no run dirty"
    page = (finished / "reports/comparison.html").read_text()
    text = (finished / "reports/comparison.md").read_text()
    for key in experiments:
        assert key in page
        assert f"| {key} |" in text
        scores = yaml.safe_load((finished / f"evaluation/{key}/scores.json").read_text())
        for metric in ("valid_macro_f1", "valid_loss", "test_macro_f1", "test_accuracy"):
            assert float(found.loc[key, metric.replace("_", "/", 1)]) == pytest.approx(scores[metric], abs=1e-4)
    trained = found.drop(["majority", "logreg", "leak", "leak logreg", "comparison"])
    assert trained["train/loss"].astype(float).notna().all()
    assert found.loc["logreg", "test/macro_f1"] > found.loc["majority", "test/macro_f1"]
    assert len(found.loc["mlp", "git.commit"]) == 40
    assert "The leak" in page
    assert "<audio" in (finished / "reports/data.html").read_text()
    for key in experiments:
        assert f'href="models/{key}.html"' in page
        assert f"Mistakes of {key}" in (finished / f"reports/models/{key}.html").read_text()


@pytest.mark.documented("make repro", "make repro JOBS=1")
def test_a_second_repro_does_nothing(checkout: Path, typed: Typed) -> None:
    for command in ("make repro", "make repro JOBS=1"):
        output = typed(checkout, command)
        assert ran(output) == []
        first, _, _, *scores = output.splitlines()
        assert first == NOTHING
        assert len(scores) == 10  # three models, the choice, three lines on where to look, and blank ones


def test_a_run_with_nothing_to_do_imports_little_and_compiles_nothing(checkout: Path) -> None:
    """The libraries of stages would be a fourth of its time, and compiling a third where Python keeps no bytecode."""
    verbose = {"PYTHONVERBOSE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for command in (("soundtrack", "repro"), ("dvc", "repro")):
        output = run(checkout, *command, variables=verbose)
        assert not {"torch", "mlflow", "pandas", "scipy", "sklearn"} & set(
            re.findall(r"^import '(\w+)'", output, re.MULTILINE)
        )
        compiled = re.findall(rf"^# code object from '?({re.escape(sys.prefix)}.*\.py)'?$", output, re.MULTILINE)
        assert "import 'dvc.repo'" in output
        assert compiled == [], "make install compiles what this imports"


@pytest.mark.documented("make repro JOBS=4")
def test_another_epoch_count_reruns_one_train_one_evaluate_and_compare(checkout: Path, typed: Typed) -> None:
    edit_params(checkout, lambda content: content["experiments"]["mlp"].update(training={"epochs": 3}))
    """And the stages on all experiments: their inputs, the comparison and the champion."""
    output = typed(checkout, "make repro JOBS=4")
    assert sorted(ran(output)) == ["champion", "compare", "evaluate@mlp", "inputs", "train@mlp"]
    assert len(pd.read_csv(checkout / "history/mlp.csv")) == 3


def test_a_changed_model_trains_what_uses_it(checkout: Path) -> None:
    with (checkout / "pipeline/models/majority.py").open("a") as module:
        module.write("\n# changed\n")
    assert ran(run(checkout, "dvc", "repro", "inputs")) == ["inputs"]
    changed = re.findall(r"^(\S+):$", run(checkout, "dvc", "status", "dvc.yaml"), re.MULTILINE)
    assert changed == ["train@majority", "evaluate@majority"]


@pytest.mark.documented("soundtrack status", "soundtrack report")
def test_status_and_report_say_where_things_stand(finished: Path, checkout: Path, typed: Typed) -> None:
    told = typed(checkout, "soundtrack status")
    end_of_run = (finished.parent / "make-repro.txt").read_text()
    table_and_choice = told.partition("Up to date")[0]
    assert "was chosen: " in table_and_choice
    assert table_and_choice in end_of_run
    assert "Up to date: no stage has to run." in told
    assert typed(checkout, "soundtrack report").strip() == str(checkout / "reports/comparison.html")

    edit_params(checkout, lambda content: content["experiments"]["mlp"].update(training={"epochs": 3}))
    told = run(checkout, "soundtrack", "status")
    assert re.search(r"\d+ of \d+ stages have to run again \(.*train@mlp.*\): make repro", told)
    for name in ("evaluation", "reports"):
        shutil.rmtree(checkout / name)
    assert "No experiment has scores yet" in run(checkout, "soundtrack", "status")
    assert "`make repro` makes it" in run(checkout, "soundtrack", "report", ok=False)


def test_a_stage_that_fails_ends_make_repro_with_its_sentence(checkout: Path) -> None:
    edit_params(checkout, lambda content: content["audit"].update(min_clips=1000))
    output = run(checkout, "make", "repro", ok=False)
    assert re.search(r"^\[ *1/\d+\] audit +\d+ s  failed$", output, re.MULTILINE)
    assert "error: audit failed: too few good clips: " in output
    assert "Its whole output is in .cache/logs/audit.log" in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 12


def test_a_song_unlike_the_training_data_is_named_by_the_tagger(checkout: Path, tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    shutil.copy(checkout / "data/music/low/low 0.wav", songs)
    rng = np.random.default_rng(0)
    soundfile.write(songs / "noise.wav", rng.normal(0, 0.1, 66150), 22050)
    told = run(checkout, "soundtrack", "classify", str(songs), "--json", str(tmp_path / "songs.json"))
    found = json.loads((tmp_path / "songs.json").read_text())
    assert {Path(song["file"]).name: song["model"] for song in found["songs"]} == {
        "low 0.wav": "models:/soundtrack/1",
        "noise.wav": "models:/soundtrack-tags/1",
    }
    assert "Model: models:/soundtrack-tags/1 (tagger), 1 song." in told
    assert "Songs unlike the champion's training data were named by the pre-trained tagger." in told
    trained_on = pd.read_parquet(checkout / "candidate/seen.parquet")["sha256"]
    table = pd.read_parquet(checkout / paths.CLIPS).set_index("sha256")
    shutil.copy(checkout / table.loc[trained_on[0], "path"], songs / "known.wav")
    alone = run(checkout, "soundtrack", "classify", str(songs), "--model", "champion")
    assert "soundtrack-tags" not in alone
    assert re.search(r"^noise.wav +out-of-distribution", alone, re.MULTILINE)
    assert re.search(r"^known.wav .*training clip", alone, re.MULTILINE)
