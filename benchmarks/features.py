"""Features of clips: this project on all cores against the tutorial's pictures and plain librosa calls."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import librosa

from benchmarks import peers
from benchmarks.timing import Row, row, seconds
from pipeline import config
from pipeline.base.parallel import cores, each, workers
from pipeline.features.extract import Task, blocks, modules

PAIR, TABULAR, ALL = FIGURES = (
    "spectrogram + wavelet, per clip",
    "57 tabular features, per clip",
    "all three, per clip",
)


def run(files: list[Path], repeats: int) -> Iterator[Row]:
    """Processes are started and warmed before: what is compared is the time per clip."""
    settings = config.load().features
    pictures, librosas = "the tutorial's pictures of STFT and waveform", "librosa's functions one by one"
    pair, table = ["spectrogram", "wavelet"], ["tabular"]
    sets = {PAIR: pair, TABULAR: table, ALL: pair + table}
    times: dict[str, list[float]] = {name: [] for name in (*sets, pictures, librosas)}
    with tempfile.TemporaryDirectory() as folder, workers(*modules(settings)) as pool:
        compute = partial(blocks, settings=settings)
        list(each(pool, compute, [Task(file, pair + table) for file in files[: 2 * cores()]], "warming"))
        _plain(files[:1])
        _pictures(files[:1], Path(folder))
        for _ in range(repeats):
            for name, kinds in sets.items():
                tasks = [Task(file, kinds) for file in files]
                times[name].append(seconds(lambda: list(each(pool, compute, tasks, name))))  # noqa: B023
            times[pictures].append(seconds(lambda: _pictures(files, Path(folder))))
            times[librosas].append(seconds(lambda: _plain(files)))
    both = [a + b for a, b in zip(times[pictures], times[librosas], strict=True)]
    for name, against, theirs in (
        (PAIR, pictures, times[pictures]),
        (TABULAR, librosas, times[librosas]),
        (ALL, "both", both),
    ):
        per_clip = [(a / len(files), b / len(files)) for a, b in zip(times[name], theirs, strict=True)]
        yield row(name, against, per_clip)


def _pictures(files: list[Path], folder: Path) -> None:
    for file in files:
        peers.pictures(file, folder)


def _plain(files: list[Path]) -> None:
    for file in files:
        peers.columns(*librosa.load(file))
