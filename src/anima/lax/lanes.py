"""Reductions of elements that lie together in memory, laid out for the vectors of a processor.

A reduction of rows as it stands is a chain, each step waiting for the one before, which the compiler must not reorder; it
therefore splits rows into windows, and these neither take in what computes their elements nor become vectors. Here a
row is cut into groups of some steps of 16 lanes each: a group's steps combine lane by lane, which is one loop
of vector operations that takes in the operations before it. A group's lanes, and then the groups, are combined after that.

Invariant: each element is combined exactly once; only the order differs. It is for a CPU, for programs on one device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Primitive
from anima.lax.barrier import optimization_barrier_p
from anima.lax.bitwise import bitwise_and, bitwise_xor, shift_right_arithmetic
from anima.lax.compare import ne
from anima.lax.convert import bitcast_convert_type
from anima.lax.create import full_like
from anima.lax.joining import concatenate
from anima.lax.selection import select
from anima.lax.shape import dtype_of, reshape, shape_of
from anima.lax.slicing import slice_in_dim
from anima.lowering.module import Context

LANES = 16  # elements; a vector of float32 on a processor with 512 bits, or two, or four
STEPS = (
    16  # of a group at most; more are not unrolled by the compiler, and then each waits for the one before
)
SHORT = 64  # elements; rows that are shorter stay as they are
ENOUGH = 65_536  # elements; smaller arrays take about the same time either way

_KEYS = {"bfloat16": np.int16, "float16": np.int16, "float32": np.int32, "float64": np.int64}


def pays(ctx: Context, x: ShapedArray, axes: tuple[int, ...]) -> bool:
    """Whether a reduction of an array like `x` is quicker in lanes; for complex numbers it is not."""
    if not ctx.module.kernels_allowed or x.size < ENOUGH or dtypes.is_complex(x.dtype):
        return False
    row = math.prod(x.shape[x.ndim - _trailing(x.ndim, axes) :])
    return row >= SHORT


def in_lanes(primitive: Primitive, x: Any, axes: tuple[int, ...]) -> Any:
    """``primitive.bind(x, axes=axes)``, the last dimensions being among the axes.

    Args:
      primitive: a reduction with an associative and commutative operation.
      x: the operand.
      axes: as of the primitive.
    """
    ordered = _KEYS.get(dtype_of(x).name) if primitive.name in ("reduce_max", "reduce_min") else None
    last = _trailing(len(shape_of(x)), axes)
    shape = shape_of(x)
    lead = shape[: len(shape) - last]
    y = reshape(x, (*lead, math.prod(shape[len(lead) :])))
    y = y if ordered is None else _key(y, ordered, primitive.name == "reduce_max")
    kept = tuple(a for a in axes if a < len(lead))
    y = primitive.bind(_shortened(primitive, y), axes=(*kept, len(lead)))
    return y if ordered is None else _from_key(y, dtype_of(x))


def _trailing(ndim: int, axes: tuple[int, ...]) -> int:
    """How many of the last dimensions are reduced."""
    return next((i for i in range(ndim) if ndim - 1 - i not in axes), ndim)


def _shortened(primitive: Primitive, y: Any) -> Any:
    """Rows with an element for each group, and those that fill no group, which reduce to the same."""
    *lead, size = shape_of(y)
    groups = -(-size // (STEPS * LANES))
    steps = size // (groups * LANES)
    whole = groups * steps * LANES
    last = len(lead)
    cut = slice_in_dim(y, 0, whole, axis=last) if whole < size else y
    lanes = _fenced(primitive.bind(reshape(cut, (*lead, groups, steps, LANES)), axes=(last + 1,)))
    sums = primitive.bind(lanes, axes=(last + 1,))
    if whole < size:
        sums = concatenate([sums, slice_in_dim(y, whole, size, axis=last)], last)
    return _fenced(sums)


def _fenced(x: Any) -> Any:
    """Without a fence the compiler makes one reduction of several again."""
    return optimization_barrier_p.bind(x)[0]


# The maximum that keeps NaNs takes several instructions, one after the other, for a step. That of integers takes one.


def _key(x: Any, integer: Any, largest: bool) -> Any:
    """Integers in the order of the floats `x`, with NaN beyond the others on the side that is wanted."""
    dtype = dtype_of(x)
    nan = np.array(np.nan if largest else -np.nan).astype(dtype)
    bits = bitcast_convert_type(select(ne(x, x), full_like(x, nan), x), integer)
    return _flip(bits)


def _from_key(key: Any, dtype: Any) -> Any:
    return bitcast_convert_type(_flip(key), dtype)


def _flip(bits: Any) -> Any:
    """Floats' bits to integers in the same order, and back: all bits but the sign change where the sign is set."""
    info = np.iinfo(dtype_of(bits))
    sign = shift_right_arithmetic(bits, full_like(bits, info.bits - 1))
    return bitwise_xor(bits, bitwise_and(sign, full_like(bits, info.max)))
