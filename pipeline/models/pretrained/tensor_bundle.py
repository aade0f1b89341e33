"""TensorFlow's checkpoints of version 2, a "tensor bundle", read without TensorFlow.

A checkpoint is two files. ``.index`` is a sorted table as LevelDB writes it, from each tensor's name to a
message that says where its bytes are; ``.data-00000-of-00001`` is these bytes. Both carry checksums.

The formats: table_format.md in LevelDB's documents, tensor_bundle.proto and tensor_bundle.cc in
tensorflow/core, and the wire format in protobuf's documents.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.models.pretrained import WeightsError

FOOTER = 48
"""Bytes at the end of a table: two handles of blocks, filled up with zeros, and the magic number."""
MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
TRAILER = 5
"""Bytes behind a block: how it is compressed, and the checksum of block and compression."""

DTYPES = {1: "<f4", 3: "<i4", 9: "<i8"}
"""By TensorFlow's number in types.proto: DT_FLOAT, DT_INT32, DT_INT64."""


@dataclass
class Message:
    """A protobuf message by field number. An absent number is 0."""

    numbers: dict[int, int] = field(default_factory=dict)
    parts: dict[int, list[bytes]] = field(default_factory=dict)


def read(index: bytes, data: bytes, skip: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """Tensors by name, but for those whose names end as ``skip`` says.

    A megabyte takes about 0.4 s, nearly all of it for the checksums.

    Raises:
        WeightsError: a file is damaged or cut off, or holds what is not read here: compressed blocks, several
            data files, big-endian numbers, slices of tensors, or other types than float32, int32 and int64.
    """
    entries = {key.decode(): _message(value) for key, value in _table(index)}
    # the bundle's own entry has an empty name and so comes first
    header = entries.pop("", Message())
    if header.numbers.get(1) != 1 or header.numbers.get(2, 0) != 0:
        raise WeightsError("the checkpoint's index is not that of one little-endian data file")
    return {name: _tensor(name, entry, data) for name, entry in entries.items() if not name.endswith(skip)}


def _tensor(name: str, entry: Message, data: bytes) -> NDArray[Any]:
    kind = entry.numbers.get(1, 0)
    if kind not in DTYPES or 7 in entry.parts:
        raise WeightsError(f"tensor {name} of the checkpoint is sliced or of a type ({kind}) that is not read")
    dtype = np.dtype(DTYPES[kind])
    # a message that is empty may be left out: that of a scalar
    shape_message = _message(entry.parts.get(2, [b""])[-1])
    shape = [_message(dim).numbers.get(1, 0) for dim in shape_message.parts.get(2, [])]
    offset, size = entry.numbers.get(4, 0), entry.numbers.get(5, 0)
    content = data[offset : offset + size]
    if len(content) != size or size != dtype.itemsize * np.prod(shape, dtype=np.int64):
        raise WeightsError(f"tensor {name} of the checkpoint is cut off or not of shape {shape}")
    if masked_crc32c(content) != entry.numbers.get(6, 0):
        raise WeightsError(f"tensor {name} of the checkpoint is damaged: its checksum is another")
    # a copy, since torch takes no array that cannot be written to, as bytes cannot
    return np.frombuffer(content, dtype).reshape(shape).copy()


def _table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in order."""
    if table[-len(MAGIC) :] != MAGIC or len(table) < FOOTER:
        raise WeightsError("the checkpoint's index does not end as one does: it is cut off or no index")
    footer = table[-FOOTER:]
    # the first handle is that of a block about the table, which TensorFlow leaves empty
    _, _, place = _handle(footer, 0)
    offset, size, _ = _handle(footer, place)
    for _, value in _entries(_block(table, offset, size)):
        offset, size, _ = _handle(value, 0)
        yield from _entries(_block(table, offset, size))


def _handle(buffer: bytes, place: int) -> tuple[int, int, int]:
    """A block's offset and size, and the place behind them."""
    offset, place = _varint(buffer, place)
    size, place = _varint(buffer, place)
    return offset, size, place


def _block(table: bytes, offset: int, size: int) -> bytes:
    block, trailer = table[offset : offset + size], table[offset + size : offset + size + TRAILER]
    if len(trailer) != TRAILER:
        raise WeightsError("the checkpoint's index is cut off")
    compression, checksum = struct.unpack("<BI", trailer)
    if masked_crc32c(block + trailer[:1]) != checksum:
        raise WeightsError("the checkpoint's index is damaged: a block's checksum is another")
    if compression != 0:
        raise WeightsError(f"the checkpoint's index is compressed (kind {compression}), which is not read")
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block. A key is stored without the beginning that it shares with the one before."""
    # at the end stand the places where keys are whole, for a search, and the number of these places
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


def _message(content: bytes) -> Message:
    message = Message()
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            message.numbers[number], place = _varint(content, place)
        elif kind == 5:
            (message.numbers[number],) = struct.unpack_from("<I", content, place)
            place += 4
        elif kind == 2:
            size, place = _varint(content, place)
            message.parts.setdefault(number, []).append(content[place : place + size])
            place += size
        else:
            raise WeightsError(f"the checkpoint's index holds a field of kind {kind}, which is not read")
    return message


def _varint(buffer: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits per byte, least ones first, and the place behind it."""
    value, shift = 0, 0
    while place < len(buffer):
        byte = buffer[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise WeightsError("the checkpoint's index is cut off within a number")


def masked_crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli), turned and shifted as LevelDB stores it, lest it be taken for content."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    return [_crc_of_byte(byte) for byte in range(256)]


def _crc_of_byte(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc
