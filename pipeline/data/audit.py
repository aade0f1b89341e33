"""Decides for every file whether it is used; a rejected one has a reason that says what is wrong with it.

What was found of a good file is kept in ``.cache/audit``, so that a run after a change of the data decodes new files alone.
"""

import hashlib
import importlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import data
from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write, sha256, write_text
from pipeline.base.parallel import cores, each, workers
from pipeline.base.text import counted
from pipeline.config.data import Audit, BaseAudit
from pipeline.data import audio, clips, fingerprint, gtzan, urls
from pipeline.data.groups import join
from pipeline.data.urls import Url
from pipeline.workflow.cache_key import cache_key, code, libraries

Array = np.ndarray[Any, np.dtype[Any]]
Fingerprints = Mapping[str, Array]
"""By clip."""
Pair = tuple[str, str, float, float]
"""Two clips of the same content: first, second, error rate and shift in seconds, as :func:`audit` has them."""
LIBRARIES = ("av", "numpy", "pillow", "scipy", "soundfile", "soxr")
MOST_PAIRS = 200
"""Pairs of clips that the report names."""
log = logging.getLogger(__name__)


class AuditError(UserError):
    """The good clips cannot make a data set; the message says which label lacks what."""


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


@dataclass(frozen=True)
class Checks:
    """How files of one type are checked and compared."""

    inspect: Callable[[Path, str, Any], Finding]
    """The file, its sha256 and the limits; finds the first thing that is wrong."""
    near: Callable[[Fingerprints], Sequence[Pair]]
    """Clips that are the same but for coding, loudness or size."""
    same: str
    """What such clips are called in the report."""


def inspect(file: Path, digest: str, limits: Audit) -> Finding:
    """Decode an audio file, whose sha256 is ``digest``."""
    try:
        samples, rate = audio.decode(file, limits.max_seconds)
    except audio.DecodeError as error:
        return Finding(0.0, 0, digest, str(error))
    duration = len(samples) / rate
    if duration > limits.max_seconds:
        reason = f"too long: more than {limits.max_seconds:g} s (cut it, or raise audit.max_seconds)"
        return Finding(duration, rate, digest, reason)
    if reason := audio.fault(samples, duration, limits):
        return Finding(duration, rate, digest, reason)
    return Finding(duration, rate, digest, "", fingerprint.fingerprint(audio.mixed(samples), rate))


SOUND = Checks(inspect, fingerprint.near, "Clips of the same audio")


def run(limits: BaseAudit, folders: Sequence[Path], checks: Checks = SOUND) -> str:
    """Audit the files that the stage `download` listed, and write the clips table, the pairs and the report.

    Args:
        folders: what the source downloaded, which has the list of files, and where a person's own files are; a clip is
            named by its path without them.

    Returns:
        The numbers of good and rejected clips, in words.

    Raises:
        AuditError: the good clips cannot make a data set.
    """
    listed = folders[0] / paths.FILES
    try:
        files = pd.read_csv(listed, dtype="string", keep_default_na=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise AuditError(f"{listed} is damaged ({error}): make it again with `dvc repro -f download`") from None
    names = files["path"].str.replace(urls.SCHEME, "", regex=True)
    for folder in folders:
        names = names.str.removeprefix(f"{folder.as_posix()}/")
    table, pairs = audit(files.assign(clip_id=list(names)), limits, checks, _kept(limits, checks))
    report = summary(table, pairs, checks.same)
    write_text(paths.AUDIT, report)
    check(table, limits)
    clips.write(table)
    with atomic_write(paths.DUPLICATES) as file:
        pairs.to_csv(file, index=False)
    good = int(table["status"].eq("ok").sum())
    if rejected := table.loc[table["status"] == "rejected", "reason"].str.split(":").str[0].value_counts().to_dict():
        reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        log.warning("%s rejected (%s): see %s", counted(len(table) - good, "clip"), reasons, paths.AUDIT)
    return f"{counted(good, 'good clip')}, {len(table) - good} rejected"


def audit(
    files: pd.DataFrame, limits: BaseAudit, checks: Checks = SOUND, kept: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode each file, for ``files`` with clip_id, path, label and group.

    Args:
        kept: what earlier audits found of good files, which are not decoded again; written anew.

    Returns:
        The clips table, in which clips of the same content share a group, and the pairs of such clips: first, second
        (clip ids), kind (``identical`` or ``near-identical``), error_rate (the share of fingerprint bits that differ),
        shift_s, labels_differ.
    """
    versions = files["version"] if "version" in files else [""] * len(files)
    findings = _findings([urls.place(*one) for one in zip(files["path"], versions, strict=True)], limits, checks, kept)
    table = files.reset_index(drop=True)
    for column in ("duration_s", "sample_rate", "sha256", "reason"):
        table[column] = [getattr(finding, column) for finding in findings]
    pairs = _same(table, [finding.fingerprint for finding in findings], checks.near)
    groups = table.set_index("clip_id")["group"]
    table["group"] = join(groups, zip(pairs["first"], pairs["second"], strict=True)).to_numpy()
    table["reason"] = _reject_copies(table)
    table["status"] = table["reason"].eq("").map({True: "ok", False: "rejected"})
    return table, pairs


def _findings(files: Sequence[Path | Url], limits: BaseAudit, checks: Checks, kept: Path | None) -> list[Finding]:
    known = _load(kept) if kept and kept.exists() else {}
    with ThreadPoolExecutor(cores()) as threads:
        names = list(threads.map(_content, files)) if known else [""] * len(files)
    new = [file for file, name in zip(files, names, strict=True) if name not in known]
    log.info("%d of %d files have to be decoded", len(new), len(files))
    fresh = iter(_decoded(new, limits, checks))
    findings = [known.get(name) or next(fresh) for name in names]
    good = {_name(one.sha256, file): one for file, one in zip(files, findings, strict=True) if not one.reason}
    if kept and good and good.keys() != known.keys():
        _keep(kept, good)
    return findings


def _decoded(files: Sequence[Path | Url], limits: BaseAudit, checks: Checks) -> list[Finding]:
    if not files:
        return []
    work = partial(examine, limits=limits, look=checks.inspect)
    with workers(__name__, checks.inspect.__module__) as pool:
        return list(each(pool, work, files, "audit"))


def _kept(limits: BaseAudit, checks: Checks) -> Path:
    """Where findings by these limits and this code are."""
    package = importlib.import_module(checks.inspect.__module__.rpartition(".")[0])
    own_code = code(__name__, checks.inspect.__module__, within=[data, package])
    return paths.cache() / "audit" / f"{cache_key(limits, own_code, libraries(*LIBRARIES))}.npz"


def _content(file: Path | Url) -> str:
    try:
        return _name("" if isinstance(file, Url) else sha256(file), file)
    except OSError:
        return ""  # it will be rejected with this reason


def _name(digest: str, file: Path | Url) -> str:
    """By which a finding is known: how a file is decoded depends on its suffix too. What is at a URL is not fetched for it."""
    return f"{file} {file.version}" if isinstance(file, Url) else f"{digest}{file.suffix}"


def _load(file: Path) -> dict[str, Finding]:
    with np.load(file) as kept:
        names, digests, durations, rates, sizes, values = (
            kept[name] for name in ("names", "digests", "durations", "rates", "sizes", "values")
        )
    fingerprints = np.split(values, np.cumsum(sizes)[:-1])
    return {
        str(name): Finding(float(duration), int(rate), str(digest), "", fingerprint)
        for name, digest, duration, rate, fingerprint in zip(
            names, digests, durations, rates, fingerprints, strict=True
        )
    }


def _keep(file: Path, good: Mapping[str, Finding]) -> None:
    fingerprints = [finding.fingerprint for finding in good.values()]
    with atomic_write(file) as partial_file, partial_file.open("wb") as stream:
        np.savez(
            stream,
            names=list(good),
            digests=[finding.sha256 for finding in good.values()],
            durations=[finding.duration_s for finding in good.values()],
            rates=[finding.sample_rate for finding in good.values()],
            sizes=[len(fingerprint) for fingerprint in fingerprints],
            values=np.concatenate(fingerprints),
        )


def _same(
    table: pd.DataFrame, fingerprints: list[Array], near: Callable[[Fingerprints], Sequence[Pair]]
) -> pd.DataFrame:
    """Pairs of good clips with the same bytes, and of those that are nearly the same."""
    good = table[table["reason"] == ""]
    label = good.set_index("clip_id")["label"]
    rows: list[tuple[str, str, str, float, float]] = []
    for _, copies in _copied(good).groupby("sha256", sort=False):
        first, *others = copies["clip_id"]
        rows += [(first, other, "identical", 0.0, 0.0) for other in others]
    known = {clip: fingerprints[place] for place, clip in good.drop_duplicates("sha256")["clip_id"].items()}
    rows += [(first, second, "near-identical", rate, shift) for first, second, rate, shift in near(known)]
    pairs = pd.DataFrame(rows, columns=["first", "second", "kind", "error_rate", "shift_s"])
    differ = [label[first] != label[second] for first, second, *_ in rows]
    return pairs.assign(labels_differ=pd.Series(differ, dtype=bool))


def examine(file: Path | Url, limits: BaseAudit, look: Callable[[Path, str, Any], Finding] = inspect) -> Finding:
    """Read and decode one file, and name the first thing that is wrong with it."""
    with ExitStack() as stack:
        try:
            here = stack.enter_context(urls.local(file))
            content = here.read_bytes()
        except OSError as error:
            return Finding(0.0, 0, "", f"cannot be read: {error.strerror or error}")
        digest = hashlib.sha256(content).hexdigest()
        if not content:
            return Finding(0.0, 0, digest, "empty file")
        return look(here, digest, limits)


def _copied(rows: pd.DataFrame) -> pd.DataFrame:
    """Those with the bytes of another."""
    return rows[rows["sha256"].duplicated(keep=False)]


def _reject_copies(table: pd.DataFrame) -> list[str]:
    """Reasons, with identical content added: of copies under one label the first stays, under two none does."""
    reasons = table["reason"].tolist()
    for _, copies in _copied(table[table["reason"] == ""]).groupby("sha256"):
        if copies["label"].nunique() == 1:
            for row in copies.index[1:]:
                reasons[row] = f"identical to {copies['path'].iloc[0]}"
            continue
        for row in copies.index:
            others = ", ".join(f"{c.path} ({c.label})" for c in copies.drop(row).itertuples())
            reasons[row] = f"identical to {others}: which label is right is not known"
    return reasons


def check(table: pd.DataFrame, limits: BaseAudit) -> None:
    """Raise AuditError when the good clips cannot make a classification data set."""
    rejected = table[table["status"] == "rejected"]
    why = f" ({len(rejected)} of {len(table)} files were rejected: see reports/audit.md)" if len(rejected) else ""
    counts = table[table["status"] == "ok"].groupby("label").size()
    every = counts.reindex(sorted(table["label"].unique()), fill_value=0)
    if len(every) < 2:
        raise AuditError(f"a classifier needs at least two labels, there is {list(every.index)}{why}")
    poor = every[every < limits.min_clips]
    if len(poor):
        named = ", ".join(f"{label!r} has {count}" for label, count in poor.items())
        raise AuditError(f"too few good clips: {named}; audit.min_clips is {limits.min_clips}{why}")


def summary(table: pd.DataFrame, pairs: pd.DataFrame, same: str = SOUND.same) -> str:
    """A short Markdown text: good clips by label, rejected files with reasons, and clips that occur twice."""
    counts = pd.crosstab(table["label"], table["status"]).reindex(columns=["ok", "rejected"], fill_value=0)
    good, bad = (int(counts[status].sum()) for status in counts)
    told = f"{len(table)} files: {good} good clips, {bad or 'none'} rejected."
    lines = ["# Audit", "", told, "", "| label | good clips | rejected |", "|---|---|---|"]
    lines += [f"| {_cell(label)} | {row.ok} | {row.rejected} |" for label, row in counts.iterrows()]
    rejected = table[table["status"] == "rejected"]
    if len(rejected):
        lines += ["", "| rejected file | reason |", "|---|---|"]
        lines += [f"| {_cell(row.path)} | {_cell(row.reason)} |" for row in rejected.itertuples()]
    if len(pairs):
        lines += ["", f"{same} are put into one group:", ""]
        lines += ["| clip | the same as | how | labels |", "|---|---|---|---|"]
        lines += [
            f"| {_cell(row.first)} | {_cell(row.second)} | {row.kind} | {'differ' if row.labels_differ else 'agree'} |"
            for row in pairs.iloc[:MOST_PAIRS].itertuples()
        ]
        if len(pairs) > MOST_PAIRS:
            lines += ["", f"and {len(pairs) - MOST_PAIRS} more, see {paths.DUPLICATES}"]
    known = [(path, gtzan.faults().get(gtzan.id_of(path) or "")) for path in table["path"]]
    if faulty := [(path, fault) for path, fault in known if fault]:
        lines += ["", "Published faults of GTZAN, for which no clip is rejected (see split.protocol filtered):", ""]
        lines += ["| file | fault |", "|---|---|", *(f"| {_cell(path)} | {fault} |" for path, fault in faulty)]
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    """A file name or label as one Markdown table cell: a name must not become markup."""
    escaped = re.sub(r"([\\|`])", r"\\\1", str(text)).replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(escaped.split())
