"""Labels that are renamed, merged or dropped."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.base.text import counted, spelling
from pipeline.config.base import did_you_mean
from pipeline.sources import SourceError
from pipeline.sources.importing import tables
from pipeline.sources.importing.files import normal, shown

Labels = Mapping[Path, str]


def mapped(labels: Labels, table: Path) -> tuple[dict[Path, str], list[str]]:
    """Labels renamed by a CSV with the columns ``from`` and ``to``; a blank ``to`` drops the label.

    Returns:
        The new labels, and sentences for the user.

    Raises:
        SourceError: the table cannot be read, lacks the columns, or gives one label two names.
    """
    rows = tables.read(table)
    if not {"from", "to"} <= set(rows):
        raise SourceError(f"{table} needs the columns `from` and `to`, it has {list(rows)}")
    exact, similar = _by(normal, labels), _by(spelling, labels)
    new: dict[str, str] = {}
    unknown = []
    for old, to in rows[["from", "to"]].itertuples(index=False):
        found = exact.get(normal(old)) or similar.get(spelling(old), [])
        if not found:
            unknown.append(f"{old}{did_you_mean(old, sorted(set(labels.values())))}")
        for label in found:
            if new.setdefault(label, to) != to:
                raise SourceError(f"{table} gives {label!r} two names: {new[label]!r} and {to!r}")
    notes = [f"Rows of {table} without a label: {shown(unknown)}."] if unknown else []
    counts = Counter(labels.values())
    if dropped := [label for label, to in new.items() if not to]:
        named = shown(f"{label} ({counted(counts[label], 'clip')})" for label in dropped)
        notes.append(f"Dropped by {table}: {named}.")
    renamed = {file: new.get(label, label) for file, label in labels.items()}
    kept = {file: label for file, label in renamed.items() if label}
    if not kept:
        raise SourceError(f"{table} drops every label")
    return kept, notes


def _by(form: Callable[[str], str], labels: Labels) -> dict[str, list[str]]:
    found = defaultdict(list)
    for label in sorted(set(labels.values())):
        found[form(label)].append(label)
    return found


def spellings(labels: Labels) -> dict[str, list[str]]:
    """Labels that differ only in spelling, under the one that most clips have."""
    counts = Counter(labels.values())
    same = defaultdict(list)
    for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        same[spelling(label)].append(label)
    return {first: others for first, *others in same.values() if others}


def merged(labels: Labels) -> tuple[dict[Path, str], list[str]]:
    """One label for all of one spelling, and sentences for the user."""
    found = spellings(labels)
    new = {other: first.strip() for first, others in found.items() for other in (first, *others)}
    notes = [f"Merged as {first.strip()}: {shown(map(repr, others))}." for first, others in found.items()]
    return {file: new.get(label, label) for file, label in labels.items()}, notes


def large(labels: Labels, least: int) -> tuple[dict[Path, str], list[str]]:
    """Without labels of fewer clips than ``least``, and sentences for the user.

    Raises:
        SourceError: none is left.
    """
    small = {label: count for label, count in sorted(Counter(labels.values()).items()) if count < least}
    kept = {file: label for file, label in labels.items() if label not in small}
    if not kept:
        raise SourceError(f"no label has {least} clips")
    named = shown((f"{label} ({count})" for label, count in small.items()), 20)
    return kept, [f"Dropped, since they have fewer than {counted(least, 'clip')}: {named}."] if small else []
