"""What is wrong with a clip, by name: every file is used, or rejected with a reason a person understands."""

import hashlib
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from pipeline.data import gtzan
from pipeline.data.audio import Samples, decode
from pipeline.data.duplicates import Array, fingerprint, near
from pipeline.data.groups import join
from pipeline.errors import UserError
from pipeline.parallel import each, workers
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
    fingerprint: Array = field(default_factory=lambda: np.zeros(0, np.uint32), repr=False)
    """Of a good clip, see :mod:`pipeline.data.duplicates`."""


def audit(files: pd.DataFrame, limits: Audit) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What listening to each file gives, for ``files`` with clip_id, path, label and group.

    Returns:
        The clips table, in which clips of the same audio have been put into one group, and the pairs of such clips:
        first, second (clip ids), kind (``identical`` or ``near-identical``), error_rate (share of differing
        fingerprint bits), shift_s, labels_differ.
    """
    work = partial(inspect, limits=limits)
    with workers(len(files), __name__) as pool:
        findings = list(each(pool, work, [Path(path) for path in files["path"]], "audit"))
    table = files.reset_index(drop=True)
    for column in ("duration_s", "sample_rate", "sha256", "reason"):
        table[column] = [getattr(finding, column) for finding in findings]
    pairs = _same_audio(table, [finding.fingerprint for finding in findings])
    table["group"] = join(
        table.set_index("clip_id")["group"], zip(pairs["first"], pairs["second"], strict=True)
    ).to_numpy()
    table["reason"] = _reject_copies(table)
    table["status"] = np.where(table["reason"] == "", "ok", "rejected")
    return table, pairs


def _same_audio(table: pd.DataFrame, fingerprints: list[Array]) -> pd.DataFrame:
    """Pairs of sound clips with the same bytes, and of those that a listener would call the same."""
    sound = table[table["reason"] == ""]
    label = sound.set_index("clip_id")["label"]
    rows: list[tuple[str, str, str, float, float]] = []
    heard = {}
    for _, copies in sound.groupby("sha256", sort=False):
        first, *others = copies["clip_id"]
        rows += [(first, other, "identical", 0.0, 0.0) for other in others]
        heard[first] = fingerprints[copies.index[0]]
    rows += [(m.first, m.second, "near-identical", m.error_rate, m.shift_s) for m in near(heard)]
    pairs = pd.DataFrame(rows, columns=["first", "second", "kind", "error_rate", "shift_s"])
    differ = [label[first] != label[second] for first, second, *_ in rows]
    return pairs.assign(labels_differ=pd.Series(differ, dtype=bool))


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
    except (ArithmeticError, MemoryError, TypeError, ValueError) as error:  # of a rate or size that cannot be
        return Finding(0.0, 0, digest, f"cannot be decoded: its header is broken ({error})")
    duration = len(samples) / rate
    if reason := _fault(samples, duration, limits):
        return Finding(duration, rate, digest, reason)
    return Finding(duration, rate, digest, "", fingerprint(samples.mean(axis=1), rate))


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
    # a constant offset is no sound
    level = 10 * np.log10(np.mean(np.var(samples, axis=0, dtype=np.float64)) + 1e-20)
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


def summary(table: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """A short Markdown text: how many clips of each label are good, why each other one is not, and what occurs twice."""
    counts = pd.crosstab(table["label"], table["status"]).reindex(columns=["ok", "rejected"], fill_value=0)
    lines = ["# Audit", "", "| label | good clips | rejected |", "|---|---|---|"]
    lines += [f"| {_cell(label)} | {row.ok} | {row.rejected} |" for label, row in counts.iterrows()]
    rejected = table[table["status"] == "rejected"]
    if len(rejected):
        lines += ["", "| rejected file | reason |", "|---|---|"]
        lines += [f"| {_cell(row.path)} | {_cell(row.reason)} |" for row in rejected.itertuples()]
    if len(pairs):
        lines += ["", "Clips of the same audio are put into one group:", ""]
        lines += ["| clip | the same as | how | labels |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(row.first)} | {_cell(row.second)} | {row.kind} | {'differ' if row.labels_differ else 'agree'} |"
            for row in pairs.itertuples()
        ]
    known = [(path, gtzan.faults().get(gtzan.id_of(path) or "")) for path in table["path"]]
    if faulty := [(path, fault) for path, fault in known if fault]:
        lines += [
            "",
            "Published faults of GTZAN, for which no clip is rejected (see split.protocol filtered):",
            "",
        ]
        lines += [
            "| file | fault |",
            "|---|---|",
            *(f"| {_cell(path)} | {fault} |" for path, fault in faulty),
        ]
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    """A file name or label as one Markdown table cell: a name must not become markup."""
    escaped = re.sub(r"([\\|`])", r"\\\1", str(text)).replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.split())
