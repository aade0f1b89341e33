"""Labels and groups from a CSV: every row and every file is matched, or named."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.base.text import counted
from pipeline.data.groups import joint_credits
from pipeline.sources import SourceError
from pipeline.sources.importing.files import shown
from pipeline.sources.importing.matching import Files

KEYS = ("path", "id", "file", "filename", "file_name", "track_id")
LABELS, GROUPS, ARTISTS = ("label", "genre", "class"), ("group",), ("artist",)
"""Columns, the first that a table has."""
SUGGESTED, CHECKED = "suggested", "checked"
"""Columns of a table of `soundtrack suggest`: the model's label, and whether a person has looked at it."""
UNCHECKED = ("", "no", "0", "false")
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
    others: tuple[str, ...] = ()
    """Artists of a table's rows without a file: their joint credits join artists all the same."""

    def joined(self) -> dict[Path, str]:
        """The group of each file: joint credits are in one group with their artists."""
        if not self.are_artists or not self.names:
            return self.names
        credited = pd.Series([*self.names.values(), *self.others], dtype=object)
        return dict(zip(self.names, joint_credits(credited), strict=False))


@dataclass(frozen=True)
class Matched:
    """Rows of a table by the file that each means."""

    rows: dict[Path, list[int]]
    notes: list[str]
    problems: list[str]
    """What looks wrong."""


def read(file: Path, rows: int | None = None) -> pd.DataFrame:
    """All cells as text without blanks at their ends, column names in lower case; commas, semicolons or tabs.

    Raises:
        SourceError: it cannot be read as a table.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:
            header = lines.readline()
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(
            file, sep=separator, dtype="string", keep_default_na=False, encoding="utf-8-sig", nrows=rows
        )
    except UnicodeDecodeError as error:
        raise SourceError(f"{file} is not readable as CSV: it is not UTF-8 ({error})") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise SourceError(f"{file} is not readable as CSV: {error}") from None
    table.columns = [str(name).strip().lower() for name in table.columns]
    if len(set(table)) < len(table.columns):
        raise SourceError(f"{file} has a column twice: {list(table)}")
    return table.apply(lambda column: column.str.strip())


def groups(file: Path, folder: Path, files: Sequence[Path]) -> tuple[Groups, Matched]:
    """
    Raises:
        SourceError: it cannot be read, lacks the columns, names no file, or gives one file two groups.
    """
    table = read(file)
    found = match(file, table, folder, files, (*GROUPS, *ARTISTS))
    name = _column(table, *GROUPS, *ARTISTS) or ""
    return _groups_of(file, table, name, found), found


def labels(file: Path, folder: Path, files: Sequence[Path]) -> tuple[dict[Path, str], Groups | None, Matched]:
    """
    Raises:
        SourceError: as :func:`groups`.
    """
    table = read(file)
    found = match(file, table, folder, files, LABELS)
    name = _column(table, *GROUPS, *ARTISTS)
    made = _groups_of(file, table, name, found) if name else None
    return values(file, table, _column(table, *LABELS) or "", found), made, found


def unchecked(file: Path, found: Matched) -> int:
    """How many labels are those that a model suggested, and that nobody has checked."""
    table = read(file)
    if not {SUGGESTED, CHECKED} <= set(table):
        return 0
    label = table[_column(table, *LABELS) or ""]
    untouched = (label != "") & (label == table[SUGGESTED]) & table[CHECKED].str.lower().isin(UNCHECKED)
    return int(untouched.iloc[[rows[0] for rows in found.rows.values()]].sum())


def _groups_of(file: Path, table: pd.DataFrame, name: str, found: Matched) -> Groups:
    how = f"Groups: column `{name}` of {file}."
    return Groups(how, values(file, table, name, found), name in ARTISTS, tuple(table[name]))


def credited(file: Path, found: Matched) -> dict[Path, str]:
    """The column ``credit``, where `soundtrack import` wrote one: artists whose groups it joined."""
    table = read(file)
    return values(file, table, "credit", found) if "credit" in table else {}


def values(file: Path, table: pd.DataFrame, name: str, found: Matched) -> dict[Path, str]:
    """One column's value for each matched file.

    Raises:
        SourceError: two rows of a file differ.
    """
    cells = list(table[name])
    result = {}
    for path, rows in found.rows.items():
        if len({cells[row] for row in rows}) > 1:
            said = ", ".join(f"{cells[row]!r} (row {row + 1})" for row in rows)
            raise SourceError(f"{file} gives {shown([path])} more than one {name}: {said}")
        result[path] = cells[rows[0]]
    return result


def match(file: Path, table: pd.DataFrame, folder: Path, files: Sequence[Path], wanted: Sequence[str]) -> Matched:
    """
    Raises:
        SourceError: a column is missing, or no row names a file.
    """
    key = _column(table, *KEYS)
    if key is None or _column(table, *wanted) is None:
        needed = f"a column `path` (or `id`) and a column `{wanted[0]}` (or `{wanted[1]}`)"
        raise SourceError(f"{file} needs {needed}, it has {list(table)}")
    known = Files(folder, files)
    rows: dict[Path, list[int]] = defaultdict(list)
    missing, ambiguous = [], []
    for row, text in enumerate(table[key]):
        match known.find(text) if text else []:
            case []:
                missing.append(f"{text or '(blank)'} (row {row + 1})")
            case [one]:
                rows[one].append(row)
            case several:
                ambiguous.append(f"{text} ({shown(several, 3)})")
    count = len(table) - len(missing) - len(ambiguous)
    if len(table) and not count and not ambiguous:
        like = files[0].stem if key.endswith("id") else files[0].as_posix()
        raise SourceError(f"{file} names none of the files: its column `{key}` must be like {like}")
    notes, problems = [], []
    summary = f"{count} of {counted(len(table), 'row')} of {file} matched a file"
    if count < len(table) * SHARE:
        problems.append(f"Only {summary}: its column `{key}` should be like {shown(files[:1])}.")
    else:
        notes.append(f"{summary}.")
    if missing:
        notes.append(f"Rows of {file} without a file: {shown(missing)}.")
    if ambiguous:
        problems.append(f"Rows of {file} that several files match, so none is taken: {shown(ambiguous)}. Give `path`.")
    return Matched(dict(rows), notes, problems)


def usable(files: Iterable[Path]) -> Path | None:
    """The first table among these that has paths and labels."""
    for file in files:
        if file.suffix.lower() in (".csv", ".tsv"):
            with suppress(SourceError):
                table = read(file, rows=0)
                if _column(table, *KEYS) and _column(table, *LABELS):
                    return file
    return None


def _column(table: pd.DataFrame, *names: str) -> str | None:
    return next((name for name in names if name in table), None)
