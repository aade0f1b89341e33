"""The figures of docs/speed.md: kept in docs/results, written into the document, and printed beside those of a run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from benchmarks.timing import Row
from pipeline.base.errors import UserError
from pipeline.base.files import read_json, write_json
from pipeline.base.text import UNKNOWN

OUT, DOCUMENT = Path("docs/results/bench.json"), Path("docs/speed.md")
BEGIN, END = "<!-- bench: made by benchmarks/table.py -->\n", "<!-- end of bench -->\n"
Figures = Mapping[str, Row]
"""By name."""


def read(file: Path) -> dict[str, Row]:
    return {row["what"]: Row(**row) for row in read_json(file)} if file.exists() else {}


def write(file: Path, figures: Figures) -> None:
    write_json(file, [row._asdict() for row in figures.values()])


def updated(text: str, names: Iterable[str], figures: Figures) -> str:
    """The document with the table of these figures between its marks; one that was not measured yet is a dash.

    Raises:
        UserError: a mark is missing.
    """
    if BEGIN not in text or END not in text:
        raise UserError(f"{DOCUMENT} lacks the line {BEGIN.strip()} or {END.strip()}: put both back")
    before, rest = text.split(BEGIN)
    lines = ["| | here | alternative | ratio |", "|---|---:|---:|---:|"]
    for name in names:
        ours, theirs, ratio, against = _cells(figures.get(name))
        lines.append(f"| {name} | {ours} | {theirs}{f': {against}' if against else ''} | {ratio} |")
    machines = ", ".join(dict.fromkeys(row.on for row in figures.values()))
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n\nOn {machines}.\n\n{END}{rest.split(END)[1]}"


def beside(names: Iterable[str], documented: Figures, found: Figures) -> str:
    """A table for the console: of each figure what the document says, what this run gave, and what its baseline took in it."""
    rows = {}
    for name in names:
        said, _, ratio, _ = _cells(documented.get(name))
        ours, theirs, now, against = _cells(found.get(name))
        rows[name] = [said, ours, theirs, ratio, now, against]
    columns = [DOCUMENT.name, "this run", "baseline", "ratio there", "ratio now", "to"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).to_string()


def _cells(row: Row | None) -> tuple[str, str, str, str]:
    """Value, the baseline's, ratio, what the baseline is."""
    if row is None:
        return UNKNOWN, UNKNOWN, UNKNOWN, ""
    return _value(row.ours, row.unit), _value(row.theirs, row.unit), _ratio(row), row.against


def _value(value: float, unit: str) -> str:
    if unit == "s" and value < 1:
        value, unit = 1000 * value, "ms"
    digits = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits} {unit}" if unit else f"{value:.3f}"


def _ratio(row: Row) -> str:
    times = 1 / row.ratio if row.ratio < 0.95 else row.ratio
    return f"{'1/' if row.ratio < 0.95 else ''}{f'{times:.0f}' if times >= 100 else f'{times:.3g}'}"
