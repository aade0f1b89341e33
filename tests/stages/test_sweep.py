"""Sweeps: resumed, repeated, pruned, blind to the test set, applied."""

import difflib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from processes import PATIENCE_S, wait_until
from running import evaluate, train
from safetensors.torch import save_file
from stores import write_store
from torch import nn

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import read_json, remove, sha256
from pipeline.config.base import ParamsError
from pipeline.features.store import Store
from pipeline.models.majority import Majority
from pipeline.sweeps import command, study, workers
from pipeline.sweeps.params_writer import apply, changed
from pipeline.sweeps.plan import Plan, SweepError
from pipeline.sweeps.study import Outcome, Results, Study
from pipeline.training import HISTORY, OnEpoch, ensemble
from pipeline.training.recipe import recipe
from pipeline.training.single import train_single
from pipeline.workflow import checkpoints, dependencies

ROOT = Path(__file__).parents[2]
Setup = Callable[..., None]
Run = Callable[..., Results]
RATE = "training.learning_rate"
SWEEPS: dict[str, Any] = {
    "logreg": {"trials": 4, "space": {"model.c": {"low": 0.001, "high": 10, "log": True}}},
    "mlp": {
        "trials": 4,
        "space": {
            "model.hidden": {"choices": [[8], [512, 512]]},
            "training.batch_size": {"low": 8, "high": 32},
            RATE: {"low": 0.0001, "high": 0.1, "log": True},
        },
    },
}
MLP: dict[str, Any] = {"features": ["tabular"], "model": {"name": "mlp", "hidden": [8], "dropout": 0.2}}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("mlp", 4)``: a sweep, in this process."""
    monkeypatch.setattr(command, "run_workers", workers.run_trials)

    def make(key: str, trials: int) -> Results:
        return command.run(Plan(config.load(), key), trials, 1)

    return make


def runs() -> tuple[pd.Series, pd.DataFrame]:
    """In MLflow, the run of the sweep and those of its trials below it."""
    table: pd.DataFrame = mlflow.search_runs(experiment_names=[Path.cwd().parent.name])
    below = table["tags.mlflow.parentRunId"].notna()
    (number,) = table.index[~below]
    assert set(table.loc[below, "tags.mlflow.parentRunId"]) == {table.loc[number, "run_id"]}
    return table.loc[number], table[below].set_index("tags.mlflow.runName").sort_index()


def steps(run_id: str) -> list[int]:
    history = mlflow.MlflowClient().get_metric_history(run_id, "valid/macro_f1")
    return sorted(point.step for point in history)


def played(trials: int, killed: frozenset[int] = frozenset()) -> list[Outcome]:
    """A study of made-up scores. Some trials are killed once, and another process goes on."""
    plan, left = Plan(config.load(), "mlp"), set(killed)
    one = Study(plan)
    one.resume()
    while trial := one.ask(trials):
        if trial.number in left:
            left.remove(trial.number)
            one = Study(plan)
            one.resume()
        else:
            one.finish(trial, [1 - abs(trial.user_attrs["values"][RATE] - 0.01)])
    return one.outcomes()


def test_a_seed_tries_the_same_whatever_was_interrupted(setup: Setup) -> None:
    """Also behind the first ten trials, which Optuna's sampler draws at random."""
    setup(sweeps=SWEEPS)
    expected = played(12)
    assert [one.number for one in expected] == list(range(12))
    assert expected[0].values == {"model.hidden": [512, 512], "training.batch_size": 16, RATE: 0.003}
    assert len({str(one.values) for one in expected}) == 12, "nothing is tried twice"
    remove(paths.sweeps())
    assert played(12, frozenset({0, 11})) == expected
    setup(sweeps=SWEEPS, seed=8)
    assert [one.values for one in played(3)][1:] != [one.values for one in expected[1:3]]


def test_an_interrupted_trial_goes_on_in_its_run(setup: Setup, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    setup(sweeps=SWEEPS, split={"folds": 3})
    seeds: list[int] = []

    def counted(*arguments: Any) -> Any:
        seeds.append(arguments[2])
        if len(seeds) == 5:
            raise KeyboardInterrupt
        return train_single(*arguments)

    monkeypatch.setattr(ensemble, "train_single", counted)
    with pytest.raises(KeyboardInterrupt):
        run("logreg", 3)
    interrupted, below = runs()
    assert list(below["tags.state"]) == ["complete", "running"]
    found = run("logreg", 3)
    assert len(seeds) == 3 * 3 + 1, "the fold that was cut off alone is trained again"
    assert [one.number for one in found.outcomes] == [0, 1, 2]
    parent, below = runs()
    assert parent["run_id"] == interrupted["run_id"]
    assert list(below.index) == [f"sweep logreg {number:03}" for number in range(3)]
    assert set(below["tags.state"]) == {"complete"}
    assert list(below["metrics.sweep/mean_valid_macro_f1"]) == pytest.approx([one.score for one in found.outcomes])
    assert parent["metrics.sweep/best_macro_f1"] == pytest.approx(found.best.score)
    assert parent["metrics.sweep/nested_macro_f1"] == pytest.approx(found.nested)
    assert parent["tags.best.model.c"] == str(found.best.values["model.c"])
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(parent["run_id"])}
    assert names == {"sweep.png", "trials.json"}
    assert not list((paths.cache() / "sweeps").rglob("score.json")), "what is done leaves no partial work"
    assert run("logreg", 3).outcomes == found.outcomes, "with as many trials as wanted nothing is tried"
    assert len(runs()[1]) == 3


def test_killed_processes_lose_no_trial_and_double_none(setup: Setup, run: Run, checkout: Path) -> None:
    setup(sweeps=SWEEPS, split={"folds": 3})
    sweep = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "sweep", "logreg", "--trials", "500", "--jobs", "2"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def both_at_work() -> bool:
        with suppress(FileNotFoundError):  # of a trial that is done it is removed
            done = (checkout / ".cache/sweeps").rglob("score.json")
            return len({file.parents[1] for file in done}) == 2
        return False

    try:
        wait_until(both_at_work, sweep)
    finally:
        sweep.send_signal(signal.SIGKILL)
    printed, _ = sweep.communicate(timeout=PATIENCE_S)  # the processes hold the pipe: they have ended, too
    begun = len(runs()[1])
    found = run("logreg", begun + 1)
    assert begun >= 2
    assert [one.number for one in found.outcomes] == list(range(begun + 1))
    assert found.count("complete") + found.count("pruned") == begun + 1, "some are pruned where many began before both"
    printed_numbers = [line.split()[1] for line in printed.splitlines() if line.startswith("trial")]
    assert len(printed_numbers) == len(set(printed_numbers)) <= begun
    _, below = runs()
    assert list(below.index) == [f"sweep logreg {number:03}" for number in range(begun + 1)]
    assert set(below["status"]) == {"FINISHED"}


def falling(number: list[int]) -> Callable[..., tuple[nn.Module, pd.DataFrame]]:
    """A training of four epochs whose macro F1 is lower with each that begins; its net says the same of all clips."""

    def fake(*arguments: Any) -> tuple[nn.Module, pd.DataFrame]:
        sink: OnEpoch = arguments[-1]
        level = 0.9 - 0.01 * len(number)
        number.append(len(number))
        rows = [dict.fromkeys(HISTORY[1:], level + 0.001 * epoch) for epoch in range(4)]
        for epoch, row in enumerate(rows):
            sink(epoch, row)
        return Majority(torch.zeros(3)), pd.DataFrame([{"epoch": epoch, **row} for epoch, row in enumerate(rows)])

    return fake


def test_a_trial_below_the_median_is_pruned_in_mlflow_too(
    setup: Setup, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(study, "STARTUP_TRIALS", 2)
    monkeypatch.setattr(ensemble, "train_single", falling(begun))
    setup(sweeps=SWEEPS, split={"folds": 3}, experiments={"mlp": {**MLP, "training": {"epochs": 4, "patience": None}}})
    found = run("mlp", 5)
    assert [one.state for one in found.outcomes] == ["complete"] * 2 + ["pruned"] * 3
    assert len(begun) == 2 * 3 + 3, "pruned trials did not train on the second fold"
    _, below = runs()
    assert list(below["tags.state"]) == ["complete"] * 2 + ["pruned"] * 3
    assert list(below["metrics.sweep/mean_valid_macro_f1"].notna()) == [True] * 2 + [False] * 3
    assert steps(below["run_id"].iloc[0]) == [*range(4), *range(5, 9), *range(10, 14)]
    assert steps(below["run_id"].iloc[2]) == [0, 1], "not looked at in its first epoch"
    assert found.best.number == found.present.number == 0
    assert "2 complete, 3 pruned. None beats params.yaml" in str(found)
    apply("mlp", found.outcomes[2].values, yes=True)
    again = run("mlp", 5)
    assert again.outcomes[:5] == found.outcomes
    assert again.present.number == 5, "a pruned trial is run to its end once params.yaml has its values"
    assert again.present.values == found.outcomes[2].values


@pytest.mark.parametrize(
    ("key", "training"),
    [
        ("logreg", {}),
        ("mlp", {"monitor": "valid_macro_f1"}),
        ("mlp", {"monitor": "valid_loss"}),
        ("mlp", {"monitor": None, "patience": None}),
    ],
)
def test_the_score_is_that_of_evaluation(setup: Setup, run: Run, key: str, training: dict[str, Any]) -> None:
    """Of the epoch that is kept: with this learning rate the best by either measure and the last are three."""
    model = {**MLP["model"], "hidden": [512, 512]}
    swaying = {"epochs": 6, "learning_rate": 0.03, "schedule": "constant", **training}
    setup(sweeps=SWEEPS, experiments={"mlp": {**MLP, "model": model, "training": swaying}})
    train(key)
    evaluate(key)
    experiment = config.load().experiments[key]
    found = run(key, 1)
    assert found.present.values == {name: config.at(experiment, name) for name in SWEEPS[key]["space"]}
    assert found.present.score == pytest.approx(read_json(paths.METRICS / f"{key}.json")["valid_macro_f1"])


def test_the_score_of_a_frozen_backbones_head_is_that_of_evaluation(setup: Setup, run: Run) -> None:
    """And its history's too, though the head learns from windows that overlap, where clips are longer than a window."""
    paths.WEIGHTS.mkdir()
    untrained(paths.WEIGHTS / "tiny")
    model = {"name": "transfer", "backbone": "tiny", "frozen": True, "hidden": [], "dropout": 0.0}
    setup(
        sweeps={"tiny": {"trials": 1, "space": {RATE: {"low": 0.0001, "high": 0.1}}}},
        window={"frames": 32},
        weights={"tiny": {"source": "path", "path": "elsewhere"}},
        experiments={
            "tiny": {"features": ["spectrogram"], "model": model, "training": {"epochs": 4, "learning_rate": 0.03}}
        },
    )
    ids = list(pd.read_parquet(paths.SPLIT)["clip_id"])
    rng = np.random.default_rng(7)
    frames = rng.uniform(-80, 0, (len(ids), 80, 32)).astype(np.float32)
    spec = {"windowed": True, "silence_db": -80.0, "sample_rate": 22050, "params": {"hop_length": 512}, "bands": "mel"}
    write_store(paths.FEATURES / "spectrogram", ids, iter(frames), "float32", spec)
    train("tiny")
    evaluate("tiny")
    score = read_json(paths.METRICS / "tiny.json")["valid_macro_f1"]
    history = pd.read_csv(paths.HISTORY / "tiny.csv")["valid_macro_f1"]
    assert score == pytest.approx(history.iloc[-1]), "an epoch's score is the one that it is reported with"
    assert run("tiny", 1).present.score == pytest.approx(score)


def untrained(folder: Path) -> None:
    """A folder with a short ResNet."""
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(7)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    network = ResNetModel(config)
    folder.mkdir()
    network.config.architectures = [type(network).__name__]
    network.config.to_json_file(folder / "config.json")
    save_file(network.state_dict(), folder / "model.safetensors")


def test_the_test_part_is_not_touched(setup: Setup, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clips have no features here, and whatever asks for them is told so."""
    setup(sweeps=SWEEPS)
    table = pd.read_parquet(paths.SPLIT)
    known, store = table.loc[table["part"] != "test", "clip_id"], Store(paths.FEATURES / "tabular")
    rows = [store.array[start:stop].copy() for start, stop in zip(*store.rows(known), strict=True)]
    write_store(paths.FEATURES / "tabular", list(known), rows, "float32", {"windowed": False})
    assert run("logreg", 2).count("complete") == 2
    monkeypatch.setattr(Plan, "split", lambda _: table)
    with pytest.raises(KeyError):
        run("logreg", 3)


class Trouble(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "states"),
    [
        # what is tried may be too much for the machine: another takes its place
        (Trouble, ["complete", "fail", "complete"]),
        # a full disk is no fault of what is tried
        (OSError, ["complete", "complete"]),
    ],
)
def test_a_trial_that_raises_ends_the_sweep(
    setup: Setup, run: Run, monkeypatch: pytest.MonkeyPatch, error: type[Exception], states: list[str]
) -> None:
    setup(sweeps=SWEEPS)
    calls: list[int] = []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return train_single(*arguments)

    monkeypatch.setattr(ensemble, "train_single", failing)
    with pytest.raises(error):
        run("logreg", 2)
    found = run("logreg", 2)
    assert [one.state for one in found.outcomes] == states
    assert list(runs()[1]["status"]) == ["FAILED" if state == "fail" else "FINISHED" for state in states]


def test_the_best_values_are_applied_within_a_study_and_other_data_begin_another(setup: Setup, run: Run) -> None:
    setup(sweeps=SWEEPS)
    first = run("logreg", 3)
    apply("logreg", first.outcomes[1].values, yes=True)
    second = run("logreg", 3)
    assert second.outcomes == first.outcomes
    assert (first.present.number, second.present.number) == (0, 1)
    setup(sweeps=SWEEPS, split={"valid": 0.3})
    assert Study(Plan(config.load(), "logreg")).outcomes() == []
    table = pd.read_parquet(paths.SPLIT)
    pd.concat([table, table.assign(fold=1)]).to_parquet(paths.SPLIT)
    with pytest.raises(
        SweepError, match=r"has 2 fold\(s\) and 1 test fold\(s\), and params.yaml asks for 1 and 1: run `dvc repro"
    ):
        run("logreg", 3)
    remove(paths.SPLIT)
    with pytest.raises(SweepError, match=r"split.parquet is missing: run `dvc repro split`"):
        run("logreg", 3)


@pytest.mark.parametrize(
    "other", ["pipeline/training/trainer.py", "pipeline/models/logreg.py", "pipeline/data/split.py"]
)
def test_other_code_begins_another_study_and_another_training(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Also code that re-splits train and valid for an ensemble."""
    setup(sweeps=SWEEPS)
    settings = config.load()

    def names() -> tuple[str, Path]:
        experiment = settings.experiments["logreg"]
        return Plan(settings, "logreg").study(), checkpoints.folder(
            "train", "logreg", *recipe(settings, experiment, (paths.CLIPS, paths.SPLIT))
        )

    before = names()
    assert names() == before
    monkeypatch.setattr(dependencies, "sha256", lambda file: "changed" if file == ROOT / other else sha256(file))
    assert all(name != old for name, old in zip(names(), before, strict=True))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("mpl", "did you mean 'mlp'"),
        ("majority", r"sweeps\.majority is not in params\.yaml"),
        ("logreg", r"sweeps\.logreg\.space\.model\.c does not contain 1\.0, the value of experiments\.logreg"),
    ],
)
def test_what_cannot_be_swept_is_named(setup: Setup, key: str, message: str) -> None:
    setup(sweeps={"logreg": {"trials": 4, "space": {"model.c": {"low": 2.0, "high": 10.0}}}})
    with pytest.raises(ParamsError, match=message):
        Plan(config.load(), key)


def test_one_command_at_a_time_works_on_a_study(setup: Setup, run: Run) -> None:
    """Another would take its trials for those of a killed one."""
    setup(sweeps=SWEEPS)
    lock = FileLock(Study(Plan(config.load(), "logreg")).folder / "running.lock")
    with lock, pytest.raises(SweepError, match="already running"):
        run("logreg", 1)


def made_up(folds: list[int], *scores: list[float]) -> Results:
    """Of trials with these scores; the first has the values of params.yaml."""
    outcomes = [Outcome(number, "complete", {"model.c": float(number)}, own) for number, own in enumerate(scores)]
    pruned = Outcome(len(scores), "pruned", {"model.c": 99.0}, [])
    return Results([*outcomes, pruned], outcomes[0], max(outcomes, key=lambda one: one.score), folds)


def test_the_optimism_of_a_sweep_is_what_a_choice_on_other_folds_loses() -> None:
    """By hand, with two seeds a fold. Without fold 0 the first trial is best (0.65 against 0.5 and 0.6) and scores 0.4
    there; without fold 1 the second (0.9) and scores 0.5 there. So 0.45 in place of 0.70, the best mean."""
    found = made_up([0, 0, 1, 1], [0.3, 0.5, 0.6, 0.7], [0.9, 0.9, 0.4, 0.6], [0.4, 0.4, 0.6, 0.6])
    assert found.nested == pytest.approx((0.4 + 0.5) / 2)
    assert (
        found.optimism
        == "A choice on all folds but one scores 0.4500 on that one, so the best score is probably 0.2500 too high."
    )
    assert str(found).splitlines()[0].endswith(found.optimism)
    one = made_up([0, 0], [0.3, 0.5], [0.9, 0.9])
    assert np.isnan(one.nested)
    assert "with one validation part" in str(one).lower()


FOUND = {"model.hidden": [256], "training.learning_rate": 0.00035, "training.epochs": 30}


@pytest.mark.usefixtures("checkout")
def test_the_best_values_change_only_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    before = paths.PARAMS.read_text()
    apply("mlp", FOUND, yes=True)
    after = paths.PARAMS.read_text()
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert lines == [
        "-     model: {name: mlp, hidden: [512, 512], dropout: 0.5}",
        "+     model: {name: mlp, hidden: [256], dropout: 0.5}",
        "-     training: {epochs: 30, learning_rate: 0.001}",
        "+     training: {epochs: 30, learning_rate: 0.00035}",
    ]
    assert all(line[0] + line[2:] in capsys.readouterr().out for line in lines[:1])
    mlp = config.load().experiments["mlp"]
    assert {name: config.at(mlp, name) for name in FOUND} == FOUND
    apply("mlp", FOUND, yes=False)
    assert "already has the best values" in capsys.readouterr().out


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(("answer", "changes"), [("y", True), ("n", False), ("", False)])
def test_params_change_only_after_the_user_agrees(monkeypatch: pytest.MonkeyPatch, answer: str, changes: bool) -> None:
    before = paths.PARAMS.read_text()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n" if answer else ""))
    apply("mlp", FOUND, yes=False)
    assert (paths.PARAMS.read_text() != before) == changes


BLOCK = """\
  mlp:
    model: # which
      name: mlp
      hidden: [512, 512] # why
      dropout: 0.5
    features: [tabular] # of what

  # what follows
"""


@pytest.mark.usefixtures("checkout")
def test_comments_in_blocks_stay_where_they_are() -> None:
    text = paths.PARAMS.read_text()
    start, stop = text.index("  mlp:\n"), text.index("  cnn:\n")
    after = changed(text[:start] + BLOCK + text[stop:], "mlp", FOUND)
    expected = BLOCK.replace("[512, 512] # why", "[256]      # why").replace(
        "  mlp:\n", "  mlp:\n    training: {learning_rate: 0.00035, epochs: 30}\n"
    )
    assert after == text[:start] + expected + text[stop:]
