"""The documents' tables of scores: run in a clean clone of this commit, kept in docs/results, written into the documents.

``python -m benchmarks.scores starter`` (`make scores`) trains every experiment with five seeds on the starter data.
``python -m benchmarks.scores leak --clips FOLDER --groups CSV`` measures the leak on a folder of clips.
``python -m benchmarks.scores tables`` writes the tables again from what is in docs/results.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from benchmarks.machine import processor
from pipeline import config, tracking
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import read_json, write_json, write_text
from pipeline.base.parallel import cores
from pipeline.data import clips, split
from pipeline.evaluation import bootstrap, metrics
from pipeline.sweeps.params_writer import rewritten
from pipeline.training.trials import specs

SEEDS = (1, 2, 3, 4, 5)
FOLDS = 5
RESULTS = Path("docs/results")
Results = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks.scores starter",
    )
    parser.add_argument("what", choices=["starter", "leak", "tables"])
    parser.add_argument("--clips", type=Path, help="for leak: a folder with a sub-folder of clips for each label")
    parser.add_argument("--groups", type=Path, help="for leak: CSV of the clips' artists")
    given = parser.parse_args()
    if given.what == "leak" and (given.clips is None or given.groups is None):
        parser.error("leak needs --clips and --groups")
    try:
        if given.what == "starter":
            write_json(RESULTS / "starter.json", starter())
        elif given.what == "leak":
            write_json(RESULTS / "leak.json", leak(given.clips.resolve(), given.groups.resolve()))
        for name, (document, _) in TABLES.items():
            if (RESULTS / f"{name}.json").exists():
                write_text(document, updated(document.read_text(encoding="utf-8"), name, RESULTS))
    except UserError as error:
        sys.exit(f"error: {error}")
    documents = ", ".join(str(document) for document, _ in TABLES.values())
    print(f"{documents}: these have the tables of {RESULTS}. Look at them with: git diff")


def starter() -> Results:
    """The scores of every experiment over SEEDS, on the starter data."""
    folder = _clone()
    _change(folder, {("seeds",): list(SEEDS)})
    _run(folder, sys.executable, "-m", "pipeline.cli", "repro", "--jobs", str(cores()))
    return {"command": "make scores", **_made_by(folder), **collected(folder)}


def leak(music: Path, groups: Path) -> Results:
    """What the experiments of `leak` in params.yaml score with groups kept together, and with groups ignored."""
    folder = _clone()
    _run(folder, sys.executable, "-m", "pipeline.cli", "import", str(music), "--groups", str(groups), "--yes")
    _change(folder, {("data", "source"): "folder", ("split", "test_folds"): FOLDS})
    keys = config.load(folder / paths.PARAMS).leak
    _run(folder, "dvc", "repro", *(f"leak@{key}" for key in keys))
    command = "python -m benchmarks.scores leak --clips <folder> --groups <csv>"
    found = {key: read_json(folder / paths.LEAK / key / "leak.json") for key in keys}
    return {"command": command, **_made_by(folder), "clips": music.name, "experiments": found}


def collected(folder: Path) -> Results:
    """Scores by experiment, a value for each seed, of a checkout in which the pipeline has run."""
    rows, table = split.read(folder / paths.SPLIT), clips.read(folder / paths.CLIPS)
    first = split.first(rows)
    keys = sorted(file.stem for file in (folder / paths.METRICS).glob("*.json"))
    return {
        "data": {"source": clips.source(table), "labels": len(clips.labels(table))}
        | {part: int((first["part"] == part).sum()) for part in split.PARTS},
        "protocol": split.protocol(rows),
        "experiments": {key: _experiment(folder, key) for key in keys},
    }


def _experiment(folder: Path, key: str) -> Results:
    answers = pd.read_parquet(folder / paths.EVALUATION / key / "predictions.parquet")
    models = specs(folder / paths.MODELS / key)
    by_seed = [rows for _, rows in answers.groupby("seed")]
    scores = [metrics.scores(rows, "valid") | metrics.scores(rows, "test") for rows in by_seed]
    interval = bootstrap.interval(metrics.of_part(answers, "test"), "macro_f1", models[0].seed)
    return {
        "description": models[0].description,
        "precision": models[0].precision,
        "seeds": sorted({one.seed for one in models}),
        **{name: [one[name] for one in scores] for name in ("valid_macro_f1", "test_macro_f1", "test_accuracy")},
        "test_macro_f1_low": interval.low,
        "test_macro_f1_high": interval.high,
    }


def updated(text: str, name: str, results: Path) -> str:
    """A document's text with the table of ``results/<name>.json`` between its marks.

    Raises:
        UserError: a mark is missing.
    """
    document, table = TABLES[name]
    begin, end = f"<!-- {name}: made by benchmarks/scores.py -->\n", f"<!-- end of {name} -->\n"
    if begin not in text or end not in text:
        raise UserError(f"{document} lacks the line {begin.strip()} or {end.strip()}: put both back")
    before, rest = text.split(begin)
    return before + begin + "\n" + table(read_json(results / f"{name}.json")) + "\n" + end + rest.split(end)[1]


def starter_table(found: Results) -> str:
    data, experiments = found["data"], found["experiments"]
    order = sorted(experiments, key=lambda key: -mean(experiments[key]["valid_macro_f1"]))
    seeds = len(experiments[order[0]]["seeds"])
    clips_by_part = f"{data['train']} clips to train on and {data['test']} to test on"
    if data["valid"]:
        clips_by_part = f"{data['train']} / {data['valid']} / {data['test']} clips to train, validate and test"
    lines = [
        f"`{found['command']}` at commit {found['commit'][:10]} on {found['processor']}, {found['cores']} cores: "
        f"{clips_by_part} of {data['labels']} styles ({found['protocol']}), mean ± standard deviation over {seeds} seeds.",
        "",
        "| experiment | model | validation macro F1 | test macro F1 | 95 % interval | test accuracy |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for key in order:
        one = experiments[key]
        interval = f"{one['test_macro_f1_low']:.2f} to {one['test_macro_f1_high']:.2f}"
        scores = " | ".join(_spread(one[name]) for name in ("valid_macro_f1", "test_macro_f1"))
        accuracy = _spread(one["test_accuracy"])
        lines.append(f"| {key} | {one['description']} | {scores} | {interval} | {accuracy} |")
    return "\n".join(lines) + "\n"


def leak_table(found: Results) -> str:
    first = next(iter(found["experiments"].values()))
    lines = [
        f"| {first['clips']} excerpts, {first['folds']} folds, macro F1 | groups kept together | groups ignored | the leak |",
        "|---|---:|---:|---:|",
    ]
    for key, one in found["experiments"].items():
        cells = [
            f"{one[name]['value']:.2f} ({one[name]['low']:.2f} to {one[name]['high']:.2f})"
            for name in ("grouped", "random", "gap")
        ]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nMeasured at commit {found['commit'][:10]} on {found['processor']}.\n"


TABLES: dict[str, tuple[Path, Callable[[Results], str]]] = {
    "starter": (Path("README.md"), starter_table),
    "leak": (Path("docs/evaluation.md"), leak_table),
}
"""Of each file in docs/results, the document that shows it, and how."""


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {stdev(values):.3f}"


def _clone() -> Path:
    """A clone of this commit that shares DVC's cache; an interrupted run goes on in it.

    Raises:
        UserError: what is in the checkout is not in the commit that the figures would name.
    """
    if tracking.is_dirty():
        raise UserError("commit your changes first: the figures name the commit that they were measured at")
    commit = tracking.git("rev-parse", "HEAD")
    folder = paths.cache() / "scores" / commit[:12]
    if not folder.exists():
        _run(Path(), "git", "clone", "--quiet", ".", str(folder))
        _run(folder, "dvc", "cache", "dir", "--local", str(Path(".dvc/cache").resolve()))
    return folder


def _change(folder: Path, values: dict[tuple[str, ...], Any]) -> None:
    file = folder / paths.PARAMS
    write_text(file, rewritten(file.read_text(encoding="utf-8"), values))


def _made_by(folder: Path) -> Results:
    return {
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip(),
        "processor": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def _run(folder: Path, *command: str) -> None:
    """A command in the clone, with the clone's code and its own MLflow store.

    Raises:
        UserError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("MLFLOW_TRACKING_URI", "DVC_ROOT")}
    if subprocess.run(command, cwd=folder, env={**kept, "PYTHONPATH": str(folder.resolve())}, check=False).returncode:
        raise UserError(f"`{' '.join(command)}` failed in {folder}: see above")


if __name__ == "__main__":
    main()
