"""Rows of updates added to rows of an array by the kernel: each thread adds some of their columns.

Invariant: each row of the array gets its updates in their order, one after the other, as by XLA's loop: the bits are the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.lax.gathering import GatherScatterMode, ScatterDimensionNumbers
from anima.lax.index_vectors import window_sizes, with_columns
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel

_ADDED = ("float32", "float64", "complex64", "complex128", "int32", "int64", "uint32", "uint64")
# Elements of the updates, bytes of a row, and of the array, from which on several threads share them. XLA's loop is as good for
# others, and better where the array stays in the cache.
_ENOUGH, _ROW_BYTES, _LARGE = 1 << 16, 256, 1 << 20
_MOST = 1 << 31  # rows


def rows_added(ctx: Context, x: Value, indices: Value, updates: Value, **params: Any) -> Value | None:
    """A scatter that adds, by the kernel; None: its windows are not rows, or few.

    Args:
      ctx: where.
      x, indices, updates, params: the operands and parameters of the scatter.
    """
    numbers: ScatterDimensionNumbers = params["dimension_numbers"]
    window_dims = numbers.update_window_dims
    picked = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    depth = len(picked)
    rows, count = math.prod(x.shape[:depth]), math.prod(indices.shape[:-1])
    if (
        not (ctx.module.kernels_allowed and isinstance(x.dtype, np.dtype) and x.dtype.name in _ADDED)
        or indices.dtype == np.uint64
        or picked != set(range(depth))
        or picked != {*numbers.scatter_dims_to_operand_dims, *numbers.operand_batching_dims}
        or window_dims != tuple(range(updates.ndim - len(window_dims), updates.ndim))
        or window_sizes(updates.shape, numbers, x.shape)[depth:] != x.shape[depth:]
        or math.prod(updates.shape) < _ENOUGH
        or math.prod(x.shape[depth:]) * x.dtype.itemsize < _ROW_BYTES
        or math.prod(x.shape) * x.dtype.itemsize < _LARGE
        or not depth
        or max(rows, count) >= _MOST
    ):
        return None
    starts = with_columns(ctx, indices, numbers, range(depth))
    small = starts.dtype.itemsize < 4 or starts.dtype == np.int32
    starts = ctx.op(
        "stablehlo.convert", (starts,), ShapedArray(starts.shape, np.dtype(np.int32 if small else np.int64))
    )
    starts = ctx.op("stablehlo.reshape", (starts,), ShapedArray((count, depth), starts.dtype))
    updates = ctx.op("stablehlo.reshape", (updates,), ShapedArray((count, *x.shape[depth:]), updates.dtype))
    clamp = {"clamp": params["mode"] is GatherScatterMode.CLIP}
    in_place = {} if x.borrowed else {0: 0}
    return call_kernel(ctx, "anima_scatter_add", (x, starts, updates), [x.aval], clamp, in_place)[0]
