"""Protocol buffers, read and written: compile options, compiled programs and profiles are such.

Invariant: nothing that is read is copied or trusted; bytes that are no message raise ValueError. A field is written as a varint
of its number and wire type, then its value.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator

Value = int | memoryview

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: memoryview) -> dict[int, list[Value]]:
    """The values of each field of a message; bytes are not copied."""
    found: dict[int, list[Value]] = defaultdict(list)
    for number, value in _read(data):
        found[number].append(value)
    return found


def _read(data: memoryview) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        value: Value
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in (_BYTES, _FIXED32, _FIXED64):
            size = 8 if wire == _FIXED64 else 4
            if wire == _BYTES:
                size, at = _varint(data, at)
            value = data[at : at + size]
            at += size
            if at > len(data):
                raise ValueError("a serialised program ends within a field")
        else:
            raise ValueError(f"a serialised program has a field of the unknown encoding {wire}")
        yield tag >> 3, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("a serialised program ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def message(value: Value) -> memoryview:
    """The bytes of a nested message or string."""
    if isinstance(value, int):
        raise ValueError("a serialised program has a number where a message belongs")
    return value


def numbers(values: list[Value]) -> list[int]:
    """A repeated number, packed or not."""
    result: list[int] = []
    for value in values:
        if isinstance(value, int):
            result.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            result.append(number)
    return result


def write_varint(value: int) -> bytes:
    """A number of any length; negative ones as their two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_number(field: int, value: int) -> bytes:
    """An integer, a boolean or an enumeration; zero is the default and not written."""
    return write_varint(field << 3) + write_varint(value) if value else b""


def write_float(field: int, value: float) -> bytes:
    """A float of 32 bits; zero is not written."""
    return write_varint(field << 3 | 5) + struct.pack("<f", value) if value else b""


def write_double(field: int, value: float) -> bytes:
    """A float of 64 bits, also where it is zero."""
    return write_varint(field << 3 | 1) + struct.pack("<d", value)


def write_message(field: int, content: bytes) -> bytes:
    """A message, a string, bytes or packed numbers."""
    return write_varint(field << 3 | 2) + write_varint(len(content)) + content


def write_text(field: int, text: str) -> bytes:
    """A string; the empty one is the default and not written."""
    return write_message(field, text.encode()) if text else b""
