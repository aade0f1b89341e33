"""What brings back a file of which a few bytes were changed, moved or added: small, and exact."""

import base64
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.base.files import sha256

BLOCK = 2**20
"""Bytes that are in memory at a time."""
LOOK = 2**16
"""Bytes at the end of both files that decide how they are laid over each other."""


def difference(old: Path, new: Path) -> dict[str, Any]:
    """For JSON. Both files are laid over each other, from the start or from the end; where they are equal, XOR is 0."""
    with old.open("rb") as before, new.open("rb") as after:
        size, other = _size(before), _size(after)
        last = np.frombuffer(_read(before, size - LOOK, LOOK), np.uint8) == np.frombuffer(
            _read(after, other - LOOK, LOOK), np.uint8
        )
        shift = other - size if last.mean() > 0.5 else 0
        packer = zlib.compressobj()
        parts = [packer.compress(part) for part in _xor(before, after, size, shift)]
    packed = b"".join([*parts, packer.flush()])
    return {"sha256": sha256(new), "size": size, "shift": shift, "xor": base64.b64encode(packed).decode()}


def brings_back(entry: dict[str, Any], file: Path) -> bool:
    """Whether the file is still as it was when its difference was taken."""
    return "sha256" in entry and sha256(file) == entry["sha256"]


def bring_back(entry: dict[str, Any], new: Path, target: Path) -> None:
    """Write the file as it was before."""
    packed = zlib.decompressobj()
    content = base64.b64decode(entry["xor"])
    with new.open("rb") as after, target.open("wb") as before:
        place = 0
        while part := packed.decompress(content, BLOCK):
            content = packed.unconsumed_tail
            before.write(_both(part, _read(after, place + entry["shift"], len(part))))
            place += len(part)


def _xor(before: BinaryIO, after: BinaryIO, size: int, shift: int) -> Iterator[bytes]:
    for place in range(0, size, BLOCK):
        length = min(BLOCK, size - place)
        yield _both(_read(before, place, length), _read(after, place + shift, length))


def _both(one: bytes, other: bytes) -> bytes:
    return (np.frombuffer(one, np.uint8) ^ np.frombuffer(other, np.uint8)).tobytes()


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, os.SEEK_END)


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    """These bytes of the file; zeros before its start and behind its end."""
    before = min(length, max(0, -start))
    stream.seek(max(0, start))
    return (bytes(before) + stream.read(length - before)).ljust(length, b"\x00")
