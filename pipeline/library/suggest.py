"""``soundtrack suggest``: a table of proposed labels for a person's music, to be corrected and imported."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.base import paths
from pipeline.base.errors import UserError
from pipeline.base.text import counted, listed
from pipeline.library import answering, batch
from pipeline.library.batch import Song
from pipeline.serving import suggestions
from pipeline.serving.suggestions import COLUMNS, Table, TableError
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
    songs = _classified(files, uri)
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
        raise TableError(f"{file} is of {found.folder}: give another file with --table")
    return replace(found, header=[*found.header, *(name for name in COLUMNS if name not in found.names)])


def _updated(last: Table, songs: Sequence[Song], folder: Path) -> tuple[list[list[str]], list[str]]:
    """Header and rows, and what there is to say of them."""
    named = [song for song in songs if not (song.reason or is_unnameable(song.file))]
    found = {normal(song.file.relative_to(folder).as_posix()): song for song in named}
    rows, gone, kept, again = [list(last.header)], list[str](), 0, 0
    for row in last.rows:
        song = found.pop(normal(row.cells["path"]), None)
        if row.is_a_persons:
            kept += 1
            rows.append(last.edited(row, {}))
        elif song is None:
            gone.append(row.cells["path"])
        else:
            again += 1
            rows.append(last.edited(row, _proposal(song)))
    artists = tags.read_all(folder, [song.file.relative_to(folder) for song in found.values()])
    for name, one in zip(found, artists.values(), strict=True):
        own = {
            "path": f"./{name}" if name.startswith(ACTIVE) else name,
            "artist": _as_text(one.by),
            "folder": str(folder.resolve()),
            **_proposal(found[name]),
        }
        rows.append([own.get(column, "") for column in last.names])
    counts = (f"{len(found)} new", f"{again} suggested again", f"{kept} of yours kept as they are")
    said = ", ".join(counts if last.rows else counts[:1])
    notes = [*_unread(songs, folder), f"{last.file}: {counted(len(rows) - 1, 'song')} ({said})."]
    if gone:
        notes.append(f"Taken out, since they are not there any more or cannot be read: {shown(gone)}.")
    return rows, [*notes, *_labels(named)]


def _proposal(song: Song) -> dict[str, str]:
    """What the model says of a song. Of one unlike its training data it does not know the label."""
    known = song.verdict != "out-of-distribution"
    label = _as_text(song.guess) if known else ""
    confidence = f"{song.confidence:.3f}" if known and song.confidence is not None else ""
    return {"label": label, "suggested": label, "confidence": confidence, "verdict": song.verdict}


def _as_text(cell: str) -> str:
    """A blank in front of what a spreadsheet would compute: an artist called +44. It is not read with the cell."""
    return f" {cell}" if cell.startswith(ACTIVE) else cell


def _unread(songs: Sequence[Song], folder: Path) -> list[str]:
    why = {song.file: song.reason for song in songs if song.reason}
    why |= {song.file: "the name is not valid UTF-8: rename it" for song in songs if is_unnameable(song.file)}
    return [f"Not in the table: {shown([file.relative_to(folder)])}: {reason}" for file, reason in why.items()]


def _labels(songs: Sequence[Song]) -> list[str]:
    counts = Counter(_proposal(song)["label"].strip() for song in songs)
    without = counts.pop("", 0)
    said = [f"Labels suggested: {', '.join(f'{label} {count}' for label, count in counts.most_common())}."]
    rest = [f"Without a label, since unlike the model's training data: {counted(without, 'song')}."]
    return (said if counts else []) + (rest if without else [])


def _next(folder: Path, file: Path) -> list[str]:
    page = (
        "`make page`" if file == paths.SUGGESTED else f"`{shlex.join(['soundtrack', 'page', '--labels', str(file)])}`"
    )
    return [
        f"Next: listen and correct on the page ({page}, tab Label), or in a spreadsheet (column `label`; `checked`: yes).",
        f"Then: {shlex.join(['soundtrack', 'import', str(folder), '--labels', str(file)])}",
    ]
