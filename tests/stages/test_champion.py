"""Which model becomes the champion, in a real registry."""

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from running import champion, evaluate, train

from pipeline import cli
from pipeline.base import paths
from pipeline.base.files import read_json, write_json
from pipeline.config.project import Params
from pipeline.evaluation.bootstrap import Interval
from pipeline.serving import isolated, manifest, model_card, ood_evaluation, promotion
from pipeline.serving.isolated import Prediction
from pipeline.serving.model_card import Cost
from pipeline.serving.ood_evaluation import Roc
from pipeline.tracking import registry, store
from pipeline.tracking.registry import Registered, RegistryError

Setup = Callable[..., None]
MODELS = {
    "majority": {"features": ["tabular"], "model": {"name": "majority"}},
    "logreg": {"features": ["tabular"], "model": {"name": "logreg", "c": 1.0}},
}


@pytest.fixture
def run(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``run("majority", "logreg", min_valid_macro_f1=0.0)``: the stage, of these experiments, the last of which is chosen;
    gives the card."""
    # the clips have no audio
    monkeypatch.setattr(model_card, "measure", lambda *_: Cost(1.5, 0.1, 1.0))
    monkeypatch.setattr(ood_evaluation, "noises", lambda *_: Roc([0.0, 1.0], [0.0, 1.0], 0.5, 0.0, 1))
    # a model's page needs features that this checkout does not have
    monkeypatch.setattr(Params, "model_pages", False)
    setup(leak=[], split={"valid": 0.5, "test": 0.2})
    params = yaml.safe_load(paths.PARAMS.read_text())
    params["experiments"] = MODELS
    paths.PARAMS.write_text(yaml.safe_dump(params))
    for key in MODELS:
        train(key)
        evaluate(key)

    def make(*keys: str, **settings: object) -> str:
        params["experiments"] = {key: MODELS[key] for key in keys}
        params["champion"] |= settings
        paths.PARAMS.write_text(yaml.safe_dump(params))
        write_json(paths.CHOICE, {"chosen": keys[-1]})
        champion()
        return paths.CARD.read_text()

    return make


def alias(name: str) -> tuple[str, str]:
    found = mlflow.MlflowClient().get_model_version_by_alias(name, registry.ALIAS)
    return str(found.version), found.tags["experiment"]


def test_a_folder_that_is_not_a_registered_model_is_refused(checkout: Path) -> None:
    paths.CANDIDATE.mkdir(parents=True)
    for asked, why in (
        (str(paths.CANDIDATE), r"has no artifacts/bundle: give models:/<name>/<version>"),
        (str(checkout / "nothing"), "no model .*nothing"),
    ):
        with pytest.raises(RegistryError, match=why):
            registry.model(asked)


def test_a_worse_candidate_is_refused_and_the_alias_stays(run: Callable[..., str], checkout: Path) -> None:
    name = checkout.parent.name
    card = run("majority", name=name)
    assert "Refused, so there is no champion: validation macro F1" in card
    assert "(minimum 0.3), see champion.min" in card
    assert registry.champion(name) is None

    card = run("majority", "logreg")
    assert "Accepted as the first champion: validation macro F1" in card
    assert "there is no champion" not in card
    assert read_json(paths.CANDIDATE / "manifest.json")["experiment"] == "logreg"
    before = alias(name)
    assert before[1] == "logreg"

    card = run("majority", min_valid_macro_f1=0.0)
    assert f"Refused, version {before[0]} stays champion: " in card
    assert "the champion is better by" in card
    assert alias(name) == before

    # the same model again is the same version
    assert "Still the champion: " in run("logreg")
    assert alias(name) == before


def test_the_run_knows_size_latency_and_version(run: Callable[..., str], checkout: Path) -> None:
    run("logreg", name=checkout.parent.name)
    made = read_json(paths.CANDIDATE / "manifest.json")
    logged = mlflow.get_run(made["run_id"]).data.metrics
    assert logged["cost/audio_to_label_ms"] == 100.0
    assert logged["cost/bundle_mb"] == 1.5
    (version,) = mlflow.MlflowClient().search_model_versions(f"name = '{checkout.parent.name}'")
    assert version.run_id == made["run_id"]
    assert "## Scores" in version.description
    assert f"](get-artifact?run_uuid={made['run_id']}&path=ood.png)" in version.description, (
        "where MLflow's page finds it"
    )
    assert {"ood.png", "model-card.md"} <= {file.path for file in mlflow.MlflowClient().list_artifacts(made["run_id"])}
    seen = pd.read_parquet(paths.CANDIDATE / "seen.parquet")
    split = pd.read_parquet(paths.SPLIT)
    assert len(seen) == (split["part"] != "test").sum()


def test_the_card_begins_with_what_was_promised_and_what_was_reached(run: Callable[..., str], checkout: Path) -> None:
    card = run("logreg", name=checkout.parent.name, precision=0.01)
    first = card.splitlines()[2]
    assert re.fullmatch(
        r"- \*\*Promised precision: 1 %\. Reached on the test set: \d+ %\*\*, \d+ of \d+ confident predictions.* "
        r"The promise is kept\.",
        first,
    )
    page = paths.CARD_PAGE.read_text()
    for link in ("comparison.html", "models/logreg.html", "data.html"):
        assert f"]({link})" in card
        assert f'<a href="{link}">' in page
    assert "<strong>Promised precision: 1 %. " in page
    assert page.count("<table>") >= 3
    assert "**" not in page and "|" not in page.partition("<h1>")[2]
    (version,) = mlflow.MlflowClient().search_model_versions(f"name = '{checkout.parent.name}'")
    assert first in version.description
    assert "comparison.html" not in version.description, "MLflow has no such page"
    address = f"http://127.0.0.1:5000/#/models/{checkout.parent.name}/versions/{version.version}"
    assert f"]({address})" in card


@pytest.mark.parametrize(
    ("confident", "right", "ends", "threshold", "told"),
    [
        (
            72,
            47,
            (0.54, 0.76),
            0.5,
            "**Promised precision: 80 %. Reached on the test set: 65 %**, 47 of 72 confident predictions "
            "(95 % interval 54 % to 76 %). The promise is not kept.",
        ),
        (
            10,
            7,
            (0.4, 0.9),
            0.5,
            "**Promised precision: 80 %. Reached on the test set: 70 %**, 7 of 10 confident predictions "
            "(95 % interval 40 % to 90 %). That is less, but with so few clips it may be chance.",
        ),
        (
            4,
            4,
            (math.nan, math.nan),
            0.5,
            "**Promised precision: 80 %. Reached on the test set: 100 %**, 4 of 4 confident predictions. "
            "The promise is kept.",
        ),
        (
            0,
            0,
            (math.nan, math.nan),
            0.5,
            "**Promised precision: 80 %.** Not checked: it is confident about no test clip.",
        ),
        (
            0,
            0,
            (math.nan, math.nan),
            1.01,
            "No precision is promised: at no confidence threshold are 80 % of the validation predictions right.",
        ),
    ],
)
def test_a_promise_in_words(confident: int, right: int, ends: tuple[float, float], threshold: float, told: str) -> None:
    found = Interval(right / confident if confident else math.nan, *ends)
    assert model_card.Promise(threshold, 0.8, 0.5, confident, right, found).sentence == told


def test_the_champion_is_not_compared_on_clips_that_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips are matched by content: ids and parts may differ from when the champion was trained."""
    present = Registered("1", tmp_path, "models:/soundtrack/1")
    present.bundle.mkdir(parents=True)
    seen = pd.DataFrame(
        [("trained", "train", None), ("judged", "valid", "jazz")], columns=["sha256", "part", "predicted"]
    )
    seen.to_parquet(present.bundle / manifest.SEEN)
    valid = pd.DataFrame([("a", "trained"), ("b", "judged"), ("c", "new")], columns=["clip_id", "sha256"])
    asked: list[Path] = []

    def predict(bundle: Path, code: Path, songs: Sequence[Path]) -> Iterator[Prediction]:  # noqa: ARG001
        asked.extend(songs)
        return iter([{"guess": "rock"} for _ in songs])

    monkeypatch.setattr(isolated, "predict", predict)
    answers = promotion.champion_predictions(present, valid.assign(path=valid["clip_id"] + ".wav"))
    assert asked == [Path("c.wav")]
    assert dict(zip(answers["clip_id"], answers["predicted"], strict=True)) == {"b": "jazz", "c": "rock"}


def test_a_clone_that_has_pulled_everything_gets_its_champion_back(
    run: Callable[..., str],
    checkout: Path,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its MLflow store is empty, and DVC sees no reason to run a stage."""
    name = checkout.parent.name
    run("majority", "logreg", name=name)
    outputs = {file: file.read_bytes() for file in (paths.CARD, *paths.CANDIDATE.iterdir())}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty_store, checkout / 'clone.db')}")
    (checkout / "song.wav").touch()

    def typed(*words: str) -> object:
        monkeypatch.setattr(sys, "argv", ["soundtrack", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code

    missing = typed("classify", "song.wav")
    assert "`soundtrack champion` registers the model in candidate" in str(missing)
    assert "--model candidate uses it as it is" in str(missing)
    assert typed("champion") == 0
    assert f"{name} version 1 (logreg), from candidate. Accepted as the first champion" in capsys.readouterr().out
    assert alias(name) == ("1", "logreg")
    found = registry.champion(name)
    assert found is not None
    assert (found.bundle / "model.onnx").read_bytes() == outputs[paths.CANDIDATE / "model.onnx"]
    (version,) = mlflow.MlflowClient().search_model_versions(f"name = '{name}'")
    assert "## Scores" in version.description
    assert "](comparison.md)" not in version.description
    assert {file: file.read_bytes() for file in outputs} == outputs, "DVC has nothing to run again"

    # what an evaluation there would log is still to come: the run has the registration alone
    evaluate("logreg")
    restored = mlflow.get_run(version.run_id)
    assert restored.data.params["experiment"] == "logreg"
    assert "test/macro_f1" in restored.data.metrics

    write_json(paths.CHOICE, {"chosen": "majority"})
    assert "has the model logreg, but by the evaluations here majority is chosen" in str(typed("champion"))
    write_json(paths.CHOICE, {"chosen": "logreg"})
    (paths.EVALUATION / "logreg/predictions.parquet").unlink()
    assert "logreg/predictions.parquet is not here: `dvc pull`" in str(typed("champion"))
    (paths.CANDIDATE / "manifest.json").unlink()
    assert "manifest.json is not here: `dvc pull` brings it from the remote" in str(typed("champion"))


ASKED = """
import sys
from pipeline.tracking import registry, store
print(registry.champion(sys.argv[1]).uri, "mlflow" in sys.modules)
"""


def test_mlflow_is_asked_for_the_champion_again_only_when_its_database_has_changed(
    run: Callable[..., str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = checkout.parent.name
    run("logreg", name=name, min_valid_macro_f1=0.0)

    def asked() -> list[str]:
        done = subprocess.run([sys.executable, "-c", ASKED, name], check=True, capture_output=True, text=True)
        return done.stdout.split()

    assert asked()[0] == f"models:/{name}/1"
    assert asked() == [f"models:/{name}/1", "False"]
    for damaged in ("", "[]", '{"asked": 1}'):
        (paths.cache() / "champion.json").write_text(damaged)
        assert registry.champion(name).uri == f"models:/{name}/1"  # type: ignore[union-attr]
    client = mlflow.MlflowClient()
    (first,) = client.search_model_versions(f"name = '{name}'")
    second = client.create_model_version(name, first.source, first.run_id)
    client.set_registered_model_alias(name, registry.ALIAS, second.version)
    assert [asked(), asked()] == [[f"models:/{name}/2", "True"], [f"models:/{name}/2", "False"]]
    with monkeypatch.context() as elsewhere:  # a change there would not change this database
        elsewhere.setenv("MLFLOW_REGISTRY_URI", store.uri())
        assert asked() == [f"models:/{name}/2", "True"]
    client.delete_registered_model_alias(name, registry.ALIAS)
    assert registry.champion(name) is None


def test_a_bundle_is_a_model_as_it_is(run: Callable[..., str], checkout: Path) -> None:
    run("logreg", name=checkout.parent.name)
    found = registry.model("candidate")
    assert (found.bundle / "model.onnx").read_bytes() == (paths.CANDIDATE / "model.onnx").read_bytes()
    assert (found.code / "pipeline/serving/predictor.py").is_file()
    assert (found.folder / "MLmodel").is_file(), "by which MLflow serves it"
    assert registry.model("candidate").folder == found.folder
