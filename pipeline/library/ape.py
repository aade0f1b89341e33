"""APEv2 tags as bytes: change the genre, and nothing else. (mutagen deletes an ID3v1 tag behind one.)"""

import os
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from pipeline.library.id3 import V1_SIZE, DamagedError, Edit, has_v1

PREAMBLE = b"APETAGEX"
ENDS = 32
"""Bytes of a tag's header and of its footer."""
HAS_HEADER, IS_HEADER = 1 << 31, 1 << 29


def with_genres(tag: bytes, genres: Sequence[str]) -> bytes:
    """An APEv2 tag with these genres; all other items, and their order, stay as they are.

    Args:
        tag: with its header and footer; nothing for a new one.

    Raises:
        DamagedError: its items cannot be told apart.
    """
    version, size, _, flags = struct.unpack("<4I", tag[-ENDS:][8:24]) if tag else (2000, ENDS, 0, HAS_HEADER)
    items = [(key, item) for key, item in _items(tag[len(tag) - size : len(tag) - ENDS]) if key != b"genre"]
    if genres:
        value = "\0".join(genres).encode()
        items.append((b"genre", struct.pack("<2I", len(value), 0) + b"Genre\0" + value))
    body = b"".join(item for _, item in items)
    fields = (version, len(body) + ENDS, len(items))
    header, footer = (
        PREAMBLE + struct.pack("<4I", *fields, own) + bytes(8) for own in (flags | IS_HEADER, flags & ~IS_HEADER)
    )
    return (header if flags & HAS_HEADER else b"") + body + footer


def place(stream: BinaryIO) -> tuple[int, int]:
    """Where a file's tag starts and how long it is; without one, where it would start, and 0.

    Raises:
        DamagedError: it says that it is longer than the file.
    """
    end = stream.seek(0, os.SEEK_END) - (V1_SIZE if has_v1(stream) else 0)
    stream.seek(max(0, end - ENDS))
    footer = stream.read(min(end, ENDS))
    if not footer.startswith(PREAMBLE):
        return end, 0
    _, size, _, flags = struct.unpack("<4I", footer[8:24])
    length = size + (ENDS if flags & HAS_HEADER else 0)
    if not ENDS <= length <= end:
        raise DamagedError("its APEv2 tag is damaged")
    return end - length, length


def edit(stream: BinaryIO, genres: Sequence[str]) -> Edit:
    start, length = place(stream)
    stream.seek(start)
    return Edit(start, length, with_genres(stream.read(length), genres))


def _items(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys in lower case, and the items."""
    start = 0
    while start < len(body):
        end = body.find(b"\0", start + 8)
        if end < 0:
            raise DamagedError("its APEv2 tag is damaged")
        stop = end + 1 + int.from_bytes(body[start : start + 4], "little")
        if stop > len(body):
            raise DamagedError("its APEv2 tag is cut off")
        yield body[start + 8 : end].lower(), body[start:stop]
        start = stop
