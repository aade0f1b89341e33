"""Decode a clip, of nearly any format, to mono float32 at one sample rate; and what is wrong with it.

libsndfile decodes what it reads whole, FFmpeg's libraries the rest: other formats, and what libsndfile would cut off
since a header says too little. No length that only a header gives decides anything.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from pipeline.config.data import Audit
from pipeline.config.features import Span, spans
from pipeline.data import ffmpeg, sndfile
from pipeline.data.ffmpeg import FfmpegDecoder
from pipeline.data.sndfile import DecodeError, Samples, SndfileDecoder

__all__ = ["DecodeError", "Recording", "Samples", "decode", "fault", "mixed", "mono", "opened", "resampled"]
SLACK = 4096
"""Frames by which packets may last longer than what they decode to: an encoder's delay and padding."""
BLOCK = 2**22
"""Frames that are decoded at a time."""
CANCELLED = 1e-4
"""A mix of the channels with less than this share of their power (-40 dB) is what channels of opposite phase leave."""


class Recording:
    """An open audio file."""

    def __init__(self, file: Path | BinaryIO) -> None:
        self._file, self._read = file, 0
        self._decoder: SndfileDecoder | FfmpegDecoder
        self._decoder, self.frames = _choose(file)
        self.rate = self._decoder.rate
        """In Hz."""

    def read(self, frames: int) -> Samples:
        """The next samples (frames, channels) in [-1, 1]; fewer at the end."""
        try:
            samples = self._decoder.read(frames)
        except DecodeError:
            samples = np.zeros((0, 1), np.float32)
        self._read += len(samples)
        if len(samples) < frames and isinstance(self._decoder, SndfileDecoder) and self._read < self.frames - SLACK:
            return self._go_on(samples, frames)
        return samples

    def _go_on(self, samples: Samples, frames: int) -> Samples:
        """libsndfile gave up in the middle of a damaged file: FFmpeg goes on from there."""
        self._decoder.close()
        try:
            self._decoder = FfmpegDecoder(self._file)
        except DecodeError:
            return samples
        self._decoder.skip(self._read)
        more = self._decoder.read(frames - len(samples))
        self._read += len(more)
        return np.concatenate([samples, more]) if len(samples) else more

    def skip(self, frames: int) -> None:
        self._decoder.skip(frames)
        self._read += frames

    def close(self) -> None:
        self._decoder.close()


def _choose(file: Path | BinaryIO) -> tuple[SndfileDecoder | FfmpegDecoder, int]:
    """The decoder that reads the whole file, and about how many frames that gives."""
    if isinstance(file, Path) and file.suffix.lower() == ".raw":
        raise DecodeError("cannot be decoded: a .raw file does not say its format")
    try:
        decoder = SndfileDecoder(file)
    except DecodeError as error:
        try:
            other = FfmpegDecoder(file)
        except DecodeError:
            raise error from None
        return other, round(ffmpeg.packets_s(file) * other.rate)
    if decoder.frames and not decoder.compressed and not ffmpeg.says_too_little(file):
        return decoder, decoder.frames
    packets = round(ffmpeg.packets_s(file) * decoder.rate)
    if packets > decoder.frames + SLACK:
        decoder.close()
        return FfmpegDecoder(file), packets
    # SLACK is the end that may be cut off, where a header says more than there is
    return decoder, decoder.frames if decoder.frames <= packets + SLACK or not packets else packets


@contextmanager
def opened(file: Path | BinaryIO) -> Iterator[Recording]:
    """An open audio file.

    Raises:
        DecodeError: it is not audio that can be decoded.
        OSError: it cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as content:  # the decoders do not say why they cannot
            if not content.read(1):
                raise DecodeError("empty file")
    recording = Recording(file)
    try:
        yield recording
    finally:
        recording.close()


def decode(file: Path, longest_s: float = np.inf) -> tuple[Samples, int]:
    """Samples as (frames, channels) in [-1, 1], and the sample rate in Hz; at most a second more than ``longest_s``.

    Raises:
        DecodeError: the file is not audio that can be decoded.
    """
    with opened(file) as recording:
        return _read(recording, longest_s + 1), recording.rate


def mono(file: Path, rate: int, excerpt: str = "whole", start_s: float = 0.0, seconds: float = np.inf) -> Samples:
    """The mix of the channels, resampled to ``rate`` Hz (soxr HQ, as librosa.load does).

    Args:
        excerpt: As in ``features.excerpt``; sections are put together without a gap.
        start_s: Where in the excerpt to begin.

    Raises:
        DecodeError: the file is not audio that can be decoded.
    """
    with opened(file) as recording:
        parts, place = [], 0.0
        for start, stop in _piece(spans(excerpt, recording.frames / recording.rate), start_s, seconds):
            recording.skip(round((start - place) * recording.rate))
            parts.append(_read(recording, stop - start))
            place = stop
        return resampled(np.concatenate(parts), recording.rate, rate)


def _piece(sections: Iterable[Span], start_s: float, seconds: float) -> Iterator[Span]:
    """A part of these sections, put together, from ``start_s`` on."""
    for start, stop in sections:
        first, last = max(start, start + start_s), min(stop, start + start_s + seconds)
        if first < last:
            yield first, last
        start_s -= stop - start


def _read(recording: Recording, seconds: float) -> Samples:
    """The next ``seconds``; infinity is all that is left."""
    blocks, missing = [], seconds * recording.rate
    while missing > 0 and len(block := recording.read(int(min(BLOCK, np.ceil(missing))))):
        blocks.append(block)
        missing -= len(block)
    if not blocks:
        raise DecodeError(f"cannot be decoded: {sndfile.NO_AUDIO}")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def mixed(samples: Samples) -> Samples:
    """The mean of the channels (frames, channels); one of them where the others cancel it."""
    mean: Samples = samples.mean(axis=1)
    powers = np.var(samples, axis=0, dtype=np.float64)
    if np.var(mean, dtype=np.float64) < CANCELLED * powers.max():
        return np.ascontiguousarray(samples[:, powers.argmax()])
    return mean


def resampled(samples: Samples, own: int, rate: int) -> Samples:
    """The mix of samples (frames, channels) at ``own`` Hz, at ``rate`` Hz."""
    signal = mixed(samples)
    return signal if own == rate else soxr.resample(signal, own, rate, quality="HQ")


def fault(samples: Samples, duration: float, limits: Audit) -> str:
    """What is wrong with samples (frames, channels) that last ``duration`` seconds; nothing is an empty text."""
    if duration < limits.min_seconds:
        return f"too short: {duration:.2f} s, at least {limits.min_seconds:g} s needed"
    if not np.isfinite(samples).all():
        return "contains NaN or infinite samples"
    # a constant offset is silent
    level = 10 * np.log10(np.var(mixed(samples), dtype=np.float64) + 1e-20)
    if level < limits.silence_dbfs:
        return f"silent: {level:.0f} dBFS, below {limits.silence_dbfs:g} dBFS"
    clipped = float(np.mean(np.abs(samples) >= 0.999))
    if clipped > limits.max_clipped:
        return f"clipped: {clipped:.0%} of the samples at full scale, at most {limits.max_clipped:.0%} allowed"
    return ""
