"""The stage `features` as a whole: what an excerpt of long songs saves, and the memory that many clips take."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from benchmarks.memory import peak
from benchmarks.timing import Row, row, seconds
from pipeline.base import paths
from pipeline.base.files import sha256
from pipeline.data import clips
from pipeline.sweeps.params_writer import rewritten

TIME, SIZE, MEMORY = FIGURES = (
    "features of 20 songs of 5 min, excerpt: middle 30 s",
    "size of these features",
    "memory of the features stage, 10,000 clips of 3 s",
)
ROOT = Path(__file__).parents[1]
EXCERPT = "middle 30 s"
STAGE = [sys.executable, "-m", "pipeline.stages", "features"]


def run(files: list[Path], repeats: int) -> Iterator[Row]:  # noqa: ARG001
    yield from excerpt(files)
    few, many = memory(files, (1000, 10_000))
    yield row(MEMORY, "1000 clips", [(many, few)], "MB")


def excerpt(files: list[Path], songs: int = 20, length_s: float = 300.0) -> Iterator[Row]:
    """What an excerpt of long songs costs, in time and in space, against all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = _repeated(files, folder, songs, length_s)

        def costs(chosen: str) -> tuple[float, float]:
            _list(folder, made, chosen)
            taken = seconds(lambda: _stage(folder))
            return taken, sum(file.stat().st_size for file in (folder / paths.FEATURES).rglob("*.bin")) / 1e6

        ours, theirs = costs(EXCERPT), costs("whole")
    for figure, pair, unit in zip((TIME, SIZE), zip(ours, theirs, strict=True), ("s", "MB"), strict=True):
        yield row(figure, "whole songs", [pair], unit)


def memory(files: list[Path], counts: tuple[int, ...]) -> list[float]:
    """For each number of clips of three seconds, the most memory in MB that all processes had together."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = _repeated(files, folder, max(counts), 3.0)
        found = []
        for count in counts:
            _list(folder, made[:count])
            found.append(peak(STAGE, folder, _environment()))
        return found


def _repeated(files: list[Path], folder: Path, count: int, length_s: float) -> list[Path]:
    """As many clips as asked for, each a file rotated by a number of samples of its own, cut or repeated to a length."""
    signals = [soundfile.read(file, dtype="int16") for file in files]
    made = []
    for number in range(count):
        signal, rate = signals[number % len(signals)]
        turned = np.roll(signal, 1000 * (number // len(signals)))
        made.append(folder / "audio" / f"{number:05}.wav")
        made[-1].parent.mkdir(exist_ok=True)
        soundfile.write(made[-1], np.resize(turned, int(length_s * rate)), rate)
    return made


def _list(folder: Path, made: list[Path], excerpt: str = "whole") -> None:
    """Write the clips table that the audit would, and params.yaml."""
    names = [file.relative_to(folder).as_posix() for file in made]
    table = pd.DataFrame({"clip_id": names, "path": names, "sha256": [sha256(file) for file in made]})
    about = {"label": "x", "group": "g", "source": "folder", "duration_s": 30.0, "sample_rate": 22050}
    about |= {"status": "ok", "reason": "", "origin": "", "licence": ""}
    clips.write(table.assign(**about), folder / paths.CLIPS)
    params = (ROOT / paths.PARAMS).read_text(encoding="utf-8")
    (folder / paths.PARAMS).write_text(rewritten(params, {("features", "excerpt"): excerpt}), encoding="utf-8")


def _environment() -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k != "DVC_ROOT"}, "PYTHONPATH": str(ROOT)}


def _stage(folder: Path) -> None:
    subprocess.run(STAGE, cwd=folder, env=_environment(), stderr=subprocess.DEVNULL, check=True)
