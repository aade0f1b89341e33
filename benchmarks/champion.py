"""The champion at work: songs by `soundtrack classify`, a mix of an hour, and its server under load."""

import base64
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import requests
import soundfile

from benchmarks.memory import peak
from benchmarks.timing import Row, compare, row, seconds
from pipeline.base.parallel import cores, workers
from pipeline.library import answering
from pipeline.serving import manifest
from pipeline.serving.predictor import Predictor

START, FLOOR, FURTHER, MIX, SERVER, SLOWEST, TAGGER = FIGURES = (
    "classify 40 songs of 3 min, start included",
    "classify 40 songs of 3 min, against its floor",
    "classify, each further song of 3 min",
    "memory of classify, a mix of 60 min",
    "server, per clip of 30 s, 4 requests at once",
    "server, 99 % of the answers within",
    "classify 12 songs of 3 min by the pre-trained tagger, start included",
)
ALONE = "decoding, its own features and network alone, all cores"
SONGS, SONG_S = 40, 180.0
TAGGED = 12
HOUR_S = 3600.0
PORT = 5091
REQUESTS, AT_ONCE = 200, 4
CLASSIFY = [sys.executable, "-m", "pipeline.cli", "classify"]
BY_CHAMPION = ("--model", answering.CHAMPION)
"""Else the tagger is asked too, where the songs are unlike its training data."""

Body = dict[str, Any]


def run(files: list[Path], repeats: int) -> Iterator[Row]:
    """Of the champion of this checkout, with songs made of these clips one after another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = folder / "songs"
        for number in range(SONGS):
            _song(files, songs / f"{number:03}.flac", SONG_S, number)
        one = folder / "one"
        _song(files, one / "one.flac", SONG_S, SONGS)
        start = seconds(lambda: _quietly([*CLASSIFY, str(one), *BY_CHAMPION]))
        took = seconds(lambda: _quietly([*CLASSIFY, str(songs), *BY_CHAMPION]))
        yield row(START, "their length", [(took, SONGS * SONG_S)])
        yield row(FLOOR, ALONE, [(took, _alone(sorted(songs.iterdir())))])
        yield row(FURTHER, "its length", [((took - start) / (SONGS - 1), SONG_S)])
        mix, other = folder / "mix/mix.flac", folder / "other/other.flac"
        _song(files, mix, HOUR_S, 0)
        _song(files, other, SONG_S, SONGS + 1)
        yield row(MIX, "one song of 3 min", [(peak([*CLASSIFY, str(mix)]), peak([*CLASSIFY, str(other)]))], "MB")
        yield from _load(files[0])
        yield _tagger(files, repeats)


def _alone(songs: Sequence[Path]) -> float:
    """Seconds that decoding these songs takes, with the champion's own features and network, when all workers have begun."""
    bundle = str(answering.chosen(answering.CHAMPION).bundle)
    with workers("pipeline.serving.predictor") as pool:
        answer = partial(_answered, bundle=bundle)
        list(pool.map(answer, songs[: 4 * cores()]))
        return seconds(lambda: list(pool.map(answer, songs)))


def _answered(song: Path, bundle: str) -> None:
    predictor = _predictor(bundle)
    for segment, sound in predictor.decode(song):
        predictor.answer(segment, sound)


@cache
def _predictor(bundle: str) -> Predictor:
    return Predictor(Path(bundle))


def _tagger(files: list[Path], repeats: int) -> Row:
    """`soundtrack classify` by the pre-trained tagger against the champion, on the same songs, both with all cores."""
    with tempfile.TemporaryDirectory() as name:
        songs = Path(name)
        for number in range(TAGGED):
            _song(files, songs / f"{number:03}.flac", SONG_S, number)

        def classified(model: str) -> Callable[[], None]:
            def run() -> None:
                for file in songs.iterdir():
                    file.touch()  # so that no earlier answer is taken
                _quietly([*CLASSIFY, str(songs), "--model", model])

            return run

        return compare(TAGGER, classified("tags"), f"the champion, {_experiment()}", classified("champion"), repeats)


def _experiment() -> str:
    return manifest.summary(answering.chosen(answering.CHAMPION).bundle).experiment


def _song(files: list[Path], target: Path, length_s: float, first: int) -> None:
    """Clips one after another, from the clip ``first`` on."""
    target.parent.mkdir(exist_ok=True)
    rate = soundfile.info(files[0]).samplerate
    left = round(length_s * rate)
    with soundfile.SoundFile(target, "w", rate, 1) as song:
        for file in itertools.islice(itertools.cycle(files), first, None):
            signal, own = soundfile.read(file, always_2d=True)
            if own != rate:
                raise ValueError(f"{file} has {own} Hz and {files[0]} {rate}: give clips of one rate")
            song.write(signal[:left].mean(axis=1))
            left -= min(left, len(signal))
            if not left:
                return


def _quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _load(clip: Path) -> Iterator[Row]:
    """Requests of one clip each, some at once, every tenth of which is no music."""
    good, bad = (_request(content) for content in (clip.read_bytes(), b"no music"))
    with _serving() as address:
        _answer(address, good)
        begun = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [bad if number % 10 == 9 else good for number in range(REQUESTS)]
            answers = list(pool.map(lambda body: _answer(address, body), asked))
        took = time.monotonic() - begun
    expected = [400 if body is bad else 200 for body in asked]
    if [status for status, _ in answers] != expected:
        raise RuntimeError("the server did not answer as it should")
    times = np.array([duration for status, duration in answers if status == 200])
    yield row(SERVER, ALONE, [(took / len(times), _alone([clip] * len(times)) / len(times))])
    yield row(SLOWEST, "the median answer", [(float(np.quantile(times, 0.99)), float(np.median(times)))])


def _request(content: bytes) -> Body:
    return {"dataframe_split": {"columns": ["audio"], "data": [[base64.b64encode(content).decode()]]}}


def _answer(address: str, body: Body) -> tuple[int, float]:
    """Status, and seconds until it came."""
    begun = time.monotonic()
    response = requests.post(f"{address}/invocations", json=body, timeout=300)
    return response.status_code, time.monotonic() - begun


@contextmanager
def _serving() -> Iterator[str]:
    address = f"http://127.0.0.1:{PORT}"
    quiet = subprocess.DEVNULL
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--port", str(PORT)]
    server = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        while not _is_up(address):
            if server.poll() is not None:
                raise RuntimeError("the server ended: is there a champion? (make repro)")
            time.sleep(0.2)
        yield address
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(server.pid, 15)
        server.wait()


def _is_up(address: str) -> bool:
    try:
        return requests.get(f"{address}/ping", timeout=5).ok
    except requests.ConnectionError:
        return False
