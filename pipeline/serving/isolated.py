"""Run a registered model in isolated workers: processes that import the model's own code (:mod:`pipeline.serving.manifest`)."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from pipeline.base import cluster
from pipeline.base.cluster import ONE_THREAD
from pipeline.base.errors import UserError
from pipeline.base.parallel import KILLED, at_once, each, workers
from pipeline.data import urls
from pipeline.data.urls import FetchError, Url
from pipeline.serving import manifest, worker

Prediction = dict[str, Any]
"""Of interface 1, whatever the model's own is."""
Process = subprocess.Popen[str]
OLD_VERDICTS = {"named": "confident", "unsure": "uncertain", "unfamiliar": "out-of-distribution"}


def predict(bundle: Path, code: Path, songs: Sequence[Path | Url]) -> Iterator[Prediction]:
    """The model's prediction for each song, in order, with a progress bar.

    Args:
        code: folder with the package ``pipeline`` that the bundle was written by.

    Raises:
        UserError: a worker process ended.
    """
    old = not manifest.summary(bundle).interface.version
    for answer in _on_cluster(bundle, code, songs) if cluster.asked() else _on_cores(bundle, code, songs):
        yield _translate(answer) if old else answer


def _on_cores(bundle: Path, code: Path, songs: Sequence[Path | Url]) -> Iterator[Prediction]:
    idle: SimpleQueue[Process] = SimpleQueue()

    def one(song: Path | Url) -> Prediction:
        process = idle.get()
        try:
            return _fetched(process, said, song)
        finally:
            idle.put(process)

    with ExitStack() as stack:
        said = stack.enter_context(_noted())
        count = max(1, min(at_once(), len(songs)))
        for _ in range(count):
            idle.put(stack.enter_context(_started(bundle, code, said)))
        pool = stack.enter_context(ThreadPoolExecutor(count))
        try:
            yield from each(pool, one, songs, "classify", "song")
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(bundle: Path, code: Path, songs: Sequence[Path | Url]) -> Iterator[Prediction]:
    with workers() as pool:
        assert isinstance(pool, cluster.Cluster)
        try:
            yield from each(pool, partial(_on_worker, bundle, code), songs, "classify", "song")
        finally:
            pool.everywhere(_kept.cache_clear)


def _on_worker(bundle: Path, code: Path, song: Path | Url) -> Prediction:
    return _fetched(*_kept(bundle, code), song)


@cache
def _kept(bundle: Path, code: Path) -> tuple[Process, TextIO]:
    """A worker's process for the songs to come; it ends with its input, once it is kept no longer."""
    said = _noted()
    return _started(bundle, code, said), said


def _noted() -> TextIO:
    """Decoders write there of each damaged file, which the prediction's reason says better."""
    return tempfile.TemporaryFile("w+", errors="replace")


def _started(bundle: Path, code: Path, said: TextIO) -> Process:
    interface = manifest.summary(bundle).interface
    command = [sys.executable, "-P", worker.__file__, str(code), str(interface.version), interface.function]
    return subprocess.Popen(
        [*command, str(bundle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        encoding="utf-8",
        env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
    )


def _fetched(process: Process, said: TextIO, song: Path | Url) -> Prediction:
    try:
        with urls.local(song) as file:
            return _ask(process, said, file)
    except FetchError as error:
        return {"reason": str(error), "temporary": True}


def _ask(process: Process, said: TextIO, song: Path) -> Prediction:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # ASCII: a file name need not be UTF-8
        process.stdin.write(json.dumps(str(song)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        code = process.wait()
        if code == -signal.SIGKILL:
            raise UserError(f"{song}: {KILLED % max(1, at_once() // 2)}")
        said.seek(0)
        last = "".join(said.readlines()[-1:]).strip()
        raise UserError(f"{song}: the model's process ended with exit status {code}{f': {last}' if last else ''}")
    answer: Prediction = json.loads(line)
    return answer


def _translate(answer: Prediction) -> Prediction:
    """From interface 0."""
    if "reason" in answer:
        return answer
    guess, verdict = answer["label"], OLD_VERDICTS[answer["verdict"]]
    return {
        **answer,
        "label": guess if verdict == "confident" else "",
        "guess": guess,
        "confidence": answer["probabilities"][guess],
        "verdict": verdict,
    }
