"""The genre in a file's tags: read it, and write a copy of the file in which nothing else differs."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import mutagen
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2, APEv2File
from mutagen.asf import ASF
from mutagen.dsdiff import DSDIFF
from mutagen.dsf import DSF
from mutagen.id3 import ID3, ID3FileType
from mutagen.mp4 import MP4
from mutagen.wave import WAVE

from pipeline.base.errors import UserError
from pipeline.base.files import atomic_write
from pipeline.library import ape, id3
from pipeline.library.id3 import DamagedError, Edit

BLOCK = 2**20
"""Bytes that are copied at a time."""
KEYS = {MP4: "\xa9gen", ASF: "WM/Genre"}
"""What the genre is called in a file's tags; in all others, "genre"."""


class TagError(UserError):
    """The file's tags cannot be read or written; the message says why."""


def read(file: Path) -> list[str]:
    """
    Raises:
        TagError: the file's tags cannot be read.
    """
    audio = _opened(file)
    try:
        tags = APEv2(file) if isinstance(audio, ID3FileType) and _only_ape(file) else audio.tags
    except (mutagen.MutagenError, OSError, DamagedError) as error:
        raise TagError(f"{file}: {error}") from None
    if isinstance(tags, ID3):
        return [genre for frame in tags.getall("TCON") for genre in frame.genres]
    return [str(value) for value in tags.get(_key(audio), [])] if tags is not None else []


@contextmanager
def rewritten(file: Path, genres: Sequence[str]) -> Iterator[Path]:
    """A copy with these genres, none if empty, which then replaces the file: a kill leaves the file unchanged.

    For a symbolic link, the file it leads to is replaced.

    Raises:
        TagError: the file's tags cannot be read or written.
    """
    audio = _opened(file)
    try:
        with atomic_write(file.resolve()) as partial:
            with file.open("rb") as stream:
                edits = _edits(audio, stream, genres)
                if edits is not None:
                    _copy(stream, partial, edits)
            if edits is None:
                shutil.copyfile(file, partial)
                _save(type(audio)(partial), genres)
            as_before(file, partial)
            yield partial
    except DamagedError as error:
        raise TagError(f"{file}: {error}; its tags are left as they are") from None
    except (mutagen.MutagenError, OSError, OverflowError) as error:
        raise TagError(f"{file}: {error}") from None


def as_before(file: Path, copy: Path) -> None:
    """The file's permissions for its copy, and the time of now."""
    shutil.copystat(file, copy)
    os.utime(copy)


def _edits(audio: Any, stream: BinaryIO, genres: Sequence[str]) -> list[Edit] | None:
    """What to replace in the file; None where mutagen changes the tags and keeps all others as they are."""
    if isinstance(audio, WAVE | AIFF | DSDIFF):
        return id3.edits_in_chunks(stream, genres)
    if isinstance(audio, DSF):
        return id3.edits_in_dsf(stream, genres)
    if isinstance(audio, APEv2File):
        return [ape.edit(stream, genres)]
    if isinstance(audio, ID3FileType):
        return _everywhere(stream, genres)
    return None


def _everywhere(stream: BinaryIO, genres: Sequence[str]) -> list[Edit]:
    """In all tags of a file that may have several: ID3v2 in front, APEv2 and ID3v1 at the end."""
    (_, ape_length), v1 = ape.place(stream), id3.has_v1(stream)
    front, known = _has_id3v2(stream), not genres or id3.v1_number(genres) != id3.V1_NONE
    edits = [id3.edit_in_front(stream, genres)] if front or not (ape_length or (v1 and known)) else []
    if ape_length and (not front or "genre" in APEv2(_rewound(stream))):
        edits.append(ape.edit(stream, genres))
    return [*edits, id3.edit_v1(stream, genres)] if v1 else edits


def _only_ape(file: Path) -> bool:
    with file.open("rb") as stream:
        return not _has_id3v2(stream) and ape.place(stream)[1] > 0


def _has_id3v2(stream: BinaryIO) -> bool:
    return _rewound(stream).read(3) == b"ID3"


def _rewound(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    return stream


def _copy(stream: BinaryIO, target: Path, edits: Sequence[Edit]) -> None:
    with target.open("wb") as copy:
        place = 0
        for start, length, new in edits:
            _part(stream, copy, place, start)
            copy.write(new)
            place = start + length
        _part(stream, copy, place, stream.seek(0, os.SEEK_END))


def _part(stream: BinaryIO, copy: BinaryIO, start: int, stop: int) -> None:
    stream.seek(start)
    while start < stop:
        start += copy.write(stream.read(min(BLOCK, stop - start)))


def _save(audio: Any, genres: Sequence[str]) -> None:
    if audio.tags is None:
        audio.add_tags()
    if any("\ufffd" in str(pair) for pair in audio.tags.items()):
        raise DamagedError("they have text that is not Unicode, which cannot be written again")
    if genres:
        audio.tags[_key(audio)] = list(genres)
    elif _key(audio) in audio.tags:
        del audio.tags[_key(audio)]
    audio.save()


def _key(audio: Any) -> str:
    return KEYS.get(type(audio), "genre")


def _opened(file: Path) -> Any:
    try:
        audio = mutagen.File(file)
    except (mutagen.MutagenError, OSError) as error:
        raise TagError(f"{file}: {error}") from None
    if audio is None:
        raise TagError(f"{file}: files of this kind have no tags")
    return audio
