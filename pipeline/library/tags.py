"""Genre tags of music files: plan changes, write them with a backup, restore them."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
from mutagen.id3 import ID3, TCON

from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write
from pipeline.library.batch import Song


class TagError(UserError):
    """The file's tags cannot be read or written; the message says why."""


@dataclass(frozen=True)
class Change:
    file: Path
    old: list[str]
    new: list[str]


def changes(songs: Sequence[Song]) -> Iterator[Change | TagError]:
    """For each confident song whose label is not its genre yet."""
    for song in songs:
        if song.confident:
            try:
                old = genres(song.file)
            except TagError as error:
                yield error
                continue
            if old != [song.label]:
                yield Change(song.file, old, [song.label])


def apply(planned: Sequence[Change], backup: Path) -> Iterator[TagError]:
    """Write the genres, and yield what went wrong. The old ones are in ``backup`` before a file changes."""
    with backup.open("x", encoding="utf-8") as lines:
        for change in planned:
            lines.write(json.dumps({"file": str(change.file.absolute()), "genres": change.old}) + "\n")
            lines.flush()
            try:
                write(change.file, change.new)
            except TagError as error:
                yield error


def restore(backup: Path) -> Iterator[TagError | Path]:
    """Write each file's old genres back.

    Raises:
        UserError: the file is missing, or not a backup.
    """
    try:
        entries = [json.loads(line) for line in backup.read_text(encoding="utf-8").splitlines()]
        planned = [(Path(entry["file"]), list(entry["genres"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{backup} is not a backup of tags: {error}") from None
    for file, old in planned:
        try:
            write(file, old)
            yield file
        except TagError as error:
            yield error


def genres(file: Path) -> list[str]:
    tags = _opened(file).tags
    if isinstance(tags, ID3):
        return [genre for frame in tags.getall("TCON") for genre in frame.genres]
    return list(tags.get("genre", [])) if tags is not None else []


def write(file: Path, values: Sequence[str]) -> None:
    """Set the genres, in a copy that then replaces the file: a kill leaves the file unchanged. No values: remove the tag.

    For a symbolic link, the file it leads to is replaced.

    Raises:
        TagError: the file's tags cannot be read or written.
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
        raise TagError(f"{file}: files of this kind have no tags")
    return audio
