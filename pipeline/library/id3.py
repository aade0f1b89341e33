"""ID3v2 tags as bytes: change the genre in the version found, and nothing else.

mutagen reads every version, but writes an ID3v2.3 tag anew: it translates frames, and drops what it does not know.
"""

import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Literal, NamedTuple

from mutagen.id3 import ID3, TCON

EMPTY = b"ID3\x03\x00\x00" + bytes(4)
"""A tag of the version that most players read."""
PADDING = 1024
"""Bytes behind a tag that had to grow, so that the next change need not move the sound."""
UNSYNCHRONISED, EXTENDED, FOOTER = 0x80, 0x40, 0x10
"""Flags of a tag's header."""
SMALL = 7
"""Bits per byte of a size that players do not take for sound."""


class DamagedError(Exception):
    """The tag cannot be taken apart; the message says why."""


class Edit(NamedTuple):
    """Bytes of a file to be replaced."""

    start: int
    length: int
    new: bytes


class Layout(NamedTuple):
    """How frames of a version are written."""

    genre: bytes
    bits: int
    """Bits per byte of a frame's size."""
    encoding: int
    """For text that is not ASCII."""

    @property
    def header(self) -> int:
        return 6 if len(self.genre) == 3 else 10


LAYOUTS = {2: Layout(b"TCO", 8, 1), 3: Layout(b"TCON", 8, 1), 4: Layout(b"TCON", SMALL, 3)}
FRAME = re.compile(rb"[A-Z0-9]{3}[A-Z0-9 \x00]?")


def with_genres(tag: bytes, genres: Sequence[str]) -> bytes:
    """An ID3v2 tag with these genres; all other frames, and their order, stay as they are.

    Raises:
        DamagedError: its frames cannot be told apart.
    """
    version, flags = tag[3], tag[5]
    if version not in LAYOUTS:
        raise DamagedError(f"tags of version ID3v2.{version} are not known")
    layout = LAYOUTS[version]
    body = tag[10 : 10 + _number(tag[6:10], SMALL)]
    coded = version < 4 and flags & UNSYNCHRONISED
    if coded:
        body = body.replace(b"\xff\x00", b"\xff")
    first = _extended(body, version) if flags & EXTENDED else 0
    frames, layout = _frames(body, first, layout)
    places = [place for place, (name, _) in enumerate(frames) if name == layout.genre]
    kept = [content for name, content in frames if name != layout.genre]
    if genres:
        kept.insert(places[0] if places else len(kept), _frame(layout, genres))
    new = body[:first] + b"".join(kept)
    if coded:
        new = re.sub(rb"\xff(?=[\x00\xe0-\xff]|\Z)", b"\xff\x00", new)
    room = _number(tag[6:10], SMALL)
    size = room if len(new) <= room else len(new) + PADDING
    return tag[:5] + bytes([flags & ~FOOTER]) + _bytes(size, SMALL, 4) + new.ljust(size, b"\x00")


def _frames(body: bytes, first: int, layout: Layout) -> tuple[list[tuple[bytes, bytes]], Layout]:
    """Names and bytes of the frames up to the padding, and how they are written: iTunes wrote sizes of 8 bits per byte into
    tags of version 4 too, and others of 7 into version 3.
    """
    for one in (layout, layout._replace(bits=15 - layout.bits)):
        frames = list(_walk(body, first, one))
        end = first + sum(len(content) for _, content in frames)
        if not body[end : end + 4].strip(b"\x00") and end <= len(body):
            return frames, one
    raise DamagedError("its ID3 tag is damaged")


def _walk(body: bytes, place: int, layout: Layout) -> Iterator[tuple[bytes, bytes]]:
    width = len(layout.genre)
    sized = 3 if width == 3 else 4
    while FRAME.fullmatch(name := body[place : place + width]) and len(body) >= place + layout.header:
        size = _number(body[place + width : place + width + sized], layout.bits)
        content = body[place : place + layout.header + size]
        if len(content) < layout.header + size:
            return
        yield name, content
        place += len(content)


def _frame(layout: Layout, genres: Sequence[str]) -> bytes:
    text = "\x00".join(genres)
    encoding = 0 if text.isascii() else layout.encoding
    content = bytes([encoding]) + text.encode({0: "ascii", 1: "utf-16", 3: "utf-8"}[encoding])
    flags = b"" if len(layout.genre) == 3 else b"\x00\x00"
    return layout.genre + _bytes(len(content), layout.bits, 3 if len(layout.genre) == 3 else 4) + flags + content


def _extended(body: bytes, version: int) -> int:
    """Bytes of the extended header; some writers set its flag and begin with a frame."""
    if FRAME.fullmatch(body[:4]):
        return 0
    return _number(body[:4], SMALL) if version == 4 else 4 + _number(body[:4], 8)


def _number(content: bytes, bits: int) -> int:
    number = 0
    for byte in content:
        number = number << bits | byte
    return number


def _bytes(number: int, bits: int, width: int) -> bytes:
    return bytes(number >> bits * place & (1 << bits) - 1 for place in reversed(range(width)))


class Chunks(NamedTuple):
    """How a file of chunks is written: the name of the one that holds the tag, and sizes."""

    name: bytes
    order: Literal["little", "big"]
    width: int


CHUNKS = {b"RIFF": Chunks(b"id3 ", "little", 4), b"FORM": Chunks(b"ID3 ", "big", 4), b"FRM8": Chunks(b"ID3 ", "big", 8)}
"""WAV, AIFF and DSDIFF, by their first four bytes."""
V1_SIZE, V1_NONE = 128, 255


def edits_in_chunks(stream: BinaryIO, genres: Sequence[str]) -> list[Edit]:
    """Of a file whose first bytes are in CHUNKS.

    Raises:
        DamagedError: its chunks do not fit into it.
    """
    stream.seek(0)
    name, order, width = CHUNKS[stream.read(4)]
    header = 4 + width
    declared = int.from_bytes(stream.read(width), order)
    place, stop = header + 4, header + declared
    if stop > stream.seek(0, os.SEEK_END):
        raise DamagedError("its header says that it is longer than it is")
    start, old = stop, b""
    while place < stop:
        stream.seek(place)
        found, length = stream.read(4), int.from_bytes(stream.read(width), order)
        if place + header + length > stop:
            raise DamagedError("its chunks do not fit into it")
        if found.lower() == b"id3 ":
            start, old = place, stream.read(length)
        place += header + length + length % 2
    tag = with_genres(old or EMPTY, genres)
    chunk = name + len(tag).to_bytes(width, order) + tag + bytes(len(tag) % 2)
    length = header + len(old) + len(old) % 2 if old else 0
    if start == stop and declared % 2:
        chunk = b"\x00" + chunk
    size = (declared + len(chunk) - length).to_bytes(width, order)
    return [Edit(4, width, size), Edit(start, length, chunk)]


def edits_in_dsf(stream: BinaryIO, genres: Sequence[str]) -> list[Edit]:
    """The header has the file's size and where the tag is, at its end."""
    stream.seek(12)
    size, start = (int.from_bytes(stream.read(8), "little") for _ in range(2))
    stream.seek(start or size)
    old = stream.read()
    tag, start = with_genres(old or EMPTY, genres), start or size
    places = (start + len(tag)).to_bytes(8, "little") + start.to_bytes(8, "little")
    return [Edit(12, 16, places), Edit(start, len(old), tag)]


def edit_in_front(stream: BinaryIO, genres: Sequence[str]) -> Edit:
    """Of the tag that the file begins with; a new one has what an ID3v1 tag at the end says."""
    stream.seek(0)
    header = stream.read(10)
    if not header.startswith(b"ID3"):
        return Edit(0, 0, with_genres(_from_v1(stream), genres))
    length = 10 + _number(header[6:], SMALL) + (10 if header[5] & FOOTER else 0)
    stream.seek(0)
    return Edit(0, length, with_genres(stream.read(length), genres))


def has_v1(stream: BinaryIO) -> bool:
    """Whether the file ends with an ID3v1 tag."""
    if stream.seek(0, os.SEEK_END) < V1_SIZE:
        return False
    stream.seek(-V1_SIZE, os.SEEK_END)
    return stream.read(3) == b"TAG"


def v1_number(genres: Sequence[str]) -> int:
    """By which an ID3v1 tag says the genre; V1_NONE for one that has no number there."""
    names = [name.casefold() for name in TCON.GENRES]
    return next((names.index(genre.casefold()) for genre in genres if genre.casefold() in names), V1_NONE)


def edit_v1(stream: BinaryIO, genres: Sequence[str]) -> Edit:
    return Edit(stream.seek(0, os.SEEK_END) - 1, 1, bytes([v1_number(genres)]))


def _from_v1(stream: BinaryIO) -> bytes:
    if not has_v1(stream):
        return EMPTY
    stream.seek(0)
    tag = io.BytesIO()
    ID3(stream, v2_version=3).save(tag, v1=0, v2_version=3)
    return tag.getvalue()
