"""What the HTML pages have in common: the templates' environment, tables, and embedded pictures."""

import base64
import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from pipeline.base.text import UNKNOWN


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; ``align`` has one letter per column, ``l`` or ``r``."""

    columns: list[str]
    align: str
    rows: list[list[str]]
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses of cells, by their text."""


def table(rows: Sequence[Mapping[str, object]], align: str, links: Mapping[str, str] | None = None) -> Table:
    """Rows by column; fractions with three decimals, UNKNOWN where they are not finite. Without rows, no columns."""
    return Table(list(rows[0]) if rows else [], align, [list(map(_shown, row.values())) for row in rows], links or {})


def tabulated(frame: pd.DataFrame) -> Table:
    """The frame without its index; numbers on the right, with three decimals where they are fractions."""
    align = "".join("r" if pd.api.types.is_numeric_dtype(frame[name]) else "l" for name in frame)
    return table(frame.to_dict("records"), align)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.3f}" if math.isfinite(cell) else UNKNOWN
    return f"{cell:,}" if isinstance(cell, int | np.integer) and not isinstance(cell, bool) else str(cell)


DPI = 150
"""Pixels to an inch of a figure."""


@dataclass(frozen=True)
class Picture:
    name: str
    alt: str
    caption: str
    png: bytes

    @property
    def data_uri(self) -> str:
        return data_uri("image/png", self.png)

    @property
    def width(self) -> int:
        """In CSS pixels, 96 to an inch: text has the size it was drawn with, the same in every figure."""
        return int.from_bytes(self.png[16:20], "big") * 96 // DPI


def data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def environment(*packages: str) -> Environment:
    """Escapes every value for HTML.

    Args:
        packages: whose templates are looked for first.
    """
    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "pipeline.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def markdown() -> Environment:
    """Every value that a template prints is escaped for Markdown, as autoescape does for HTML, unless marked as safe."""

    def escaped(value: object) -> object:
        return escape_markdown(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return environment().overlay(autoescape=False, finalize=escaped)


def as_html(text: str) -> str:
    """Of Markdown with tables."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def escape_markdown(text: str) -> str:
    """Text that Markdown (GitHub's too) shows as it is, on one line, also inside a table."""
    one_line = re.sub(r"\s+", " ", html.escape(text, quote=False))
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", one_line)
