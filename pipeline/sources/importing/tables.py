"""Labels and groups from a CSV: every row and every file is matched, or named."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.data.groups import joint_credits
from pipeline.sources import SourceError
from pipeline.sources.importing.files import counted, shown
from pipeline.sources.importing.matching import Files

KEYS, LABELS, GROUPS, ARTISTS = ("path", "id"), ("label", "genre"), ("group",), ("artist",)
SHARE = 0.5
"""A table of which fewer rows match looks wrong."""


@dataclass(frozen=True)
class Groups:
    """Who made which file."""

    how: str
    """For the user: where they are from."""
    names: dict[Path, str] = field(default_factory=dict)
    """Files that are missing, or blank, have no known artist."""
    are_artists: bool = True
    """Names of artists, among them joint credits; else names of groups, taken as they are."""

    def joined(self) -> dict[Path, str]:
        """The group of each file: joint credits are in one group with their artists."""
        if not self.are_artists or not self.names:
            return self.names
        return dict(joint_credits(pd.Series(self.names, dtype=object)))


@dataclass(frozen=True)
class Matched:
    """Rows of a table by the file that each means."""

    rows: dict[Path, list[int]]
    notes: list[str]
    problems: list[str]
    """What looks wrong."""


def read(file: Path) -> pd.DataFrame:
    """All cells as text without blanks at their ends, column names in lower case; commas, semicolons or tabs.

    Raises:
        SourceError: it cannot be read as a table.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:
            header = lines.readline()
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(file, sep=separator, dtype="string", keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise SourceError(f"{file} is not readable as CSV: {error}") from None
    table.columns = [str(name).strip().lower() for name in table.columns]
    return table.apply(lambda column: column.str.strip())


def column(table: pd.DataFrame, *names: str) -> str | None:
    return next((name for name in names if name in table), None)


def groups(file: Path, folder: Path, files: Sequence[Path]) -> tuple[Groups, Matched]:
    """
    Raises:
        SourceError: it cannot be read, lacks the columns, names no file, or gives one file two groups.
    """
    table = read(file)
    key, value = column(table, *KEYS), column(table, *GROUPS, *ARTISTS)
    if key is None or value is None:
        raise SourceError(
            f"{file} needs a column `path` (or `id`) and a column `group` (or `artist`), it has {list(table)}"
        )
    found = match(file, list(table[key]), key, folder, files)
    named = values(file, table, value, found)
    return Groups(f"Groups: column `{value}` of {file}.", named, value in ARTISTS), found


def labels(file: Path, folder: Path, files: Sequence[Path]) -> tuple[dict[Path, str], Groups | None, Matched]:
    """
    Raises:
        SourceError: as :func:`groups`.
    """
    table = read(file)
    key, value = column(table, *KEYS), column(table, *LABELS)
    if key is None or value is None:
        raise SourceError(
            f"{file} needs a column `path` (or `id`) and a column `label` (or `genre`), it has {list(table)}"
        )
    found = match(file, list(table[key]), key, folder, files)
    group = column(table, *GROUPS, *ARTISTS)
    made = None
    if group:
        made = Groups(f"Groups: column `{group}` of {file}.", values(file, table, group, found), group in ARTISTS)
    return values(file, table, value, found), made, found


def values(file: Path, table: pd.DataFrame, name: str, found: Matched) -> dict[Path, str]:
    """One column's value for each matched file.

    Raises:
        SourceError: two rows of a file differ.
    """
    cells = list(table[name])
    result = {}
    for path, rows in found.rows.items():
        if len({cells[row] for row in rows}) > 1:
            said = ", ".join(f"{cells[row]!r} (line {row + 2})" for row in rows)
            raise SourceError(f"{file} gives {shown([path])} more than one {name}: {said}")
        result[path] = cells[rows[0]]
    return result


def match(file: Path, texts: Sequence[str], key: str, folder: Path, files: Sequence[Path]) -> Matched:
    """
    Raises:
        SourceError: no row names a file.
    """
    known = Files(folder, files)
    rows: dict[Path, list[int]] = defaultdict(list)
    missing, ambiguous = [], []
    for row, text in enumerate(texts):
        match known.find(text) if text else []:
            case []:
                missing.append(f"{text or '(blank)'} (line {row + 2})")
            case [one]:
                rows[one].append(row)
            case several:
                ambiguous.append(f"{text} ({shown(several, 3)})")
    count = len(texts) - len(missing) - len(ambiguous)
    if len(texts) and not count and not ambiguous:
        like = files[0].as_posix()
        raise SourceError(f"{file} names none of the files: its column `{key}` must be like {_example(key, like)}")
    return Matched(dict(rows), *_said(file, len(texts), count, missing, ambiguous, files))


def _said(
    file: Path, total: int, count: int, missing: list[str], ambiguous: list[str], files: Sequence[Path]
) -> tuple[list[str], list[str]]:
    notes, problems = [], []
    summary = f"{count} of {counted(total, 'row')} of {file} matched a file"
    if count < total * SHARE:
        problems.append(f"Only {summary}: its paths should be like {shown(files[:1])}.")
    else:
        notes.append(f"{summary}.")
    if missing:
        notes.append(f"Rows of {file} without a file: {shown(missing)}.")
    if ambiguous:
        problems.append(f"Rows of {file} that several files match, so none is taken: {shown(ambiguous)}. Give `path`.")
    return notes, problems


def _example(key: str, path: str) -> str:
    return path if key == "path" else Path(path).stem


def columns_of(file: Path) -> set[str]:
    """Names in the first line; none if that is not text."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            first = next(csv.reader(lines, delimiter="\t" if file.suffix == ".tsv" else ","), [])
    except (UnicodeDecodeError, OSError, csv.Error):
        return set()
    return {name.strip().lower() for name in first}


def usable(files: Iterable[Path]) -> Path | None:
    """The first table among these that has paths and labels."""
    tables = (file for file in files if file.suffix.lower() in (".csv", ".tsv"))
    return next((file for file in tables if _has_labels(columns_of(file))), None)


def _has_labels(names: set[str]) -> bool:
    return bool(names & set(KEYS)) and bool(names & set(LABELS))
