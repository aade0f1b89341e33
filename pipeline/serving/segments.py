"""Cut a song of any length into segments as long as the clips a model was trained on, one in memory at a time."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import soundfile

from pipeline.base.errors import UserError
from pipeline.config.data import Audit
from pipeline.data import audio
from pipeline.data.audio import UNKNOWN_LENGTH, Samples, fault, resampled

RATES = range(1_000, 1_000_000)
"""Sample rates in Hz that a header may give; one that is broken can give any."""


class SongError(UserError):
    """The file has no usable audio; the message says why."""


@dataclass(frozen=True)
class Segment:
    start_s: float
    stop_s: float
    signal: Samples
    """Mono, at the rate asked for."""


def segments(file: Path | BinaryIO, longest_s: float, rate: int, limits: Audit) -> Iterator[Segment]:
    """Segments of equal length, about ``longest_s`` seconds; a shorter song is one segment.

    Segments that the audit would reject as clips (silent, clipped, broken) are left out.

    Args:
        file: a path, or an open binary file.

    Raises:
        SongError: the file cannot be read, or every segment would be rejected.
    """
    first_fault, usable = "", False
    for start_s, stop_s, samples, own in _pieces(file, longest_s):
        reason = fault(samples, stop_s - start_s, limits)
        if not reason:
            usable = True
            yield Segment(start_s, stop_s, resampled(samples, own, rate))
        first_fault = first_fault or reason
    if not usable:
        raise SongError(first_fault or "no audio in it")


def _pieces(file: Path | BinaryIO, longest_s: float) -> Iterator[tuple[float, float, Samples, int]]:
    """Start and stop in seconds, samples (frames, channels), and their rate."""
    if isinstance(file, Path) and file.suffix.lower() == ".raw":
        raise SongError("cannot be decoded: a .raw file does not say its format")
    try:
        if isinstance(file, Path):
            with file.open("rb") as content:  # libsndfile does not say why it cannot
                if not content.read(1):
                    raise SongError("empty file")
        # soundfile cannot encode a name that is not UTF-8
        with soundfile.SoundFile(os.fsencode(file) if isinstance(file, Path) else file) as song:
            if audio.is_headerless(song):
                raise SongError(f"cannot be decoded: {audio.NO_AUDIO}")
            if song.samplerate not in RATES:
                raise SongError(f"cannot be decoded: its header is broken ({song.samplerate} Hz)")
            size = _frames(song, longest_s)
            start = 0
            while len(samples := song.read(size, dtype="float32", always_2d=True)):
                stop = start + len(samples)
                # an empty first read still gives its fault; too short an end is dropped
                if start == 0 or 2 * len(samples) >= size:
                    yield start / song.samplerate, stop / song.samplerate, samples, song.samplerate
                start = stop
    except soundfile.LibsndfileError as error:
        raise SongError(audio.decode_fault(error)) from None
    except OSError as error:
        raise SongError(f"cannot be read: {error.strerror}") from None
    except (ArithmeticError, MemoryError, TypeError, ValueError) as error:  # of a rate or size that cannot be
        raise SongError(f"cannot be decoded: its header is broken ({error})") from None


def _frames(song: soundfile.SoundFile, longest_s: float) -> int:
    """Of each segment."""
    longest = math.ceil(longest_s * song.samplerate)
    if song.frames == UNKNOWN_LENGTH:
        return longest
    return math.ceil(song.frames / max(1, round(song.frames / longest)))
