"""Reading serialised protocol buffers: XLA describes compiled programs in them.

Invariant: nothing is copied and nothing is trusted; bytes that are no message raise ValueError.
"""

from __future__ import annotations

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
