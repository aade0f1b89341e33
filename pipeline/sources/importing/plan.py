"""What an import would do, as it will be done, and as text."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import config
from pipeline.base.text import counted
from pipeline.sources import SourceError
from pipeline.sources.importing import changes, checks, labels, mapping, recipes, tables
from pipeline.sources.importing.files import GROUPS, scan, shown
from pipeline.sources.importing.labels import Folder, Reading
from pipeline.sources.importing.tables import Groups
from pipeline.sources.importing.tags import is_various

MOST_LABELS = 40
"""That the plan lists one by one."""
LONGEST = 200
"""Bytes of a label: a folder has its name."""


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    labels: str | None = None
    """``folders``, ``tags``, a table's path, or None: a known data set's own, else the folders'."""
    groups: Path | None = None
    map: Path | None = None
    merge_spellings: bool = False
    min_clips: int = 0


@dataclass(frozen=True)
class Plan:
    folder: Path
    how: list[str]
    """Where labels and groups are from."""
    labels: Mapping[Path, str]
    """By file, relative to the folder."""
    places: Mapping[Path, Path]
    """Where each file goes below ``data/music``."""
    groups: Mapping[Path, str] | None
    """Blank where unknown; None where each file is its own group."""
    credits: Mapping[Path, str]
    """Artists as they are credited."""
    kind: str
    """What a group is: ``artist`` or ``group``."""
    notes: list[str]
    problems: list[str]
    """What looks wrong."""
    changes: str

    def __str__(self) -> str:
        lines = [*self.how, "", *self._table(), "", *self.notes, self.changes]
        if self.problems:
            lines += ["", "Looks wrong:", *(f"- {problem}" for problem in self.problems)]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        counts = Counter(self.labels.values())
        columns, totals = {"clips": counts}, [len(self.labels)]
        if self.groups is not None:
            pairs = {(label, self.groups[file]) for file, label in self.labels.items()}
            columns[f"{self.kind}s"] = Counter(label for label, group in pairs if group)
            totals.append(len({group for _, group in pairs if group}))
            if unknown := Counter(self.labels[file] for file, group in self.groups.items() if not group):
                columns[f"without {self.kind}"] = unknown
                totals.append(unknown.total())
        most = [label for label, _ in counts.most_common(MOST_LABELS)]
        rows = [[shown([label]), *(column[label] for column in columns.values())] for label in sorted(most)]
        rest: list[list[object]] = [["..."]] if len(counts) > len(most) else []
        return _aligned([["label", *columns], *rows, *rest, [counted(len(counts), "label"), *totals]])


def make(path: Path, wish: Wish) -> Plan:
    """
    Raises:
        SourceError: the folder, or a table, cannot be used; the message says why.
    """
    folder = Folder(path, scan(path))
    reading = _read(folder, wish.labels)
    groups, groups_notes, groups_problems = _groups(folder, reading, wish.groups)
    mapped, mapping_notes = _mapped(reading.labels, wish)
    unreadable = {file: why for file in mapped if (why := _unreadable(path / file))}
    readable = {file: label for file, label in mapped.items() if file not in unreadable}
    if not readable:
        raise SourceError(f"no file can be read: {_reasons(unreadable)}")
    named, size_notes = mapping.large(readable, wish.min_clips)
    credits = {file: groups.names.get(file, "") for file in named} if groups else {}
    known = _known(credits, groups) if groups else None
    places = _places(named)
    view = checks.View(folder, reading, named, credits, known, config.load().audit.min_clips)
    return Plan(
        path,
        [reading.how, *([groups.how] if groups else [])],
        named,
        places,
        known,
        credits,
        "artist" if groups and groups.are_artists else "group",
        [*reading.notes, *groups_notes, *mapping_notes, *size_notes, *_unused(folder, reading, unreadable)],
        [*groups_problems, *checks.problems(view)],
        changes.against_last(
            {path / file: label for file, label in named.items()},
            {place: (known or {}).get(file, "") for file, place in places.items()},
        ),
    )


def _read(folder: Folder, how: str | None) -> Reading:
    if how is None:
        return recipes.recognised(folder) or labels.by_folders(folder)
    if how == "folders":
        return labels.by_folders(folder)
    if how == "tags":
        return labels.by_tags(folder)
    return recipes.by_table(folder, Path(how)) or labels.by_table(folder, Path(how))


def _groups(folder: Folder, reading: Reading, given: Path | None) -> tuple[Groups | None, list[str], list[str]]:
    """Of the table that the user gives, or that lies in the folder; else as the labels were read; else of the tags."""
    own = folder.path / GROUPS
    if given is None and own.exists():
        given = own
    if given is not None:
        groups, found = tables.groups(given, folder.path, list(reading.labels))
        rest = [file.as_posix() for file in reading.labels if not groups.names.get(file)]
        notes = [f"Without a group in {given}, one group per label: {shown(rest)}."] if rest else []
        return groups, [*found.notes, *notes], found.problems
    if reading.groups is not None:
        return reading.groups, [], []
    known, notes = labels.artists_if_known(folder, reading.labels)
    return known, notes, []


def _mapped(labels: Mapping[Path, str], wish: Wish) -> tuple[dict[Path, str], list[str]]:
    found, notes = dict(labels), list[str]()
    if wish.map is not None:
        found, notes = mapping.mapped(found, wish.map)
    if wish.merge_spellings:
        found, more = mapping.merged(found)
        notes = [*notes, *more]
    names = {label: _as_folder(label) for label in sorted(set(found.values()))}
    if changed := [f"{label} as {name}" for label, name in names.items() if label != name]:
        notes = [*notes, f"Written as names of folders: {shown(changed)}."]
    return {file: names[label] for file, label in found.items()}, notes


def _as_folder(label: str) -> str:
    """The label as a folder's name, which has no slash and does not begin with a dot."""
    text = re.sub(r"[/\x00-\x1f]", "-", label).encode(errors="ignore")[:LONGEST].decode(errors="ignore")
    return f"_{text}" if text.startswith(".") else text


def _known(credits: Mapping[Path, str], groups: Groups) -> dict[Path, str]:
    """The group of each file; blank where the artist is not known."""
    known = {file: "" if is_various(name) else name for file, name in credits.items()}
    return replace(groups, names=known).joined()


def _places(labels: Mapping[Path, str]) -> dict[Path, Path]:
    """Each file stays as it was below its label's folder, else below the label with its whole path."""
    places: dict[Path, Path] = {}
    taken: set[Path] = set()
    short = {file: _below(file, label) for file, label in labels.items()}
    for file in sorted(short, key=lambda file: (short[file] != file, file)):
        place = short[file] if short[file] not in taken else Path(labels[file], *file.parts)
        number = 2
        while place in taken:
            place = place.with_name(f"{file.stem} ({number}){file.suffix}")
            number += 1
        places[file] = place
        taken.add(place)
    return places


def _below(file: Path, label: str) -> Path:
    above = file.parts[:-1]
    inside = file.parts[above.index(label) + 1 :] if label in above else file.parts
    return Path(label, *inside)


def _unreadable(file: Path) -> str:
    if file.exists() and not file.is_file():
        return "not a regular file"
    try:
        file.open("rb").close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _unused(folder: Folder, reading: Reading, unreadable: Mapping[Path, str]) -> list[str]:
    found = dict(reading.unused)
    if folder.found.unnameable:
        found["the name is not valid UTF-8: rename it"] = list(map(str, folder.found.unnameable))
    lines = [f"Not used, {why}: {counted(len(files), 'file')}: {shown(files)}." for why, files in found.items()]
    if unreadable:
        lines.append(f"Not used, cannot be read: {counted(len(unreadable), 'file')}: {_reasons(unreadable)}.")
    suffixes = Counter(file.suffix.lower() for file in folder.found.other if file.name != GROUPS)
    if suffixes:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
        lines.append(f"Not used, no audio by their names: {counted(suffixes.total(), 'file')} ({kinds}).")
    return lines


def _reasons(unreadable: Mapping[Path, str]) -> str:
    return shown(f"{file}: {why}" for file, why in unreadable.items())


def _aligned(rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns of one width: the first to the left, numbers to the right."""
    widths = [max(len(str(row[column])) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell!s:{'<' if column == 0 else '>'}{widths[column]}}" for column, cell in enumerate(row))
        for row in rows
    ]
