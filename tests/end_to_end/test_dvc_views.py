"""What DVC itself shows of a checkout: this pipeline's experiments alone, and a lesson's in the lesson's folder."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import documented
import pytest
import yaml
from checkouts import NOTHING, commit, edit_params, ran, run, runs
from documented import Typed

VIEWS = (
    ("metrics", "show"),
    ("plots", "show"),
    ("params", "diff"),
    ("exp", "show", "--md"),
    ("status",),
    ("dag", "--md"),
)
OTHERS = ("lessons", "perceptron", "sign-language", "tutorial/")
LESSON = "perceptron"


def told(folder: Path, *command: str) -> str:
    """What a command of DVC's prints, which has to end well and to name no other project."""
    output = run(folder, "dvc", *command)
    assert "failed" not in output.lower().replace("features/failed.csv", ""), output
    assert not [name for name in OTHERS if name in output], output
    return output


def check_views(folder: Path) -> None:
    experiments = yaml.safe_load((folder / "params.yaml").read_text())["experiments"]
    shown = {" ".join(command): told(folder, *command) for command in VIEWS}

    header, *rows = (re.split(r" {2,}", line.strip()) for line in shown["metrics show"].splitlines())
    assert [row[0] for row in rows] == [f"metrics/{key}.json" for key in experiments]
    assert len(header) <= 11
    for key, row in zip(experiments, rows, strict=True):
        scores = scores_of(folder, key)
        found = dict(zip(header[1:], map(float, row[1:]), strict=True))
        assert {"valid_macro_f1", "test_macro_f1"} <= set(found)
        assert found == pytest.approx({name: scores[name] for name in found}, abs=1e-5)

    assert Path(shown["plots show"].strip().removeprefix("file://")).is_file()
    drawn = plots(folder)
    epochs = {key: len({row["epoch"] for row in curve}) for key, curve in drawn["history"].items()}
    assert epochs == {"mlp": 2, "multimodal": 2}, "those that are trained by epochs"
    assert all(0 <= float(row["valid_macro_f1"]) <= 1 for curve in drawn["history"].values() for row in curve)
    assert set(drawn["confusions"]) == set(experiments)
    for key, clips in drawn["confusions"].items():
        told_right = sum(row["actual"] == row["predicted"] for row in clips) / len(clips)
        assert told_right == pytest.approx(scores_of(folder, key)["test_accuracy"])
    page = (folder / "dvc_plots/index.html").read_text()
    assert all(f"{key}, test clips" in page for key in experiments)
    assert shown["params diff"] == ""
    table = told(folder, "exp", "show", "--md", "--drop", ".*", "--keep", "Experiment|.*:valid_macro_f1")
    columns = [column.strip() for column in table.splitlines()[0].strip("|").split("|")]
    assert columns == ["Experiment", *(f"metrics/{key}.json:valid_macro_f1" for key in experiments)]
    assert NOTHING in shown["status"]
    for stage in ("compare", *(f"train@{key}" for key in experiments)):
        assert f'["{stage}"]' in shown["dag --md"]


def scores_of(folder: Path, key: str) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / f"evaluation/{key}/scores.json").read_text())
    return found


def plots(folder: Path, *command: str) -> dict[str, dict[str, list[dict[str, str]]]]:
    """The rows of each plot that has some, by folder and experiment."""
    found: dict[str, Any] = json.loads(told(folder, "plots", *(command or ("show",)), "--json"))
    rows: dict[str, dict[str, list[dict[str, str]]]] = {"history": {}, "confusions": {}}
    for name, drawn in found["data"].items():
        values = [value for plot in drawn for value in plot["content"]["data"]["values"]]
        if values:
            rows[Path(name).parent.name][Path(name).stem] = values
    return rows


def new_in_git(folder: Path) -> set[str]:
    """Files that `git status` names, in the whole checkout."""
    listed = run(folder, "git", "status", "--porcelain", "--untracked-files=all")
    return {line[3:] for line in listed.splitlines()}


@pytest.mark.documented("dvc metrics show", "dvc plots show")
def test_the_finished_checkout(checkout: Path, typed: Typed) -> None:
    check_views(checkout)
    assert "valid_macro_f1" in typed(checkout, "dvc metrics show")
    assert Path(typed(checkout, "dvc plots show").strip().removeprefix("file://")).is_file()
    assert new_in_git(checkout) == set()


def test_a_clone_of_it(checkout: Path, tmp_path: Path) -> None:
    run(checkout, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    commit(checkout, "remote")
    run(checkout, "dvc", "push")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(checkout), str(clone))
    run(clone, "dvc", "pull")
    check_views(clone)
    assert new_in_git(clone) == set()


def test_a_first_run_leaves_the_lock_and_the_scores_to_commit(finished: Path) -> None:
    experiments = yaml.safe_load((finished / "params.yaml").read_text())["experiments"]
    committed = set(run(finished, "git", "diff", "--name-only", "HEAD~1", "HEAD").split())
    assert committed - {"data/music.dvc"} == {"dvc.lock", *(f"metrics/{key}.json" for key in experiments)}


def test_an_experiment_taken_out_of_params_is_not_shown(checkout: Path) -> None:
    edit_params(checkout, lambda content: content["experiments"].pop("mlp"))
    assert "mlp" not in told(checkout, "metrics", "show")
    drawn = plots(checkout)
    assert set(drawn["history"]) == {"multimodal"}
    assert "mlp" not in drawn["confusions"]


def test_curves_and_confusion_of_two_commits_are_drawn_side_by_side(checkout: Path) -> None:
    """The second trains for another epoch; what the first predicted comes out of DVC's cache."""
    edit_params(checkout, lambda content: content["experiments"]["mlp"].update(training={"epochs": 3}))
    run(checkout, "soundtrack", "repro", "--jobs", "2")
    commit(checkout, "another epoch")
    drawn = plots(checkout, "diff", "HEAD~1", "HEAD")
    points = Counter(row["rev"] for row in drawn["history"]["mlp"])
    assert sorted(points.values()) == [2, 3]
    clips = Counter(row["rev"] for row in drawn["confusions"]["mlp"])
    assert len(clips) == 2
    assert len(set(clips.values())) == 1


IN_LESSON = documented.of(f"lessons/{LESSON}/README.md")


@pytest.mark.documented(*IN_LESSON)
def test_a_lesson_is_a_project_whose_runs_stand_in_the_checkouts_store(checkout: Path, typed: Typed) -> None:
    lesson = checkout / "lessons" / LESSON
    before = runs(checkout)
    assert ran(typed(checkout, *IN_LESSON)) == ["run"]
    new = runs(checkout).drop(before.index)
    assert LESSON in set(new["name"])
    assert not (lesson / "mlflow.db").exists()
    assert new_in_git(checkout) == {f"lessons/{LESSON}/dvc.lock", f"lessons/{LESSON}/metrics.json"}

    compiled = checkout / "pipeline/__pycache__"
    compiled.mkdir(exist_ok=True)
    (compiled / "other.pyc").touch()  # as another command of the checkout leaves
    again = run(lesson, "dvc", "repro")
    assert ran(again) == []
    assert NOTHING in again
    again = run(checkout, "python", "-m", "pipeline.cli", "repro", "--jobs", "2", f"lessons/{LESSON}/dvc.yaml")
    assert ran(again) == []
    assert NOTHING in again
    assert "one_income_epochs" in run(lesson, "dvc", "metrics", "show")
    check_views(checkout)

    commit(checkout, "a lesson")
    output = run(lesson, "dvc", "exp", "run", "--temp", "-S", "seed=3")
    name = re.findall(r"Ran experiment\(s\): (\S+)", output)[0]
    tried = runs(checkout)
    assert set(tried.loc[tried["dvc.exp"] == name, "name"]) == set(new["name"])


def test_lessons_run_beside_each_other_from_the_root(checkout: Path) -> None:
    lessons = ("neuron", LESSON)
    files = [f"lessons/{lesson}/dvc.yaml" for lesson in lessons]
    output = run(checkout, "python", "-m", "pipeline.cli", "repro", "--jobs", "2", *files)
    assert sorted(ran(output)) == ["run", "run"]
    assert set(lessons) <= set(runs(checkout)["name"])
    # a picture in git may have other bytes on another processor
    assert {file for file in new_in_git(checkout) if not file.endswith(".png")} == {
        f"lessons/{lesson}/{file}" for lesson in lessons for file in ("dvc.lock", "metrics.json")
    }


@pytest.mark.documented("make tutorial")
def test_the_tutorial_is_a_project_on_top_of_the_roots(checkout: Path, typed: Typed) -> None:
    theirs = {
        "features": ["spectrogram", "wavelet"],
        "model": {"name": "multimodal", "arch": "tutorial", "dropout": 0.1},
    }
    short = {"epochs": 1, "patience": None, "monitor": None}
    edit_params(
        checkout / "tutorial", lambda content: content.update(training=short, experiments={"multimodal": theirs})
    )
    assert ran(typed(checkout, "make tutorial")) == ["train@multimodal", "report"]
    assert "multimodal, tutorial" in (checkout / "reports/tutorial.html").read_text()
    assert {"tutorial", "tutorial multimodal"} <= set(runs(checkout)["name"])
    assert NOTHING in run(checkout, "dvc", "--cd", "tutorial", "repro")
    assert "tutorial_multimodal_macro_f1" in run(checkout / "tutorial", "dvc", "metrics", "show")
    assert new_in_git(checkout) == {"tutorial/params.yaml", "tutorial/dvc.lock", "tutorial/metrics.json"}
    assert NOTHING in told(checkout, "status")
