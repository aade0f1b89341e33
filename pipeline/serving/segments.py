"""Cut a song of any length into segments as long as the clips a model was trained on, one in memory at a time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.base.errors import UserError
from pipeline.config.data import Audit
from pipeline.data import audio
from pipeline.data.audio import Samples, fault, resampled


class SongError(UserError):
    """The file has no usable audio; the message says why."""


@dataclass(frozen=True)
class Segment:
    start_s: float
    stop_s: float
    signal: Samples
    """Mono, at the rate asked for."""
    alone: bool = True
    """The song is one segment."""


def segments(file: Path | BinaryIO, longest_s: float, rate: int, limits: Audit) -> Iterator[Segment]:
    """Segments of equal length, about ``longest_s`` seconds; a shorter song is one segment.

    Segments that the audit would reject as clips (silent, clipped, broken) are left out.

    Args:
        file: a path, or an open binary file.

    Raises:
        SongError: the file cannot be read, or every segment would be rejected.
    """
    first_fault, usable = "", False
    for start_s, stop_s, samples, own, alone in _pieces(file, longest_s):
        reason = fault(samples, stop_s - start_s, limits)
        if not reason:
            usable = True
            yield Segment(start_s, stop_s, resampled(samples, own, rate), alone)
        first_fault = first_fault or reason
    if not usable:
        raise SongError(first_fault or "no audio in it")


def _pieces(file: Path | BinaryIO, longest_s: float) -> Iterator[tuple[float, float, Samples, int, bool]]:
    """Start and stop in seconds, samples (frames, channels), their rate, and whether this is all by the file's header."""
    try:
        with audio.opened(file) as song:
            rate, longest = song.rate, longest_s * song.rate
            count = max(1, round(song.frames / longest))
            size = math.ceil(song.frames / count)
            start = 0
            while len(samples := song.read(size)):
                stop = start + len(samples)
                # too short an end is dropped
                if start == 0 or 2 * len(samples) >= size:
                    yield start / rate, stop / rate, samples, rate, count == 1
                start = stop
    except audio.DecodeError as error:
        raise SongError(str(error)) from None
    except OSError as error:
        raise SongError(f"cannot be read: {error.strerror}") from None
