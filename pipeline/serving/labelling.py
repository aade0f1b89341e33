"""The page's tab Label: listen to the songs of a table of suggestions, and correct their labels.

The table is read anew for each request and written after each decision, so that a spreadsheet and the page can take turns.
"""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from pipeline.serving import suggestions
from pipeline.serving.suggestions import Row, Table, TableError

ONLY_THIS_PAGE = {"Cross-Origin-Resource-Policy": "same-origin"}
"""A page elsewhere cannot play the clip."""


class Decision(BaseModel):
    path: str
    label: str = Field(max_length=200)
    """Blank: the song is to have none."""
    seen: str
    """The label that the page showed."""


def router(file: Path, known: Sequence[str]) -> APIRouter:
    """Of one table.

    Args:
        known: the model's labels, which are offered beside those of the table.
    """
    routes = APIRouter()
    lock = Lock()

    @routes.get("/labels")
    def listed() -> dict[str, Any]:
        return _state(_read(file), known)

    @routes.post("/labels", dependencies=[Depends(_from_this_page)])
    def decide(decision: Decision) -> dict[str, Any]:
        with lock:
            try:
                suggestions.decide(file, decision.path, " ".join(decision.label.split()), decision.seen)
            except TableError as error:
                raise HTTPException(409, str(error)) from None
        return _state(_read(file), known)

    @routes.get("/songs")
    def song(path: str) -> FileResponse:
        table = _read(file)
        inside = not Path(path).is_absolute() and ".." not in Path(path).parts
        place = table.folder / path
        if not (inside and any(row.cells["path"] == path for row in table.rows) and place.is_file()):
            raise HTTPException(404, f"{path} is not in {table.folder} any more")
        return FileResponse(place, media_type="application/octet-stream", headers=ONLY_THIS_PAGE)

    return routes


def _from_this_page(content_type: Annotated[str, Header()] = "") -> None:
    """A page elsewhere can send a form or text without asking this server, but no JSON."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON")


def _read(file: Path) -> Table:
    try:
        table = suggestions.read(file)
        assert table.folder
    except TableError as error:
        raise HTTPException(409, str(error)) from None
    return table


def _state(table: Table, known: Sequence[str]) -> dict[str, Any]:
    """What the page shows: the songs in the table's order, and the labels, frequent ones first."""
    counts = Counter(row.cells["label"] for row in table.rows)
    counts.pop("", 0)
    own = sorted(counts, key=lambda label: (-counts[label], label))
    return {
        "folder": str(table.folder),
        "songs": [_song(row) for row in table.rows],
        "labels": list(dict.fromkeys([*own, *known])),
        "command": shlex.join(["soundtrack", "import", str(table.folder), "--labels", str(table.file)]),
    }


def _song(row: Row) -> dict[str, Any]:
    cells = {name: row.cells[name] for name in ("path", "label", "suggested", "artist", "verdict")}
    return {**cells, "confidence": _number(row.cells["confidence"]), "checked": row.is_checked}


def _number(cell: str) -> float:
    """As spreadsheets write it, in some countries with a comma; 0 if there is none."""
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return 0.0
