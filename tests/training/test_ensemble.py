"""An ensemble is the mean of its members; a fusion counts each branch by what it knows; a discriminant is no surer than it
should be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from stores import split_table, write_store
from threadpoolctl import threadpool_info

from pipeline import config
from pipeline.base import paths
from pipeline.base.parallel import blas_threads
from pipeline.config.experiment import Experiment
from pipeline.config.project import Params
from pipeline.config.training import Training
from pipeline.data.split import SplitError, inner_folds
from pipeline.evaluation.scores import FUSION
from pipeline.evaluation.scores import ablation as ablation_table
from pipeline.evaluation.temperature import best
from pipeline.models import MIN_PROBABILITY, lda
from pipeline.models.fusion import Fusion
from pipeline.models.layers import Ensemble
from pipeline.models.majority import Majority
from pipeline.training import no_callback, splits
from pipeline.training.answers import without_branches
from pipeline.training.ensemble import save_trial, train_trial
from pipeline.training.predict import fit_weights, pooled, predictions
from pipeline.training.single import Probabilities
from pipeline.training.trials import Spec, Trial

LABELS = ("a", "b")
TRIAL = Trial(0, 7)
Trainings = Callable[..., Training]


@pytest.fixture
def table(checkout: Path) -> pd.DataFrame:  # noqa: ARG001
    """Sixty clips of two labels by thirty artists. Of their features ``tabular`` tells the labels apart, and of
    ``spectrogram`` nothing can be learned.
    """
    rng = np.random.default_rng(7)
    ids = [f"clip {number:02}" for number in range(60)]
    label = np.arange(60) % 2
    found = pd.DataFrame({"clip_id": ids, "path": ids, "sha256": ids, "label": np.array(LABELS)[label]})
    found["group"] = [f"{name} {number // 4}" for number, name in enumerate(found["label"])]
    about = {"duration_s": 1.0, "sample_rate": 8, "source": "x", "origin": "", "licence": ""}
    found = found.assign(**about, status="ok", reason="")
    rows = rng.normal(0, 1, (60, 1, 6)).astype(np.float32)
    rows[:, 0, 0] += 3 * label
    write_store(paths.FEATURES / "tabular", ids, iter(rows), "float32", {"windowed": False})
    frames = rng.normal(-40, 5, (60, 36, 32)).astype(np.float32)
    write_store(paths.FEATURES / "spectrogram", ids, iter(frames), "float32", {"windowed": True, "silence_db": -80.0})
    return found


@pytest.fixture
def split(table: pd.DataFrame) -> pd.DataFrame:
    part = np.repeat(["train", "valid", "test"], [36, 12, 12])
    return split_table(table["clip_id"], list(part))


def experiment(training: Training, features: list[str], model: dict[str, Any]) -> Experiment:
    return Experiment.model_validate({"features": features, "model": model, "training": training.model_dump()})


def run(one: Experiment, table: pd.DataFrame, split: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Its predictions; model and all that stands beside it are in ``folder``."""
    window = config.Window(frames=32, musicnn=187, fbank=1024)
    data = splits.load(one, window, table, split, 0)
    folder.mkdir()
    save_trial(train_trial(one, data, 7, folder / "work", folder / "kept", no_callback), data, folder)
    return predictions(folder / "model.onnx", data, one.training, TRIAL)


@pytest.mark.parametrize("threads", [2, 1])
def test_a_model_in_closed_form_keeps_to_its_threads(
    table: pd.DataFrame,
    split: pd.DataFrame,
    training: Trainings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    """Torch, and the BLAS of numpy and scipy, whatever they were given before: the last bits follow their number."""
    seen: list[set[int]] = []
    solved = lda.solved

    def recorded(*given: Any) -> Any:
        seen.append({lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"})
        return solved(*given)

    monkeypatch.setattr(lda, "solved", recorded)
    torch.set_num_threads(3)
    one = experiment(training(threads=threads), ["tabular"], {"name": "lda", "shrinkage": 0.1})
    with blas_threads(3):
        run(one, table, split, tmp_path / "lda")
    assert torch.get_num_threads() == threads
    assert set(map(frozenset, seen)) == {frozenset({threads})}


def test_inner_folds_hold_each_clip_out_once_and_cut_no_group(table: pd.DataFrame) -> None:
    rows = inner_folds(table.assign(protocol="grouped"), 3, 7).merge(table, on="clip_id")
    held = rows[rows["part"] == "valid"]
    assert sorted(held["clip_id"]) == sorted(table["clip_id"])
    assert (rows.groupby(["fold", "group"])["part"].nunique() == 1).all()
    assert (held.groupby("fold")["label"].nunique() == 2).all()
    joint = table.assign(protocol="grouped", group=table["label"])
    with pytest.raises(SplitError, match=r"training\.ensemble_size"):
        inner_folds(joint, 2, 7)


def test_an_ensemble_is_the_mean_of_discriminants_that_scikit_learn_fits(
    table: pd.DataFrame, split: pd.DataFrame, training: Trainings, tmp_path: Path
) -> None:
    """Each on the inner folds but one, with a temperature for answers to clips of other artists."""
    one = experiment(training(ensemble_size=3), ["tabular"], {"name": "lda", "shrinkage": 0.0})
    found = run(one, table, split, tmp_path / "three").set_index(["part", "clip_id"])
    assert found.groupby("part").size().to_dict() == {"valid": 12, "test": 12}
    data = splits.load(one, config.Window(frames=32, musicnn=187, fbank=1024), table, split, 0)
    for part in ("valid", "test"):
        values = rows(data, part)
        expected = np.mean([by_scikit_learn(own, values) for own in data.resplit(3, 7)], axis=0)
        np.testing.assert_allclose(found.loc[part][["p:a", "p:b"]], expected, rtol=1e-4, atol=1e-6)


def rows(data: splits.Splits, part: str) -> Any:
    windows = data.windows[part]
    return windows[windows.even(1)].inputs[0]


def by_scikit_learn(own: splits.Splits, values: Any) -> Any:
    """What a discriminant that is fitted to the training part answers."""
    train, targets, groups = rows(own, "train"), own.windows["train"].targets, own.clips["train"]["group"]
    mean, std = train.mean(axis=0), train.std(axis=0)
    folds = StratifiedGroupKFold(4).split(train, targets, groups)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.0)
    odds = cross_val_predict(lda, (train - mean) / std, targets, cv=folds, method="decision_function")
    t = best(np.stack([np.zeros_like(odds), odds], axis=1), targets)
    odds = lda.fit((train - mean) / std, targets).decision_function((values - mean) / std)
    return softmax(np.stack([np.zeros_like(odds), odds], axis=1) / t, axis=1)


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    torch.manual_seed(7)
    members = [torch.nn.Linear(4, 3) for _ in range(3)]
    values = torch.randn(5, 4)
    expected = torch.stack([member(values).softmax(dim=1) for member in members]).mean(dim=0)
    torch.testing.assert_close(Ensemble(members)(values).softmax(dim=1), expected)


def test_pooling_weights_make_the_labels_most_likely() -> None:
    """A branch that guesses gets the weight 0."""
    rng = np.random.default_rng(7)
    targets = rng.integers(0, 3, 200)
    knows = np.log(np.where(np.eye(3)[targets] > 0, 0.8, 0.1))
    wrong = rng.random(200) < 0.2
    knows[wrong] = knows[wrong][:, [1, 2, 0]]
    guesses = np.log(rng.dirichlet(np.ones(3), 200))
    weights = fit_weights(np.stack([knows, guesses], axis=1), targets)
    assert weights[0] == pytest.approx(1.0, abs=0.15)
    assert weights[1] == pytest.approx(0.0, abs=0.1)


def test_a_branch_may_give_a_label_the_probability_0() -> None:
    """Whether its pooling weight is 0 or not."""
    impossible = Majority(torch.tensor([0.0, -torch.inf, -torch.inf]))
    values = torch.randn(5, 3, generator=torch.Generator().manual_seed(7))
    for weight in (0.0, 1.0):
        net = Fusion([impossible, torch.nn.Identity()], [[0], [0]], [weight, 1.0])
        logs = net.log_probs(values).numpy()
        assert logs[:, 0].min() == pytest.approx(np.log(MIN_PROBABILITY))
        expected = pooled(logs, [weight, 1.0])
        np.testing.assert_allclose(net(values).softmax(dim=1), expected, rtol=1e-5, atol=1e-12)


def test_a_fusion_without_each_branch_takes_one_run_of_it() -> None:
    runs = []
    branches = [torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)]
    for branch in branches:
        branch.register_forward_hook(lambda module, *_: runs.append(module))
    net, values = Fusion(branches, [[0], [0]], [0.5, 2.0]), torch.randn(5, 4)
    probabilities, each = Probabilities(net)(values)
    assert runs == branches
    torch.testing.assert_close(probabilities, net(values).softmax(dim=1))
    torch.testing.assert_close(each, net.log_probs(values))


BRANCHES: dict[str, dict[str, Any]] = {
    "table": {"features": ["tabular"], "model": {"name": "lda", "shrinkage": 0.1}},
    "noise": {"features": ["spectrogram"], "model": {"name": "cnn", "arch": "compact", "dropout": 0.0}},
}


@pytest.mark.parametrize("ensemble_size", [1, 2])
def test_ablation_shows_which_branch_is_worth_something(
    table: pd.DataFrame, split: pd.DataFrame, training: Trainings, tmp_path: Path, ensemble_size: int
) -> None:
    own = training(epochs=1, patience=None)
    inherited = {**own.model_dump(), "ensemble_size": ensemble_size}
    branches = {name: {**branch, "training": inherited} for name, branch in BRANCHES.items()}
    one = experiment(own, ["spectrogram", "tabular"], {"name": "fusion", "branches": branches})
    found = run(one, table, split, tmp_path / TRIAL.name)
    test = found[found["part"] == "test"].reset_index(drop=True)
    assert (test["predicted"] == test["label"]).mean() > 0.8
    Spec(
        run_id="0" * 32,
        fold=TRIAL.fold,
        seed=TRIAL.seed,
        labels=list(LABELS),
        experiment=one,
        window=config.Window(frames=32, musicnn=187, fbank=1024),
        parameters=1,
        device="cpu",
        train_seconds=0.1,
    ).write(tmp_path / TRIAL.name)
    answers = without_branches(tmp_path, table, split)
    columns = [f"p:{label}" for label in LABELS]
    np.testing.assert_allclose(answers[FUSION][columns], test[columns], rtol=1e-3, atol=1e-4)
    worth = ablation_table(answers, 7).set_index("branch")
    assert worth.loc["table", "worth"] > 0.2
    assert abs(worth.loc["noise", "worth"]) < 0.1
    assert (worth["low"] <= worth["worth"]).all()
    assert (worth["worth"] <= worth["high"]).all()


def fused(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = YAML(typ="safe").load(Path(__file__).parents[2].joinpath("params.yaml"))
    raw["experiments"]["fused"] = {
        "features": ["spectrogram", "tabular"],
        "model": {"name": "fusion", "branches": BRANCHES},
        "training": {"epochs": 5},
        **changes,
    }
    return raw


def test_branches_inherit_training() -> None:
    read: Params = config.parse(fused())
    model = read.experiments["fused"].model
    assert isinstance(model, config.Fusion)
    assert {branch.training.epochs for branch in model.branches.values()} == {5}


def test_members_by_default_are_the_branches() -> None:
    raw = fused()
    raw["training"]["ensemble_size"] = 4
    whole = config.parse(raw).experiments["fused"]
    assert whole.training.ensemble_size == 1
    assert {branch.training.ensemble_size for branch in config.branches(whole)} == {4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ["tabular"]}, r"experiments\.fused\.features: the branches take"),
        ({"training": {"ensemble_size": 3}}, r"experiments\.fused: training\.ensemble_size: a fusion is no ensemble"),
        ({"model": {"name": "fusion", "branches": {"one": BRANCHES["table"]}}}, r"experiments\.fused\.model\.branches"),
    ],
)
def test_branches_that_do_not_fit_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ParamsError, match=message):
        config.parse(fused(**changes))
