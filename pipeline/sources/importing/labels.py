"""The label of each file: from folders, from tags, or from a table."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.base.text import counted
from pipeline.sources import SourceError
from pipeline.sources.importing import tables, tags
from pipeline.sources.importing.files import Found, shown
from pipeline.sources.importing.tables import Groups
from pipeline.sources.importing.tags import Tags

ENOUGH = 0.5
"""Share of files with an artist (or genre) in their tags, from which on groups are made of it (or labels proposed)."""


@dataclass(frozen=True)
class Folder:
    """A folder to import."""

    path: Path
    found: Found

    @cached_property
    def tags(self) -> dict[Path, Tags]:
        return tags.read_all(self.path, self.found.audio)

    def command(self, *options: str, below: str = "") -> str:
        """As the user would type it, of this folder or one below."""
        folder = os.path.normpath(self.path / below)
        return f"`{shlex.join(['soundtrack', 'import', folder, *options])}`"

    def elsewhere(self) -> str:
        """Where the labels may be, if not in the names of the folders."""
        tagged = sum(bool(one.genres) for one in self.tags.values())
        if tagged >= ENOUGH * len(self.tags):
            return f"The files' tags have genres: {self.command('--labels', 'tags')}"
        if table := tables.usable([self.path / file for file in self.found.other]):
            return f"{table} has labels: {self.command('--labels', str(table))}"
        return f"If a table has the labels: {self.command('--labels', 'TABLE.csv')}"


@dataclass(frozen=True)
class Reading:
    """What was understood of a folder."""

    how: str
    """Where the labels are from, for the user."""
    labels: dict[Path, str]
    groups: Groups | None = None
    """None: nothing says who made which file."""
    unused: Mapping[str, list[str]] = field(default_factory=dict)
    """Why, and which files."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What looks wrong."""
    by_folder: bool = False


def by_folders(folder: Folder) -> Reading:
    """The label is the top folder.

    Raises:
        SourceError: all files lie in the folder itself.
    """
    labels = {file: file.parts[0] for file in folder.found.audio if len(file.parts) > 1}
    if not labels:
        above = f"If it is one label of several: {folder.command(below='..')}"
        raise SourceError(
            f"{folder.path} has no <label>/<clip> files: it needs one sub-folder of audio per label. "
            f"{folder.elsewhere()}. {above}"
        )
    stray = [file.as_posix() for file in folder.found.audio if len(file.parts) == 1]
    unused = {"in no label's folder": stray} if stray else {}
    return Reading("Labels: names of the folders.", labels, None, unused, by_folder=True)


def by_tags(folder: Folder) -> Reading:
    """The label is the first genre.

    Raises:
        SourceError: no file has one.
    """
    genres = {file: one.genres for file, one in folder.tags.items()}
    labels = {file: names[0] for file, names in genres.items() if names}
    if not labels:
        raise SourceError(
            f"none of the {counted(len(genres), 'file')} in {folder.path} has a genre in its tags. Folders as labels: "
            f"{folder.command('--labels', 'folders')}"
        )
    without = [file.as_posix() for file, names in genres.items() if not names]
    several = [file for file, names in genres.items() if len(names) > 1]
    notes = [f"{counted(len(several), 'file')} with several genres: the first is used."] if several else []
    unused = {"no genre in the tags": without} if without else {}
    return Reading("Labels: genres of the files' tags.", labels, artists(folder), unused, notes)


def by_table(folder: Folder, table: Path) -> Reading:
    """
    Raises:
        SourceError: the table cannot be used.
    """
    labels, groups, found = tables.labels(table, folder.path, folder.found.audio)
    named = {file: label for file, label in labels.items() if label}
    without = [file.as_posix() for file in folder.found.audio if file not in named]
    unused = {f"no label in {table}": without} if without else {}
    if not named:
        raise SourceError(f"{table} has no labels: its column is empty")
    notes = list(found.notes)
    if unchecked := tables.unchecked(table, found):
        notes.append(f"Suggestions of a model that nobody has checked: {unchecked} of {counted(len(named), 'label')}.")
    known = sum(bool(groups.names.get(file)) for file in named) if groups else 0
    if groups and groups.are_artists and known < ENOUGH * len(named):
        groups = None
        notes += [f"Artists of {table} not used: only {known} of {len(named)} files have one there."] if known else []
    return Reading(f"Labels: {table}.", named, groups, unused, notes, found.problems)


def artists(folder: Folder) -> Groups:
    return Groups("Groups: artists of the files' tags.", {file: one.by for file, one in folder.tags.items()})


def artists_if_known(folder: Folder, labels: Mapping[Path, str]) -> tuple[Groups | None, list[str]]:
    """Artists of the tags, where enough files have one; and a sentence for the user."""
    named = [file for file in labels if folder.tags[file].by]
    if len(named) >= ENOUGH * len(labels):
        return artists(folder), []
    rest = "each file is a group of its own, so scores are too good if an artist has several files (see --groups)"
    if named:
        return None, [
            f"Only {len(named)} of {len(labels)} files have an artist in their tags ({shown(named, 2)}): {rest}."
        ]
    return None, [f"No artists known: {rest}."]
