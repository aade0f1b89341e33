"""FFmpeg's libraries against libsndfile, on a file that both read."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.timing import Row, compare
from pipeline.data.ffmpeg import FfmpegDecoder
from pipeline.data.sndfile import SndfileDecoder

RATE = 44_100
SECONDS = 30
TURNS = 10
"""Decodings that are timed together."""


def run(repeats: int) -> Iterator[Row]:
    noise = np.random.default_rng(0).normal(0, 0.1, (SECONDS * RATE, 2))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "noise.flac"
        soundfile.write(file, noise, RATE)
        yield compare(
            f"decode {TURNS} FLACs of {SECONDS} s with libsndfile",
            lambda: _read(file, SndfileDecoder),
            "with FFmpeg",
            lambda: _read(file, FfmpegDecoder),
            repeats,
        )


def _read(file: Path, open_file: type[SndfileDecoder] | type[FfmpegDecoder]) -> None:
    for _ in range(TURNS):
        decoder = open_file(file)
        while len(decoder.read(2**22)):
            pass
        decoder.close()
