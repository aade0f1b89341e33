"""Decodes an audio file and names the first thing that is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipeline.config.data import Audit
from pipeline.data import audio, fingerprint
from pipeline.data.audio import Samples, decode

Array = np.ndarray[Any, np.dtype[Any]]
Fingerprints = Mapping[str, Array]
"""By clip."""
Pair = tuple[str, str, float, float]
"""first, second, error rate and shift in seconds, as :func:`pipeline.data.audit.audit` has them."""
UNKNOWN_LENGTH = 2**63 - 1
"""libsndfile's SF_COUNT_MAX: the frames of a FLAC whose encoder wrote to a pipe."""


@dataclass(frozen=True)
class Finding:
    """What decoding one file showed; ``reason`` is empty for a good clip."""

    duration_s: float
    """0 where a file has no duration."""
    sample_rate: int
    sha256: str
    reason: str
    fingerprint: Array = field(default_factory=lambda: np.zeros(0, np.uint32), repr=False)
    """Of a good clip: what shows that another one is the same."""


def inspect(file: Path, digest: str, limits: Audit) -> Finding:
    """
    Args:
        digest: the file's sha256.
    """
    if file.suffix.lower() == ".raw":
        return Finding(0.0, 0, digest, "cannot be decoded: a .raw file does not say its format")
    try:
        header = soundfile.info(file)
        if audio.is_headerless(header):
            return Finding(0.0, 0, digest, f"cannot be decoded: {audio.NO_AUDIO}")
        # before memory is allocated for the samples: a broken header can announce years
        if header.frames == UNKNOWN_LENGTH:
            return Finding(0.0, header.samplerate, digest, "its header gives no length: encode it again")
        if header.duration > limits.max_seconds:
            reason = (
                f"too long: {header.duration:.0f} s, at most {limits.max_seconds:g} s "
                "(cut it, or raise audit.max_seconds)"
            )
            return Finding(0.0, header.samplerate, digest, reason)
        samples, rate = decode(file)
    except soundfile.LibsndfileError as error:
        return Finding(0.0, 0, digest, audio.fault(error))
    except (ArithmeticError, MemoryError, TypeError, ValueError) as error:  # an impossible rate or size
        return Finding(0.0, 0, digest, f"cannot be decoded: its header is broken ({error})")
    duration = len(samples) / rate
    if reason := fault(samples, duration, limits):
        return Finding(duration, rate, digest, reason)
    return Finding(duration, rate, digest, "", fingerprint.fingerprint(samples.mean(axis=1), rate))


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
