"""Genre tags of music files: plan changes, write them with a backup, restore them."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write
from pipeline.library import difference, genres
from pipeline.library.batch import Song
from pipeline.library.genres import TagError


@dataclass(frozen=True)
class Change:
    file: Path
    old: list[str]
    new: list[str]


def changes(songs: Sequence[Song]) -> Iterator[Change | TagError]:
    """For each confident song whose label is not its genre yet."""
    for song in songs:
        if song.confident and isinstance(song.file, Path):
            try:
                old = genres.read(song.file)
            except TagError as error:
                yield error
                continue
            if old != [song.label]:
                yield Change(song.file, old, [song.label])


def apply(planned: Sequence[Change], backup: Path) -> Iterator[TagError]:
    """Write the genres, and yield what went wrong. What brings a file back is in ``backup`` before it changes.

    Raises:
        UserError: the backup cannot be written.
    """
    for change in planned:
        try:
            with genres.rewritten(change.file, change.new) as partial:
                entry = {"file": str(change.file.absolute()), "genres": change.old}
                _note(backup, entry | difference.difference(change.file, partial))
        except TagError as error:
            yield error


def _note(backup: Path, entry: dict[str, Any]) -> None:
    try:
        with backup.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise UserError(
            f"the backup {backup.absolute()} cannot be written ({error.strerror}), so that no more tags were changed: "
            "run the command in a folder that has space and that you may write in"
        ) from None


def restore(backup: Path) -> Iterator[TagError | Path]:
    """Write each file as it was before; where it was changed since, its old genres.

    Raises:
        UserError: the file is missing, or not a backup.
    """
    try:
        # behind the last line end is what a kill left of a line; its file was not changed yet
        entries = [json.loads(line) for line in backup.read_text(encoding="utf-8").split("\n")[:-1]]
        planned = [(Path(entry["file"]), list(entry["genres"]), entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{backup} is not a backup of tags: {error}") from None
    for file, old, entry in reversed(planned):
        try:
            _bring_back(file, old, entry)
            yield file
        except TagError as error:
            yield error


def _bring_back(file: Path, old: Sequence[str], entry: dict[str, Any]) -> None:
    try:
        if difference.brings_back(entry, file):
            with atomic_write(file.resolve()) as partial:
                difference.bring_back(entry, file, partial)
                genres.as_before(file, partial)
            return
    except OSError as error:
        raise TagError(f"{file}: {error.strerror}") from None
    with genres.rewritten(file, old):
        pass
