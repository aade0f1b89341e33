"""FFmpeg's libraries against libsndfile, on a file that both read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.timing import Row, compare
from pipeline.data.ffmpeg import FfmpegDecoder
from pipeline.data.sndfile import SndfileDecoder

(FLAC,) = FIGURES = ("decode a stereo FLAC of 30 s",)
RATE = 44_100
SECONDS = 30
TURNS = 10
"""Decodings that are timed together."""


def run(_: list[Path], repeats: int) -> Iterator[Row]:
    noise = np.random.default_rng(0).normal(0, 0.1, (SECONDS * RATE, 2))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "noise.flac"
        soundfile.write(file, noise, RATE)
        theirs = "FFmpeg, for what libsndfile does not read"
        found = compare(FLAC, lambda: _read(file, SndfileDecoder), theirs, lambda: _read(file, FfmpegDecoder), repeats)
        yield found._replace(ours=found.ours / TURNS, theirs=found.theirs / TURNS)


def _read(file: Path, open_file: type[SndfileDecoder] | type[FfmpegDecoder]) -> None:
    for _ in range(TURNS):
        decoder = open_file(file)
        while len(decoder.read(2**22)):
            pass
        decoder.close()
