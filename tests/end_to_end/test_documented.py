"""The documents' commands as they stand there: each is run by a test, or named with what is tested in its place.

A test's mark names the commands that it runs (see conftest.py); those of versions, copies and single stages are run by
the tests of these.
"""

import functools
import importlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import documented
import lab
import mutagen
import pandas as pd
import pytest
import songs
import yaml
from checkouts import CHORDS, CLIPS, edit_params, make_music, ran, run, runs
from documented import Typed

from pipeline.base import paths
from pipeline.tracking.queue import Queue

ROOT = Path(__file__).parents[2]


class NotRun(NamedTuple):
    why: str
    instead: str
    """The test, or file of tests, of the same without that."""
    recipe: str = ""
    """What `make` says that it would run."""


KUBERNETES = (
    "echo PASSWORD=<password> > deploy/kubernetes/password.env",
    "kubectl apply -k deploy/kubernetes",
    "kubectl --namespace soundtrack port-forward service/mlflow 5000",
)
NOT_RUN = {
    "make install": NotRun(
        "a network and minutes", ".ci/run", "python -m pip --disable-pip-version-check --quiet --quiet install"
    ),
    "make test": NotRun("it runs this test", ".ci/run", "pytest --numprocesses"),
    "make test-long": NotRun("it runs tests", "tests/stages/test_faults.py", "tests/stages/test_faults.py"),
    "make test-commands": NotRun("it runs these tests", "tests/end_to_end/test_documented.py", "-m documented"),
    "make test-pipelines": NotRun("it runs tests", ".ci/run", "tests/end_to_end/test_extending.py"),
    "make test-cluster": NotRun(
        "it runs tests, with Dask and PostgreSQL", "tests/cluster/test_clips.py", "pytest tests/cluster"
    ),
    "soundtrack repro --cluster local:4": NotRun("Dask", "tests/cluster/test_clips.py"),
    "soundtrack sweep mlp --trials 200": NotRun("minutes, and PostgreSQL", "tests/cluster/test_shared_sweep.py"),
    "make test-browser": NotRun("it runs tests, with Chromium", "tests/browser/conftest.py", "pytest tests/browser"),
    "python -m benchmarks choice": NotRun("half an hour of training", "tests/evaluation/test_choice_benchmark.py"),
    "python -m benchmarks repro --against a418a4b": NotRun("half an hour", "tests/end_to_end/test_jobs.py"),
    "make situations": NotRun("it plays commands itself", ".ci/run", "python tests/situations.py"),
    "python -m benchmarks --only cluster": NotRun("Dask, and an idle machine", "tests/cluster/test_clips.py"),
    "python -m benchmarks scale": NotRun("a quarter of an hour", "tests/test_scale.py"),
    "PASSWORD=<password> ADDRESS=<address> HOSTS=<server>:* docker compose -f deploy/compose.yaml up --build -d": NotRun(
        "Docker", "tests/helpers/services.py"
    ),
    **dict.fromkeys(KUBERNETES, NotRun("Kubernetes", "tests/cluster/test_deploy.py")),
    **dict.fromkeys(lab.COMMANDS, NotRun("servers", "tests/cluster/test_shared_server.py")),
    "make pictures": NotRun("Chromium", "tests/browser/test_page.py", "benchmarks.pictures"),
    "make lint": NotRun("`make test` runs it", ".ci/run", "lint-imports"),
    "make audit": NotRun("a network", "tests/test_security.py", "pip-audit --strict"),
    "make bench CLIPS=<folder>": NotRun("an hour and more", "tests/test_bench.py", "python -m benchmarks --clips"),
    "make scores": NotRun(
        "half an hour of training", "tests/stages/test_readme_scores.py", "python -m benchmarks.scores starter"
    ),
    "make lessons": NotRun("minutes", "tests/lessons/test_lessons.py", " repro "),
    "pip install '.[keras]'": NotRun("a network, and 2 GB", "pyproject.toml"),
    "pip install '.[lora]'": NotRun("a network", "pyproject.toml"),
    "pip install '.[remotes]'": NotRun("a network", "pyproject.toml"),
    "soundtrack weights": NotRun("it needs no pipeline", "tests/models/test_known.py"),
    "pip install kagglehub": NotRun(
        "a network", "tests/end_to_end/test_documented_lessons.py::test_signs_from_kaggle_are_read_by_letter"
    ),
    "dvc plots diff": NotRun("the same, with two commits named", "tests/end_to_end/test_dvc_views.py"),
    "soundtrack ui": NotRun("what `make ui` runs", "tests/end_to_end/test_servers.py"),
    "mlflow models serve": NotRun("what `make serve` runs", "tests/end_to_end/test_servers.py"),
    "soundtrack classify ~/Music": NotRun("a network", "tests/library/test_tagger.py"),
    "soundtrack classify ~/Music --model tags": NotRun("a network", "tests/library/test_tagger.py"),
    "soundtrack classify ~/Music --playlists ~/Playlists": NotRun("a network", "tests/library/test_tagger.py"),
    "soundtrack page --model tags": NotRun("a network, and a browser", "tests/browser/test_tagger_page.py"),
    "python -m benchmarks.tagger FOLDER": NotRun("a network", "tests/library/test_tagger.py"),
    "soundtrack suggest ~/Music": NotRun("the loop takes minutes", "tests/end_to_end/test_suggest_loop.py"),
    "soundtrack import ~/Music --labels suggested.csv": NotRun(
        "the loop takes minutes", "tests/end_to_end/test_suggest_loop.py"
    ),
    "soundtrack page --labels FILE": NotRun("a server, and a browser", "tests/browser/test_label_tab.py"),
    "cd lessons/activations": NotRun("a minute", "tests/lessons/test_activations.py"),
    "cd lessons/overfitting": NotRun("a minute", "tests/lessons/test_overfitting.py"),
    "cd lessons/animal-faces": NotRun("a minute", "tests/lessons/test_picture_lessons.py"),
    "cd lessons/posts": NotRun("two minutes", "tests/lessons/test_posts.py"),
    'soundtrack-lesson posts score "Why the kernel is broken" --domain github.com --at "Tue 14:00"': NotRun(
        "two minutes before it", "tests/lessons/test_posts.py::test_a_draft_is_scored_with_what_moved_it"
    ),
    "soundtrack-lesson posts page": NotRun("a server", "tests/lessons/test_posts.py::test_the_page_has_a_form"),
    "ln -s ~/animals data/pictures": NotRun("the same", "tests/lessons/test_picture_lessons.py"),
}


def marked() -> set[str]:
    """The commands that the marks of end-to-end tests name."""
    modules = [importlib.import_module(file.stem) for file in Path(__file__).parent.glob("test_*.py")]
    tests = [value for module in modules for value in vars(module).values()]
    marks = [mark for test in tests for mark in getattr(test, "pytestmark", [])]
    return {command for mark in marks if mark.name == "documented" for command in mark.args}


def test_every_documented_command_is_run() -> None:
    commands = documented.fenced() | documented.inline()
    known = marked() | NOT_RUN.keys()
    untested = {f"{command} ({place})" for command, place in commands.items() if not documented.is_run(command, known)}
    assert not untested, "run by no test (or no command: fence it as ```text)"
    assert not known - commands.keys(), "in no document"
    assert not marked() & NOT_RUN.keys()


def test_links_of_the_documents_lead_to_files() -> None:
    for document in (file for pattern in documented.DOCUMENTS for file in ROOT.glob(pattern)):
        for link in re.findall(r"\]\((?!https?:)([^)\s#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.relative_to(ROOT)}: {link}"


@pytest.mark.parametrize("command", NOT_RUN)
def test_what_is_not_run_is_there_and_tested_otherwise(command: str, tmp_path: Path) -> None:
    entry = NOT_RUN[command]
    file, _, test = entry.instead.partition("::")
    assert f"{test}" in (ROOT / file).read_text()
    if command.startswith("make "):
        shutil.copy(ROOT / "Makefile", tmp_path)
        for name in ("requirements.lock", "pyproject.toml"):
            (tmp_path / name).touch()
        assert entry.recipe in run(tmp_path, "bash", "-ec", command.replace("<folder>", "music") + " --dry-run")


def test_params_that_commands_set_are_in_params_yaml() -> None:
    """Those of the checkouts here are other ones."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    keys = [key for command in documented.fenced() for key in re.findall(r" -S (\S+?)=", command)]
    assert keys
    for key in keys:
        functools.reduce(lambda section, name: section[name], key.split("."), content)


EVERY_LINE = (
    r"\d+ stages to run, 2 at a time|\[ *\d+/\d+\] [\w@]+ +(\d+ min )?\d+ s|Done in |$|experiment  +validation macro F1 |"
    r"\w+  +[01]\.\d{3}  |\w+ was chosen: |Report  |Runs    |Try it  "
)
"""Of `make repro`."""


@pytest.mark.documented("make repro")
def test_make_repro_runs_the_whole_pipeline(finished: Path, typed: Typed) -> None:
    """`finished` was made by it."""
    assert typed.text("make repro") == "make repro"
    stages = yaml.safe_load((finished / "dvc.yaml").read_text())["stages"]
    experiments = yaml.safe_load((finished / "params.yaml").read_text())["experiments"]
    begun = {stage.partition("@")[0] for stage in ran((finished.parent / "make-repro.txt").read_text())}
    assert begun == stages.keys()
    lines = (finished.parent / "make-repro.txt").read_text().splitlines()
    unknown = [line for line in lines if not re.match(EVERY_LINE, line)]
    assert not unknown, "every line says something of the run"
    assert len(lines) <= 200
    assert lines[-3:] == ["Report  reports/comparison.html", "Runs    make ui", "Try it  make page"]
    choice = -5
    table = [line.split() for line in lines[choice - 1 - len(experiments) : choice - 1]]
    assert " was chosen: " in lines[choice]
    assert {row[0] for row in table} == set(experiments)
    scores = [[float(value) for value in row[1:3]] for row in table]
    assert scores == sorted(scores, key=lambda pair: -pair[0])
    for row, pair in zip(table, scores, strict=True):
        known = json.loads((finished / f"metrics/{row[0]}.json").read_text())
        assert pair == [round(known[f"{part}_macro_f1"], 3) for part in ("valid", "test")]
    for report in ("comparison.html", "comparison.md", "data.html", "model-card.html"):
        assert (finished / "reports" / report).exists()


IMPORT = "soundtrack import ~/Music/genres --groups artists.csv"


@pytest.mark.documented("source .venv/bin/activate", IMPORT)
def test_a_folder_is_imported_with_its_groups(checkout: Path, typed: Typed, tmp_path: Path) -> None:
    make_music(tmp_path / "Music/genres")
    files = [f"{label}/{label} {number}.wav" for label in CHORDS for number in range(CLIPS)]
    artists = [f"{label} {number // 2}" for label in CHORDS for number in range(CLIPS)]
    pd.DataFrame({"path": files, "artist": artists}).to_csv(checkout / "artists.csv", index=False)
    without = os.pathsep.join(
        place for place in os.environ["PATH"].split(os.pathsep) if Path(place) != Path(sys.executable).parent
    )
    output = typed(checkout, "source .venv/bin/activate", IMPORT, home=tmp_path, variables={"PATH": without})
    assert f"Imported {len(files)} files with 3 labels (high, low, middle) as data/music" in output
    assert {"audit", "split"} <= set(ran(run(checkout, "dvc", "repro", "split")))
    found = pd.read_parquet(checkout / paths.SPLIT).merge(pd.read_parquet(checkout / paths.CLIPS), on="clip_id")
    assert set(found["group"]) == set(artists)
    assert (found.groupby("group")["part"].nunique() == 1).all()


BY_TAGS = "soundtrack import ~/Music --labels tags --min-clips 20"
BY_TABLE = "soundtrack import ~/Music --labels songs.csv --map genres.csv --merge-spellings"


@pytest.mark.documented(BY_TAGS, BY_TABLE)
def test_a_library_is_imported_by_its_tags_and_by_a_table(checkout: Path, typed: Typed, tmp_path: Path) -> None:
    library = tmp_path / "Music"
    for genre, count in (("Jazz", 20), ("Rock", 21), ("Polka", 3)):
        for number in range(count):
            songs.make(library / f"{genre} {number % 7}/Album/{number}.flac", genre, f"{genre} {number % 7}")
    output = typed(checkout, BY_TAGS, home=tmp_path)
    assert "Dropped, since they have fewer than 20 clips: Polka (3)." in output
    assert "Imported 41 files with 2 labels (Jazz, Rock) as data/music" in output
    assert pd.read_csv(checkout / "data/music/groups.csv")["group"].nunique() == 14

    files = sorted(file.relative_to(library).as_posix() for file in library.rglob("*.flac"))
    genres = [("jazz", "Jazz", "Swing", "Polka")[int(Path(name).stem) % 3 if "Jazz" in name else 3] for name in files]
    pd.DataFrame({"path": files, "label": genres}).to_csv(checkout / "songs.csv", index=False)
    (checkout / "genres.csv").write_text("from,to\nSwing,Jazz\nRock,\n")
    output = typed(checkout, BY_TABLE, home=tmp_path)
    assert "44 of 44 rows of songs.csv matched a file." in output
    assert "Imported 44 files with 2 labels (Jazz, Polka)" in output
    assert "3 added, 21 relabelled, 0 removed, 20 unchanged" in output


CLASSIFY = "soundtrack classify ~/Music --playlists ~/Playlists --csv songs.csv"
VERSION = "soundtrack classify ~/Music --model models:/soundtrack/2"
RESTORE = "soundtrack restore-tags <backup>"


@pytest.mark.documented(CLASSIFY, RESTORE, VERSION)
def test_a_folder_of_songs_is_classified_and_tagged(checkout: Path, typed: Typed, tmp_path: Path) -> None:
    make_music(tmp_path / "Music/deep/er", clips=2)
    output = typed(checkout, CLASSIFY, home=tmp_path)
    assert "6 files: " in output
    songs = pd.read_csv(checkout / "songs.csv")
    assert len(songs) == 6
    assert songs.filter(like="p:").sum(axis=1).round(3).eq(1).all()
    playlists = {file.stem: file.read_text() for file in (tmp_path / "Playlists").glob("*.m3u8")}
    assert "low 0.wav" in playlists["low"]

    low = tmp_path / "Music/deep/er/low/low 0.wav"
    output = typed(checkout, CLASSIFY, home=tmp_path, more=" --write-tags --yes")
    assert mutagen.File(low)["TCON"].genres == ["low"]
    [backup] = checkout.glob("genres-before-*.jsonl")
    assert f"soundtrack restore-tags {backup.name}" in output
    assert "Genres restored in" in typed(checkout, RESTORE, instead={"<backup>": backup.name})
    assert "TCON" not in (mutagen.File(low) or {})

    majority = {"majority": {"features": ["tabular"], "model": {"name": "majority"}}}
    edit_params(checkout, lambda content: content.update(leak=[], experiments=majority))
    run(checkout, "dvc", "repro", "champion")
    assert "efused" in (checkout / "reports/model-card.md").read_text()
    assert "6 files: " in typed(checkout, VERSION, home=tmp_path)


ADD, COLLECT = "dvc add data/music", "dvc gc --workspace"


@pytest.mark.documented(ADD, COLLECT)
def test_a_clip_is_relabelled_and_the_old_version_is_dropped(checkout: Path, typed: Typed) -> None:
    def version() -> Path:
        md5 = yaml.safe_load((checkout / "data/music.dvc").read_text())["outs"][0]["md5"]
        return checkout / ".dvc/cache/files/md5" / md5[:2] / md5[2:]

    old = version()
    (checkout / "data/music/low/low 0.wav").rename(checkout / "data/music/high/low 0.wav")
    typed(checkout, ADD)
    assert old != version()
    assert old.exists()
    assert "split" in ran(run(checkout, "dvc", "repro", "split"))
    clips = pd.read_parquet(checkout / paths.CLIPS).set_index("clip_id")
    assert clips.loc["high/low 0.wav", "label"] == "high"
    assert "Are you sure" in typed(checkout, COLLECT, answer="y\n", terminal=True)
    assert version().exists()
    assert not old.exists()


MOVE = documented.starting("python3 - /old/place /new/place")
DELETE = "mlflow gc --backend-store-uri sqlite:///mlflow.db --tracking-uri sqlite:///mlflow.db"
LISTED = """
import sys, mlflow
client = mlflow.MlflowClient("sqlite:///mlflow.db")
print([file.path for file in client.list_artifacts(sys.argv[1])])
client.delete_run(sys.argv[1])
"""


@pytest.mark.documented(MOVE, DELETE)
def test_a_moved_checkout_has_its_artifacts_and_its_champion(
    finished: Path, checkout: Path, typed: Typed, tmp_path: Path
) -> None:
    # what was copied is made to be like one that never stood elsewhere
    typed(checkout, MOVE, instead={"/old/place": str(finished), "/new/place": str(checkout)})
    moved = tmp_path / "moved"
    checkout.rename(moved)
    typed(moved, MOVE, instead={"/old/place": str(checkout), "/new/place": str(moved)})
    assert "1 file: " in run(moved, "soundtrack", "classify", "data/music/low/low 0.wav")
    table = runs(moved)
    [majority] = table.index[table["name"] == "majority"]
    assert "confusion.png" in run(moved, sys.executable, "-c", LISTED, majority)
    [artifacts] = (moved / "mlartifacts").glob(f"{majority}/artifacts")
    typed(moved, DELETE)
    assert majority not in runs(moved).index
    assert not artifacts.exists()


@pytest.mark.documented("soundtrack sync")
def test_what_a_server_missed_is_sent(checkout: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    table = runs(checkout)
    [mlp] = table.index[table["name"] == "mlp"]
    Queue(mlp).add("batch", {"tags": {"late": "yes"}})
    assert "1 entry sent to the MLflow database" in typed(checkout, "soundtrack sync")
    assert runs(checkout).loc[mlp, "late"] == "yes"
