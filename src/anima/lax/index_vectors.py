"""The index vectors of a scatter, as the program gets them.

Invariant: each function gives vectors that stand for the same places, up to what its mode says of windows that do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.lax.gathering import ScatterDimensionNumbers
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array


def window_sizes(
    updates_shape: Sequence[int], numbers: ScatterDimensionNumbers, shape: Sequence[int]
) -> tuple[int, ...]:
    """The size of an update's window in each dimension of the operand, which has this shape: 0 for a batch of nothing."""
    sizes = dict.fromkeys(numbers.inserted_window_dims, 1)
    sizes |= {d: min(1, shape[d]) for d in numbers.operand_batching_dims}
    others = iter([updates_shape[d] for d in numbers.update_window_dims])
    return tuple(sizes[d] if d in sizes else next(others) for d in range(len(shape)))


def clipped(
    ctx: Context, x: Value, indices: Value, updates: Value, numbers: ScatterDimensionNumbers
) -> Value:
    """The indices moved to where the windows fit."""
    window = window_sizes(updates.shape, numbers, x.shape)
    top = int(np.iinfo(indices.dtype).max)
    limits = [min(x.shape[d] - window[d], top) for d in numbers.scatter_dims_to_operand_dims]
    aval = indices.aval
    assert isinstance(aval, ShapedArray)
    vector = ctx.constant(np.array(limits, indices.dtype), ShapedArray((len(limits),), indices.dtype))
    attrs = f"broadcast_dimensions = array<i64: {indices.ndim - 1}>"
    high = ctx.op("stablehlo.broadcast_in_dim", (vector,), aval, attrs)
    return ctx.op("stablehlo.clamp", (ctx.full(0, aval), indices, high), aval)


def in_order(ctx: Context, indices: Value, params: dict[str, Any]) -> tuple[Value, dict[str, Any]]:
    """Index vectors for all leading dimensions of the operand, in order, and the parameters to go with them.

    XLA's CPU compiler transposes the operand, and its result back, where index vectors leave out a dimension before the
    last one that they have, or permute them: two copies of the whole array for an update of a few columns. So a dimension
    that is left out gets the index that it stands for, zero.
    """
    numbers: ScatterDimensionNumbers = params["dimension_numbers"]
    index_map = numbers.scatter_dims_to_operand_dims
    last = max(index_map, default=-1)
    wanted = tuple(d for d in range(last + 1) if d not in numbers.operand_batching_dims)
    if wanted == index_map:
        return indices, params
    stays_sorted = params["indices_are_sorted"] and list(index_map) == sorted(index_map)
    indices = with_columns(ctx, indices, numbers, wanted)
    numbers = numbers._replace(scatter_dims_to_operand_dims=wanted)
    return indices, {**params, "dimension_numbers": numbers, "indices_are_sorted": stays_sorted}


def with_columns(
    ctx: Context, indices: Value, numbers: ScatterDimensionNumbers, wanted: Sequence[int]
) -> Value:
    """Index vectors for just these dimensions of the operand."""
    batch = indices.shape[:-1]
    column = ShapedArray((*batch, 1), indices.dtype)
    columns = []
    for d in wanted:
        if d in numbers.operand_batching_dims:
            along = numbers.scatter_indices_batching_dims[numbers.operand_batching_dims.index(d)]
            columns.append(ctx.op("stablehlo.iota", (), column, f"iota_dimension = {along} : i64"))
        elif d not in numbers.scatter_dims_to_operand_dims:
            columns.append(ctx.full(0, column))
        else:
            place = numbers.scatter_dims_to_operand_dims.index(d)
            attrs = (
                f"start_indices = {i64_array((*[0] * len(batch), place))}, "
                f"limit_indices = {i64_array((*batch, place + 1))}, strides = {i64_array([1] * indices.ndim)}"
            )
            columns.append(ctx.op("stablehlo.slice", (indices,), column, attrs))
    whole = ShapedArray((*batch, len(wanted)), indices.dtype)
    return ctx.op("stablehlo.concatenate", columns, whole, f"dimension = {len(batch)} : i64")
