"""The pipeline as a whole: ``python -m benchmarks repro [--against COMMIT]``.

In clean clones of this commit, and of the other, one after the other: how long `make install` takes with an empty cache,
the first `make repro`, and both ways to see that nothing is to be done. It draws when each stage of this commit ran.
`make bench` does the same, against a418a4b.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.machine import processor
from benchmarks.timing import Row, row, seconds
from pipeline.base.files import write_json
from pipeline.base.parallel import cores
from pipeline.reports import figures

INSTALL, FIRST, NOTHING, PLAIN = FIGURES = (
    "make install, with an empty cache",
    "the first make repro",
    "make repro with nothing to do",
    "dvc repro with nothing to do",
)
BASELINE = "a418a4b"
"""A commit from before the first run was made fast."""
VERSION = "dvc --version"
OUT, PICTURE = Path("docs/results/repro.json"), Path("docs/timeline.png")
TRIES = 5
"""Of what takes a second or two; the median counts."""
LINE = re.compile(r"\[ *\d+/\d+\] (?P<stage>\S+) +(?:(?P<min>\d+) min +)?(?P<s>\d+) s\b")
"""What the console says of a stage that ended."""
ROOT = Path(__file__).parents[1]
NO_CACHE = {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}


class Bar(NamedTuple):
    """A stage of the first run; seconds from its start."""

    stage: str
    begin: float
    end: float
    after: str
    """The stage that ended last before it began, which it was waiting for; empty at the beginning."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks repro",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: python -m benchmarks repro --against a418a4b",
    )
    parser.add_argument("--against", help="commit to compare with")
    parser.add_argument("--out", type=Path, default=OUT, help="JSON (default: %(default)s)")
    given = parser.parse_args(sys.argv[2:])
    for part, values in recorded(given.against, given.out).items():
        print(f"{part}: {values}")


def run(_: list[Path], repeats: int) -> Iterator[Row]:  # noqa: ARG001
    return rows(recorded(BASELINE, OUT))


def rows(found: dict[str, Any]) -> Iterator[Row]:
    ours, theirs = found["ours"], found["theirs"]
    for name in (INSTALL, FIRST):
        yield row(name, f"commit {BASELINE}", [(ours[name], theirs[name])])
    for name in (NOTHING, PLAIN):
        yield row(name, VERSION, [(ours[name], ours[VERSION])])


def recorded(against: str | None, out: Path) -> dict[str, Any]:
    """What was measured, which is written to ``out``; the picture of the timeline too where ``out`` is the documents' file."""
    with tempfile.TemporaryDirectory() as name:
        ours, bars = measured("HEAD", Path(name))
        found: dict[str, Any] = {"processor": processor(), "cores": cores(), "ours": ours}
        if against:
            theirs, _ = measured(against, Path(name))
            ratios = {what: ours[what] / theirs[what] for what in ours if isinstance(ours[what], float)}
            found |= {"theirs": theirs, "ratios": ratios}
    write_json(out, {**found, "timeline": [bar._asdict() for bar in bars]})
    if out == OUT:
        figures.save(timeline(bars), PICTURE)
    return found


def measured(commit: str, folder: Path) -> tuple[dict[str, Any], list[Bar]]:
    """Seconds by what was done, in a clean clone, and when each stage of the first run ran."""
    sha = _said(["git", "-C", str(ROOT), "rev-parse", "--short=10", commit])
    clone = folder / sha
    _said(["git", "clone", "--quiet", str(ROOT), str(clone)])
    _said(["git", "-C", str(clone), "checkout", "--quiet", sha])
    # not of the checkout that runs this
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= NO_CACHE | {"PATH": path}

    def took(*command: str) -> float:
        return seconds(lambda: _said(list(command), clone, environment))

    install = took("make", "install")
    begun = time.monotonic()
    lines = _timed(["make", "repro"], clone, environment)
    repro = time.monotonic() - begun
    again = median(took("make", "repro") for _ in range(TRIES))
    environment["PATH"] = f"{clone / '.venv/bin'}{os.pathsep}{path}"
    version = median(took(*VERSION.split()) for _ in range(TRIES))
    plain = median(took("dvc", "repro") for _ in range(TRIES))
    times = {INSTALL: install, FIRST: repro, NOTHING: again, PLAIN: plain, VERSION: version}
    return {"commit": sha, **times}, bars_of([(at - begun, line) for at, line in lines])


def bars_of(lines: Sequence[tuple[float, str]]) -> list[Bar]:
    """From when each line was printed, in seconds from the start."""
    ended = [(at, found) for at, line in lines if (found := LINE.match(line))]
    bars: list[Bar] = []
    for at, found in ended:
        begin = max(0.0, at - 60 * int(found["min"] or 0) - int(found["s"]))
        # the console rounds durations to seconds
        before = [bar for bar in bars if bar.end <= begin + 1]
        bars.append(Bar(found["stage"], begin, at, max(before, key=lambda bar: bar.end).stage if before else ""))
    return sorted(bars, key=lambda bar: bar.begin)


def timeline(bars: Sequence[Bar]) -> Any:
    """A bar for each stage, the first at the top, and what it was waiting for."""
    figure = figures.canvas(figures.WIDTH, 0.28 * len(bars) + 1.2)
    axes = figure.add_subplot()
    kinds = list(dict.fromkeys(bar.stage.partition("@")[0] for bar in bars))
    colours = {kind: figures.OKABE_ITO[number % len(figures.OKABE_ITO)] for number, kind in enumerate(kinds)}
    for line, bar in enumerate(bars):
        axes.barh(line, bar.end - bar.begin, left=bar.begin, color=colours[bar.stage.partition("@")[0]])
        axes.text(
            bar.end, line, f"  {bar.end - bar.begin:.0f} s" + (f", after {bar.after}" if bar.after else ""), va="center"
        )
    axes.set_yticks(range(len(bars)), [bar.stage for bar in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(bar.end for bar in bars))
    axes.set_xlabel("seconds from the start of make repro")
    return figure


def _timed(command: list[str], folder: Path, environment: dict[str, str]) -> list[tuple[float, str]]:
    """Its lines, and when each was printed."""
    running = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    lines = [(time.monotonic(), line) for line in running.stdout]
    if running.wait():
        raise RuntimeError(f"{command} failed: {''.join(line for _, line in lines[-20:])}")
    return lines


def _said(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout.strip()
