"""Decode a clip: any format libsndfile reads, to mono float32 at one sample rate; and what is wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from pipeline.config.data import Audit

Samples = np.ndarray[Any, np.dtype[np.float32]]
NO_AUDIO = "there is no audio in it"
UNKNOWN_LENGTH = 2**63 - 1
"""libsndfile's SF_COUNT_MAX: the frames of a FLAC whose encoder wrote to a pipe."""


def decode_fault(error: soundfile.LibsndfileError) -> str:
    """Why libsndfile cannot decode a file that is there."""
    # of a file without a single MP3 frame it says that the file does not exist
    text = NO_AUDIO if "does not exist" in error.error_string else error.error_string
    return f"cannot be decoded: {text}"


def is_headerless(file: soundfile.SoundFile | Any) -> bool:
    """Whether libsndfile took bytes without a header for telephone speech, as with .au and .snd files."""
    return bool(file.format == "RAW")


def decode(file: Path) -> tuple[Samples, int]:
    """Samples as (frames, channels) in [-1, 1], and the sample rate in Hz.

    Raises:
        soundfile.LibsndfileError: the file is not audio that libsndfile reads.
    """
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return samples, rate


def mono(file: Path, rate: int) -> Samples:
    """The mean of the channels, resampled to ``rate`` Hz (soxr HQ, as librosa.load does)."""
    return resampled(*decode(file), rate)


def resampled(samples: Samples, own: int, rate: int) -> Samples:
    """As :func:`mono`, of samples (frames, channels) at ``own`` Hz."""
    signal: Samples = samples.mean(axis=1)
    return signal if own == rate else soxr.resample(signal, own, rate, quality="HQ")


def fault(samples: Samples, duration: float, limits: Audit) -> str:
    """What is wrong with samples (frames, channels) that last ``duration`` seconds; nothing is an empty text."""
    if duration < limits.min_seconds:
        return f"too short: {duration:.2f} s, at least {limits.min_seconds:g} s needed"
    if not np.isfinite(samples).all():
        return "contains NaN or infinite samples"
    # a constant offset is silent
    level = 10 * np.log10(np.mean(np.var(samples, axis=0, dtype=np.float64)) + 1e-20)
    if level < limits.silence_dbfs:
        return f"silent: {level:.0f} dBFS, below {limits.silence_dbfs:g} dBFS"
    clipped = float(np.mean(np.abs(samples) >= 0.999))
    if clipped > limits.max_clipped:
        return f"clipped: {clipped:.0%} of the samples at full scale, at most {limits.max_clipped:.0%} allowed"
    return ""
