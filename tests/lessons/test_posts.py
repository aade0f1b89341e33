"""Will this post do well? The lesson finds what was planted in made-up posts, and scores a draft."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from checkouts import make_backbone
from fastapi.testclient import TestClient
from PIL import Image
from projects import covers
from scipy import sparse
from typer.testing import CliRunner

from lessons.posts import answer, cli, collect, describe, hours, intervals, models, webapp
from lessons.posts import divide as divide_stage
from lessons.posts.answer import Draft, score, when
from lessons.posts.collect import table
from lessons.posts.divide import divide
from lessons.posts.encoder import Encoder
from lessons.posts.settings import BRANCHES, Features, Params, Split
from pipeline import tracking
from pipeline.base.errors import UserError
from pipeline.base.files import read_json
from pipeline.config.check import check
from pipeline.workflow.dependencies import reached_from

ROOT = Path(__file__).parents[2]
LESSON = ROOT / "lessons/posts"
STAGES: dict[str, Any] = yaml.safe_load((LESSON / "dvc.yaml").read_text())["stages"]


def commands() -> list[list[str]]:
    """Scripts and their arguments, in the order of dvc.yaml."""
    raw = yaml.safe_load((LESSON / "params.yaml").read_text())
    found = []
    for stage in STAGES.values():
        keys = raw["models"] if "foreach" in stage else [""]
        found += [stage.get("do", stage)["cmd"].replace("${key}", key).split()[1:] for key in keys]
    return found


def run_stages(folder: Path, **changes: Any) -> None:
    """The commands of dvc.yaml, one after the other in the working folder, with quick models."""
    params = yaml.safe_load((LESSON / "params.yaml").read_text())
    params["models"]["boosting"] |= {"rates": [0.1], "rounds": 10, "words": 5}
    params["models"]["net"] |= {"epochs": [2], "hidden": 4}
    params["models"]["ridge"]["alphas"] = [10.0]
    params |= {"bootstrap": 100, **changes}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for script, *arguments in commands():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("DVC_ROOT", str(folder))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            patch.setattr(sys, "argv", [script, *arguments])
            import_module(f"lessons.posts.{Path(script).stem}").main()


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the lesson has run on the made-up posts."""
    folder = tmp_path_factory.mktemp("posts")
    shutil.copy(LESSON / "made-up.yaml", folder)
    run_stages(folder)
    return folder


@pytest.fixture
def there(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(lesson)
    monkeypatch.setattr(cli, "FOLDER", lesson)
    answer.known.cache_clear()
    yield lesson
    answer.known.cache_clear()


@pytest.fixture
def typed(there: Path, tmp_path: Path) -> Callable[..., str]:  # noqa: ARG001
    """``typed("a title", "--at", "Tue 09:00")``: what the command prints, or the sentence that it ends with."""

    def run(*words: str) -> str:
        with pytest.MonkeyPatch.context() as patch:  # the command leaves the folder
            patch.chdir(tmp_path)
            done = CliRunner().invoke(cli.app, ["posts", "score", *words])
        assert done.exception is None or isinstance(done.exception, UserError), done.exception
        return done.stdout if done.exception is None else str(done.exception)

    return run


def of(lesson: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(lesson / f"evaluation/{name}.csv")


def test_each_planted_effect_is_within_its_interval(lesson: Path) -> None:
    effects = of(lesson, "effects").set_index(["kind", "name"])
    recipe = yaml.safe_load((LESSON / "made-up.yaml").read_text())
    truth = {("word", word): value for word, value in recipe["words"].items()}
    truth |= {("domain", name): value for name, value in recipe["domains"].items()}
    truth |= {("picture", "there"): recipe["pictures"]["effect"]}
    truth |= {("picture", "from blue to red"): recipe["pictures"]["warmth"]}
    truth |= {("sentiment", "from 0 to all positive"): 0.0}
    for hour in range(24):
        angle = 2 * np.pi * (hour - recipe["hour"]["peak"]) / 24
        truth["hour", f"{hour:02}:00"] = recipe["hour"]["amplitude"] * np.cos(angle)
    assert truth.keys() <= set(effects.index)
    for key, row in effects.iterrows():
        assert row["low"] <= truth.get(key, 0.0) <= row["high"], key
    strong = [key for key, value in truth.items() if abs(value) >= 0.3]
    found = effects.loc[strong]
    assert (np.sign(found["effect"]) == [np.sign(truth[key]) for key in strong]).all()
    assert ((found["low"] > 0) | (found["high"] < 0)).all(), "intervals so wide that they say nothing would hold all"


def test_tone_shows_a_slope_that_words_explain(lesson: Path) -> None:
    """As the tool plots it, angry titles do better: broken and failing lift. The tone itself does nothing."""
    tones = of(lesson, "tones").set_index("tone")
    assert tones.loc["-0.6 to -0.2", "log points_low"] > tones.loc["+0.2 to +0.6", "log points_high"]
    ablation = of(lesson, "ablation").set_index(["model", "branch"])
    assert ablation.loc[("ridge", "sentiment"), "worth_low"] <= 0
    for branch in ("words", "domain", "picture"):
        assert ablation.loc[("ridge", branch), "worth_low"] > 0
    assert set(ablation.index) == {(model, branch) for model in ("ridge", "boosting", "net") for branch in BRANCHES}


def test_a_random_split_claims_more(lesson: Path) -> None:
    found = of(lesson, "leak").set_index("test posts")["rank correlation"]
    assert found["later, new authors"] < found["any time, new authors"] < found["any time, all authors"]


def test_the_hour_matters_and_nine_does_not(lesson: Path) -> None:
    best, nine = (row for _, row in of(lesson, "windows").iterrows())
    assert abs(int(best["hours"][:2]) + 1.5 - 14) <= 2
    assert best["gain_low"] > 0
    assert nine["gain_low"] < 0 < nine["gain_high"]


def test_the_page_has_every_answer_and_mlflow_every_model(there: Path) -> None:
    page = (there / "results/report.html").read_text(encoding="utf-8")
    for words in ("Post at 9?", "A random split would have claimed", "What a branch adds", "Success against sentiment"):
        assert words in page
    assert page.count("<img") == page.count("<table") == 7
    assert (there / "posts.png").stat().st_size < 150_000
    metrics = read_json(there / "metrics.json")
    assert metrics["test_ridge_rank_correlation"] > 0.3
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(there))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.connect("posts")
        runs = mlflow.search_runs(experiment_names=["posts"]).set_index("tags.mlflow.runName")
    assert set(runs.index) == {"posts", "ridge", "boosting", "net"}
    assert runs.loc["ridge", "metrics.test/rank_correlation"] == metrics["test_ridge_rank_correlation"]
    assert runs.loc["net", "metrics.train/rmse"] > 0


def test_a_draft_is_scored_with_what_moved_it(typed: Callable[..., str], tmp_path: Path) -> None:
    good = typed("Why the kernel is broken", "--domain", "https://www.github.com/a/b", "--at", "Tue 14:00")
    bad = typed("Best startup tips", "--domain", "medium.com", "--at", "Tue 02:00")
    scores = [int(found[1]) for found in (re.match(r"Score (\d+) of 10\n", text) for text in (good, bad)) if found]
    assert scores[0] >= 9
    assert scores[1] <= 2
    assert re.search(r"domain +\+0\.\d\d  github\.com", good)
    assert re.search(r"words +-0\.\d\d  .*tips -0\.", bad)
    assert "Best hours of" in good
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.new("RGB", (9, 9), colour).save(tmp_path / f"{name}.png")
    moved = [re.search(r"picture +([+-]\S+)  ", typed("Notes", "--picture", f"{name}.png")) for name in ("red", "blue")]
    red, blue = (float(one[1]) for one in moved if one)
    assert red > blue


def test_bad_drafts_get_a_sentence(typed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    assert "the title is empty" in typed("  ?! ")
    assert "1001 characters" in typed("x" * 1001)
    for text in ("noonish", "25:00", "Tue", "Wen 09:00", "2026-13-01"):
        assert f"'{text}' is no time" in typed("A kernel", "--at", text)
    assert "broken.png cannot be used" in typed("A kernel", "--picture", "broken.png")
    assert "nowhere.png cannot be read" in typed("A kernel", "--picture", "nowhere.png")
    text = typed("Kernel", "--domain", "unheard.of")
    assert "No domain unheard.of in at least 3 training posts" in text
    assert "No time given" in text
    assert "No word of the title" in typed("Zzz qqq")


def test_a_lesson_that_has_not_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "FOLDER", tmp_path)
    shutil.copy(LESSON / "params.yaml", tmp_path)
    answer.known.cache_clear()
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["posts", "score", "A kernel"])
    assert f"the lesson has not run, features/encoder.json is not there: `dvc repro` in {tmp_path}" in str(
        done.exception
    )


def test_the_page_has_a_form(there: Path) -> None:  # noqa: ARG001
    client = TestClient(webapp.app(), base_url="http://127.0.0.1")
    page = client.get("/").text
    assert '<input name="title"' in page
    assert "Score 1" not in page
    asked = client.get("/", params={"title": "Kernel <b>", "domain": "arxiv.org", "at": "Tue 14:00"})
    assert re.search(r"Score \d+ of 10", asked.text)
    assert "Kernel &lt;b&gt;" in asked.text
    assert "<b>" not in asked.text
    refused = client.get("/", params={"title": " ", "at": "never"})
    assert refused.status_code == 400
    assert "the title is empty" in refused.text
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_a_form_gives_what_the_command_gives(typed: Callable[..., str]) -> None:
    text = typed("A kernel", "--at", "09:00")
    assert text.startswith(f"Score {score(Draft('A kernel', at='09:00')).score} of 10")


def test_times_as_people_write_them() -> None:
    assert [f"{when(text)[0]:%H:%M}" for text in ("Tue 09:00", "tuesday 9", " 9:00 ", "2026-03-24 09:00")] == [
        "09:00"
    ] * 4
    assert [when(text)[1] for text in ("Tue 09:00", "9:00", "")] == [True, False, False]
    assert f"{when('Sun 23:59')[0]:%a}" == "Sun"


def test_later_posts_of_known_authors_are_set_aside() -> None:
    authors = pd.Series(
        [f"early {n % 30}" for n in range(140)] + [f"middle {n}" for n in range(30)] + [f"late {n}" for n in range(30)]
    )
    authors.iloc[-5:] = ["early 1", "middle 1", "middle 2", "late 1", "late 2"]
    found = divide(authors, Split(valid=0.15, test=0.15))
    assert found["part"].tolist() == ["train"] * 140 + ["valid"] * 30 + ["test"] * 30
    assert found.index[found["returning"]].tolist() == [195, 196, 197]
    assert (
        authors[~found["returning"]].groupby(authors).apply(lambda own: found["part"][own.index].nunique()) == 1
    ).all()
    with pytest.raises(UserError, match=r"split\.test: 0 posts of authors that no earlier part has"):
        divide(pd.Series(["one"] * 170 + [f"{n}" for n in range(25)] + ["one"] * 5), Split(valid=0.15, test=0.02))


def test_the_encoder_knows_training_posts_alone() -> None:
    described = pd.DataFrame(
        {
            "title": ["a red fox"] * 3 + ["blue"] * 2,
            "domain": ["x.com"] * 3 + ["y.com"] * 2,
            "time a": [1.0, 2, 3, 9, 9],
        }
    )
    encoder = Encoder.fit(described.iloc[:3], Features(min_posts=3, max_words=10, weights=None))
    with pytest.raises(UserError, match=r"features\.min_posts: no word is in 4 training posts"):
        Encoder.fit(described.iloc[:3], Features(min_posts=4, max_words=10, weights=None))
    assert encoder.content["words"] == ["fox", "red", "red fox"]
    assert encoder.names("domain") == ["x.com", "other"]
    words, domain, time = encoder.transform(described, ["words", "domain", "time"])
    assert words[3].nnz == 0
    assert domain.toarray()[3].tolist() == [0, 1]
    np.testing.assert_allclose(time.toarray()[:3, 0], [-1.2247, 0, 1.2247], atol=1e-4)


@pytest.mark.parametrize(("name", "choice"), [("ridge", 1.0), ("net", 2)])
def test_a_model_that_answers_is_saved_as_it_is(name: str, choice: float, tmp_path: Path) -> None:
    settings = check(yaml.safe_load((LESSON / "params.yaml").read_text()), Params, "params.yaml").models
    rng = np.random.default_rng(0)
    inputs = [sparse.csr_matrix(rng.normal(size=(80, count)).astype(np.float32)) for count in (5, 3)]
    says, kept = models.fit(name, ["words", "time"], inputs, rng.normal(size=80), choice, settings, 7)
    models.save(name, kept, tmp_path)
    again = models.load(name, tmp_path, [5, 3], settings)(inputs)
    assert again.shape == (80, 2)
    np.testing.assert_allclose(again, says(inputs), rtol=1e-5)


def test_intervals_are_over_authors() -> None:
    """Ten posts of an author that are all alike say no more than one."""
    rng = np.random.default_rng(0)
    one = rng.normal(size=60)
    names = pd.Series([f"{n}" for n in range(60)])
    once, often = (
        intervals.mean(np.repeat(one, count), names.repeat(count).reset_index(drop=True)) for count in (1, 10)
    )
    assert often.low == pytest.approx(once.low, rel=0.05)
    truth = pd.Series(one)
    table_ = pd.DataFrame({"same": truth, "noise": rng.normal(size=60)})
    found = intervals.correlations(table_, one, names, 200, 0)
    assert found.of("same").value == pytest.approx(1)
    assert found.of("noise").low < 0 < found.of("noise").high
    assert found.lead("same", "noise").low > 0.5


def test_hours_that_do_nothing_are_called_chance() -> None:
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "author": rng.integers(0, 900, 4000).astype(str),
            "hour": rng.integers(0, 24, 4000),
            "later": np.arange(4000) > 2500,
        }
    )
    rows["rest"], rows["domain"], rows["weekday"] = rng.normal(size=4000), "a.com", 0
    assert "that may be chance" in hours.best(rows).sentence
    rows.loc[hours.inside(rows["hour"], 23), "rest"] += 1.0
    assert hours.best(rows).start == 23
    assert hours.best(rows).matters
    assert hours.such(rows, "a.com", 200)[1] == "posts of a.com"
    assert hours.such(rows, "b.com", 200)[1] == "all posts"


def test_kaggles_table_is_read_as_well_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    row = "1,A title,http://www.github.com/a,10,2,me,8/4/2016 11:52\n"
    file.write_text("id,title,url,num_points,num_comments,author,created_at\n" + row + "2,,,1,1,me,8/4/2016 11:53\n")
    found = table(file)
    assert found.to_dict("records") == [
        {
            "title": "A title",
            "domain": "github.com",
            "author": "me",
            "at": pd.Timestamp("2016-08-04 11:52"),
            "points": 10,
            "picture": "",
        }
    ]
    for text, message in (
        ("title,author\na,b\n", "lacks the column at, points"),
        ("title,author,at,points\na,b,soon,3\n", "row 2: 'soon' is no time"),
        ("title,author,at,points\na,b,2020-01-01,many\n", "row 2: 'many' is no number"),
        ("title,author,at,points\na,b,2020-01-01,inf\n", "row 2: 'inf' is no number"),
        ("title,author,at,points\na,b,2020-01-01 01:00+02:00,1\na,b,2020-01-01 01:00+03:00,1\n", "times of"),
        ("", "cannot be read as a table"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=re.escape(message)):
            table(file)
    with pytest.raises(UserError, match="cannot be read as a table"):
        table(tmp_path / "none.csv.gz")


def test_a_broken_picture_of_a_folder_counts_as_none_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    Image.new("RGB", (9, 9), (255, 0, 0)).save(mine / "red.png")
    (mine / "cut.png").write_bytes((mine / "red.png").read_bytes()[:40])
    posts = pd.DataFrame({"title": [f"post {n}" for n in range(220)], "author": [f"{n}" for n in range(220)]})
    at = pd.date_range("2024-01-01", periods=220, freq="h").astype(str)
    posts.assign(at=at, points=range(220), picture=["red.png", "cut.png"] * 110).to_csv(mine / "posts.csv", index=False)
    params = yaml.safe_load((LESSON / "params.yaml").read_text()) | {"data": {"path": "mine"}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for stage in (collect, divide_stage, describe):
        stage.main()
    assert "1 picture left out, as if not there; the first is cut.png: cannot be decoded" in capsys.readouterr().out
    found = pd.read_parquet("features/posts.parquet")
    assert found["picture there"].tolist() == [1.0, 0.0] * 110
    (mine / "cut.png").unlink()
    with pytest.raises(UserError, match=r"the picture cut\.png is not in mine"):
        collect.main()


def test_a_network_may_look_at_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), (255, 0, 0)).save(tmp_path / "red.png")
    make_backbone(tmp_path)
    seen = describe.look(tmp_path / "red.png", str(tmp_path))
    assert seen[:3].tolist() == [1, 0, 0]
    assert len(seen) > 100
    with pytest.raises(UserError, match=r"features\.weights: .* has no config\.json"):
        describe.look(tmp_path / "red.png", str(tmp_path / "none"))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_names_its_code_and_only_params_that_there_are(name: str) -> None:
    stage = STAGES[name].get("do", STAGES[name])
    deps = [dep for dep in stage["deps"] if not dep.startswith("$")]
    covers(LESSON, deps, reached_from(LESSON / stage["cmd"].split()[1]), {ROOT / "pipeline/reports/templates"})
    raw = yaml.safe_load((LESSON / "params.yaml").read_text())
    assert {param.partition(".")[0] for param in stage["params"]} <= raw.keys()
    check(raw, Params, "params.yaml")
