"""Reading shardings out of the serialised programs that XLA hands back.

Invariant: only the fields that are named here are read, the rest is skipped, so programs of other versions of XLA do
no harm. Bytes that are no such program raise ValueError.

The field numbers are those of XLA's ``xla_data.proto`` (OpSharding) and ``hlo.proto`` (HloModuleProto).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np

from anima.sharding.hlo import MANUAL, REPLICATED, GroupKind, HloSharding, maximal, tiled

_Value: TypeAlias = int | memoryview

# OpSharding.Type
_REPLICATED, _MAXIMAL, _TUPLE, _OTHER, _MANUAL, _UNKNOWN = range(6)
# Fields of OpSharding.
_TYPE, _TILE_DIMS, _TILE_DEVICES, _ELEMENTS, _REPLICATE_LAST, _LAST_DIMS = 1, 3, 4, 5, 6, 8
_IOTA_SHAPE, _IOTA_AXES = 9, 10
# Fields of HloModuleProto, and the one of HloModuleProtoWithConfig that holds it.
_COMPUTATIONS, _OUTPUT_SHARDING, _PARAMETER_SHARDINGS = 3, 12, 14
_MODULE: Final = 1


def output_shardings(program: bytes, count: int) -> list[HloSharding]:
    """How the results of a compiled program lie over its partitions.

    Args:
      program: ``Executable.optimized_program()``: an HloModuleProto, with its configuration or without.
      count: how many results there are.

    Raises:
      ValueError: these are not the bytes of a program, or it has another number of results.
    """
    found = _module(program)[_OUTPUT_SHARDING]
    if not found:  # not partitioned
        return [REPLICATED] * count
    shardings = _op_shardings(_message(found[-1]))
    if len(shardings) == 1 and shardings[0] is REPLICATED:
        return shardings * count
    if len(shardings) != count:
        raise ValueError(f"the program has shardings of {len(shardings)} results, not of {count}")
    return shardings


def parameter_shardings(program: bytes, count: int) -> list[HloSharding]:
    """How the arguments of a compiled program lie over its partitions; as ``output_shardings``."""
    found = _module(program)[_PARAMETER_SHARDINGS]
    if not found:
        return [REPLICATED] * count
    shardings = [sharding for field in found for sharding in _op_shardings(_message(field))]
    if len(shardings) != count:
        raise ValueError(f"the program has shardings of {len(shardings)} arguments, not of {count}")
    return shardings


def op_sharding(data: bytes) -> HloSharding:
    """The sharding that a serialised OpSharding describes.

    Raises:
      ValueError: it is not that of one array.
    """
    shardings = _op_shardings(memoryview(data))
    if len(shardings) != 1:
        raise ValueError(f"an OpSharding of {len(shardings)} arrays, not of one")
    return shardings[0]


def _module(program: bytes) -> dict[int, list[_Value]]:
    """The fields of the module, whether it stands alone or with its configuration."""
    fields = _fields(memoryview(program))
    if not fields[_COMPUTATIONS] and fields[_MODULE]:
        fields = _fields(_message(fields[_MODULE][-1]))
    if not fields[_COMPUTATIONS]:
        raise ValueError("the bytes are not those of a compiled program: it has no computations")
    return fields


def _op_shardings(data: memoryview) -> list[HloSharding]:
    fields = _fields(data)
    kind = fields[_TYPE][-1] if fields[_TYPE] else _REPLICATED
    if kind == _TUPLE:
        return [sharding for field in fields[_ELEMENTS] for sharding in _op_shardings(_message(field))]
    if kind in (_REPLICATED, _UNKNOWN):
        return [REPLICATED]
    if kind == _MANUAL:
        return [MANUAL]
    if kind == _MAXIMAL:
        return [maximal(_numbers(fields[_TILE_DEVICES])[0])]
    if kind != _OTHER:
        raise ValueError(f"an OpSharding of the unknown type {kind}")
    return [_tiled(fields)]


def _tiled(fields: dict[int, list[_Value]]) -> HloSharding:
    shape = _numbers(fields[_TILE_DIMS])
    order = _numbers(fields[_TILE_DEVICES])
    if not order:
        iota_shape, axes = _numbers(fields[_IOTA_SHAPE]), _numbers(fields[_IOTA_AXES])
        order = np.arange(np.prod(iota_shape)).reshape(iota_shape).transpose(axes).ravel().tolist()
    kinds: list[GroupKind] = [_group_kind(kind) for kind in _numbers(fields[_LAST_DIMS])]
    if fields[_REPLICATE_LAST] and fields[_REPLICATE_LAST][-1]:
        kinds = ["replicated"]
    ndim = len(shape) - len(kinds)
    return tiled(shape[:ndim], order, list(zip(kinds, shape[ndim:])))


def _group_kind(kind: int) -> GroupKind:
    if kind not in (_REPLICATED, _MANUAL):
        raise ValueError(f"an OpSharding with subgroups of the unknown type {kind}")
    return "manual" if kind == _MANUAL else "replicated"


# The encoding itself.

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _fields(data: memoryview) -> dict[int, list[_Value]]:
    """The values of each field of a message; bytes are not copied."""
    fields: dict[int, list[_Value]] = defaultdict(list)
    for number, value in _read(data):
        fields[number].append(value)
    return fields


def _read(data: memoryview) -> Iterator[tuple[int, _Value]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        value: _Value
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


def _message(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a serialised program has a number where a message belongs")
    return value


def _numbers(values: list[_Value]) -> list[int]:
    """A repeated number, packed or not."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            numbers.append(number)
    return numbers
