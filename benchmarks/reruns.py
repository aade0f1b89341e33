"""The features stage as a whole: ten clips more, and the memory it takes for many."""

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

ROOT = Path(__file__).parents[1]
EXCERPT = "middle 30 s"
STAGE = [sys.executable, "-m", "pipeline.stages", "features"]


def added(files: list[Path], count: int, repeats: int) -> Row:
    """A hundredth more clips, against all from scratch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = _repeated(files, folder, count + repeats * (count // 100), None)
        _list(folder, made[:count])
        full = seconds(lambda: _stage(folder))
        pairs = []
        for turn in range(1, repeats + 1):
            _list(folder, made[: count + turn * (count // 100)])
            pairs.append((seconds(lambda: _stage(folder)), full))
    return row(f"features stage, {count // 100} clips more", f"from scratch, {count} clips", pairs)


def excerpt(files: list[Path], songs: int = 20, seconds_each: float = 300.0) -> Iterator[dict[str, object]]:
    """What an excerpt of long songs costs, in time and in space, against all of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = _repeated(files, folder, songs, seconds_each)
        costs = {}
        for chosen in (EXCERPT, "whole"):
            _list(folder, made, chosen)
            taken = seconds(lambda: _stage(folder))
            size = sum(file.stat().st_size for file in (folder / paths.FEATURES).rglob("*.bin"))
            costs[chosen] = (taken, size / 1e6)
    for what, unit, ours, theirs in zip(("time", "size"), ("s", "MB"), *costs.values(), strict=True):
        yield {
            "what": f"features stage, {songs} songs of {seconds_each:.0f} s, {EXCERPT}: {what} in {unit}",
            "ours": ours,
            "whole": theirs,
            "ratio": theirs / ours,
        }


def memory(files: list[Path], counts: tuple[int, ...]) -> Iterator[tuple[int, float]]:
    """Number of clips of three seconds, and the most memory in MB that all processes had together."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = _repeated(files, folder, max(counts), 3.0)
        for count in counts:
            _list(folder, made[:count])
            yield count, peak(STAGE, folder, _environment())


def _repeated(files: list[Path], folder: Path, count: int, length_s: float | None) -> list[Path]:
    """As many clips as asked for, each a file rotated by a number of samples of its own, cut or repeated to a length."""
    signals = [soundfile.read(file, dtype="int16") for file in files]
    made = []
    for number in range(count):
        signal, rate = signals[number % len(signals)]
        turned = np.roll(signal, 1000 * (number // len(signals)))
        made.append(folder / "audio" / f"{number:05}.wav")
        made[-1].parent.mkdir(exist_ok=True)
        soundfile.write(made[-1], turned if length_s is None else np.resize(turned, int(length_s * rate)), rate)
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
