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
from benchmarks.timing import Row, compare, seconds
from pipeline.base.parallel import cores, workers
from pipeline.library import answering
from pipeline.serving import manifest
from pipeline.serving.predictor import Predictor

SONGS, SONG_S = 40, 180.0
TAGGED = 12
HOUR_S = 3600.0
PORT = 5091
REQUESTS, AT_ONCE = 200, 4
CLASSIFY = [sys.executable, "-m", "pipeline.cli", "classify"]

Told = dict[str, object]
Body = dict[str, Any]


def run(files: list[Path]) -> Iterator[Told]:
    """Of the champion of this checkout, with songs made of these clips one after another."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = folder / "songs"
        for number in range(SONGS):
            _song(files, songs / f"{number:03}.flac", SONG_S, number)
        one = folder / "one"
        _song(files, one / "one.flac", SONG_S, SONGS)
        start = seconds(lambda: _quietly([*CLASSIFY, str(one)]))
        took = seconds(lambda: _quietly([*CLASSIFY, str(songs)]))
        heard = SONGS * SONG_S
        yield {"what": f"classify, {SONGS} songs of {SONG_S:.0f} s, start included", "times real time": heard / took}
        alone = _alone(sorted(songs.iterdir()))
        yield {
            "what": "classify against decoding, own features and network alone, all cores",
            "ours_s": took,
            "alone_s": alone,
            "ratio": took / alone,
        }
        yield {
            "what": "classify, each further song",
            "times real time": (heard - SONG_S) / (took - start),
            "songs a second": (SONGS - 1) / (took - start),
        }
        mix = folder / "mix/mix.flac"
        _song(files, mix, HOUR_S, 0)
        yield {"what": "classify, a mix of 60 minutes, all processes", "MB": peak([*CLASSIFY, str(mix)])}
        yield from _load(files[0])


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


def tagger(files: list[Path], repeats: int) -> Iterator[Row]:
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

        yield compare(
            f"classify, {TAGGED} songs of {SONG_S:.0f} s, start included: tagger",
            classified("tags"),
            f"champion ({_experiment()})",
            classified("champion"),
            repeats,
        )


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


def _load(clip: Path) -> Iterator[Told]:
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
    times = 1000 * np.array([duration for status, duration in answers if status == 200])
    yield {
        "what": f"server, {AT_ONCE} requests at once of a clip of {soundfile.info(clip).duration:.0f} s",
        "clips a second": len(times) / took,
        "median ms": float(np.median(times)),
        "p99 ms": float(np.quantile(times, 0.99)),
    }


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
