"""The table of suggested labels, which a person corrects in a spreadsheet or on the page.

A CSV with a row for each song. The columns below stand in any order, beside others that a person added, and are separated
by commas, semicolons or tabs: as a spreadsheet saves them. ``path`` is relative to ``folder``. ``suggested`` is the label
that the model gave, so that a row with another ``label`` is known to be a person's.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.base.errors import UserError
from pipeline.base.files import write_text
from pipeline.sources.importing.tables import CHECKED, SUGGESTED, UNCHECKED

COLUMNS = ("path", "label", SUGGESTED, "confidence", "artist", "verdict", CHECKED, "folder")
YES = "yes"
BOM = "\ufeff"
"""Without it Excel reads an umlaut as two characters, and saves these."""


class TableError(UserError):
    """The file is no such table; the message says what to do."""


class Changed(TableError):
    """The file was changed after a person saw it."""


@dataclass(frozen=True)
class Row:
    number: int
    """Place in the file, below the header."""
    cells: Mapping[str, str]
    """By column, without blanks at their ends (but for the path); blank where the row is too short."""

    @property
    def is_checked(self) -> bool:
        return self.cells[CHECKED].lower() not in UNCHECKED

    @property
    def is_a_persons(self) -> bool:
        return self.is_checked or self.cells["label"] != self.cells[SUGGESTED]


@dataclass(frozen=True)
class Table:
    file: Path
    separator: str
    start: str
    """The header's text, with the byte order mark that some programs write before it."""
    header: list[str]
    records: list[tuple[list[str], str]]
    """The cells of each row, and its text with the end of line."""

    @cached_property
    def names(self) -> list[str]:
        return [name.strip().lower() for name in self.header]

    @cached_property
    def rows(self) -> list[Row]:
        """Those with a path."""
        found = []
        for number, (cells, _) in enumerate(self.records):
            own = dict.fromkeys((*COLUMNS, *self.names), "") | dict(zip(self.names, cells, strict=False))
            if own["path"].strip():
                found.append(Row(number, {k: cell if k == "path" else cell.strip() for k, cell in own.items()}))
        return found

    @property
    def folder(self) -> Path:
        """
        Raises:
            TableError: the rows name none, or several.
        """
        named = sorted({row.cells["folder"] for row in self.rows} - {""})
        if len(named) != 1:
            what = f"several: {', '.join(named)}" if named else "none"
            raise TableError(f"{self.file} must name one folder of music in its column `folder`; it names {what}")
        return Path(named[0])

    def edited(self, row: Row, values: Mapping[str, str]) -> list[str]:
        """The row's cells with these values; all others stay, whatever they are."""
        cells = list(self.records[row.number][0])
        cells += [""] * (len(self.names) - len(cells))
        for name, value in values.items():
            cells[self.names.index(name)] = value
        return cells


def read(file: Path, needed: Sequence[str] = ("path", "label", CHECKED, "folder")) -> Table:
    """
    Raises:
        TableError: the file is missing, cannot be read, or lacks a column.
    """
    try:
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise TableError(f"{file} is not here: `soundtrack suggest FOLDER --table {file}` makes it") from None
    except UnicodeDecodeError:
        raise TableError(f"{file} is not UTF-8: save it from the spreadsheet as CSV in UTF-8") from None
    except OSError as error:
        raise TableError(f"{file} cannot be read: {error.strerror}") from None
    mark = BOM if text.startswith(BOM) else ""
    text = text.removeprefix(BOM)
    separator = max(",;\t", key=io.StringIO(text, newline="").readline().count)
    try:
        (header, start), *records = list(_records(text, separator)) or [([], "")]
    except csv.Error as error:
        raise TableError(f"{file} is not readable as CSV: {error}") from None
    found = Table(file, separator, mark + start, header, records)
    named = [name for name in found.names if name]
    if missing := [f"`{name}`" for name in needed if name not in named]:
        raise TableError(
            f"{file} is no table of `soundtrack suggest`: it lacks {', '.join(missing)} among its columns {named}"
        )
    if len(set(named)) < len(named):
        raise TableError(f"{file} has a column twice: {named}")
    return found


def decide(file: Path, path: str, label: str, seen: str) -> None:
    """Give a song its label, and mark it as checked. No other row changes by a byte.

    Args:
        seen: its label as the person saw it.

    Raises:
        Changed: the song has another label now, or is not in the table any more.
    """
    table = read(file)
    own = [row for row in table.rows if row.cells["path"] == path]
    if seen not in {row.cells["label"] for row in own}:
        raise Changed(
            f"{file.name} was changed meanwhile, and is shown as it is now. The last decision was not written"
        )
    texts = [text for _, text in table.records]
    for row in own:
        end = texts[row.number][len(texts[row.number].rstrip("\r\n")) :]
        texts[row.number] = _line(table.edited(row, {"label": label, CHECKED: YES}), table.separator, end)
    _written(file, table.start + "".join(texts))


def write(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]], separator: str = ",") -> None:
    """
    Raises:
        TableError: the file cannot be written.
    """
    _written(file, BOM + "".join(_line(cells, separator, "\r\n") for cells in (header, *rows)))


def _written(file: Path, text: str) -> None:
    try:
        # resolved: of a link, what it leads to is replaced
        write_text(file.resolve(), text)
    except (PermissionError, NotADirectoryError, IsADirectoryError) as error:
        raise TableError(f"{file} cannot be written: {error.strerror}") from None


def _records(text: str, separator: str) -> Iterator[tuple[list[str], str]]:
    """The cells of each row, and its text."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    for cells in csv.reader(lines(), delimiter=separator):
        yield cells, "".join(taken)
        taken.clear()


def _line(cells: Sequence[str], separator: str, end: str) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=separator, lineterminator="\r\n").writerow(cells)
    return stream.getvalue().removesuffix("\r\n") + end
