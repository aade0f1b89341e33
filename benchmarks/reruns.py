"""What a changed data set costs again, by the commands that a person types.

A run is ``dvc repro inputs`` in a clean clone of this commit, with the params as they come: download, audit, split, features
and embeddings, all that is done before a model is trained, on both sides of each ratio. A training is as long with one clip
in a hundred more, so it would hide what is measured here. ``soundtrack import`` is a row of its own. Weights of backbones
do not depend on clips, and are there before.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.timing import Row, row, seconds
from pipeline.base import paths
from pipeline.sweeps.params_writer import rewritten

IMPORTED, ADDED, RELABELLED = FIGURES = (
    "1 % new clips: soundtrack import, the worst of ten",
    "1 % new clips: dvc repro inputs, the worst of ten",
    "one clip relabelled: dvc repro inputs, the worst of ten",
)
ROOT = Path(__file__).parents[1]
CLIPS, TURNS, LABELS = 1000, 10, 4


def run(files: list[Path], repeats: int) -> Iterator[Row]:  # noqa: ARG001
    with tempfile.TemporaryDirectory() as name:
        checkout = Path(name) / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        params = checkout / paths.PARAMS
        text = rewritten(params.read_text(encoding="utf-8"), {("data", "source"): "folder"})
        params.write_text(text, encoding="utf-8")
        typed(checkout, "dvc", "repro", "weights")
        yield from changed(checkout, Path(name) / "music", files, CLIPS, TURNS)


def changed(checkout: Path, music: Path, files: list[Path], count: int, turns: int) -> Iterator[Row]:
    """A hundredth more clips, then one moved to another label's folder, ``turns`` times; ``music`` is made for it."""
    more = max(1, count // 100)

    def imported() -> float:
        return seconds(lambda: typed(checkout, "soundtrack", "import", str(music), "--yes"))

    def ran() -> float:
        return seconds(lambda: typed(checkout, "dvc", "repro", "inputs"))

    made = [_clip(files, music, number) for number in range(count)]
    full_import, full_run = imported(), ran()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in FIGURES}
    for turn in range(turns):
        made += [_clip(files, music, number) for number in range(len(made), len(made) + more)]
        times[IMPORTED].append((imported(), full_import))
        times[ADDED].append((ran(), full_run))
        made[turn].rename(_label(music, turn + 1) / made[turn].name)
        imported()
        times[RELABELLED].append((ran(), full_run))
    for name, pairs in times.items():
        yield row(name, f"all {count} clips", pairs, of=max)


def typed(checkout: Path, *command: str) -> None:
    """As by a user in this checkout, whatever this process runs in.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(command, cwd=checkout, env=_environment(checkout), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")


def _environment(checkout: Path) -> Mapping[str, str]:
    users = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return users | {"PATH": path, "PYTHONPATH": str(checkout), "DVC_NO_ANALYTICS": "1"}


def _clip(files: list[Path], music: Path, number: int) -> Path:
    """A new clip with the spectrum of one of the files and phases of its own, so that it is no duplicate."""
    file = files[number % len(files)]
    channels, rate = soundfile.read(file, always_2d=True)
    sound = channels.mean(axis=1)
    spectrum = np.abs(np.fft.rfft(sound)) * np.exp(
        2j * np.pi * np.random.default_rng(number).random(len(sound) // 2 + 1)
    )
    clip = _label(music, number) / f"{number:05}{file.suffix}"
    clip.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(clip, np.fft.irfft(spectrum, len(sound)).clip(-1, 1), rate)
    return clip


def _label(music: Path, number: int) -> Path:
    return music / f"label {number % LABELS}"
