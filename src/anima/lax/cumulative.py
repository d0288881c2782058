"""Running sums, products, extrema and log-sum-exps, and the linear recurrence that their derivatives are.

Invariant: in the reverse direction everything runs from the last element to the first; "previous" below means previous in
the direction of running. Derivatives are exact also where elements are zero or tie.

On CPUs kernels run them (`native/kernels/scan.cc`): sums and products of float32 numbers and narrower ones in double precision, so
that each is rounded once, those of float64 numbers with the sum of their rounding errors beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval
from anima.core.host import WHOLE, KernelCall, calling
from anima.core.primitive import Missing, Primitive, Zero, primitives
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.zeros import add as add_zeros
from anima.lax.arithmetic import add, div, mul, sub
from anima.lax.compare import eq, is_finite
from anima.lax.complex_parts import complex, real
from anima.lax.convert import convert_element_type
from anima.lax.declare import (
    COMPLEX,
    INEXACT,
    NUMERIC,
    SUBBYTE,
    check_dtype,
    combining_region,
    comparison,
    declare,
    in_float32,
    jvp_linear,
    lowered_by,
    operand as as_operand,
    widening,
)
from anima.lax.exponential import exp, log
from anima.lax.joining import pad_p
from anima.lax.keeping import computed_once
from anima.lax.reductions import NO_ZERO, identity
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, check_axes, dtype_of, reshape, shape_of
from anima.lax.slicing import index_in_dim, slice_in_dim
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.runtime.kernels import call_kernel

# A running reduction is done in blocks of this size, then over the blocks' totals, and so on: XLA evaluates a window as
# many times as it is long. Blocks of 16 were best or near it on CPU for 100 to 1M elements, alone and in rows.
_BLOCK = 16

# --- what running reductions have in common ---------------------------------------------------


def previous(x: Any, axis: int, reverse: bool, first: Any) -> Any:
    """`x` moved on by one place along `axis`: each element's predecessor, `first` for the one that has none."""
    config = [(0, 0, 0)] * len(shape_of(x))
    config[axis] = (-1, 1, 0) if reverse else (1, -1, 0)
    fill = dtype_of(x).type(first)
    return pad_p.bind(x, fill, padding_config=tuple(config))


def _split_blocks(x: Any, axis: int, reverse: bool, length: int, fill: Any) -> Any:
    """`x` with `axis` split into blocks (filled up where the running ends) and places in the block."""
    shape = shape_of(x)
    blocks = -(-shape[axis] // length)
    missing = blocks * length - shape[axis]
    if missing:
        config = [(0, 0, 0)] * len(shape)
        config[axis] = (missing, 0, 0) if reverse else (0, missing, 0)
        x = pad_p.bind(x, dtype_of(x).type(fill), padding_config=tuple(config))
    return reshape(x, (*shape[:axis], blocks, length, *shape[axis + 1 :]))


def _join_blocks(x: Any, axis: int, reverse: bool, size: int) -> Any:
    """The inverse of `_split_blocks`."""
    shape = shape_of(x)
    total = shape[axis] * shape[axis + 1]
    x = reshape(x, (*shape[:axis], total, *shape[axis + 2 :]))
    return slice_in_dim(x, total - size if reverse else 0, total if reverse else size, axis=axis)


def _totals(x: Any, axis: int, reverse: bool) -> Any:
    """The last element of each block in the direction of running."""
    return index_in_dim(x, 0 if reverse else -1, axis + 1, keepdims=False)


def _spread(totals: Any, like: Any, axis: int) -> Any:
    """One value for each block, repeated over its places."""
    shape = shape_of(like)
    return broadcast_in_dim(totals, shape, [d for d in range(len(shape)) if d != axis + 1])


def _windows(ctx: Context, x: Value, operation: str, axis: int, reverse: bool) -> Value:
    """The running reduction by one window for each element."""
    size = x.shape[axis]
    scalar = ShapedArray((), x.dtype)
    init = ctx.constant(np.asarray(identity(operation, x.dtype), x.dtype), scalar)
    body = combining_region(ctx, operation, scalar.dtype)
    window = [size if d == axis else 1 for d in range(x.ndim)]
    edges = [((0, size - 1) if reverse else (size - 1, 0)) if d == axis else (0, 0) for d in range(x.ndim)]
    pairs = ", ".join(f"[{lo}, {hi}]" for lo, hi in edges)
    attrs = (
        f"window_dimensions = {i64_array(window)}, window_strides = {i64_array([1] * x.ndim)}, "
        f"padding = dense<[{pairs}]> : tensor<{x.ndim}x2xi64>"
    )
    return ctx.op("stablehlo.reduce_window", (x, init), x.aval, attrs, [body])


def _kernel(name: str, without: tuple[str, ...], lower: Callable[..., Value]) -> Callable[..., Value]:
    """The lowering rule that calls a kernel where it may, except for the dtypes `without` one; else it is `lower`."""

    def rule(ctx: Context, x: Value, *, axis: int, reverse: bool) -> Value:
        if not ctx.module.kernels_allowed or not array_aval(x.aval).size or x.dtype.name in without:
            return lower(ctx, x, axis=axis, reverse=reverse)
        kernel, attributes = _call(name)(x.aval, axis=axis, reverse=reverse)
        return call_kernel(ctx, kernel, (x,), [x.aval], attributes)[0]

    return in_float32(rule)


# As they are, neither widened before nor converted.
_CALLED = (*[d for d in WHOLE if d != "bool"], "float32", "float64", *COMPLEX)


def _call(name: str) -> Callable[..., KernelCall]:
    return lambda _, *, axis, reverse: (f"anima_{name}", {"axis": axis, "reverse": reverse})


def _running_lowering(operation: str) -> Callable[..., Value]:
    def lower(ctx: Context, x: Value, *, axis: int, reverse: bool) -> Value:
        if not array_aval(x.aval).size:
            return Value(x.name, ctx.out_avals[0])
        if x.shape[axis] <= _BLOCK:
            return _windows(ctx, x, operation, axis, reverse)
        neutral = identity(operation, x.dtype)
        blocks = lowered_by(lambda v: _split_blocks(v, axis, reverse, _BLOCK, neutral))(ctx, x)
        inside = _windows(ctx, blocks, operation, axis + 1, reverse)
        totals = lowered_by(lambda v: _totals(v, axis, reverse))(ctx, inside)
        before = lower(ctx, totals, axis=axis, reverse=reverse)

        def join(inside: Any, before: Any) -> Any:
            start = _spread(previous(before, axis, reverse, neutral), inside, axis)
            return _join_blocks(primitives[operation].bind(start, inside), axis, reverse, x.shape[axis])

        return lowered_by(join)(ctx, inside, before)

    return lower


def _running(
    name: str,
    accepts: tuple[str, ...],
    lower: Callable[..., Value],
    jvp: Any,
    transpose: Any = None,
    without_kernel: tuple[str, ...] = (),
) -> Primitive:
    def shape(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        check_dtype(name, x, accepts)
        if not 0 <= axis < x.ndim:
            raise ValueError(f"{name}: axis {axis} is out of bounds for an array of shape {x.shape}")
        return ShapedArray(x.shape, x.dtype, x.weak_type)

    def batch(axis_: Axis, args: Any, dims: Any, *, axis: int, reverse: bool) -> tuple[Any, int]:
        (d,) = dims
        return primitive.bind(args[0], axis=axis + (axis >= d), reverse=reverse), d

    primitive = declare(
        name,
        shape=shape,
        lower=widening((*SUBBYTE, *NO_ZERO), _kernel(name, without_kernel, lower)),
        jvp=jvp,
        transpose=transpose or Missing("it is not linear"),
        batch=batch,
        host=calling(_call(name), tuple([d for d in _CALLED if d in accepts and d not in without_kernel])),
        dtypes=accepts,
    )
    return primitive


def _run(name: str, primitive: Primitive, operand: Any, axis: Any, reverse: Any) -> Any:
    x = as_operand(operand)
    (d,) = check_axes(name, (axis,), len(shape_of(x)), "axis")
    return primitive.bind(x, axis=d, reverse=bool(reverse))


# --- linear recurrence ------------------------------------------------------------------------

# A loop costs about a microsecond a step, so short axes or wide rows are run through step by step, and the others in
# blocks side by side.
_LOOP_STEPS = 64
_LOOP_LANES = 256


def _recurrence_shape(a: ShapedArray, b: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
    check_dtype("linear_recurrence", a, INEXACT)
    if a.shape != b.shape or a.dtype != b.dtype:
        raise TypeError(f"linear_recurrence: operands must have one shape and dtype, got {a} and {b}")
    return ShapedArray(a.shape, a.dtype, a.weak_type and b.weak_type)


def _loop(ctx: Context, a: Value, b: Value, axis: int, reverse: bool) -> list[Value]:
    """The recurrence, and the running product of the factors, a step at a time."""
    shape, dtype = a.shape, a.dtype
    size = shape[axis]
    index, truth = ShapedArray((), np.dtype(np.int32)), ShapedArray((), np.dtype(bool))
    row, whole = ShapedArray((*shape[:axis], 1, *shape[axis + 1 :]), dtype), ShapedArray(shape, dtype)
    state = [index, row, row, whole, whole, whole, whole]
    sizes = f"slice_sizes = {i64_array(row.shape)}"

    def condition(c: Context, s: list[Value]) -> list[Value]:
        end = c.constant(np.int32(size), index)
        return [c.op("stablehlo.compare", (s[0], end), truth, comparison("LT", index.dtype))]

    def step(c: Context, s: list[Value]) -> list[Value]:
        i, h, p, h_all, p_all, a_all, b_all = s
        one, zero = c.constant(np.int32(1), index), c.constant(np.int32(0), index)
        place = (
            c.op("stablehlo.subtract", (c.constant(np.int32(size - 1), index), i), index) if reverse else i
        )
        at = [place if d == axis else zero for d in range(len(shape))]
        a_i = c.op("stablehlo.dynamic_slice", (a_all, *at), row, sizes)
        b_i = c.op("stablehlo.dynamic_slice", (b_all, *at), row, sizes)
        h = c.op("stablehlo.add", (c.op("stablehlo.multiply", (a_i, h), row), b_i), row)
        p = c.op("stablehlo.multiply", (a_i, p), row)
        h_all = c.op("stablehlo.dynamic_update_slice", (h_all, h, *at), whole)
        p_all = c.op("stablehlo.dynamic_update_slice", (p_all, p, *at), whole)
        return [c.op("stablehlo.add", (i, one), index), h, p, h_all, p_all, a_all, b_all]

    zeros = ctx.full(0, whole)
    start = [ctx.constant(np.int32(0), index), ctx.full(0, row), ctx.full(1, row), zeros, zeros, a, b]
    regions = [ctx.region(state, condition), ctx.region(state, step)]
    return ctx.ops("stablehlo.while", start, state, regions=regions)[3:5]


def _recurrence_lower(ctx: Context, a: Value, b: Value, *, axis: int, reverse: bool) -> Value:
    if dtypes.itemsize_bits(a.dtype) < 32:  # rounding at every step would add up
        out = ctx.out_avals[0]
        wide = ShapedArray(a.shape, np.dtype(np.float32))
        a, b = (ctx.op("stablehlo.convert", (v,), wide) for v in (a, b))
        return ctx.op("stablehlo.convert", (_by_steps(ctx, a, b, axis, reverse),), out)
    return _by_steps(ctx, a, b, axis, reverse)


def _by_steps(ctx: Context, a: Value, b: Value, axis: int, reverse: bool) -> Value:
    aval = a.aval
    assert isinstance(aval, ShapedArray)
    size = a.shape[axis]
    if aval.size == 0 or size == 1:
        return b
    if ctx.module.kernels_allowed:
        attributes = {"axis": axis, "reverse": reverse}
        return call_kernel(ctx, "anima_linear_recurrence", (a, b), [aval], attributes)[0]
    if size <= _LOOP_STEPS or aval.size // size >= _LOOP_LANES:
        return _loop(ctx, a, b, axis, reverse)[0]
    a_blocks = lowered_by(lambda v: _split_blocks(v, axis, reverse, _LOOP_STEPS, 1))(ctx, a)
    b_blocks = lowered_by(lambda v: _split_blocks(v, axis, reverse, _LOOP_STEPS, 0))(ctx, b)
    inside, product = _loop(ctx, a_blocks, b_blocks, axis + 1, reverse)
    totals = lowered_by(lambda *vs: [_totals(v, axis, reverse) for v in vs])(ctx, product, inside)
    before = _by_steps(ctx, totals[0], totals[1], axis, reverse)

    def join(inside: Any, product: Any, before: Any) -> Any:
        start = _spread(previous(before, axis, reverse, 0), inside, axis)
        return _join_blocks(add(inside, mul(product, start)), axis, reverse, size)

    return lowered_by(join)(ctx, inside, product, before)


def _recurrence_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> tuple[Any, Any]:
    (a, b), (ta, tb) = primals, tangents
    ans = linear_recurrence(a, b, axis, reverse)
    total: Any = Zero(aval_of(ans).tangent_aval())
    if type(tb) is not Zero:
        total = linear_recurrence(a, tb, axis, reverse)
    if type(ta) is not Zero:
        part = linear_recurrence(a, mul(ta, previous(ans, axis, reverse, 0)), axis, reverse)
        total = add_zeros(total, part)
    return ans, total


def _recurrence_transpose(ct: Any, a: Any, b: Any, *, axis: int, reverse: bool) -> list[Any]:
    return [None, linear_recurrence(previous(a, axis, not reverse, 0), ct, axis, not reverse)]


def _recurrence_batch(axis_: Axis, args: Any, dims: Any, *, axis: int, reverse: bool) -> tuple[Any, int]:
    a, b = (to_axis(x, d, 0, axis_.size) for x, d in zip(args, dims))
    return linear_recurrence(a, b, axis + 1, reverse), 0


linear_recurrence_p = declare(
    "linear_recurrence",
    shape=_recurrence_shape,
    lower=_recurrence_lower,
    jvp=_recurrence_jvp,
    transpose=_recurrence_transpose,
    batch=_recurrence_batch,
    dtypes=INEXACT,
)


def linear_recurrence(a: Any, b: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The solution of `h[i] = a[i] * h[i - 1] + b[i]` along one dimension, where `h` is 0 before the first element.

    It is linear in `b`, its transpose is a recurrence in the other direction, and its derivatives are recurrences too.

    Args:
      a, b: arrays of one floating-point or complex dtype and shape.
      axis: the dimension; not negative.
      reverse: run from the last element to the first.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> from anima.lax.cumulative import linear_recurrence
    >>> print(linear_recurrence(lax.full((4,), 2.0), lax.full((4,), 1.0)))
    [ 1.  3.  7. 15.]
    """
    return linear_recurrence_p.bind(a, b, axis=axis, reverse=reverse)


# --- cumsum -----------------------------------------------------------------------------------

cumsum_p: Primitive = _running(
    "cumsum",
    NUMERIC,
    _running_lowering("add"),
    jvp_linear,
    lambda ct, x, *, axis, reverse: [cumsum_p.bind(ct, axis=axis, reverse=not reverse)],
)


def cumsum(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running sum along one dimension, in the operand's dtype.

    Args:
      operand: an array of numeric dtype.
      axis: the dimension; not negative.
      reverse: run from the last element to the first.
    Raises:
      TypeError: the operand is boolean. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.cumsum(lax.full((4,), 1)))
    [1 2 3 4]
    """
    return _run("cumsum", cumsum_p, operand, axis, reverse)


# --- cumprod ----------------------------------------------------------------------------------


def _prod_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = cumprod_p.bind(x, axis=axis, reverse=reverse)
    if type(t) is Zero:
        return ans, t
    return ans, linear_recurrence(x, mul(t, previous(ans, axis, reverse, 1)), axis, reverse)


cumprod_p = _running("cumprod", NUMERIC, _running_lowering("mul"), _prod_jvp, without_kernel=("complex128",))


def cumprod(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running product along one dimension, in the operand's dtype.

    Args:
      operand: an array of numeric dtype.
      axis: the dimension; not negative.
      reverse: run from the last element to the first.
    Raises:
      TypeError: the operand is boolean. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.cumprod(lax.full((4,), 2)))
    [ 2  4  8 16]
    """
    return _run("cumprod", cumprod_p, operand, axis, reverse)


# --- cummax, cummin ---------------------------------------------------------------------------


def _running_extremum(name: str, operation: str) -> Primitive:
    def jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        if type(t) is Zero:
            return primitive.bind(x, axis=axis, reverse=reverse), t
        x = computed_once(x)
        ans = primitive.bind(x, axis=axis, reverse=reverse)
        # All that equal the extremum so far share its tangent evenly: their sum and their number start anew
        # whenever the extremum changes.
        dtype = dtype_of(x)
        stays = convert_element_type(eq(previous(ans, axis, reverse, 0), ans), dtype)
        wins = convert_element_type(eq(x, ans), dtype)
        count = linear_recurrence(stays, wins, axis, reverse)
        return ans, div(linear_recurrence(stays, mul(t, wins), axis, reverse), count)

    primitive = _running(name, NUMERIC, _running_lowering(operation), jvp, without_kernel=COMPLEX)
    return primitive


cummax_p = _running_extremum("cummax", "max")


def cummax(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running maximum along one dimension; NaN from the first NaN on.

    Args:
      operand: an array of numeric dtype.
      axis: the dimension; not negative.
      reverse: run from the last element to the first.
    Raises:
      TypeError: the operand is boolean. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.cummax(lax.iota("int32", 3), reverse=True))
    [2 2 2]
    """
    return _run("cummax", cummax_p, operand, axis, reverse)


cummin_p = _running_extremum("cummin", "min")


def cummin(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running minimum along one dimension; NaN from the first NaN on.

    Args:
      operand: an array of numeric dtype.
      axis: the dimension; not negative.
      reverse: run from the last element to the first.
    Raises:
      TypeError: the operand is boolean. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.cummin(lax.iota("int32", 3)))
    [0 0 0]
    """
    return _run("cummin", cummin_p, operand, axis, reverse)


# --- cumlogsumexp -----------------------------------------------------------------------------


@lowered_by
def _logsumexp(x: Any, *, axis: int, reverse: bool) -> Any:
    """The recurrence of the sums of `exp(x - maximum so far)`, scaled down whenever the maximum grows."""
    dtype = x.dtype
    parts = real(x) if dtypes.is_complex(dtype) else x
    top = cummax_p.bind(parts, axis=axis, reverse=reverse)
    shape = shape_of(top)
    zeros = broadcast_in_dim(top.dtype.type(0), shape, ())
    shift = select(is_finite(top), top, zeros)
    before = previous(shift, axis, reverse, 0)
    nothing = eq(previous(top, axis, reverse, -np.inf), top.dtype.type(-np.inf))
    factor = select(nothing, zeros, exp(sub(before, shift)))
    if dtypes.is_complex(dtype):
        factor, shift = complex(factor, zeros), complex(shift, zeros)
    total = linear_recurrence(factor, exp(sub(x, shift)), axis, reverse)
    return add(log(total), shift)


def _weight(part: Any, whole: Any) -> Any:
    """`exp(part - whole)`, also where both are infinite."""
    zeros = hooks.zeros(aval_of(whole))
    return exp(select(eq(part, whole), zeros, sub(part, whole)))


def _logsumexp_jvp(primals: Any, tangents: Any, *, axis: int, reverse: bool) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = cumlogsumexp_p.bind(x, axis=axis, reverse=reverse)
    if type(t) is Zero:
        return ans, t
    factor = _weight(previous(ans, axis, reverse, -np.inf), ans)
    return ans, linear_recurrence(factor, mul(t, _weight(x, ans)), axis, reverse)


cumlogsumexp_p = _running("cumlogsumexp", INEXACT, _logsumexp, _logsumexp_jvp, without_kernel=COMPLEX)


def cumlogsumexp(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running `log(sum(exp(x)))` along one dimension, without overflow.

    Args:
      operand: an array of floating-point or complex dtype.
      axis: the dimension; not negative.
      reverse: run from the last element to the first.
    Raises:
      TypeError: the operand is of another dtype. ValueError: the axis is out of range.

    >>> from anima import lax
    >>> print(lax.cumlogsumexp(lax.full((2,), 2000.0)))
    [2000.     2000.6931]
    """
    return _run("cumlogsumexp", cumlogsumexp_p, operand, axis, reverse)
