"""Genre tags of music files: what would change, the change with the old values kept, and the way back."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from mutagen.id3 import ID3, TCON

from pipeline.errors import UserError
from pipeline.files import atomic_write
from pipeline.library.batch import Song


class TagError(UserError):
    """The file's tags cannot be read or written; the message says why."""


@dataclass(frozen=True)
class Change:
    file: Path
    old: list[str]
    new: list[str]


def changes(songs: Sequence[Song]) -> Iterator[Change | TagError]:
    """Of each song whose label is named and is not its genre already."""
    for song in songs:
        if song.named:
            try:
                old = genres(song.file)
            except TagError as error:
                yield error
                continue
            if old != [song.label]:
                yield Change(song.file, old, [song.label])


def apply(planned: Sequence[Change], backup: Path) -> Iterator[TagError]:
    """Write the genres; the old ones are in ``backup`` before a file is touched. Gives what went wrong."""
    with backup.open("x", encoding="utf-8") as kept:
        for change in planned:
            kept.write(json.dumps({"file": str(change.file.absolute()), "genres": change.old}) + "\n")
            kept.flush()
            try:
                write(change.file, change.new)
            except TagError as error:
                yield error


def restore(backup: Path) -> Iterator[TagError | Path]:
    """Give each file of the backup its old genres back.

    Raises:
        UserError: the backup is missing, or none.
    """
    try:
        entries = [json.loads(line) for line in backup.read_text(encoding="utf-8").splitlines()]
        planned = [(Path(entry["file"]), list(entry["genres"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{backup} is no backup of tags: {error}") from None
    for file, old in planned:
        try:
            write(file, old)
            yield file
        except TagError as error:
            yield error


def genres(file: Path) -> list[str]:
    """
    Raises:
        TagError: as above.
    """
    tags = _opened(file).tags
    if isinstance(tags, ID3):
        return [genre for frame in tags.getall("TCON") for genre in frame.genres]
    return list(tags.get("genre", [])) if tags is not None else []


def write(file: Path, values: Sequence[str]) -> None:
    """Into a copy that takes the file's place, so that a kill leaves it as it was; none removes the tag.

    Of a link it is the song that it leads to whose place is taken.

    Raises:
        TagError: as above.
    """
    kind = type(_opened(file))
    try:
        with atomic_write(file.resolve()) as partial:
            shutil.copy2(file, partial)
            audio = kind(partial)
            if audio.tags is None:
                audio.add_tags()
            _set(audio.tags, values)
            audio.save()
    except (mutagen.MutagenError, OSError) as error:
        raise TagError(f"{file}: {error}") from None


def _set(tags: Any, values: Sequence[str]) -> None:
    if isinstance(tags, ID3):
        tags.delall("TCON")
        if values:
            tags.add(TCON(encoding=3, text=list(values)))
    elif values:
        tags["genre"] = list(values)
    elif "genre" in tags:
        del tags["genre"]


def _opened(file: Path) -> Any:
    try:
        audio = mutagen.File(file, easy=True)
    except (mutagen.MutagenError, OSError) as error:
        raise TagError(f"{file}: {error}") from None
    if audio is None:
        raise TagError(f"{file}: no tags can be written to a file of this kind")
    return audio
