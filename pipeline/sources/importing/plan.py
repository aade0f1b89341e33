"""What an import would do, as it will be done, and as text."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import config
from pipeline.sources import SourceError
from pipeline.sources.importing import changes, checks, labels, mapping, recipes, tables
from pipeline.sources.importing.files import GROUPS, counted, scan, shown
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
    groups: Mapping[Path, str] | None
    """Blank where unknown; None where each file is its own group."""
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

    def targets(self) -> dict[Path, Path]:
        """The place of each file below ``data/music``: as it was below its label's folder, or below the whole path."""
        places: dict[Path, Path] = {}
        taken: set[Path] = set()
        short = {file: _below(file, label) for file, label in self.labels.items()}
        for file in sorted(short, key=lambda file: (short[file] != file, file)):
            place = short[file] if short[file] not in taken else Path(self.labels[file], *file.parts)
            number = 2
            while place in taken:
                place = place.with_name(f"{file.stem} ({number}){file.suffix}")
                number += 1
            places[file] = place
            taken.add(place)
        return places

    def _table(self) -> list[str]:
        counts = Counter(self.labels.values())
        names = sorted(counts) if len(counts) <= MOST_LABELS else [name for name, _ in counts.most_common(MOST_LABELS)]
        groups: dict[str, set[str]] = defaultdict(set)
        unknown: Counter[str] = Counter()
        for file, group in (self.groups or {}).items():
            groups[self.labels[file]].add(group)
            unknown[self.labels[file]] += not group
        rows = [[shown([name]), str(counts[name])] for name in names]
        head, foot = ["label", "clips"], [counted(len(counts), "label"), str(len(self.labels))]
        if self.groups is not None:
            rows = [[*row, str(len(groups[name] - {""}))] for row, name in zip(rows, names, strict=True)]
            head, foot = [*head, f"{self.kind}s"], [*foot, str(len(set(self.groups.values()) - {""}))]
            if unknown.total():
                rows = [[*row, str(unknown[name])] for row, name in zip(rows, names, strict=True)]
                head, foot = [*head, f"without {self.kind}"], [*foot, str(unknown.total())]
        lines = [head, *rows, *([["...", "", "", ""][: len(head)]] if len(names) < len(counts) else []), foot]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        return [
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            )
            for line in lines
        ]


def make(path: Path, wish: Wish) -> Plan:
    """
    Raises:
        SourceError: the folder, or a table, cannot be used; the message says why.
    """
    folder = Folder(path, scan(path))
    reading = _read(folder, wish.labels)
    groups, notes, problems = _groups(folder, reading, wish.groups)
    named, mapping_notes = _mapped(reading.labels, wish)
    unreadable = {file: why for file in named if (why := _unreadable(path / file))}
    named = {file: label for file, label in named.items() if file not in unreadable}
    if not named:
        raise SourceError("no file can be read: " + shown(f"{file}: {why}" for file, why in unreadable.items()))
    named, small = mapping.large(named, wish.min_clips)
    credits = {file: groups.names.get(file, "") for file in named} if groups else {}
    joined = _known(credits, groups.are_artists) if groups else None
    least = config.load().audit.min_clips
    view = checks.View(folder, reading, named, credits, joined, least)
    unused = dict(reading.unused)
    if folder.found.unnameable:
        unused["the name is not valid UTF-8: rename it"] = list(map(str, folder.found.unnameable))
    if unreadable:
        unused["cannot be read"] = [f"{file}: {why}" for file, why in unreadable.items()]
    return Plan(
        path,
        [reading.how, *([groups.how] if groups and groups.how else [])],
        named,
        joined,
        "artist" if groups and groups.are_artists else "group",
        [*reading.notes, *notes, *mapping_notes, *small, *_unused(unused), *_other(folder)],
        [*problems, *checks.problems(view)],
        changes.against_last({path / file: label for file, label in named.items()}),
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
        return groups, found.notes, found.problems
    if reading.groups is not None:
        return reading.groups, [], []
    known, notes = labels.artists_if_known(folder, reading.labels)
    return known, notes, []


def _mapped(names: Mapping[Path, str], wish: Wish) -> tuple[dict[Path, str], list[str]]:
    found, notes = dict(names), list[str]()
    if wish.map is not None:
        found, notes = mapping.mapped(found, wish.map)
    if wish.merge_spellings:
        found, more = mapping.merged(found)
        notes = [*notes, *more]
    return {file: _as_folder(label) for file, label in found.items()}, notes


def _as_folder(label: str) -> str:
    """The label as a folder's name, which has no slash and does not begin with a dot."""
    text = re.sub(r"[/\x00-\x1f]", "-", label).encode(errors="ignore")[:LONGEST].decode(errors="ignore")
    return f"_{text}" if text.startswith(".") else text


def _known(credits: Mapping[Path, str], are_artists: bool) -> dict[Path, str]:
    """The group of each file; blank where the artist is not known."""
    known = {file: "" if is_various(name) else name for file, name in credits.items()}
    return Groups("", known, are_artists).joined()


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


def _unused(unused: Mapping[str, list[str]]) -> list[str]:
    return [f"Not used, {why}: {counted(len(files), 'file')}: {shown(files)}." for why, files in unused.items()]


def _other(folder: Folder) -> list[str]:
    suffixes = Counter(file.suffix.lower() for file in folder.found.other if file.name != GROUPS)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
    return [f"Not used, no audio by their names: {counted(suffixes.total(), 'file')} ({kinds})."] if suffixes else []
