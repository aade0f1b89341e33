"""Folds, seeds and the test part: the stages `train`, `evaluate` and `leak` on a small table of features."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from running import evaluate, leak, train

from pipeline.base import paths
from pipeline.base.files import read_json
from pipeline.data import clips
from pipeline.training.single import train_single

Setup = Callable[..., None]


def runs() -> pd.DataFrame:
    name = Path.cwd().parent.name
    table: pd.DataFrame = mlflow.search_runs(experiment_names=[name])
    return table.set_index("tags.mlflow.runName")


def shuffle_test_labels() -> None:
    """Labels of the test clips change places; those of the others stay."""
    table = clips.read()
    test = pd.read_parquet(paths.SPLIT).query("part == 'test'")["clip_id"]
    here = table["clip_id"].isin(test)
    table.loc[here, "label"] = np.random.default_rng(1).permutation(table.loc[here, "label"])
    clips.write(table)


def decisions(key: str) -> dict[str, Any]:
    """All that a training, and the choice between models, decides."""
    scores = read_json(paths.EVALUATION / key / paths.SCORES)
    (folder,) = (path for path in (paths.MODELS / key).iterdir() if path.is_dir())
    return {
        "model": (folder / "model.onnx").read_bytes(),
        "history": (paths.HISTORY / f"{key}.csv").read_bytes(),
        **{name: value for name, value in scores.items() if name.startswith("valid")},
        "temperature": scores["temperature"],
    }


def test_shuffled_test_labels_change_no_decision(setup: Setup) -> None:
    setup()
    found = []
    for shuffled in (False, True):
        if shuffled:
            shuffle_test_labels()
        for key in ("logreg", "mlp"):
            train(key)
            evaluate(key)
        found.append({key: decisions(key) for key in ("logreg", "mlp")})
        found[-1]["test"] = {
            key: read_json(paths.EVALUATION / key / paths.SCORES)["test_loss"] for key in ("logreg", "mlp")
        }
    told, blind = found
    assert told["logreg"] == blind["logreg"]
    assert told["mlp"] == blind["mlp"]
    assert told["test"] != blind["test"], "the labels did change"


def test_folds_and_seeds_are_runs_below_the_experiments_own(setup: Setup) -> None:
    setup(seeds=[1, 2], split={"test_folds": 3})
    train("logreg")
    evaluate("logreg")
    table = runs()
    parent = table.loc["logreg"]
    below = table[table["tags.mlflow.parentRunId"] == parent["run_id"]]
    assert set(below.index) == {f"logreg fold{fold}-seed{seed}" for fold in range(3) for seed in (1, 2)}
    assert below["metrics.test/macro_f1"].notna().all()
    scores = read_json(paths.EVALUATION / "logreg" / paths.SCORES)
    assert parent["metrics.test/macro_f1"] == pytest.approx(scores["test_macro_f1"], abs=5e-5)
    assert parent["metrics.test/macro_f1_sd"] == pytest.approx(below["metrics.test/macro_f1"].std(), abs=1e-4)
    assert scores["test_macro_f1_mean"] == pytest.approx(below["metrics.test/macro_f1"].mean(), abs=1e-4)
    assert scores["test_macro_f1_low"] < scores["test_macro_f1"] < scores["test_macro_f1_high"]
    seconds, names = "metrics.cost/train_seconds", ("parameters", "model_mb", "latency_ms")
    assert parent[seconds] == pytest.approx(below[seconds].sum())
    assert all(parent[f"metrics.cost/{name}"] > 0 for name in names), "every experiment has its costs"
    assert (parent["tags.kind"], set(below["tags.kind"])) == ("experiment", {"trial"})
    assert (parent["params.model"], parent["params.fold"], parent["params.seed"]) == ("logreg", "all", "[1, 2]")
    answers = pd.read_parquet(paths.EVALUATION / "logreg/predictions.parquet").query("part == 'test'")
    assert (answers.groupby("clip_id").size() == 2).all(), "each clip is tested once by each seed"


def test_a_single_training_is_one_plain_run(setup: Setup) -> None:
    setup()
    train("logreg")
    evaluate("logreg")
    table = runs()
    assert list(table.index) == ["logreg"]
    assert table.loc["logreg", "tags.split.protocol"] == "grouped"
    params = {name.removeprefix("params.") for name in table.columns if name.startswith("params.")}
    fitted = {"experiment", "features", "model", "model.c", "fold", "seed"}
    assert fitted <= params
    assert not {name for name in params if name.startswith(("training.", "window."))}, "what has no effect"


def test_a_leaky_protocol_is_marked_in_its_run(setup: Setup) -> None:
    setup(split={"protocol": "random"})
    train("majority")
    run = runs().loc["majority"]
    assert run["tags.split.protocol"] == "random"
    assert "in several parts" in run["tags.leaky"]
    joined = pd.read_parquet(paths.SPLIT).merge(clips.read(), on="clip_id")
    assert joined.groupby("group")["part"].nunique().max() > 1, "and so it is"


def test_trials_done_before_an_interruption_stay_done(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup(split={"folds": 3})
    calls: list[tuple[Any, ...]] = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train_single(*arguments)

    monkeypatch.setattr("pipeline.training.ensemble.train_single", counted)
    with pytest.raises(KeyboardInterrupt):
        train("logreg")
    train("logreg")
    assert len(calls) == 5, "the first fold once, the second twice, the third and the refit once"
    table = runs()
    assert len(table) == 5, "the second fold went on in its run"
    assert {path.name for path in (paths.MODELS / "logreg").iterdir()} == {
        "run.json",
        *(f"fold{fold}-seed7" for fold in range(3)),
        "refit3-seed7",
    }


def test_the_leak_is_the_gap_between_the_two_splits(setup: Setup) -> None:
    setup()
    leak("logreg")
    found = read_json(paths.LEAK / "logreg/leak.json")
    assert (found["folds"], found["groups"], found["clips"]) == (5, 27, 81)
    assert found["random"]["value"] > found["grouped"]["value"] + 0.2
    assert found["gap"]["value"] == pytest.approx(found["random"]["value"] - found["grouped"]["value"])
    assert found["gap"]["low"] > 0
    answers = pd.read_parquet(paths.LEAK / "logreg/predictions.parquet")
    assert answers.groupby("protocol")["clip_id"].nunique().to_dict() == {"grouped": 81, "random": 81}
    leak("logreg")
    logged = runs().loc[["leak logreg"]]
    assert list(logged["metrics.leak/gap_macro_f1"]) == pytest.approx([found["gap"]["value"]] * 2)
    assert set(logged["tags.mlflow.parentRunId"]) == {runs().loc["leak", "run_id"]}, "one run holds all"


def test_groups_that_are_too_few_leave_the_leak_unmeasured(setup: Setup) -> None:
    """One artist for all of a genre, as in gtzan-mini: only the random protocol is possible."""
    setup(split={"protocol": "random"})
    clips.write(clips.read().assign(group=lambda table: table["label"]))
    leak("logreg")
    assert "too few groups" in read_json(paths.LEAK / "logreg/leak.json")["impossible"]
