"""The two products of rows that are divided into groups, as operations: what `ragged_dot_general` is made of.

Invariant: group `g` of matrix `p` is the rows from `starts[p, g]` up to `ends[p, g]`, in ascending order and without overlap;
rows in no group give zeros, or count for nothing. The two are each other's derivatives, so they have those of every order.

* `ragged_dot`: each row times its group's matrix: `(P, R, K), (Q, G, K, N) -> (P, R, N)`.
* `ragged_outer`: for each group the sum of the outer products of rows: `(P, R, K), (P, R, N) -> (Q, G, K, N)`.

`P` is a multiple of `Q`, and each of the `Q` sets of matrices belongs to `P // Q` consecutive sets of rows.

On one device, and on each device's blocks in `shard_map`, a loop goes through the rows in tiles, each within one group, so the
work is that of one product of all rows; where XLA divides arrays itself, all rows are multiplied by all matrices and selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.effects import no_effects
from anima.core.primitive import Primitive, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.jvp import stage_closed
from anima.interpreters.stage import unplaced
from anima.interpreters.zeros import add as add_zeros
from anima.lax.arithmetic import add, div, min as lax_min, rem
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import ge, lt
from anima.lax.contraction import dot_general_p, promoted_dtype
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota, full
from anima.lax.declare import ANY, SUBBYTE, check_dtype, declare, is_linear, widening
from anima.lax.precision import swapped
from anima.lax.reductions import reduce_sum
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, reshape, shape_of, transpose
from anima.lax.slicing import dynamic_slice, dynamic_update_slice
from anima.lowering.module import Context, Value

_INT = np.dtype(np.int32)
_MOST_ROWS = {"cpu": 128}  # of a tile; on other platforms, where each step costs more
_MOST_ROWS_ELSEWHERE = 512
_FEWEST_ROWS = 8
_WITHOUT_ZEROS_OR_BYTES = (
    *SUBBYTE,
    "float8_e8m0fnu",
)  # which the compiler does not select from, or which lack 0
_LEAST_WORK = (
    1 << 15
)  # multiplications of all rows by one matrix, below which a loop costs more than it saves

# --- shapes and dtypes ------------------------------------------------------------------------


def _check(name: str, lhs: ShapedArray, rhs: ShapedArray, preferred: Any) -> Any:
    """The dtype of the result."""
    check_dtype(name, lhs, ANY, "lhs")
    check_dtype(name, rhs, ANY, "rhs")
    return promoted_dtype(lhs.dtype, rhs.dtype) if preferred is None else preferred


def _dot_shape(
    lhs: ShapedArray,
    rhs: ShapedArray,
    starts: ShapedArray,
    ends: ShapedArray,
    *,
    precision: Any,
    preferred_element_type: Any,
) -> ShapedArray:
    dtype = _check("ragged_dot", lhs, rhs, preferred_element_type)
    return ShapedArray((*lhs.shape[:2], rhs.shape[3]), dtype)


def _outer_shape(
    lhs: ShapedArray,
    rhs: ShapedArray,
    starts: ShapedArray,
    ends: ShapedArray,
    *,
    sets: int,
    precision: Any,
    preferred_element_type: Any,
) -> ShapedArray:
    dtype = _check("ragged_outer", lhs, rhs, preferred_element_type)
    return ShapedArray((sets, starts.shape[1], lhs.shape[2], rhs.shape[2]), dtype)


def _summed_in(common: Any, out: Any) -> Any:
    """The dtype in which products are added up, before the result is converted to `out`."""
    if dtypes.is_complex(out):
        return out
    if dtypes.is_float(common):
        wide = dtypes.float32 if dtypes.itemsize_bits(common) < 32 else common
        keeps = dtypes.is_float(out) and dtypes.itemsize_bits(out) >= dtypes.itemsize_bits(wide)
        return out if keeps else wide
    if dtypes.is_bool(out) or (dtypes.is_int(out) and dtypes.itemsize_bits(out) < 32):
        return _INT
    if dtypes.is_float(out) and dtypes.itemsize_bits(out) < 32:
        return dtypes.float32
    return out


def _product(
    lhs: Any, rhs: Any, contract: tuple[int, int], batch: tuple[int, ...], precision: Any, dtype: Any
) -> Any:
    numbers = (((contract[0],), (contract[1],)), (batch, batch))
    return dot_general_p.bind(
        lhs, rhs, dimension_numbers=numbers, precision=precision, preferred_element_type=dtype
    )


# --- with every matrix ------------------------------------------------------------------------


def _mask(starts: Any, ends: Any, rows: int) -> Any:
    """Whether each row is in each group: shape `(P, R, G)`."""
    shape = (shape_of(starts)[0], rows, shape_of(starts)[1])
    places = broadcasted_iota(_INT, shape, 1)
    first, last = (broadcast_in_dim(x, shape, (0, 2)) for x in (starts, ends))
    return bitwise_and(ge(places, first), lt(places, last))


def _dense_dot(lhs: Any, rhs: Any, starts: Any, ends: Any, *, dtype: Any, precision: Any) -> Any:
    (p, r, k), (q, g, _, n) = shape_of(lhs), shape_of(rhs)
    rows = reshape(lhs, (q, p // q * r, k))
    products = reshape(_product(rows, rhs, (2, 2), (0,), precision, dtype), (p, r, g, n))
    chosen = broadcast_in_dim(_mask(starts, ends, r), (p, r, g, n), (0, 1, 2))
    return reduce_sum(select(chosen, products, full((p, r, g, n), 0, dtype)), (2,))


def _dense_outer(lhs: Any, rhs: Any, starts: Any, ends: Any, *, sets: int, dtype: Any, precision: Any) -> Any:
    (p, r, k), n, g = shape_of(lhs), shape_of(rhs)[2], shape_of(starts)[1]
    mask = _mask(starts, ends, r)

    def of_groups(x: Any, size: int) -> Any:
        """The rows of each group, and zeros for the others."""
        shape = (p, g, r, size)
        spread = broadcast_in_dim(x, shape, (0, 2, 3))
        return select(broadcast_in_dim(mask, shape, (0, 2, 1)), spread, full(shape, 0, dtype_of(x)))

    numbers = (((2,), (2,)), ((0, 1), (0, 1)))
    products = dot_general_p.bind(
        of_groups(lhs, k),
        of_groups(rhs, n),
        dimension_numbers=numbers,
        precision=precision,
        preferred_element_type=dtype,
    )
    return reduce_sum(reshape(products, (sets, p // sets, g, k, n)), (1,))


# --- in tiles ---------------------------------------------------------------------------------


def _tile_rows(rows: int, groups: int, platform: str) -> int:
    """How many rows a tile has: about as many as a group, so that few of them are idle."""
    most = _MOST_ROWS.get(platform, _MOST_ROWS_ELSEWHERE)
    wanted = 1 << max(rows // max(groups, 1) - 1, 1).bit_length()
    return min(rows, max(_FEWEST_ROWS, min(most, wanted)))


def _tile(x: Any, p: Any, first: Any, rows: int) -> Any:
    size = shape_of(x)[2]
    return reshape(dynamic_slice(x, (p, first, np.int32(0)), (1, rows, size)), (rows, size))


def _inside(first: Any, row: Any, end: Any, rows: int, columns: int) -> Any:
    """Which rows of a tile are not done yet and in the group."""
    places = add(broadcasted_iota(_INT, (rows, columns), 0), broadcast_in_dim(first, (rows, columns), ()))
    after, before = (broadcast_in_dim(x, (rows, columns), ()) for x in (row, end))
    return bitwise_and(ge(places, after), lt(places, before))


def _tiled_dot(tile: int, dtype: Any, precision: Any) -> Callable[..., list[Any]]:
    def step(row: Any, out: Any, p: Any, g: Any, end: Any, lhs: Any, rhs: Any) -> list[Any]:
        """The rows of one tile, which starts earlier where the array ends."""
        (count, rows, _), (sets, _, k, n) = shape_of(lhs), shape_of(rhs)
        first = lax_min(row, np.int32(rows - tile))
        zero = np.int32(0)
        matrix = reshape(
            dynamic_slice(rhs, (div(p, np.int32(count // sets)), g, zero, zero), (1, 1, k, n)), (k, n)
        )
        found = _product(_tile(lhs, p, first, tile), matrix, (1, 0), (), precision, dtype)
        mixed = select(_inside(first, row, end, tile, n), found, _tile(out, p, first, tile))
        out = dynamic_update_slice(out, reshape(mixed, (1, tile, n)), (p, first, zero))
        return [add(row, np.int32(tile)), out]

    return step


def _tiled_outer(tile: int, dtype: Any, precision: Any) -> Callable[..., list[Any]]:
    def step(row: Any, out: Any, p: Any, g: Any, end: Any, lhs: Any, rhs: Any) -> list[Any]:
        (count, rows, k), n, sets = shape_of(lhs), shape_of(rhs)[2], shape_of(out)[0]
        first = lax_min(row, np.int32(rows - tile))
        zero = np.int32(0)

        def part(x: Any, size: int) -> Any:
            chosen = _inside(first, row, end, tile, size)
            return select(chosen, _tile(x, p, first, tile), full((tile, size), 0, dtype_of(x)))

        found = _product(part(lhs, k), part(rhs, n), (0, 0), (), precision, dtype)
        at = (div(p, np.int32(count // sets)), g, zero, zero)
        total = add(dynamic_slice(out, at, (1, 1, k, n)), reshape(found, (1, 1, k, n)))
        return [add(row, np.int32(tile)), dynamic_update_slice(out, total, at)]

    return step


def _emit(ctx: Context, fun: Callable[..., Sequence[Any]], operands: Sequence[Value]) -> list[Value]:
    closed = stage_closed(fun, [v.aval for v in operands], "", unplaced)
    return ctx.jaxpr(closed.jaxpr, closed.consts, operands)


def _loop(ctx: Context, step: Callable[..., list[Any]], operands: Sequence[Value], out: ShapedArray) -> Value:
    """Go through the groups, and through the tiles of each; `step` does one tile."""
    lhs, rhs, starts, ends = operands
    count, groups = starts.shape
    rows = lhs.shape[1]

    def bounds(index: Any, starts: Any, ends: Any) -> list[Any]:
        p, g = div(index, np.int32(groups)), rem(index, np.int32(groups))
        pick = lambda x: reshape(dynamic_slice(x, (p, g), (1, 1)), ())
        return [p, g, pick(starts), lax_min(pick(ends), np.int32(rows))]

    def one_group(inner: Context, state: list[Value]) -> list[Value]:
        index, result = state
        p, g, start, end = _emit(inner, bounds, [index, starts, ends])
        _, result = inner.loop(
            [start, result],
            lambda ctx, args: _emit(ctx, lambda row, end: [lt(row, end)], [args[0], end])[0],
            lambda ctx, args: _emit(ctx, step, [*args, p, g, end, lhs, rhs]),
            no_effects,
        )
        return [*_emit(inner, lambda i: [add(i, np.int32(1))], [index]), result]

    nothing = _emit(ctx, lambda: [np.int32(0), full(out.shape, 0, out.dtype)], [])
    total = np.int32(count * groups)
    return ctx.loop(
        nothing, lambda ctx, args: _emit(ctx, lambda i: [lt(i, total)], args[:1])[0], one_group, no_effects
    )[1]


def _lower(
    ctx: Context,
    operands: Sequence[Value],
    dense: Callable[..., Any],
    tiled: Callable[..., Any],
    precision: Any,
    **more: Any,
) -> Value:
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)
    lhs, rhs, starts, _ = operands
    groups, rows = starts.shape[1], lhs.shape[1]
    dtype = _summed_in(promoted_dtype(lhs.dtype, rhs.dtype), out.dtype)
    if 0 in lhs.shape or 0 in rhs.shape or 0 in out.shape:
        return ctx.full(0, out)
    work = rows * lhs.shape[2] * rhs.shape[-1]
    if groups > 1 and ctx.module.for_one_device and work >= _LEAST_WORK:
        step = tiled(_tile_rows(rows, groups, ctx.module.platform), dtype, precision)
        found = _loop(ctx, step, operands, ShapedArray(out.shape, dtype))
    else:
        fun = lambda *xs: [dense(*xs, dtype=dtype, precision=precision, **more)]
        (found,) = _emit(ctx, fun, operands)
    return _emit(ctx, lambda x: [convert_element_type(x, out.dtype)], [found])[0]


def _dot_lower(ctx: Context, *operands: Value, precision: Any, preferred_element_type: Any) -> Value:
    return _lower(ctx, operands, _dense_dot, _tiled_dot, precision)


def _outer_lower(
    ctx: Context, *operands: Value, sets: int, precision: Any, preferred_element_type: Any
) -> Value:
    return _lower(ctx, operands, _dense_outer, _tiled_outer, precision, sets=sets)


# --- derivatives ------------------------------------------------------------------------------


def _bilinear_jvp(primitive: Callable[[], Primitive]) -> Callable[..., tuple[Any, Any]]:
    def jvp(primals: Any, tangents: Any, **params: Any) -> tuple[Any, Any]:
        lhs, rhs, starts, ends = primals
        t_lhs, t_rhs, *_ = tangents
        ans = primitive().bind(*primals, **params)
        typed = params | {"preferred_element_type": dtype_of(ans)}
        total: Any = Zero(aval_of(ans).tangent_aval())
        if type(t_lhs) is not Zero:
            total = primitive().bind(t_lhs, rhs, starts, ends, **typed)
        if type(t_rhs) is not Zero:
            total = add_zeros(total, primitive().bind(lhs, t_rhs, starts, ends, **typed))
        return ans, total

    return jvp


def _dot_transpose(
    ct: Any, lhs: Any, rhs: Any, starts: Any, ends: Any, *, precision: Any, preferred_element_type: Any
) -> list[Any]:
    if is_linear(lhs):
        found = ragged_dot_p.bind(
            ct,
            transpose(rhs, (0, 1, 3, 2)),
            starts,
            ends,
            precision=precision,
            preferred_element_type=lhs.dtype,
        )
        return [found, None, None, None]
    found = ragged_outer_p.bind(
        lhs,
        ct,
        starts,
        ends,
        sets=rhs.shape[0],
        precision=precision,
        preferred_element_type=rhs.dtype,
    )
    return [None, found, None, None]


def _outer_transpose(
    ct: Any,
    lhs: Any,
    rhs: Any,
    starts: Any,
    ends: Any,
    *,
    sets: int,
    precision: Any,
    preferred_element_type: Any,
) -> list[Any]:
    bind = ragged_dot_p.bind
    if is_linear(lhs):
        turned = transpose(ct, (0, 1, 3, 2))
        params = {"precision": swapped(precision), "preferred_element_type": lhs.dtype}
        return [bind(rhs, turned, starts, ends, **params), None, None, None]
    params = {"precision": precision, "preferred_element_type": rhs.dtype}
    return [None, bind(lhs, ct, starts, ends, **params), None, None]


# --- batching ---------------------------------------------------------------------------------


def _fronted(axis: Axis, x: Any, d: int | None) -> Any:
    """`x` with the mapped axis joined to its first one, from outside."""
    x = to_axis(x, d, 0, axis.size)
    size, first, *rest = shape_of(x)
    return reshape(x, (size * first, *rest))


def _within(axis: Axis, x: Any, d: int | None, sets: int) -> Any:
    """`x` with the mapped axis joined to its first one, inside each of the `sets` that share matrices."""
    x = to_axis(x, d, 0, axis.size)
    size, first, *rest = shape_of(x)
    parts = reshape(x, (size, sets, first // sets, *rest))
    order = (1, 0, *range(2, len(rest) + 3))
    return reshape(transpose(parts, order), (size * first, *rest))


def _widened(axis: Axis, x: Any, d: int) -> Any:
    """`x` with the mapped axis joined to its last one, from outside."""
    x = to_axis(x, d, len(shape_of(x)) - 2, axis.size)
    *outer, size, last = shape_of(x)
    return reshape(x, (*outer, size * last))


def _of_any_size(
    shape: Callable[..., ShapedArray], rule: Callable[..., tuple[Any, int]]
) -> Callable[..., Any]:
    """A rule for batches of no examples, too: their results cannot be told from one another by dividing sizes."""

    def batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
        if axis.size:
            return rule(axis, args, dims, **params)
        shapes = [tuple(n for i, n in enumerate(shape_of(x)) if i != d) for x, d in zip(args, dims)]
        out = shape(*(ShapedArray(s, dtype_of(x)) for s, x in zip(shapes, args)), **params)
        return full((0, *out.shape), 0, out.dtype), 0

    return batch


def _dot_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    lhs, rhs, starts, ends = args
    lhs_dim, rhs_dim, *bound_dims = dims
    if lhs_dim is None and all(d is None for d in bound_dims):
        out = ragged_dot_p.bind(lhs, _widened(axis, rhs, rhs_dim), starts, ends, **params)
        p, r, wide = shape_of(out)
        return reshape(out, (p, r, axis.size, wide // axis.size)), 2
    if rhs_dim is None:
        sets = shape_of(rhs)[0]
        spread = [_within(axis, x, d, sets) for x, d in ((lhs, lhs_dim), *zip((starts, ends), bound_dims))]
        out = ragged_dot_p.bind(spread[0], rhs, *spread[1:], **params)
        p, r, n = shape_of(out)
        apart = reshape(out, (sets, axis.size, p // (sets * axis.size), r, n))
        return reshape(transpose(apart, (1, 0, 2, 3, 4)), (axis.size, p // axis.size, r, n)), 0
    out = ragged_dot_p.bind(*[_fronted(axis, x, d) for x, d in zip(args, dims)], **params)
    return reshape(out, (axis.size, shape_of(out)[0] // axis.size, *shape_of(out)[1:])), 0


def _outer_batch(axis: Axis, args: Any, dims: Any, *, sets: int, **params: Any) -> tuple[Any, int]:
    lhs, rhs, starts, ends = args
    lhs_dim, rhs_dim, *bound_dims = dims
    if all(d is None for d in bound_dims) and (lhs_dim is None) != (rhs_dim is None):
        if lhs_dim is not None:
            lhs = _widened(axis, lhs, lhs_dim)
        else:
            rhs = _widened(axis, rhs, rhs_dim)
        out = ragged_outer_p.bind(lhs, rhs, starts, ends, sets=sets, **params)
        q, g, k, n = shape_of(out)
        if lhs_dim is not None:
            return reshape(out, (q, g, axis.size, k // axis.size, n)), 2
        return reshape(out, (q, g, k, axis.size, n // axis.size)), 3
    spread = [_fronted(axis, x, d) for x, d in zip(args, dims)]
    out = ragged_outer_p.bind(*spread, sets=sets * axis.size, **params)
    return reshape(out, (axis.size, sets, *shape_of(out)[1:])), 0


ragged_dot_p: Primitive = declare(
    "ragged_dot",
    shape=_dot_shape,
    lower=widening(_WITHOUT_ZEROS_OR_BYTES, _dot_lower),
    jvp=_bilinear_jvp(lambda: ragged_dot_p),
    transpose=_dot_transpose,
    batch=_of_any_size(_dot_shape, _dot_batch),
    dtypes=ANY,
)

ragged_outer_p: Primitive = declare(
    "ragged_outer",
    shape=_outer_shape,
    lower=widening(_WITHOUT_ZEROS_OR_BYTES, _outer_lower),
    jvp=_bilinear_jvp(lambda: ragged_outer_p),
    transpose=_outer_transpose,
    batch=_of_any_size(_outer_shape, _outer_batch),
    dtypes=ANY,
)
