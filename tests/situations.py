"""``make situations``: what a person reads who gets into one of these, each played for real by the command that they type.

Each has to end with an exit code, the words that it is listed with, and no traceback. One line adds one: see SITUATIONS.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/helpers")]

import bundles  # noqa: E402
from checkouts import edit_params, environment, make_music  # noqa: E402
from processes import PATIENCE_S, free_port, reader_killed  # noqa: E402

from pipeline import config  # noqa: E402
from pipeline.base.files import write_text  # noqa: E402
from pipeline.tracking.registry import BUNDLE  # noqa: E402

AT_ONCE = 2
UI, PAGE, SERVE, FREE = (free_port() for _ in range(4))
MODEL = "--model ../model"
"""A small one, so that nothing has to be trained."""
NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_NO_CACHE_DIR": "1",
    "PIP_RETRIES": "0",
}
CHAMPION = "soundtrack classify ../music --model champion"
Made = Callable[[Path], AbstractContextManager[object]]


class Situation(NamedTuple):
    name: str
    command: str
    """Of a shell, in a checkout of its own beside the folders `music` and `model`."""
    says: str
    made: Made = lambda _: nullcontext()
    """Brings the situation about in that checkout, as long as the command runs."""
    variables: Mapping[str, str] = {}
    code: int = 1


def done(change: Callable[[Path], object]) -> Made:
    """For a change of the checkout that is made before the command."""

    def make(checkout: Path) -> AbstractContextManager[None]:
        change(checkout)
        return nullcontext()

    return make


def taken(port: int) -> Made:
    @contextmanager
    def listening(_: Path) -> Iterator[None]:
        with socket.create_server(("127.0.0.1", port)):
            yield

    return listening


def killed(name: str) -> Made:
    @contextmanager
    def waiting(checkout: Path) -> Iterator[None]:
        (checkout / name).parent.mkdir(exist_ok=True)
        with reader_killed(checkout / name):
            yield

    return waiting


def written(name: str, text: str) -> Made:
    return done(lambda checkout: write_text(checkout / name, text))


def own_music(checkout: Path) -> None:
    edit_params(checkout, lambda content: content["data"].update(source="folder"))


def recorded_music(checkout: Path) -> None:
    """A clone of a checkout that has imported music."""
    own_music(checkout)
    (checkout / "data/music.dvc").write_text(
        "outs:\n- {md5: 0c51adfb5dffe3b9a97b9da4749df6ca.dir, hash: md5, path: music}\n"
    )


@contextmanager
def killed_in_audit(checkout: Path) -> Iterator[None]:
    (checkout / "data/audio").mkdir()
    (checkout / "data/audio/files.csv").write_text("path,label,group\n../music/low/low 0.wav,low,a\npipe.wav,high,b\n")
    with reader_killed(checkout / "pipe.wav"):
        yield


SITUATIONS = (
    Situation("own music that was never imported", "soundtrack repro", "soundtrack import FOLDER", done(own_music)),
    Situation("a clone without its music", "soundtrack repro", "dvc pull data/music.dvc", done(recorded_music)),
    Situation("its status", "soundtrack status", "dvc pull data/music.dvc", done(recorded_music)),
    Situation("its search", "soundtrack sweep mlp", "error: ", done(recorded_music)),
    Situation("a port that is taken: ui", f"soundtrack ui --port {UI}", f"make ui PORT={UI + 1}", taken(UI)),
    Situation("a port that is taken: page", f"soundtrack page --port {PAGE}", "make page PORT=", taken(PAGE)),
    Situation("a port that is taken: serve", f"soundtrack serve --port {SERVE}", "make serve PORT=", taken(SERVE)),
    Situation(
        "a worker of the audit is killed", "python -m pipeline.stages audit", "was killed, probably", killed_in_audit
    ),
    Situation(
        "a worker of classify is killed",
        f"soundtrack classify songs {MODEL}",
        "was killed, probably",
        killed("songs/a.wav"),
    ),
    Situation(
        "workers without a number",
        "python -m pipeline.stages features",
        "give a number",
        variables={"SOUNDTRACK_WORKERS": "all"},
    ),
    Situation("no champion yet", CHAMPION, "has no champion yet"),
    Situation("no champion for the page", f"soundtrack page --model champion --port {FREE}", "has no champion yet"),
    Situation(
        "no champion, and the tagger cannot be fetched",
        "soundtrack classify ../music",
        "pip could not fetch musicnn==0.1.0",
        variables=NO_INDEX,
    ),
    Situation("no such model", "soundtrack classify ../music --model models:/nope/1", "no model models:/nope/1"),
    Situation("a folder that is no model", "soundtrack classify ../music --model ../music", "error: "),
    Situation(
        "a model's folder that MLflow did not finish",
        f"soundtrack classify ../music {MODEL}",
        "is not a registered model, it has no MLmodel",
        done(lambda checkout: (checkout / "../model/MLmodel").unlink()),
    ),
    Situation(
        "a model without the table of its clips",
        f"soundtrack classify ../music {MODEL} --precision 0.9",
        "has no seen.parquet",
    ),
    Situation("no such folder of music", f"soundtrack classify nowhere {MODEL}", "is not a folder"),
    Situation("a folder without music", f"mkdir empty; soundtrack classify empty {MODEL}", "no music"),
    Situation(
        "a table that cannot be written",
        f"soundtrack classify ../music/low {MODEL} --csv /proc/nope/a.csv",
        "/proc/nope",
    ),
    Situation(
        "a full disk for the table", f"soundtrack classify ../music/low {MODEL} --json /dev/full/a.json", "/dev/full"
    ),
    Situation("a folder for a table", f"soundtrack classify ../music {MODEL} --csv ../music", "is a folder"),
    Situation("a precision of 2", f"soundtrack classify ../music {MODEL} --precision 2", "precision", code=2),
    Situation("a backup that is none", "soundtrack restore-tags params.yaml", "is not a backup of tags"),
    Situation("a backup that is gone", "soundtrack restore-tags gone.jsonl", "is not a backup of tags"),
    Situation("an import of nothing", "mkdir empty; soundtrack import empty", "empty"),
    Situation("an import from nowhere", "soundtrack import nowhere", "nowhere"),
    Situation("an import with a table that is none", "soundtrack import ../music --groups params.yaml", "params.yaml"),
    Situation(
        "a key that params.yaml does not know",
        "soundtrack repro",
        "tarining",
        done(lambda checkout: edit_params(checkout, lambda content: content.update(tarining=1))),
    ),
    Situation("params.yaml is no YAML", "soundtrack repro", "params.yaml", written("params.yaml", "a: [1\n")),
    Situation(
        "params.yaml with a merge conflict",
        "soundtrack status",
        "params.yaml",
        written("params.yaml", "<<<<<<< HEAD\nseed: 1\n=======\nseed: 2\n>>>>>>> other\n"),
    ),
    Situation("params.yaml is gone", "rm params.yaml; soundtrack repro", "params.yaml"),
    Situation("params.yaml is gone for a stage", "rm params.yaml; python -m pipeline.stages split", "params.yaml"),
    Situation("dvc.yaml is no YAML", "soundtrack repro", "dvc.yaml", written("dvc.yaml", "stages: [\n")),
    Situation(
        "dvc.lock with a merge conflict",
        "soundtrack status",
        "dvc.lock",
        written("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> other\n"),
    ),
    Situation("no such pipeline", "soundtrack repro lessons/nueron/dvc.yaml", "no such file"),
    Situation("no checkout of DVC", "rm -r .dvc; soundtrack repro", "error: "),
    Situation("no checkout at all", "cd ../music; soundtrack status", "error: "),
    Situation("no checkout for the pages", "cd ../music; soundtrack ui", "params.yaml"),
    Situation("a search that nobody described", "soundtrack sweep nope", "nope"),
    Situation("a search before there are data", "soundtrack sweep mlp", "error: "),
    Situation("a report before there is one", "soundtrack report", "error: "),
    Situation("a stage before the one it needs", "python -m pipeline.stages split", "error: "),
    Situation("training before there are data", "python -m pipeline.stages train mlp", "error: "),
    Situation(
        "a table of clips that is damaged",
        "python -m pipeline.stages split",
        "data/clips.parquet",
        written("data/clips.parquet", "no table"),
    ),
    Situation(
        "a list of files that is damaged",
        "python -m pipeline.stages audit",
        "files.csv is damaged",
        written("data/audio/files.csv", ""),
    ),
    Situation(
        "scores that are damaged",
        "soundtrack status",
        "scores.json is damaged",
        written("evaluation/mlp/scores.json", "{"),
    ),
    Situation(
        "a comparison before there is anything",
        "python -m pipeline.stages compare",
        "is not there: `dvc repro` makes it",
    ),
    Situation(
        "a model's folder that is damaged",
        f"soundtrack classify ../music {MODEL}",
        "manifest.json is not readable",
        written("../model/artifacts/bundle/manifest.json", "{"),
    ),
    Situation(
        "songs to restore that are gone",
        "soundtrack restore-tags b.jsonl",
        "/nope/a.mp3",
        written("b.jsonl", '{"file": "/nope/a.mp3", "genres": []}\n'),
    ),
    Situation(
        "a tracking server that does not run",
        CHAMPION,
        "the MLflow server http://127.0.0.1:9 does not answer: start it, or unset",
        variables={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
    ),
    Situation(
        "a folder of runs as MLflow 2 kept them",
        CHAMPION,
        "where MLflow 3 keeps no runs",
        variables={"MLFLOW_TRACKING_URI": "file:./mlruns"},
    ),
    Situation(
        "a database in memory",
        CHAMPION,
        "ends with each stage",
        variables={"MLFLOW_TRACKING_URI": "sqlite:///:memory:"},
    ),
    Situation("a database that is none", CHAMPION, "is not a database", written("mlflow.db", "no database " * 100)),
    Situation("a stage of no experiment", "python -m pipeline.stages train", "needs the name", code=2),
    Situation("an experiment that is not there", "python -m pipeline.stages train nope", "nope"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        prepare(base)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            played = pool.map(
                lambda number: play(base, Path(folder) / str(number), SITUATIONS[number]), range(len(SITUATIONS))
            )
            wrong = [name for name, fault in map(shown, SITUATIONS, played) if fault]
    if wrong:
        sys.exit(f"{len(wrong)} of {len(SITUATIONS)} situations end badly: {'; '.join(wrong)}")
    print(f"{len(SITUATIONS)} situations end in a sentence.")


def prepare(base: Path) -> None:
    """A checkout without data, music beside it, and a model."""
    make_music(base / "music", clips=2)
    make_model(base / "model")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("tests/", "docs/")) and ((ROOT / name).exists() or (ROOT / name).is_symlink()):
            (base / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, base / "checkout" / name, follow_symlinks=False)
    (base / "checkout/dvc.lock").unlink(missing_ok=True)
    subprocess.run(["git", "init", "--quiet"], cwd=base / "checkout", check=True)


def make_model(folder: Path) -> None:
    bundles.make(config.load(ROOT / "params.yaml"), folder / "artifacts" / BUNDLE)
    (folder / "MLmodel").write_text("flavors: {}\n")
    (folder / "code").mkdir()
    (folder / "code/pipeline").symlink_to(ROOT / "pipeline")


def play(base: Path, folder: Path, situation: Situation) -> tuple[int, str]:
    """Exit code and output."""
    shutil.copytree(base, folder, symlinks=True)
    checkout = folder / "checkout"
    with situation.made(checkout):
        ended = subprocess.run(
            ["bash", "-c", situation.command],
            cwd=checkout,
            env=environment(checkout) | dict(situation.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    shutil.rmtree(folder)
    return ended.returncode, ended.stdout


def shown(situation: Situation, ended: tuple[int, str]) -> tuple[str, bool]:
    """The situation's name, and whether it ended badly."""
    code, output = ended
    faults = {
        f"exit code {code} in place of {situation.code}": code != situation.code,
        "a traceback": "Traceback" in output,
        f"no word of {situation.says!r}": situation.says not in output,
    }
    wrong = [fault for fault, there in faults.items() if there]
    print(
        f"== {situation.name}{f': {chr(44).join(wrong)}' if wrong else ''}",
        f"$ {situation.command}",
        output,
        sep="\n",
        flush=True,
    )
    return situation.name, bool(wrong)


if __name__ == "__main__":
    main()
