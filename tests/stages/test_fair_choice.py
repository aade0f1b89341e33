"""A choice one can trust: nothing is chosen on clips that models are compared on, and the model that is delivered has
learned from all clips outside test."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from running import champion, compare, evaluate, train
from sklearn.metrics import f1_score
from sklearn.preprocessing import LabelEncoder
from stores import write_store

from pipeline import config
from pipeline.base import paths
from pipeline.base.files import read_json, write_json
from pipeline.config.project import Params
from pipeline.data import clips
from pipeline.evaluation import bootstrap, calibration, metrics
from pipeline.models.exported import Exported
from pipeline.serving import model_card, ood_evaluation
from pipeline.serving.model_card import Cost
from pipeline.serving.ood_evaluation import Roc
from pipeline.training import splits

Setup = Callable[..., None]
MLP = {"features": ["tabular"], "model": {"name": "mlp", "hidden": [8], "dropout": 0.2}}
LDA = {"features": ["tabular"], "model": {"name": "lda", "shrinkage": 0.5}}
FUSED = {"name": "fusion", "branches": {"one": LDA, "other": MLP}}
TRAINED = {
    "logreg": {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}},
    "lda": LDA,
    "last": MLP,
    "best": MLP | {"training": {"monitor": "valid_macro_f1", "patience": 1}},
    "members": LDA | {"training": {"ensemble_size": 2}},
    "fused": {"features": ["tabular"], "model": FUSED},
}
"""Of each way in which a training decides something."""


def shuffle_labels(part: str) -> None:
    """Labels of the clips of this part change places."""
    table = clips.read()
    rows = pd.read_parquet(paths.SPLIT)
    here = table["clip_id"].isin(rows.loc[rows["part"] == part, "clip_id"])
    table.loc[here, "label"] = np.random.default_rng(1).permutation(table.loc[here, "label"])
    clips.write(table)


def graphs(key: str) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in (paths.MODELS / key).glob("*/model.onnx")}


def only(*keys: str) -> None:
    """These experiments alone."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["experiments"] = {key: TRAINED[key] for key in keys}
    paths.PARAMS.write_text(yaml.safe_dump(content))


def test_shuffled_validation_labels_change_no_model(setup: Setup) -> None:
    setup(experiments=TRAINED, training={"epochs": 4, "learning_rate": 0.05})
    found, curves = [], []
    for shuffled in (False, True):
        if shuffled:
            shuffle_labels("valid")
        for key in TRAINED:
            train(key)
        found.append({key: graphs(key) for key in TRAINED})
        curves.append(pd.read_csv(paths.HISTORY / "last.csv")["valid_macro_f1"])
    told, blind = found
    assert [key for key in TRAINED if told[key] != blind[key]] == []
    assert not curves[0].equals(curves[1]), "the labels did change"


def test_the_refit_is_trained_on_all_clips_outside_test_and_on_no_other(setup: Setup) -> None:
    setup(split={"folds": "auto"})
    train("majority")
    rows = pd.read_parquet(paths.SPLIT).merge(clips.read()[["clip_id", "label"]], on="clip_id")
    outside = rows[(rows["fold"] == 5) & (rows["part"] == "train")]
    assert set(outside["clip_id"]) == set(rows["clip_id"]) - set(rows.loc[rows["part"] == "test", "clip_id"])
    run = Exported(paths.MODELS / "majority/refit5-seed7/model.onnx", 1)
    (answer,) = run([np.zeros((1, 8), np.float32)])
    assert answer == pytest.approx(outside["label"].value_counts(normalize=True).sort_index().to_numpy(), abs=1e-6)

    train("logreg")
    before = graphs("logreg")
    assert set(before) == {*(f"fold{fold}-seed7" for fold in range(5)), "refit5-seed7"}
    shuffle_labels("test")
    train("logreg")
    assert graphs("logreg") == before


def test_folds_are_runs_below_the_experiments_own_and_the_refit_has_the_test_score(setup: Setup) -> None:
    import mlflow

    setup(split={"folds": 3}, seeds=[1, 2])
    train("logreg")
    evaluate("logreg")
    table = mlflow.search_runs(experiment_names=[Path.cwd().parent.name]).set_index("tags.mlflow.runName")
    below = table[table["tags.mlflow.parentRunId"] == table.loc["logreg", "run_id"]]
    compared = {f"logreg fold{fold}-seed{seed}" for fold in range(3) for seed in (1, 2)}
    refits = {f"logreg refit3-seed{seed}" for seed in (1, 2)}
    assert set(below.index) == compared | refits
    assert set(below.index[below["metrics.valid/macro_f1"].notna()]) == compared | refits
    assert below.loc[sorted(refits), "metrics.valid/macro_f1"].nunique() == 1, (
        "all out-of-fold answers, which logreg's seeds share"
    )
    assert set(below.index[below["metrics.test/macro_f1"].notna()]) == refits
    answers = pd.read_parquet(paths.EVALUATION / "logreg/predictions.parquet")
    assert (answers.groupby(["clip_id", "seed"]).size() == 1).all(), "one answer to each clip by each seed"
    assert len(answers) == 2 * len(clips.read())
    assert answers.groupby("seed")["temperature"].nunique().to_dict() == {1: 1, 2: 1}
    scores = read_json(paths.EVALUATION / "logreg" / paths.SCORES)
    assert scores["valid_macro_f1_low"] < scores["valid_macro_f1"] < scores["valid_macro_f1_high"]


@pytest.mark.usefixtures("tables_alone")
def test_the_score_that_is_expected_of_the_refit_is_a_fifth_of_the_way_to_that_on_known_clips(
    setup: Setup, checkout: Path
) -> None:
    import mlflow

    setup(split={"folds": "auto"}, leak=[])
    only("logreg")
    train("logreg")
    evaluate("logreg")
    settings, rows, table = config.load(), pd.read_parquet(paths.SPLIT), clips.read()
    own = settings.experiments["logreg"]
    known = []
    for fold in range(5):
        data = splits.load(own, settings.window, table, rows, fold)
        following = rows.loc[(rows["fold"] == (fold + 1) % 5) & (rows["part"] == "valid"), "clip_id"]
        windows, chosen = data.windows["train"], data.clips["train"]["clip_id"].isin(following)
        run = Exported(paths.MODELS / f"logreg/fold{fold}-seed7/model.onnx", 1)
        answers = run(windows[windows.even(1)].inputs).argmax(axis=1)
        known.append(pd.DataFrame({"label": data.clips["train"]["label"], "predicted": answers})[chosen])
    every = pd.concat(known)
    outside = (rows["fold"] == 5) & (rows["part"] == "train")
    assert len(every) == outside.sum(), "each clip outside test once"
    names = sorted(table["label"].unique())
    reached = f1_score(every["label"], np.array(names)[every["predicted"].to_numpy()], average="macro")
    scores = read_json(paths.EVALUATION / "logreg" / paths.SCORES)
    validation = scores["valid_macro_f1"]
    assert reached > validation
    assert scores["expected_macro_f1"] == pytest.approx(validation + (reached - validation) / 5)
    found = mlflow.search_runs(experiment_names=[Path.cwd().parent.name]).set_index("tags.mlflow.runName")
    assert found.loc["logreg", "metrics.expected/macro_f1"] == pytest.approx(scores["expected_macro_f1"], abs=1e-4)
    write_json(paths.CHOICE, {"chosen": "logreg"})
    champion_of(checkout)
    champion_of(checkout)
    card = paths.CARD.read_text()
    for file in paths.MODELS.rglob("learned.parquet"):
        file.unlink()  # as models that were trained before there was one
    evaluate("logreg")
    old = read_json(paths.EVALUATION / "logreg" / paths.SCORES)
    assert old["expected_macro_f1"] == old["valid_macro_f1"] == validation
    assert f"learned from more clips than the models of the folds: {scores['expected_macro_f1']:.2f} (" in card
    assert f"expected and on test: version 1 (logreg) {scores['expected_macro_f1']:.2f} and" in card


def test_what_is_expected_without_folds_is_the_score_on_validation(setup: Setup) -> None:
    setup(split={"folds": 1})
    train("logreg")
    evaluate("logreg")
    scores = read_json(paths.EVALUATION / "logreg" / paths.SCORES)
    assert all(scores[f"expected_macro_f1{end}"] == scores[f"valid_macro_f1{end}"] for end in ("", "_low", "_high"))
    assert not list(paths.MODELS.rglob("learned.parquet"))


@pytest.fixture
def tables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clips have no audio."""
    monkeypatch.setattr(model_card, "measure", lambda *_: Cost(1.5, 0.1, 1.0))
    monkeypatch.setattr(ood_evaluation, "noises", lambda *_: Roc([0.0, 1.0], [0.0, 1.0], 0.5, 0.0, 1))
    monkeypatch.setattr(Params, "model_pages", False)


@pytest.mark.usefixtures("tables_alone")
def test_what_compare_chooses_is_delivered(setup: Setup, checkout: Path) -> None:
    """The fusion has a branch that knows nothing, and needs the spectrogram for it: as good, and dearer."""
    cnn = {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "compact", "dropout": 0.0}}
    dear = {"name": "fusion", "branches": {"table": TRAINED["logreg"], "image": cnn}}
    TRAINED["dear"] = {"features": ["tabular", "spectrogram"], "model": dear}
    setup(
        split={"folds": "auto"},
        experiments={"dear": TRAINED["dear"]},
        window={"frames": 32},
        training={"epochs": 1},
        leak=[],
    )
    write_json(paths.FEATURE_COST, {"tabular": 100.0, "spectrogram": 1000.0})
    names = list(clips.read()["clip_id"])
    spec = {"windowed": True, "sample_rate": 22050, "params": {"hop_length": 512}, "silence_db": -80.0, "bands": "mel"}
    write_store(paths.FEATURES / "spectrogram", names, (np.zeros((40, 32)) for _ in names), "float16", spec)
    only("logreg", "dear")
    for key in ("logreg", "dear"):
        train(key)
        evaluate(key)
    paths.AUDIT.parent.mkdir(exist_ok=True)
    paths.AUDIT.write_text("nothing")
    compare()
    choice = read_json(paths.CHOICE)
    assert choice["chosen"] == "logreg"
    assert set(choice["level"]) == {"logreg", "dear"}
    assert choice["costs"]["logreg"] == pytest.approx(100, abs=20)
    assert choice["costs"]["dear"] >= 1100
    text = paths.COMPARISON.with_suffix(".md").read_text()
    assert "logreg was chosen: " in text
    assert all(f"{key} {choice['costs'][key]:.3g} ms" in text for key in ("logreg", "dear"))

    known = champion_of(checkout)
    assert known["experiment"] == "logreg"
    write_json(paths.CHOICE, {"chosen": "dear"})
    assert champion_of(checkout)["experiment"] == "dear"


@pytest.mark.usefixtures("tables_alone")
def test_a_second_champion_of_the_same_data_is_compared_on_out_of_fold_answers(setup: Setup, checkout: Path) -> None:
    """Its refit has seen all of these clips, its answers to them are of models that have not."""
    setup(split={"folds": "auto"}, leak=[])
    outside = pd.read_parquet(paths.SPLIT).query("fold == 5 and part == 'train'")["clip_id"]
    only("logreg", "lda")
    for key in ("logreg", "lda"):
        train(key)
        evaluate(key)
        write_json(paths.CHOICE, {"chosen": key})
        champion_of(checkout)
    card = paths.CARD.read_text()
    assert "Accepted as champion, replacing version 1: " in card
    words = rf"not significantly different from the previous champion: .* on {len(outside)} clips"
    assert re.search(words, card), card
    one, other = (pd.read_parquet(paths.EVALUATION / key / "predictions.parquet") for key in ("logreg", "lda"))
    pair = bootstrap.difference(metrics.of_part(other, "valid"), metrics.of_part(one, "valid"), 7)
    assert f"{abs(pair.value):.3f}" in card


def champion_of(checkout: Path) -> dict[str, Any]:
    """The manifest of the candidate that the stage writes."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["champion"] |= {"name": checkout.parent.name, "min_valid_macro_f1": 0.0}
    paths.PARAMS.write_text(yaml.safe_dump(content))
    champion()
    found: dict[str, Any] = read_json(paths.CANDIDATE / "manifest.json")
    return found


@pytest.mark.filterwarnings("error:.*val_dataloader")  # of Lightning, about a refit: nobody can act on it
@pytest.mark.usefixtures("tables_alone")
def test_the_candidate_is_the_refit_of_the_first_seed_and_not_the_luckiest(setup: Setup, checkout: Path) -> None:
    setup(split={"folds": "auto"}, seeds=[1, 2], leak=[], training={"epochs": 8, "learning_rate": 0.03})
    only("last")
    train("last")
    evaluate("last")
    file = paths.EVALUATION / "last/predictions.parquet"
    answers = pd.read_parquet(file)
    lucky = (answers["seed"] == 2) & (answers["part"] == "valid")
    answers.loc[lucky, "predicted"] = answers.loc[lucky, "label"]
    answers.to_parquet(file)
    write_json(paths.CHOICE, {"chosen": "last"})
    known = champion_of(checkout)

    graph = paths.CANDIDATE / "model.onnx"
    assert graph.read_bytes() == graphs("last")["refit5-seed1"]
    settings, rows = config.load(), pd.read_parquet(paths.SPLIT)
    data = splits.load(settings.experiments["last"], settings.window, clips.read(), rows, 5)
    windows = data.windows["test"]
    expected = answers[(answers["seed"] == 1) & (answers["part"] == "test")].set_index("clip_id")
    found = Exported(graph, 1)(windows[windows.even(1)].inputs)
    columns = [f"p:{label}" for label in known["labels"]]
    np.testing.assert_allclose(found, expected.loc[data.clips["test"]["clip_id"], columns], rtol=0, atol=1e-6)

    own = answers[(answers["seed"] == 1) & (answers["part"] == "valid")]
    outside = rows.loc[(rows["fold"] == 5) & (rows["part"] == "train"), "clip_id"]
    assert sorted(own["clip_id"]) == sorted(outside)
    logits, truth = np.log(own[columns].to_numpy()), LabelEncoder().fit_transform(own["label"])
    t = known["temperature"]
    losses = [loss(logits / scale, truth) for scale in (0.9 * t, t, 1.1 * t)]
    assert losses[1] == min(losses), "of all out-of-fold answers"
    seen = pd.read_parquet(paths.CANDIDATE / "seen.parquet")
    assert len(seen) == len(outside) and set(seen["part"]) == {"valid"}
    assert known["confidence_threshold"] == calibration.confidence_threshold(seen, settings.champion.precision)[0]


def loss(logits: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return float(-log_probs[np.arange(len(truth)), truth].mean())


def test_a_label_of_three_groups_is_trained_scored_and_in_every_training(setup: Setup) -> None:
    setup(leak=[])
    table = clips.read()
    few = ~table["group"].isin([f"polka {group}" for group in range(3, 9)])
    clips.write(table[few].reset_index(drop=True))
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["split"]["folds"] = "auto"
    paths.PARAMS.write_text(yaml.safe_dump(content))
    from running import split

    split()
    only("lda")
    train("lda")
    evaluate("lda")
    assert 0 < read_json(paths.EVALUATION / "lda" / paths.SCORES)["valid_macro_f1"] <= 1
