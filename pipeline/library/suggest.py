"""``soundtrack suggest``: a table of proposed labels for a person's music, to be corrected and imported."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.text import counted, listed
from pipeline.library import answering, batch
from pipeline.library.batch import Song
from pipeline.serving import suggestions
from pipeline.serving.suggestions import COLUMNS, Row, Table, TableError
from pipeline.sources.importing import tags
from pipeline.sources.importing.files import is_unnameable, normal, shown

ACTIVE = ("=", "+", "-", "@")
"""A cell that begins so is a formula to a spreadsheet."""


def suggest(folder: Path, file: Path, uri: str | None) -> None:
    """Write the table, or bring it up to date: rows that a person changed or checked stay as they are.

    Raises:
        UserError: there is no music or no model, or the table is another one, or of another folder.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: give the folder that it is in")
    files, _ = batch.find(folder)
    last = _last(file, folder)
    songs = dict(zip(files, _classified(files, uri), strict=True))
    table, notes = _updated(last, songs, folder)
    suggestions.write(file, table[0], table[1:], last.separator)
    print(*notes, *_next(folder, file), sep="\n")


def _classified(files: Sequence[Path], uri: str | None) -> list[Song]:
    """By the models that `soundtrack classify` takes."""
    songs, models = answering.answered(files, uri)
    print(f"Model: {listed([model.uri for model in models])}.")
    return songs


def _last(file: Path, folder: Path) -> Table:
    """The table as it is, with all columns; empty if there is none yet.

    Raises:
        TableError: the file is another table, or of another folder.
    """
    if not file.exists():
        return Table(file, ",", "", list(COLUMNS), [])
    found = suggestions.read(file, needed=("path", "label"))
    if found.rows and "folder" in found.names and found.folder.resolve() != folder.resolve():
        raise TableError(
            f"{file} is of {found.folder}: give another file with --table (or, if that is the same music in another "
            "place, replace it in the column `folder`)"
        )
    return replace(found, header=[*found.header, *(name for name in COLUMNS if name not in found.names)])


def _updated(last: Table, songs: Mapping[Path, Song], folder: Path) -> tuple[list[list[str]], list[str]]:
    """Header and rows, and what there is to say of them.

    Raises:
        UserError: no song can be in the table.
    """
    usable = {file: song for file, song in songs.items() if not (song.reason or is_unnameable(file))}
    places = {file.relative_to(folder): song for file, song in usable.items()}
    found = {normal(place.as_posix()): song for place, song in places.items()}
    counts, rows, gone = Counter[str](), list[list[str]](), list[str]()
    for row in last.rows:
        song = found.get(normal(row.cells["path"]))
        if song is None and not row.is_a_persons:
            gone.append(row.cells["path"])
            continue
        why, values = _change(row, song)
        counts[why] += 1
        rows.append(last.edited(row, values))
    known = {normal(row.cells["path"]) for row in last.rows}
    new = [place for place in places if normal(place.as_posix()) not in known]
    for place, one in tags.read_all(folder, new).items():
        path = place.as_posix()
        own = {
            "path": f"./{path}" if path.startswith(ACTIVE) else path,
            "artist": _as_text(one.by),
            "folder": str(folder.resolve()),
            **_proposal(places[place]),
        }
        rows.append([own.get(column, "") for column in last.names])
    notes = _unread(songs, folder)
    if not rows:
        raise UserError("\n".join(["no song can be used", *notes]))
    said = ", ".join([f"{len(new)} new", *(f"{count} {why}" for why, count in counts.items())])
    notes.append(f"{last.file}: {counted(len(rows), 'song')} ({said}).")
    if gone:
        notes.append(f"Taken out, since they are not there any more or cannot be read: {shown(gone)}.")
    labels = Counter(cells[last.names.index("label")].strip() for cells in rows)
    return [list(last.header), *rows], [*notes, _labels(labels)]


def _change(row: Row, song: Song | None) -> tuple[str, dict[str, str]]:
    """What happens to a row that is there already, and its new cells."""
    if song is None or row.is_a_persons:
        return "of yours kept as they are", {}
    if song.training_clip:  # it answers what it was taught, here perhaps by this very row
        return "left as they are, since the model was trained on them", {}
    return "suggested again", _proposal(song)


def _proposal(song: Song) -> dict[str, str]:
    """What the model says of a song. Of one unlike its training data it does not know the label."""
    known = song.verdict != "out-of-distribution"
    label = _as_text(song.guess) if known else ""
    confidence = f"{song.confidence:.3f}" if known and song.confidence is not None else ""
    return {"label": label, "suggested": label, "confidence": confidence, "verdict": song.verdict}


def _as_text(cell: str) -> str:
    """A blank in front of what a spreadsheet would compute: an artist called +44. It is not read with the cell."""
    return f" {cell}" if cell.startswith(ACTIVE) else cell


def _unread(songs: Mapping[Path, Song], folder: Path) -> list[str]:
    why = {file: song.reason for file, song in songs.items() if song.reason}
    why |= {file: "the name is not valid UTF-8: rename it" for file in songs if is_unnameable(file)}
    return [f"Not in the table: {shown([file.relative_to(folder)])}: {reason}" for file, reason in why.items()]


def _labels(counts: Counter[str]) -> str:
    without = counts.pop("", 0)
    named = [f"{label} {count}" for label, count in counts.most_common()]
    return f"Labels: {', '.join([*named, *([f'none {without}'] if without else [])])}."


def _next(folder: Path, file: Path) -> list[str]:
    page = (
        "`make page`" if file == paths.SUGGESTED else f"`{shlex.join(['soundtrack', 'page', '--labels', str(file)])}`"
    )
    return [
        f"Next: listen and correct on the page ({page}, tab Label), or in a spreadsheet (column `label`; `checked`: yes).",
        f"Then: {shlex.join(['soundtrack', 'import', str(folder), '--labels', str(file)])}",
    ]
