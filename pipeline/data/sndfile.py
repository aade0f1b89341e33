"""Decode with libsndfile, which gives the same bits on every machine."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

Samples = np.ndarray[Any, np.dtype[np.float32]]
NO_AUDIO = "there is no audio in it"
RATES = range(1_000, 1_000_000)
"""Sample rates in Hz that a header may give; one that is broken can give any."""
COMPRESSED = ("FLAC", "MPEG", "MP3", "OGG")
"""Formats whose header may say another length than their packets have."""
BROKEN = (ArithmeticError, MemoryError, TypeError, ValueError)
"""What impossible numbers in a header raise."""
_stderr = threading.Lock()


class DecodeError(Exception):
    """A file is not audio that can be decoded; the message says why."""


class _Stream(soundfile.SoundFile):
    """Read forwards only: otherwise soundfile seeks behind each read, in an MP3 to a place near the one meant."""

    def seekable(self) -> bool:
        return False


class SndfileDecoder:
    """An open file. ``frames`` is what its header says, ``compressed`` whether packets may say otherwise."""

    def __init__(self, file: Path | BinaryIO) -> None:
        """Raise DecodeError where libsndfile cannot read the file."""
        if not isinstance(file, Path):
            file.seek(0)
        with _faults(), _silent():
            # soundfile cannot encode a name that is not UTF-8
            self._song = _Stream(os.fsencode(file) if isinstance(file, Path) else file)
        self.rate, self.frames = self._song.samplerate, self._song.frames
        self.compressed = self._song.format in COMPRESSED
        if self._song.format == "RAW":  # taken for telephone speech without a header, as .au and .snd files are
            raise DecodeError(f"cannot be decoded: {NO_AUDIO}")
        if self.rate not in RATES:
            raise DecodeError(f"cannot be decoded: its header is broken ({self.rate} Hz)")

    def read(self, frames: int) -> Samples:
        """The next samples (frames, channels) in [-1, 1]; fewer at the end. Raise DecodeError where decoding fails."""
        with _faults(), _silent():
            samples: Samples = self._song.read(frames, dtype="float32", always_2d=True)
        return samples

    def skip(self, frames: int) -> None:
        if self.compressed:  # there seeking is not exact
            self.read(frames)
            return
        with _faults(), _silent():
            self._song.seek(frames, soundfile.SEEK_CUR)

    def close(self) -> None:
        self._song.close()


@contextmanager
def _faults() -> Iterator[None]:
    """libsndfile's errors as DecodeError."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        # of a file without a single MP3 frame it says that the file does not exist
        text = NO_AUDIO if "does not exist" in error.error_string else error.error_string
        raise DecodeError(f"cannot be decoded: {text}") from None
    except BROKEN as error:
        raise DecodeError(f"cannot be decoded: its header is broken ({error})") from None


@contextmanager
def _silent() -> Iterator[None]:
    """Without what libmpg123 writes to stderr of every odd MP3; nothing in libsndfile's interface turns it off."""
    with _stderr, Path(os.devnull).open("wb") as nothing:
        before = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
