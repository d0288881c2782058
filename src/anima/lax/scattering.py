"""Scattering updates to computed places.

Invariant: updates whose window does not lie inside the operand are dropped by XLA; the mode `CLIP` moves their
indices first. Where places coincide, updates combine in an unspecified order; derivatives are exact all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive, Zero, primitives
from anima.core.trace import aval_of
from anima.errors import MissingRuleError
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.key_reuse import moved
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import add, div, mul, neg
from anima.lax.compare import eq
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota
from anima.lax.declare import (
    ANY,
    NUMERIC,
    check_dtype,
    declare,
    is_linear,
    operand as as_operand,
    same_dtypes,
)
from anima.lax.gathering import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    check_dims,
    check_indices,
    dimensions,
    gather_p,
    index_array,
    structured,
)
from anima.lax.index_vectors import clipped, in_order, window_sizes, with_columns
from anima.lax.keeping import computed_once
from anima.lax.overwriting import overwrites, overwritten
from anima.lax.row_updates import rows_added
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, inner_shape, reshape, shape_of
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

# --- what scatters have in common -------------------------------------------------------------


def _scatter_shape(name: str, accepts: tuple[str, ...]) -> Callable[..., ShapedArray]:
    def shape(x: ShapedArray, indices: ShapedArray, updates: ShapedArray, **params: Any) -> ShapedArray:
        numbers: ScatterDimensionNumbers = params["dimension_numbers"]
        same_dtypes(name, (x, updates))
        if name != "scatter" or isinstance(
            x.dtype, np.dtype
        ):  # random keys can be replaced, but not combined
            check_dtype(name, x, accepts)
        _check_numbers(name, x, indices, updates, numbers)
        return ShapedArray(x.shape, x.dtype, x.weak_type)

    return shape


def _check_numbers(
    name: str, x: ShapedArray, indices: ShapedArray, updates: ShapedArray, numbers: ScatterDimensionNumbers
) -> None:
    window_dims, inserted, index_map, x_batch, index_batch = numbers
    check_indices(name, x, indices, index_map, x_batch, index_batch)
    check_dims(name, "update_window_dims", window_dims, updates.ndim)
    check_dims(name, "inserted_window_dims", inserted, x.ndim)
    if set(inserted) & set(x_batch):
        raise TypeError(
            f"{name}: inserted_window_dims {inserted} and operand_batching_dims {x_batch} overlap"
        )
    if len(window_dims) + len(inserted) + len(x_batch) != x.ndim:
        raise TypeError(
            f"{name}: update_window_dims {window_dims}, inserted_window_dims {inserted} and operand_batching_dims "
            f"{x_batch} must together be as many as the operand's dimensions, {x.ndim}"
        )
    batch = tuple(size for d, size in enumerate(updates.shape) if d not in window_dims)
    if batch != indices.shape[:-1]:
        raise TypeError(
            f"{name}: updates of shape {updates.shape} with update_window_dims {window_dims} have shape {batch} "
            f"outside the windows; indices of shape {indices.shape} want {indices.shape[:-1]}"
        )
    window = window_sizes(updates.shape, numbers, x.shape)
    if any(size > n for d, (size, n) in enumerate(zip(window, x.shape)) if d not in inserted):
        raise TypeError(f"{name}: windows of shape {window} exceed the operand's shape {x.shape}")


def _attributes(x: Value, indices: Value, updates: Value, **params: Any) -> str:
    window_dims, inserted, index_map, x_batch, index_batch = params["dimension_numbers"]
    inner = range(updates.ndim, updates.ndim + len(inner_shape(x)))
    fields = {
        "update_window_dims": (*window_dims, *inner),
        "inserted_window_dims": inserted,
        "input_batching_dims": x_batch,
        "scatter_indices_batching_dims": index_batch,
        "scatter_dims_to_operand_dims": index_map,
    }
    numbers = structured(fields, f"index_vector_dim = {indices.ndim - 1}")
    return (
        f"scatter_dimension_numbers = #stablehlo.scatter<{numbers}>, "
        f"indices_are_sorted = {str(params['indices_are_sorted']).lower()}, "
        f"unique_indices = {str(params['unique_indices']).lower()}"
    )


def scatter_lower(combine: Callable[..., Value]) -> Callable[..., Value]:
    """The lowering rule of a scatter that combines old and new elements with `combine(ctx, old, new, **params)`."""

    def lower(ctx: Context, x: Value, indices: Value, updates: Value, **params: Any) -> Value:
        out = ctx.out_avals[0]
        if 0 in indices.shape[:-1]:
            return Value(x.name, out)
        if params["mode"] is GatherScatterMode.CLIP:
            indices = clipped(ctx, x, indices, updates, params["dimension_numbers"])
        if ctx.module.platform == "cpu" and ctx.module.for_one_device:
            indices, params = in_order(ctx, indices, params)
        scalar = ShapedArray((), x.dtype)
        if inner_shape(x):
            scalar = ShapedArray((), x.dtype.physical_dtype)
        body = ctx.region(
            [scalar, scalar], lambda inner, ab: [_in_region(inner, scalar, combine, ab, params)]
        )
        return ctx.op(
            "stablehlo.scatter",
            (x, indices, updates),
            out,
            _attributes(x, indices, updates, **params),
            [body],
        )

    return lower


def _in_region(ctx: Context, scalar: ShapedArray, combine: Any, operands: Any, params: Any) -> Value:
    ctx.out_avals = [scalar]
    return combine(ctx, *operands, **params)


def _scatter_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    primitive: Primitive = params.pop("_primitive")
    numbers: ScatterDimensionNumbers = params.pop("dimension_numbers")
    x, indices, updates = args
    x_dim, index_dim, update_dim = dims
    x, updates = to_axis(x, x_dim, 0, axis.size), to_axis(updates, update_dim, 0, axis.size)
    window_dims, inserted, index_map, x_batch, index_batch = (tuple(d + 1 for d in ds) for ds in numbers)
    if index_dim is None:  # one more dimension of every window
        index_batch = tuple(numbers.scatter_indices_batching_dims)
        window_dims = (0, *window_dims)
    else:
        indices = hooks.move_axis(indices, index_dim, 0)
        x_batch, index_batch = (0, *x_batch), (0, *index_batch)
    numbers = ScatterDimensionNumbers(window_dims, inserted, index_map, x_batch, index_batch)
    return primitive.bind(x, indices, updates, dimension_numbers=numbers, **params), 0


def gather_at(x: Any, indices: Any, window: tuple[int, ...], fill: Any, params: dict[str, Any]) -> Any:
    """What stands at the places that a scatter with these parameters writes to; `fill` for those it drops."""
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=GatherDimensionNumbers(*params["dimension_numbers"]),
        slice_sizes=window,
        unique_indices=params["unique_indices"],
        indices_are_sorted=params["indices_are_sorted"],
        mode=params["mode"],
        fill_value=fill if params["mode"] is GatherScatterMode.FILL_OR_DROP else None,
    )


def update_window(x: Any, updates: Any, params: dict[str, Any]) -> tuple[int, ...]:
    """The size of an update's window in each dimension of `x`, for operands of a scatter with these parameters."""
    shapes = [v.shape if is_linear(v) else shape_of(v) for v in (x, updates)]
    return window_sizes(shapes[1], params["dimension_numbers"], shapes[0])


def scatter_operation(
    name: str,
    lower: Callable[..., Value],
    accepts: tuple[str, ...],
    jvp: Any,
    transpose: Any,
    keys: Any = None,
) -> Primitive:
    """A scatter with this lowering rule and these derivatives."""

    def batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
        return _scatter_batch(axis, args, dims, _primitive=primitive, **params)

    primitive = declare(
        name,
        shape=_scatter_shape(name.replace("-", "_"), accepts),
        lower=lower,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        keys=keys,
        dtypes=accepts,
    )
    return primitive


def _combining(name: str) -> Callable[..., Value]:
    def combine(ctx: Context, old: Value, new: Value, **params: Any) -> Value:
        return primitives[name].lower(ctx, old, new)

    return scatter_lower(combine)


# --- scatter_add, scatter_sub: linear in both -------------------------------------------------


def _additive_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    primitive: Primitive = params.pop("_primitive")
    x, indices, updates = primals
    ans = primitive.bind(x, indices, updates, **params)
    t, _, tu = tangents
    if type(tu) is Zero:
        return ans, t
    return ans, primitive.bind(instantiate(t), indices, tu, **params)


def _additive_transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> list[Any]:
    primitive: Primitive = params.pop("_primitive")
    ct_updates = None
    if is_linear(updates):
        ct_updates = gather_at(ct, indices, update_window(x, updates, params), 0, params)
        ct_updates = neg(ct_updates) if primitive is scatter_sub_p else ct_updates
    return [ct if is_linear(x) else None, None, ct_updates]


def _additive(name: str, operation: str) -> Primitive:
    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        return _additive_jvp(primals, tangents, _primitive=primitive, **params)

    def transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> list[Any]:
        return _additive_transpose(ct, x, indices, updates, _primitive=primitive, **params)

    lower = _add_lower if operation == "add" else _combining(operation)
    primitive = scatter_operation(name, lower, NUMERIC, jvp, transpose)
    return primitive


def _add_lower(ctx: Context, *operands: Value, **params: Any) -> Value:
    added = rows_added(ctx, *operands, **params)
    return (
        _combining("add")(ctx, *operands, **params) if added is None else Value(added.name, ctx.out_avals[0])
    )


scatter_add_p = _additive("scatter-add", "add")
scatter_sub_p = _additive("scatter-sub", "sub")

# --- scatter_mul ------------------------------------------------------------------------------


def _mul_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    x, indices, updates = primals
    ans = scatter_mul_p.bind(x, indices, updates, **params)
    t, _, tu = tangents
    total: Any = Zero(aval_of(ans).tangent_aval())
    if type(t) is not Zero:
        total = scatter_mul_p.bind(t, indices, updates, **params)
    if type(tu) is not Zero:
        if not params["unique_indices"]:
            raise MissingRuleError(
                "scatter_mul: the derivative with respect to the updates is known for unique_indices=True only"
            )
        old = gather_at(x, indices, update_window(x, updates, params), 0, params)
        zeros = hooks.zeros(aval_of(ans))
        part = scatter_add_p.bind(zeros, indices, mul(tu, old), **params)
        total = part if type(total) is Zero else add(total, part)
    return ans, total


scatter_mul_p: Primitive = scatter_operation(
    "scatter-mul",
    _combining("mul"),
    NUMERIC,
    _mul_jvp,
    lambda ct, x, indices, updates, **params: [
        scatter_mul_p.bind(ct, indices, updates, **params),
        None,
        None,
    ],
)

# --- scatter_min, scatter_max -----------------------------------------------------------------


def _extremal(name: str, operation: str) -> Primitive:
    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        x, indices, updates = primals
        t, _, tu = tangents
        if type(t) is Zero and type(tu) is Zero:
            ans = primitive.bind(x, indices, updates, **params)
            return ans, Zero(aval_of(ans).tangent_aval())
        # All that equal the extremum share its tangent evenly.
        x, updates = computed_once(x), computed_once(updates)
        ans = primitive.bind(x, indices, updates, **params)
        dtype = dtype_of(x)
        x_wins = convert_element_type(eq(x, ans), dtype)
        u_wins = convert_element_type(
            eq(updates, gather_at(ans, indices, update_window(x, updates, params), 0, params)), dtype
        )
        count = scatter_add_p.bind(x_wins, indices, u_wins, **params)
        total: Any = hooks.zeros(aval_of(ans)) if type(t) is Zero else mul(t, x_wins)
        if type(tu) is not Zero:
            total = scatter_add_p.bind(total, indices, mul(tu, u_wins), **params)
        return ans, div(total, count)

    primitive = scatter_operation(name, _combining(operation), ANY, jvp, Missing("it is not linear"))
    return primitive


scatter_min_p = _extremal("scatter-min", "min")
scatter_max_p = _extremal("scatter-max", "max")

# --- scatter ----------------------------------------------------------------------------------


def _set_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
    x, indices, updates = primals
    t, _, tu = tangents
    ans = scatter_p.bind(x, indices, updates, **params)
    if type(t) is Zero and type(tu) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    if type(tu) is Zero or params["unique_indices"]:
        return ans, scatter_p.bind(instantiate(t), indices, instantiate(tu), **params)
    # Which of several updates of one place wins is not specified: write numbers, and read who is there. The tangents
    # of the winners are then added to an operand that is zero wherever something was written.
    shape = shape_of(updates)
    window = params["dimension_numbers"].update_window_dims
    batch = tuple(n for d, n in enumerate(shape) if d not in window)
    numbers = _numbers(batch)
    ids = broadcast_in_dim(numbers, shape, [d for d in range(len(shape)) if d not in window])
    written = scatter_p.bind(broadcast_in_dim(np.int32(-1), shape_of(x), ()), indices, ids, **params)
    mine = eq(ids, gather_at(written, indices, update_window(x, updates, params), -2, params))
    kept = select(eq(written, np.int32(-1)), instantiate(t), hooks.zeros(aval_of(ans).tangent_aval()))
    won = select(mine, tu, hooks.zeros(aval_of(tu)))
    return ans, scatter_add_p.bind(kept, indices, won, **params)


def _numbers(shape: tuple[int, ...]) -> Any:
    """0, 1, 2, ... in the given shape."""
    size = int(np.prod(shape, dtype=np.int64))
    return reshape(broadcasted_iota(np.int32, (size,), 0), shape)


def _set_transpose(ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> list[Any]:
    # Linear use comes from `_set_jvp`, with places that are unique, or with updates that are zero.
    ct_x = ct_updates = None
    if is_linear(x):
        zeros = hooks.zeros(updates.aval if is_linear(updates) else aval_of(updates))
        ct_x = scatter_p.bind(ct, indices, zeros, **params)
    if is_linear(updates):
        ct_updates = gather_at(ct, indices, update_window(x, updates, params), 0, params)
    return [ct_x, None, ct_updates]


def _set_lower(ctx: Context, x: Value, indices: Value, updates: Value, **params: Any) -> Value:
    numbers: ScatterDimensionNumbers = params["dimension_numbers"]
    dims = range(max((*numbers.scatter_dims_to_operand_dims, *numbers.operand_batching_dims), default=-1) + 1)
    if not dims or not overwrites(ctx, x, [indices]):
        return _replace_lower(ctx, x, indices, updates, **params)
    starts = with_columns(ctx, indices, numbers, dims)
    count = math.prod(indices.shape[:-1])
    starts = ctx.op("stablehlo.reshape", (starts,), ShapedArray((count, len(dims)), starts.dtype))
    window_dims = numbers.update_window_dims
    order = (*[d for d in range(updates.ndim) if d not in window_dims], *window_dims)
    turned = ShapedArray(tuple(updates.shape[d] for d in order), updates.dtype)
    windows = window_sizes(updates.shape, numbers, x.shape)
    if order != tuple(range(updates.ndim)):
        updates = ctx.op("stablehlo.transpose", (updates,), turned, f"permutation = {i64_array(order)}")
    updates = ctx.op("stablehlo.reshape", (updates,), ShapedArray((count, *windows), updates.dtype))
    out = overwritten(ctx, x, starts, updates, params["mode"] is GatherScatterMode.CLIP)
    return Value(out.name, ctx.out_avals[0])


_replace_lower = scatter_lower(lambda ctx, old, new, **params: new)
scatter_p = scatter_operation("scatter", _set_lower, ANY, _set_jvp, _set_transpose, moved)

# --- the public functions ---------------------------------------------------------------------


def bind_scatter(
    primitive: Primitive,
    name: str,
    operand: Any,
    indices: Any,
    updates: Any,
    numbers: Any,
    flags: dict[str, Any],
    **more: Any,
) -> Any:
    """Apply a scatter to what the user gave."""
    return primitive.bind(
        as_operand(operand),
        index_array(name, indices, "scatter_indices"),
        as_operand(updates),
        dimension_numbers=ScatterDimensionNumbers(*dimensions(name, ScatterDimensionNumbers, numbers)),
        indices_are_sorted=bool(flags["indices_are_sorted"]),
        unique_indices=bool(flags["unique_indices"]),
        mode=GatherScatterMode.from_any(flags["mode"]),
        **more,
    )


def scatter(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with windows of it replaced by updates; where windows overlap, one of the updates wins.

    Args:
      operand: an array.
      scatter_indices: integers; index vectors along the last dimension, each the place of one window.
      updates: an array of the operand's dtype, a window for each index vector.
      dimension_numbers: which dimensions of operand, indices and updates belong together.
      indices_are_sorted: a promise that the index vectors are in lexical order.
      unique_indices: a promise that windows do not overlap.
      mode: what happens to windows out of bounds: "drop" (the default), "clip" or "promise_in_bounds".
    Raises:
      TypeError: dtypes, shapes and dimension numbers do not fit. ValueError: there is no such mode.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> places = lax.expand_dims(lax.iota("int32", 2), (1,))
    >>> print(lax.scatter(lax.full((3,), 5.0), places, lax.full((2,), 1.0), numbers))
    [1. 1. 5.]
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(scatter_p, "scatter", operand, scatter_indices, updates, dimension_numbers, flags)


def scatter_add(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with updates added to windows of it. The arguments are those of `scatter`; the dtype is numeric.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> places = lax.full((2, 1), 1)
    >>> print(lax.scatter_add(lax.full((3,), 5.0), places, lax.full((2,), 1.0), numbers))
    [5. 7. 5.]
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(
        scatter_add_p, "scatter_add", operand, scatter_indices, updates, dimension_numbers, flags
    )


def scatter_sub(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with updates subtracted from windows of it. The arguments are those of `scatter_add`.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> places = lax.full((2, 1), 1)
    >>> print(lax.scatter_sub(lax.full((3,), 5.0), places, lax.full((2,), 1.0), numbers))
    [5. 3. 5.]
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(
        scatter_sub_p, "scatter_sub", operand, scatter_indices, updates, dimension_numbers, flags
    )


def scatter_mul(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with windows of it multiplied by updates. The arguments are those of `scatter_add`.

    The derivative with respect to the updates needs `unique_indices`.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> places = lax.full((2, 1), 1)
    >>> print(lax.scatter_mul(lax.full((3,), 5.0), places, lax.full((2,), 2.0), numbers))
    [ 5. 20.  5.]
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(
        scatter_mul_p, "scatter_mul", operand, scatter_indices, updates, dimension_numbers, flags
    )


def scatter_min(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with windows of it bounded above by updates. The arguments are those of `scatter`.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> places = lax.full((2, 1), 1)
    >>> print(lax.scatter_min(lax.full((3,), 5.0), places, lax.full((2,), 2.0), numbers))
    [5. 2. 5.]
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(
        scatter_min_p, "scatter_min", operand, scatter_indices, updates, dimension_numbers, flags
    )


def scatter_max(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with windows of it bounded below by updates. The arguments are those of `scatter`.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> places = lax.full((2, 1), 1)
    >>> print(lax.scatter_max(lax.full((3,), 5.0), places, lax.full((2,), 8.0), numbers))
    [5. 8. 5.]
    """
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(
        scatter_max_p, "scatter_max", operand, scatter_indices, updates, dimension_numbers, flags
    )
