"""A checkpoint of TensorFlow's is read as it was written. Written here by hand."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.models.pretrained import tensor_bundle

TENSORS: dict[str, NDArray[Any]] = {
    "conv/bias": np.array([0.5, -2.0], np.float32),
    "conv/kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "conv/kernel/long": np.arange(50, dtype=np.int32),
    "step": np.array(7_000_000_000, np.int64),
}
NUMBERS = {"float32": 1, "int32": 3, "int64": 9}
HEADER = b"\x08\x01\x1a\x02\x08\x01"
"""One shard, little-endian, version 1."""


def varint(number: int) -> bytes:
    rest = b"" if number < 128 else varint(number >> 7)
    return bytes([number & 127 | (128 if rest else 0)]) + rest


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def entry(tensor: NDArray[Any], offset: int) -> bytes:
    shape = b"".join(part(2, number(1, size)) for size in tensor.shape)
    checksum = varint(6 << 3 | 5) + bytes(4)
    kind = number(1, NUMBERS[tensor.dtype.name])
    return kind + part(2, shape) + number(4, offset) + number(5, tensor.nbytes) + checksum


def block(values: Mapping[str, bytes]) -> bytes:
    """With its trailer, compression and checksum, both zeros. Every third key is whole, the others lack what they share with the one before."""
    content, restarts, before = b"", [], b""
    for place, (name, value) in enumerate(values.items()):
        key = name.encode()
        if place % 3 == 0:
            restarts.append(len(content))
            before = b""
        shared = next((i for i, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), len(before))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    content += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    return content + bytes(5)


def table(values: Mapping[str, bytes]) -> bytes:
    """Two blocks of values, the empty block about the table, and the block that finds the two."""
    names = list(values)
    halves = [{name: values[name] for name in half} for half in (names[:3], names[3:])]
    content, handles = b"", {}
    for half in halves:
        written = block(half)
        handles[list(half)[-1]] = varint(len(content)) + varint(len(written) - 5)
        content += written
    footer = b""
    for written in (block({}), block(handles)):
        footer += varint(len(content)) + varint(len(written) - 5)
        content += written
    return content + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def bundle() -> tuple[bytes, bytes]:
    values, data = {"": HEADER}, b""
    for name, tensor in TENSORS.items():
        values[name] = entry(tensor, len(data))
        data += tensor.tobytes()
    return table(values), data


def test_tensors_come_back_as_they_were_written() -> None:
    found = tensor_bundle.read(*bundle())
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor, strict=True)


def test_what_is_skipped_is_left_out() -> None:
    assert sorted(tensor_bundle.read(*bundle(), skip=("/bias", "/long"))) == ["conv/kernel", "step"]
