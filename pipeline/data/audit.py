"""What is wrong with a clip, by name: every file is used, or rejected with a reason a person understands."""

import hashlib
import re
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from pipeline.data.audio import Samples, decode
from pipeline.errors import UserError
from pipeline.parallel import each
from pipeline.params import Audit

UNKNOWN_LENGTH = 2**63 - 1
"""libsndfile's SF_COUNT_MAX: the frames of a FLAC whose encoder wrote to a pipe."""


class AuditError(UserError):
    """The data set as a whole cannot be used; the message says which label lacks what."""


@dataclass(frozen=True)
class Finding:
    """What decoding one file showed; ``reason`` is empty for a good clip."""

    duration_s: float
    sample_rate: int
    sha256: str
    reason: str


def audit(files: pd.DataFrame, limits: Audit) -> pd.DataFrame:
    """The columns of the clips table that listening to each file gives, for ``files`` with path and label."""
    findings = [
        asdict(finding)
        for finding in each(partial(inspect, limits=limits), [Path(path) for path in files["path"]], "audit")
    ]
    table = files.reset_index(drop=True).join(pd.DataFrame(findings, columns=list(Finding.__annotations__)))
    table["reason"] = _reject_copies(table)
    table["status"] = np.where(table["reason"] == "", "ok", "rejected")
    return table


def inspect(file: Path, limits: Audit) -> Finding:
    """Decode one file whole and name the first thing that is wrong with it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return Finding(0.0, 0, "", f"cannot be read: {error.strerror}")
    digest = hashlib.sha256(content).hexdigest()
    if not content:
        return Finding(0.0, 0, digest, "empty file")
    if file.suffix.lower() == ".raw":
        return Finding(0.0, 0, digest, "cannot be decoded: a .raw file does not say its format")
    try:
        header = soundfile.info(file)
        if reason := _header_fault(header.frames, header.duration, limits):
            return Finding(0.0, header.samplerate, digest, reason)
        samples, rate = decode(file)
    except soundfile.LibsndfileError as error:
        return Finding(0.0, 0, digest, f"cannot be decoded: {error.error_string}")
    duration = len(samples) / rate
    return Finding(duration, rate, digest, _fault(samples, duration, limits))


def _header_fault(frames: int, duration: float, limits: Audit) -> str:
    """Known before memory is set aside for the samples: a broken header can announce years."""
    if frames == UNKNOWN_LENGTH:
        return "its header gives no length: encode it anew"
    if duration > limits.max_seconds:
        return f"too long: {duration:.0f} s, at most {limits.max_seconds:g} s (cut it, or raise audit.max_seconds)"
    return ""


def _fault(samples: Samples, duration: float, limits: Audit) -> str:
    if duration < limits.min_seconds:
        return f"too short: {duration:.2f} s, at least {limits.min_seconds:g} s needed"
    if not np.isfinite(samples).all():
        return "contains NaN or infinite samples"
    level = 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)
    if level < limits.silence_dbfs:
        return f"silent: {level:.0f} dBFS, below {limits.silence_dbfs:g} dBFS"
    clipped = float(np.mean(np.abs(samples) >= 0.999))
    if clipped > limits.max_clipped:
        return (
            f"clipped: {clipped:.0%} of the samples at full scale, at most {limits.max_clipped:.0%} allowed"
        )
    return ""


def _reject_copies(table: pd.DataFrame) -> list[str]:
    """Reasons, with identical content added: of copies under one label the first stays, under two none does."""
    reasons = table["reason"].tolist()
    sound = table[table["reason"] == ""]
    for _, copies in sound.groupby("sha256"):
        if copies["label"].nunique() > 1:
            for row in copies.index:
                others = ", ".join(f"{c.path} ({c.label})" for c in copies.drop(row).itertuples())
                reasons[row] = f"identical to {others}: which label is right is not known"
        else:
            for row in copies.index[1:]:
                reasons[row] = f"identical to {copies['path'].iloc[0]}"
    return reasons


def check(table: pd.DataFrame, limits: Audit) -> None:
    """Raise AuditError when the good clips cannot make a classification data set."""
    rejected = table[table["status"] == "rejected"]
    why = (
        f" ({len(rejected)} of {len(table)} files were rejected: see reports/audit.md)"
        if len(rejected)
        else ""
    )
    counts = table[table["status"] == "ok"].groupby("label").size()
    every = counts.reindex(sorted(table["label"].unique()), fill_value=0)
    if len(every) < 2:
        raise AuditError(f"a classifier needs at least two labels, there is {list(every.index)}{why}")
    poor = every[every < limits.min_clips]
    if len(poor):
        named = ", ".join(f"{label!r} has {count}" for label, count in poor.items())
        raise AuditError(f"too few good clips: {named}; audit.min_clips is {limits.min_clips}{why}")


def summary(table: pd.DataFrame) -> str:
    """A short Markdown text: how many clips of each label are good, and why each other one is not."""
    counts = pd.crosstab(table["label"], table["status"]).reindex(columns=["ok", "rejected"], fill_value=0)
    lines = ["# Audit", "", "| label | good clips | rejected |", "|---|---|---|"]
    lines += [f"| {_cell(label)} | {row.ok} | {row.rejected} |" for label, row in counts.iterrows()]
    rejected = table[table["status"] == "rejected"]
    if len(rejected):
        lines += ["", "| rejected file | reason |", "|---|---|"]
        lines += [f"| {_cell(row.path)} | {_cell(row.reason)} |" for row in rejected.itertuples()]
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    """A file name or label as one Markdown table cell: a name must not become markup."""
    escaped = re.sub(r"([\\|`])", r"\\\1", str(text)).replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.split())
