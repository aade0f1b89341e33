"""Decode a clip: any format libsndfile reads, to mono float32 at one sample rate."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr


def promised(content: bytes) -> float:
    """Seconds of audio that the file's header announces.

    Raises:
        soundfile.LibsndfileError: it is not audio that libsndfile reads.
    """
    return float(soundfile.info(io.BytesIO(content)).duration)


def decode(content: bytes) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int]:
    """Samples as (frames, channels) in [-1, 1], and the sample rate in Hz.

    The format is told by the content alone: by its name libsndfile would take any ``x.raw`` or ``x.vox`` for audio.

    Raises:
        soundfile.LibsndfileError: it is not audio that libsndfile reads.
    """
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return samples, rate


def mono(file: Path, rate: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The mean of the channels, resampled to ``rate`` Hz (soxr HQ, as librosa.load does)."""
    samples, own = decode(file.read_bytes())
    signal = samples.mean(axis=1)
    return signal if own == rate else soxr.resample(signal, own, rate, quality="HQ")
