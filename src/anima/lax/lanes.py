"""Reductions of many elements, laid out for the vectors of a processor.

A reduction of a row as it stands is a chain, each step waiting for the one before, which the compiler must not reorder; it
therefore splits rows and columns into windows, which neither take in what computes their elements nor become vectors
everywhere. Here a row is cut into groups of some steps of 16 lanes each: a group's steps combine lane by lane, which is
one loop of vector operations that takes in the operations before it. Columns are their own lanes. What is left of a group
is reduced after that, and then the groups.

Invariant: each element is combined exactly once; only the order differs. It is for a CPU, for programs on one device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import primitives
from anima.lax.bitwise import bitwise_and, bitwise_xor, shift_right_arithmetic
from anima.lax.compare import ne
from anima.lax.convert import bitcast_convert_type
from anima.lax.create import full_like
from anima.lax.declare import lowered_by
from anima.lax.selection import select
from anima.lax.shape import dtype_of
from anima.lax.slicing import slice_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel

Reduce = Callable[[Value, tuple[int, ...]], Value]

LANES = 16  # elements; a vector of float32 on a processor with 512 bits, or two, or four
STEPS = 16  # of a group at most; of more the compiler does not unroll all, and each waits for the one before
STORED = 4096  # elements of an array that stands in memory; sums of fewer may be a part of a loop that becomes one function
SHORT = 64  # elements; rows that are shorter stay as they are
APART = 33  # groups of columns; at most 32 become one loop with what computes them, which has no vectors
ENOUGH = 65_536  # elements; smaller arrays take about the same time either way

_SUMMED = ("float32", "float64", "int32", "int64", "uint32", "uint64")
_KEYS = {"bfloat16": np.int16, "float16": np.int16, "float32": np.int32, "float64": np.int64}


def pays(ctx: Context, x: ShapedArray, axes: tuple[int, ...]) -> bool:
    """Whether a reduction of an array like `x` is quicker in lanes; for complex numbers it is not."""
    if not ctx.module.kernels_allowed or x.size < ENOUGH or dtypes.is_complex(x.dtype):
        return False
    _, size, inner = _seen_as(x.shape, axes)
    return size >= (SHORT if inner == 1 else 4 * APART) and (inner == 1 or inner >= LANES)


def in_lanes(ctx: Context, x: Value, axes: tuple[int, ...], operation: str, reduce: Reduce) -> Value:
    """Emit a reduction of an array for which it pays.

    Args:
      operation: the elementwise operation, associative and commutative.
      reduce: emits the reduction of a value over some axes as it stands.
    """
    lead, size, inner = _seen_as(x.shape, axes)
    y = _reshaped(ctx, x, (*lead, size, inner))
    ordered = _KEYS.get(x.dtype.name) if operation in ("max", "min") else None
    if ordered is not None:
        y = lowered_by(lambda v: _key(v, ordered, operation == "max"))(ctx, y)
    outer = tuple(a for a in axes if a < len(lead))
    groups, steps = _groups(size, 1 if inner > 1 else LANES)
    whole, rest = _divided(ctx, y, groups * steps, len(lead))
    y = reduce(_of_groups(ctx, whole, groups, reduce), (*outer, len(lead)))
    if rest is not None:
        last = reduce(rest, (*outer, len(lead)))
        y = lowered_by(lambda *both: primitives[operation].bind(*both))(ctx, y, last)
    if ordered is not None:
        y = lowered_by(lambda v: _from_key(v, x.dtype))(ctx, y)
    return _reshaped(ctx, y, tuple(n for d, n in enumerate(x.shape) if d not in axes))


def summed_by_kernel(ctx: Context, x: Value, axes: tuple[int, ...]) -> Value | None:
    """The sum of rows by the kernel, which takes in nothing of what computes their elements; None: it is not for this one."""
    lead, size, inner = _seen_as(x.shape, axes)
    if not (ctx.module.kernels_allowed and x.stored and x.dtype.name in _SUMMED):
        return None
    if inner > 1 or size < SHORT or math.prod(x.shape) < STORED:
        return None
    if any(a < len(lead) and x.shape[a] > 1 for a in axes):
        return None
    rows = _reshaped(ctx, x, (*lead, size))
    sums = call_kernel(ctx, "anima_reduce_sum", (rows,), [ShapedArray(lead, x.dtype)])[0]
    return _reshaped(ctx, sums, tuple(n for d, n in enumerate(x.shape) if d not in axes))


def _seen_as(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[tuple[int, ...], int, int]:
    """The shape in front of the last reduced dimensions that stand together, their size, and that of those behind them."""
    counted = [d for d, n in enumerate(shape) if n > 1 and d in axes]
    end = max(counted, default=-1) + 1
    start = next((d + 1 for d in reversed(range(end)) if d not in axes and shape[d] > 1), 0)
    return shape[:start], math.prod(shape[start:end]), math.prod(shape[end:])


def _groups(size: int, lanes: int) -> tuple[int, int]:
    """How many groups there are, and how many elements each has in all its lanes: so that few are left over."""
    most = min(STEPS, size // (lanes if lanes > 1 else APART))
    steps = min(range(most, most // 2, -1), key=lambda steps: size % (steps * lanes))
    return size // (steps * lanes), steps * lanes


def _of_groups(ctx: Context, y: Value, groups: int, reduce: Reduce) -> Value:
    """An element for each group in place of its elements; columns, if there are any, stay."""
    *lead, size, inner = y.shape
    axis = len(lead) + 1
    if inner > 1:
        sums = reduce(_reshaped(ctx, y, (*lead, groups, size // groups, inner)), (axis,))
    else:
        lanes = reduce(_reshaped(ctx, y, (*lead, groups, size // groups // LANES, LANES)), (axis,))
        sums = _reshaped(ctx, reduce(_fenced(ctx, lanes), (axis,)), (*lead, groups, 1))
    return _fenced(ctx, sums)


def _divided(ctx: Context, y: Value, place: int, axis: int) -> tuple[Value, Value | None]:
    if place == y.shape[axis]:
        return y, None
    return _slice(ctx, y, 0, place, axis), _slice(ctx, y, place, y.shape[axis], axis)


def _reshaped(ctx: Context, y: Value, shape: tuple[int, ...]) -> Value:
    return y if y.shape == shape else ctx.op("stablehlo.reshape", (y,), ShapedArray(shape, y.dtype))


def _slice(ctx: Context, y: Value, start: int, limit: int, axis: int) -> Value:
    return lowered_by(lambda v: slice_in_dim(v, start, limit, axis=axis))(ctx, y)


def _fenced(ctx: Context, y: Value) -> Value:
    """Without a fence the compiler makes one reduction of several again."""
    return ctx.op("stablehlo.optimization_barrier", (y,), y.aval)


# The maximum that keeps NaNs takes several instructions, one after the other, for a step. That of integers takes one.


def _key(x: Any, integer: Any, largest: bool) -> Any:
    """Integers in the order of the floats `x`, with NaN beyond the others on the side that is wanted."""
    dtype = dtype_of(x)
    nan = np.array(np.nan if largest else -np.nan).astype(dtype)
    bits = bitcast_convert_type(select(ne(x, x), full_like(x, nan), x), integer)
    return flipped(bits)


def _from_key(key: Any, dtype: Any) -> Any:
    return bitcast_convert_type(flipped(key), dtype)


def flipped(bits: Any) -> Any:
    """Floats' bits to integers in the same order, and back: all bits but the sign change where the sign is set."""
    info = np.iinfo(dtype_of(bits))
    sign = shift_right_arithmetic(bits, full_like(bits, info.bits - 1))
    return bitwise_xor(bits, bitwise_and(sign, full_like(bits, info.max)))
