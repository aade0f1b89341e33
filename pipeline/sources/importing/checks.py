"""What looks wrong with labels and groups, each with the command that would be right."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.text import counted, spelling
from pipeline.data.groups import joined_by
from pipeline.sources.importing import mapping
from pipeline.sources.importing.files import shown
from pipeline.sources.importing.labels import Folder, Reading
from pipeline.sources.importing.tags import is_various

PARTS = frozenset(
    ["train", "training", "test", "testing", "valid", "validation", "val", "dev", "development", "eval", "evaluation"]
)
MAJORITY = 0.5
DOMINANT = 0.4
"""Share of a label's clips by one artist, from which on a model can learn the artist in place of the label."""


@dataclass(frozen=True)
class View:
    """What would be imported."""

    folder: Folder
    reading: Reading
    labels: Mapping[Path, str]
    credits: Mapping[Path, str]
    """Artists as they are credited."""
    groups: Mapping[Path, str] | None
    """Blank where unknown; None where each file is its own group."""
    min_clips: int
    """What the audit asks for."""


def problems(view: View) -> list[str]:
    checks = (_levels, _numbers, _parts, _artists, _spelling, _small, _various, _joined, _one_group, _dominant)
    return [*view.reading.problems, *(problem for check in checks for problem in check(view))]


def _levels(view: View) -> Iterator[str]:
    """A folder too high, or a single label."""
    labels = sorted(set(view.labels.values()))
    if len(labels) != 1:
        return
    inside = {file.parts[1] for file in view.labels if len(file.parts) > 2}
    if view.reading.by_folder and len(inside) > 1:
        right = view.folder.command(below=labels[0])
        yield f"All clips are in one folder, {labels[0]}. If its sub-folders ({shown(sorted(inside))}) are labels: {right}"
    else:
        yield f"There is one label, {labels[0]}; a classifier needs two."


def _numbers(view: View) -> Iterator[str]:
    labels = sorted(label for label in set(view.labels.values()) if label.isdecimal())
    if not labels:
        return
    # of FMA, 000/000002.mp3 is track 2
    fma = all(file.stem.isdecimal() and file.stem.startswith(label) for file, label in view.labels.items())
    right = view.folder.command("--labels", "fma_metadata/tracks.csv")
    cure = f"FMA's labels are in the archive fma_metadata: {right}" if fma else view.folder.elsewhere()
    yield f"Labels that are numbers: {shown(labels)}. {cure}"


def _parts(view: View) -> Iterator[str]:
    labels = sorted({label for label in view.labels.values() if label.casefold() in PARTS})
    if not labels:
        return
    counts = Counter(file.parts[0] for file in view.labels if len(file.parts) > 2)
    largest = max(labels, key=lambda label: counts[label])
    if view.reading.by_folder and counts[largest]:
        cure = f"The pipeline makes its own split: {view.folder.command(below=largest)}"
    else:
        cure = view.folder.elsewhere()
    yield f"Labels that are parts of a split: {shown(labels)}. {cure}"


def _artists(view: View) -> Iterator[str]:
    """``Artist/Album`` or ``Artist - Album``: the name of the folder begins with the artist of the tags."""
    if not view.reading.by_folder:
        return
    same: Counter[str] = Counter()
    for file, label in view.labels.items():
        tags = view.folder.tags[file]
        names = filter(None, map(spelling, (tags.artist, tags.album_artist)))
        same[label] += spelling(file.parts[0]).startswith(tuple(names))
    totals = Counter(view.labels.values())
    if found := sorted(label for label, count in same.items() if count > MAJORITY * totals[label]):
        yield f"Labels that are artists, by the files' tags: {shown(found)}. {view.folder.elsewhere()}"


def _spelling(view: View) -> Iterator[str]:
    counts = Counter(view.labels.values())
    for first, others in mapping.spellings(view.labels).items():
        names = shown(
            f"{label!a} ({counts[label]})" if not label.isascii() else f"{label!r} ({counts[label]})"
            for label in (first, *others)
        )
        yield f"Labels that differ in spelling alone: {names}. To make them one: --merge-spellings"


def _small(view: View) -> Iterator[str]:
    small = sorted((label, count) for label, count in Counter(view.labels.values()).items() if count < view.min_clips)
    if small:
        named = shown(f"{label} ({count})" for label, count in small)
        least = str(view.min_clips)
        yield f"Labels with fewer clips than audit.min_clips, {least}: {named}. To drop them: --min-clips {least}"


def _various(view: View) -> Iterator[str]:
    if files := [file for file, artist in view.credits.items() if is_various(artist)]:
        name = view.credits[files[0]]
        yield f"{counted(len(files), 'clip')} by {name!r}, which is no artist: taken as unknown. A table can name them: --groups CSV"


def _joined(view: View) -> Iterator[str]:
    groups = {file: group for file, group in (view.groups or {}).items() if group}
    for group, count in Counter(groups.values()).most_common(1):
        if count >= MAJORITY * len(view.labels) and len(set(groups.values())) > 1:
            how = _how(view, group)
            yield f"One group, {group}, has {count} of {counted(len(view.labels), 'clip')}{how}{CURE if how else ''}."


CURE = "; a column `group` in place of `artist` is taken as it is: --groups CSV"
"""Of groups that joint credits joined."""


def _how(view: View, group: str) -> str:
    how = joined_by((view.credits[file] for file, own in (view.groups or {}).items() if own == group), group)
    return f", {how}" if how else ""


def _by_label(view: View) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for file, group in (view.groups or {}).items():
        found[view.labels[file]][group] += 1
    return found


def _one_group(view: View) -> Iterator[str]:
    alone = {label: next(iter(groups)) for label, groups in sorted(_by_label(view).items()) if len(groups) == 1}
    if alone:
        named = shown(f"{label} ({group or 'unknown'})" for label, group in alone.items())
        yield f"Labels with a single artist or group, which cannot be in all parts of a split: {named}. See --groups, --min-clips"


def _dominant(view: View) -> Iterator[str]:
    named = []
    for label, groups in sorted(_by_label(view).items()):
        known = [(count, group) for group, count in groups.items() if group and count > 1]
        count, group = max(known, default=(0, ""))
        if len(groups) > 1 and count >= DOMINANT * groups.total():
            named.append(f"{group} has {count} of {groups.total()} clips of {label}{_how(view, group)}")
    if named:
        cure = CURE if any(", joined by" in one for one in named) else ""
        yield f"One artist or group with {DOMINANT:.0%} of a label, which a model may learn instead: {shown(named)}{cure}."
