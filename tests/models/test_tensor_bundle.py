"""A checkpoint of TensorFlow's is read as it was written, or refused with the reason. Written here by hand."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.models.pretrained import WeightsError, tensor_bundle
from pipeline.models.pretrained.tensor_bundle import masked_crc32c

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
    checksum = varint(6 << 3 | 5) + struct.pack("<I", masked_crc32c(tensor.tobytes()))
    kind = number(1, NUMBERS[tensor.dtype.name])
    return kind + part(2, shape) + number(4, offset) + number(5, tensor.nbytes) + checksum


def block(values: Mapping[str, bytes], compression: int = 0) -> bytes:
    """With its trailer. Every third key is whole, the others lack what they share with the one before."""
    content, restarts, before = b"", [], b""
    for place, (name, value) in enumerate(values.items()):
        key = name.encode()
        if place % 3 == 0:
            restarts.append(len(content))
            before = b""
        shared = next((i for i, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), len(before))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    content += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts)) + bytes([compression])
    return content + struct.pack("<I", masked_crc32c(content))


def table(values: Mapping[str, bytes], compression: int = 0) -> bytes:
    """Two blocks of values, the empty block about the table, and the block that finds the two."""
    names = list(values)
    halves = [{name: values[name] for name in half} for half in (names[:3], names[3:])]
    content, handles = b"", {}
    for half in halves:
        written = block(half, compression)
        handles[list(half)[-1]] = varint(len(content)) + varint(len(written) - 5)
        content += written
    footer = b""
    for written in (block({}), block(handles)):
        footer += varint(len(content)) + varint(len(written) - 5)
        content += written
    return content + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


def bundle(header: bytes = HEADER, compression: int = 0) -> tuple[bytes, bytes]:
    values, data = {"": header}, b""
    for name, tensor in TENSORS.items():
        values[name] = entry(tensor, len(data))
        data += tensor.tobytes()
    return table(values, compression), data


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_tensors_come_back_as_they_were_written() -> None:
    found = tensor_bundle.read(*bundle())
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor, strict=True)


def test_what_is_skipped_is_not_looked_at() -> None:
    index, data = bundle()
    found = tensor_bundle.read(index, flipped(data, 0), skip=("/bias", "/long"))
    assert sorted(found) == ["conv/kernel", "step"]


def test_the_checksum_is_crc32c() -> None:
    # RFC 3720, B.4: 32 bytes of zeros have 0x8A9136AA; turned right by 15 bits and shifted
    crc = 0x8A9136AA
    assert masked_crc32c(bytes(32)) == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_a_damaged_index_is_refused_wherever_the_damage_is() -> None:
    index, data = bundle()
    for place in range(index.index(block({}))):
        with pytest.raises(WeightsError, match="checksum is another"):
            tensor_bundle.read(flipped(index, place), data)
    with pytest.raises(WeightsError, match="does not end as one does"):
        tensor_bundle.read(flipped(index, len(index) - 1), data)


@pytest.mark.parametrize("kept", [0, 7, 40, 100])
def test_a_cut_off_index_is_refused(kept: int) -> None:
    index, data = bundle()
    for part in (index[:kept], index[-kept:] if kept else b""):
        with pytest.raises(WeightsError, match=r"cut off|checksum is another"):
            tensor_bundle.read(part, data)


def test_damaged_or_missing_data_is_refused_with_the_tensors_name() -> None:
    index, data = bundle()
    with pytest.raises(WeightsError, match="tensor conv/kernel of the checkpoint is damaged"):
        tensor_bundle.read(index, flipped(data, 8))
    with pytest.raises(WeightsError, match="tensor step of the checkpoint is cut off"):
        tensor_bundle.read(index, data[:-1])


def test_what_is_not_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"compressed \(kind 1\)"):
        tensor_bundle.read(*bundle(compression=1))
    for header in (number(1, 2), number(1, 1) + number(2, 1)):
        with pytest.raises(WeightsError, match="not that of one little-endian data file"):
            tensor_bundle.read(*bundle(header))
    monkeypatch.setitem(NUMBERS, "int64", 7)
    with pytest.raises(WeightsError, match=r"tensor step .* of a type \(7\) that is not read"):
        tensor_bundle.read(*bundle())
