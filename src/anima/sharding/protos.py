"""Reading shardings out of the serialised programs that XLA hands back.

Invariant: only the fields that are named here are read, the rest is skipped, so programs of other versions of XLA do
no harm. Bytes that are no such program raise ValueError.

The field numbers are those of XLA's ``xla_data.proto`` (OpSharding) and ``hlo.proto`` (HloModuleProto).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from anima.protobuf import Value, fields as read_fields, message, numbers
from anima.sharding.hlo import MANUAL, REPLICATED, GroupKind, HloSharding, maximal, tiled

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
    shardings = _op_shardings(message(found[-1]))
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
    shardings = [sharding for field in found for sharding in _op_shardings(message(field))]
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


def _module(program: bytes) -> dict[int, list[Value]]:
    """The fields of the module, whether it stands alone or with its configuration."""
    fields = read_fields(memoryview(program))
    if not fields[_COMPUTATIONS] and fields[_MODULE]:
        fields = read_fields(message(fields[_MODULE][-1]))
    if not fields[_COMPUTATIONS]:
        raise ValueError("the bytes are not those of a compiled program: it has no computations")
    return fields


def _op_shardings(data: memoryview) -> list[HloSharding]:
    fields = read_fields(data)
    kind = fields[_TYPE][-1] if fields[_TYPE] else _REPLICATED
    if kind == _TUPLE:
        return [sharding for field in fields[_ELEMENTS] for sharding in _op_shardings(message(field))]
    if kind in (_REPLICATED, _UNKNOWN):
        return [REPLICATED]
    if kind == _MANUAL:
        return [MANUAL]
    if kind == _MAXIMAL:
        return [maximal(numbers(fields[_TILE_DEVICES])[0])]
    if kind != _OTHER:
        raise ValueError(f"an OpSharding of the unknown type {kind}")
    return [_tiled(fields)]


def _tiled(fields: dict[int, list[Value]]) -> HloSharding:
    shape = numbers(fields[_TILE_DIMS])
    order = numbers(fields[_TILE_DEVICES])
    if not order:
        iota_shape, axes = numbers(fields[_IOTA_SHAPE]), numbers(fields[_IOTA_AXES])
        order = np.arange(np.prod(iota_shape)).reshape(iota_shape).transpose(axes).ravel().tolist()
    kinds: list[GroupKind] = [_group_kind(kind) for kind in numbers(fields[_LAST_DIMS])]
    if fields[_REPLICATE_LAST] and fields[_REPLICATE_LAST][-1]:
        kinds = ["replicated"]
    ndim = len(shape) - len(kinds)
    return tiled(shape[:ndim], order, list(zip(kinds, shape[ndim:])))


def _group_kind(kind: int) -> GroupKind:
    if kind not in (_REPLICATED, _MANUAL):
        raise ValueError(f"an OpSharding with subgroups of the unknown type {kind}")
    return "manual" if kind == _MANUAL else "replicated"
