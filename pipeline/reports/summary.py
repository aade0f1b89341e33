"""What a person sees on the console at the end of a run, and by `soundtrack status`: the scores, and where to look."""

import math
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from pipeline import config
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import read_json
from pipeline.base.text import UNKNOWN, duration, interval
from pipeline.evaluation.ranking import ranked
from pipeline.workflow import scheduler
from pipeline.workflow.console import shown

PIPELINE = Path("dvc.yaml")
LESSON_REPORTS = (paths.COMPARISON, Path("results/report.html"))
HEADER = ("experiment", "validation macro F1", "test macro F1", "95 % interval", "trained in")
LOOK = ("Report  {report}", "Runs    make ui", "Try it  make page")
REAL_MUSIC = (
    "These models know synthesised scores, to try the workflow. For real music: soundtrack classify ~/Music, "
    "which asks a tagger that was trained on it."
)
MOST = 6
"""Stages that are named in one line."""


def status() -> list[str]:
    """The scores, which stages would run again, and where to look.

    Raises:
        UserError: params.yaml or dvc.yaml cannot be read.
    """
    stages, count = scheduler.stale([PIPELINE])
    if not stages:
        return [*scores(), "", "Up to date: no stage has to run.", "", *where()]
    named = ", ".join(map(shown, stages[:MOST])) + (", ..." if len(stages) > MOST else "")
    if not any((paths.EVALUATION / key / paths.SCORES).exists() for key in config.load().experiments):
        return [f"No experiment has scores yet. {len(stages)} of {count} stages have to run: make repro"]
    changed = f"{len(stages)} of {count} stages have to run again ({named}): make repro"
    return [*scores(), "", changed, "", *where()]


def after(files: Sequence[Path]) -> list[str]:
    """What there is to see after these pipelines have run."""
    lines = [*scores(), "", *where()] if PIPELINE in files else []
    others = [file.parent / report for file in files if file != PIPELINE for report in LESSON_REPORTS]
    found = [f"Report  {report}" for report in others if report.exists()]
    return [*lines, *found, *(["Runs    make ui"] if found else [])]


def scores() -> list[str]:
    """A table of all experiments of params.yaml, the best by validation first."""
    found, missing = {}, []
    for key in config.load().experiments:
        folder = paths.EVALUATION / key
        if (folder / paths.SCORES).exists():
            found[key] = read_json(folder / paths.SCORES) | read_json(folder / "training.json")
        else:
            missing.append(key)
    rows: list[tuple[str, ...]] = [HEADER]
    for key in sorted(found, key=lambda key: ranked(key, found[key])):
        own = found[key]
        f1 = [_score(own[f"{part}_macro_f1"]) for part in ("valid", "test")]
        ends = interval(own["test_macro_f1_low"], own["test_macro_f1_high"])
        rows.append((key, *f1, ends, duration(own["train_seconds"])))
    rows += [(key, "not evaluated", "", "", "") for key in missing]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = "<>>>>"
    lines = ["  ".join(f"{c:{side}{width}}" for c, side, width in zip(row, sides, widths, strict=True)) for row in rows]
    return [*lines, *(["", read_json(paths.CHOICE).get("sentence", "")] if paths.CHOICE.exists() else [])]


def where() -> list[str]:
    """The report, and the commands to go on with."""
    synthesised = config.load().data.source == "starter"
    return [*(line.format(report=paths.COMPARISON) for line in LOOK), *([REAL_MUSIC] if synthesised else [])]


def open_report() -> Path:
    """Open the comparison in a browser, where there is a desktop; its path.

    Raises:
        UserError: there is none yet.
    """
    file = paths.COMPARISON.resolve()
    if not file.exists():
        raise UserError(f"{paths.COMPARISON} is not there yet: `make repro` makes it")
    if os.name == "nt" or sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        webbrowser.open(file.as_uri())
    return file


def _score(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else UNKNOWN
