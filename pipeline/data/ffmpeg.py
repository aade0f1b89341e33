"""Decode with FFmpeg's libraries (PyAV), which read nearly every format, and count a file's packets."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np

from pipeline.data.sndfile import NO_AUDIO, RATES, DecodeError, Samples

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,latm,loas,matroska,webm,mlp,mov,"
    "mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,ogg,oma,qcp,rm,shn,sox,tak,truehd,tta,voc,w64,wav,wv,xwma"
)
"""Formats that hold audio themselves. A playlist names other files, which a clip must not open."""


class FfmpegDecoder:
    """An open file, all in the rate and channels of its first audio."""

    def __init__(self, file: Path | BinaryIO) -> None:
        """Raise DecodeError where there is no audio that FFmpeg decodes."""
        self._blocks = _blocks(file)
        self._left, self.rate = next(self._blocks)

    def read(self, frames: int) -> Samples:
        """The next samples (frames, channels) in [-1, 1]; fewer at the end."""
        parts, missing = [self._left[:frames]], frames - len(self._left)
        self._left = self._left[frames:]
        while missing > 0 and (block := next(self._blocks, None)) is not None:
            parts.append(block[0][:missing])
            self._left = block[0][missing:]
            missing -= len(parts[-1])
        return np.concatenate(parts)

    def skip(self, frames: int) -> None:
        """Decode and drop: packets do not say where their samples begin as exactly as that."""
        while frames > 0 and (dropped := len(self.read(min(frames, self.rate)))):
            frames -= dropped

    def close(self) -> None:
        self._blocks.close()


def says_too_little(file: Path | BinaryIO) -> bool:
    """Whether a WAV goes on behind the data that its header announces, with what is no chunk: a writer was stopped."""
    with _content(file) as content:
        if content.read(4) != b"RIFF":
            return False
        size = content.seek(0, os.SEEK_END)
        place = 12
        while place + 8 <= size:
            content.seek(place)
            name, length = content.read(4), int.from_bytes(content.read(4), "little")
            if not re.fullmatch(rb"[ -~]{4}", name):
                return True
            place += 8 + length + length % 2
        return False


def metadata(file: Path) -> list[dict[str, str]]:
    """The tags of the file and of its audio; none where FFmpeg finds no audio."""
    try:
        with _audio(file) as (container, stream):
            return [dict(container.metadata), dict(stream.metadata)]
    except DecodeError:
        return []


def packets_s(file: Path | BinaryIO) -> float:
    """Seconds that all audio packets last, without decoding them; 0 where FFmpeg finds none."""
    try:
        with _audio(file) as (container, stream):
            lengths = [packet.duration or 0 for packet in container.demux(stream)]
            # the last of a short Ogg Vorbis may have a negative length, which arrives as one without a sign
            return float(sum(length for length in lengths if length < 2**31) * stream.time_base)
    except DecodeError:
        return 0.0


def _blocks(file: Path | BinaryIO) -> Any:
    """Samples (frames, channels) and their rate; packets that are damaged are left out."""
    with _audio(file) as (container, stream):
        resampler = first = last = None
        for packet in container.demux(stream):
            for frame in _decoded(packet):
                if first is None:
                    first = frame
                    if first.sample_rate not in RATES:
                        raise DecodeError(f"cannot be decoded: its header is broken ({first.sample_rate} Hz)")
                # a file of several songs may change its rate and its channels; a resampler decides by its first frame whether
                # there is anything to do
                if resampler is None or last != (frame.sample_rate, frame.layout.name):
                    last = (frame.sample_rate, frame.layout.name)
                    resampler = av.AudioResampler(format="fltp", layout=first.layout, rate=first.sample_rate)
                for part in resampler.resample(frame):
                    yield part.to_ndarray().T, first.sample_rate
        if first is None:
            raise DecodeError(f"cannot be decoded: {NO_AUDIO}")


def _decoded(packet: Any) -> list[Any]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


@contextmanager
def _audio(file: Path | BinaryIO) -> Iterator[tuple[Any, Any]]:
    """The opened file and its audio stream. It is opened here, so that FFmpeg can open nothing else."""
    options = {"format_whitelist": CONTAINERS}
    if says_too_little(file):
        options["ignore_length"] = "1"
    with _content(file) as content:
        try:
            with av.open(_Readable(content), options=options, metadata_errors="ignore") as container:
                stream = container.streams.best("audio")
                if stream is None:
                    raise DecodeError(f"cannot be decoded: {NO_AUDIO}")
                yield container, stream
        except av.FFmpegError as error:
            raise DecodeError(f"cannot be decoded: {error.strerror}") from None


class _Readable:
    """Says -1, as FFmpeg expects, where a damaged file asks for a place before its start; Python raises."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.read, self.tell = file, file.read, file.tell

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


@contextmanager
def _content(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    """From its start; a file that was open is left where libsndfile goes on reading it."""
    if isinstance(file, Path):
        with file.open("rb") as content:
            yield content
        return
    place = file.tell()
    file.seek(0)
    try:
        yield file
    finally:
        file.seek(place)
