"""What the extrema of windows select: values beside them, and the places to scatter to.

Invariant: a window selects the first of its greatest (or least) elements in row-major order, the first NaN if there is one;
padding and holes are selected only where nothing is greater than the end of the dtype's range, and hold zeros. Complex
numbers are ordered by real part, then by imaginary part. The two additive operations are each other's transposes, so
extrema of windows have derivatives of any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Missing, Primitive
from anima.interpreters.batch import Axis, to_axis
from anima.lax.arithmetic import add, mul, sub
from anima.lax.bitwise import bitwise_and, bitwise_or
from anima.lax.compare import eq, ge_p, gt, lt, ne
from anima.lax.complex_parts import imag, real
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota, full, iota
from anima.lax.declare import ANY, INEXACT, SUBBYTE, check_dtype, declare, jvp_linear, lowered_by, widening
from anima.lax.gathering import ScatterDimensionNumbers
from anima.lax.joining import pad, stack, unpad
from anima.lax.reductions import NO_ZERO, extreme
from anima.lax.scattering import scatter_add
from anima.lax.selection import select
from anima.lax.shape import dtype_of, reshape, shape_of
from anima.lax.slicing import index_in_dim
from anima.lax.window_shapes import Windows, pads_attribute
from anima.lax.window_slices import SLICES, fold_windows, spread
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

# --- what is selected -------------------------------------------------------------------------


def _beats(a: Any, b: Any, select_prim: Primitive) -> Any:
    """Where `a` is selected before `b`, which comes first."""
    beats = gt if select_prim is ge_p else lt
    if dtypes.is_complex(dtype_of(a)):
        (a_re, a_im), (b_re, b_im) = ((real(x), imag(x)) for x in (a, b))
        return bitwise_or(beats(a_re, b_re), bitwise_and(eq(a_re, b_re), beats(a_im, b_im)))
    return bitwise_or(beats(a, b), bitwise_and(ne(a, a), eq(b, b)))


def _selecting(select_prim: Primitive) -> Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]]:
    def combine(a: Sequence[Any], b: Sequence[Any]) -> Sequence[Any]:
        second = _beats(b[0], a[0], select_prim)
        return [select(second, y, x) for x, y in zip(a, b)]

    return combine


def _spread_operand(x: Any, windows: Windows, select_prim: Primitive) -> Any:
    dtype = dtype_of(x)
    return spread(x, dtype.type(extreme(dtype, lowest=select_prim is ge_p)), windows)


def _check_values(name: str, values: ShapedArray, x: ShapedArray, shape: tuple[int, ...]) -> None:
    check_dtype(name, x, INEXACT, "operand")
    if values.shape != shape or values.dtype != x.dtype:
        expected = ShapedArray(shape, x.dtype)
        raise TypeError(
            f"{name}: for an operand {x} and these windows, the values must be {expected}, got {values}"
        )


def _additive(name: str, **rules: Any) -> Primitive:
    """An operation on values and on the operand whose windows select; linear in the values."""

    def batch(axis: Axis, args: Any, dims: Any, *, select_prim: Primitive, **params: Any) -> tuple[Any, int]:
        xs = [to_axis(x, d, 0, axis.size) for x, d in zip(args, dims)]
        windows = Windows(**params).with_axis(0)
        return primitive.bind(*xs, select_prim=select_prim, **windows._asdict()), 0

    primitive = declare(name, jvp=jvp_linear, batch=batch, dtypes=INEXACT, **rules)
    return primitive


# --- select_and_gather_add --------------------------------------------------------------------


def _gather_shape(t: ShapedArray, x: ShapedArray, *, select_prim: Primitive, **params: Any) -> ShapedArray:
    _check_values("select_and_gather_add", t, x, x.shape)
    return ShapedArray(Windows(**params).counts(x.shape), t.dtype, t.weak_type)


@lowered_by
def _gather_lower(t: Any, x: Any, *, select_prim: Primitive, **params: Any) -> Any:
    windows = Windows(**params)
    pair = [_spread_operand(x, windows, select_prim), spread(t, dtype_of(t).type(0), windows)]
    return fold_windows(pair, windows, _selecting(select_prim), overlapping=True)[1]


def _gather_transpose(ct: Any, t: Any, x: Any, **params: Any) -> list[Any]:
    return [select_and_scatter_add_p.bind(ct, x, **params), None]


# The value beside what each window of an operand selects; `select_prim` is `ge_p` (the maximum) or `le_p`.
select_and_gather_add_p: Primitive = _additive(
    "select_and_gather_add",
    shape=_gather_shape,
    lower=widening((*SUBBYTE, *NO_ZERO), _gather_lower),
    transpose=_gather_transpose,
)

# --- select_and_scatter_add -------------------------------------------------------------------


def _scatter_shape(
    source: ShapedArray, x: ShapedArray, *, select_prim: Primitive, **params: Any
) -> ShapedArray:
    _check_values("select_and_scatter_add", source, x, Windows(**params).counts(x.shape))
    return ShapedArray(x.shape, source.dtype, source.weak_type)


@lowered_by
def _scatter_lower(source: Any, x: Any, *, select_prim: Primitive, **params: Any) -> Any:
    dtype = dtype_of(source)
    if dtypes.is_float(dtype) and dtypes.itemsize_bits(dtype) < 32:  # sums are rounded once
        source, x = convert_element_type(source, np.float32), convert_element_type(x, np.float32)
    return convert_element_type(_scattered(source, x, Windows(**params), select_prim), dtype)


def _scattered(source: Any, x: Any, windows: Windows, select_prim: Primitive) -> Any:
    shape, size = shape_of(x), math.prod(shape_of(x))
    if not size or not math.prod(shape_of(source)):
        return full(shape, 0, dtype_of(source))
    padded = _spread_operand(x, windows, select_prim)
    if max(windows.window_dimensions, default=1) > SLICES and size < 2**31:
        places = spread(reshape(iota(np.int32, size), shape), np.int32(size), windows)
        _, at = fold_windows([padded, places], windows, _selecting(select_prim), overlapping=True)
        at = reshape(at, (*shape_of(at), 1))
        numbers = ScatterDimensionNumbers((), (0,), (0,))
        total = full((size,), 0, dtype_of(source))
        return reshape(scatter_add(total, at, source, numbers, mode="drop"), shape)
    config = tuple((lo, hi, step - 1) for (lo, hi), step in zip(windows.padding, windows.base_dilation))
    return unpad(_placed(source, padded, windows.inside, select_prim), shape, config)


def _placed(source: Any, x: Any, windows: Windows, select_prim: Primitive) -> Any:
    """The sums at the places of `x`, which has all windows inside: first a dimension's selections, then its sums."""
    stages = []
    for d in reversed(range(len(shape_of(x)))):
        along = windows.only([d == other for other in range(len(shape_of(x)))])
        if not along.are_elements:
            size = shape_of(x)[d]
            x, at = fold_windows(
                [x, broadcasted_iota(np.int32, shape_of(x), d)], along, _selecting(select_prim), True
            )
            starts = mul(broadcasted_iota(np.int32, shape_of(x), d), np.int32(along.window_strides[d]))
            stages.append((d, size, sub(at, starts)))
    zero = dtype_of(source).type(0)
    for d, size, offset in reversed(stages):
        stride, step = windows.window_strides[d], windows.window_dilation[d]
        length = (shape_of(offset)[d] - 1) * stride + 1
        config = [(0, 0, 0)] * len(shape_of(x))
        total: Any = None
        for start in range(0, windows.window_dimensions[d] * step, step):
            config[d] = (start, size - length - start, stride - 1)
            part = select(eq(offset, np.int32(start)), source, full(shape_of(source), 0, dtype_of(source)))
            part = pad(part, zero, config)
            total = part if total is None else add(total, part)
        source = total
    return source


def _scatter_transpose(ct: Any, source: Any, x: Any, **params: Any) -> list[Any]:
    return [select_and_gather_add_p.bind(ct, x, **params), None]


# Zeros, to which each value of the source is added where its window of an operand selects.
select_and_scatter_add_p: Primitive = _additive(
    "select_and_scatter_add",
    shape=_scatter_shape,
    lower=widening((*SUBBYTE, *NO_ZERO), _scatter_lower),
    transpose=_scatter_transpose,
)

# --- select_and_scatter -----------------------------------------------------------------------


def _by_function_shape(
    x: ShapedArray,
    source: ShapedArray,
    init: ShapedArray,
    *,
    select_jaxpr: Any,
    scatter_jaxpr: Any,
    **params: Any,
) -> ShapedArray:
    rank = x.ndim
    expected = Windows(**params, base_dilation=(1,) * rank, window_dilation=(1,) * rank).counts(x.shape)
    if source.shape != expected or init.shape or not x.dtype == source.dtype == init.dtype:
        raise TypeError(
            f"select_and_scatter: for an operand {x} and these windows, source must be {ShapedArray(expected, x.dtype)} "
            f"and init_value a scalar of its dtype, got {source} and {init}"
        )
    return ShapedArray(x.shape, x.dtype)


def _by_function_lower(
    ctx: Context,
    *operands: Value,
    select_jaxpr: ClosedJaxpr,
    scatter_jaxpr: ClosedJaxpr,
    window_dimensions: Any,
    window_strides: Any,
    padding: Any,
) -> Value:
    out = ctx.out_avals[0]

    def region(closed: ClosedJaxpr) -> str:
        return ctx.region(closed.in_avals, lambda inner, xs: inner.jaxpr(closed.jaxpr, closed.consts, xs))

    attrs = (
        f"window_dimensions = {i64_array(window_dimensions)}, window_strides = {i64_array(window_strides)}, "
        f"padding = {pads_attribute(padding)}"
    )
    return ctx.op(
        "stablehlo.select_and_scatter", operands, out, attrs, [region(select_jaxpr), region(scatter_jaxpr)]
    )


def _by_function_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    if dims[2] is not None:  # XLA's initial value is a scalar
        every = [to_axis(x, d, 0, axis.size) for x, d in zip(args, dims)]
        rows = [
            select_and_scatter_p.bind(*(index_in_dim(x, i, keepdims=False) for x in every), **params)
            for i in range(axis.size)
        ]
        return (stack(rows, 0) if rows else every[0]), 0
    x, source = (to_axis(x, d, 0, axis.size) for x, d in zip(args[:2], dims))
    moved = {
        name: (one, *params[name])
        for name, one in (("window_dimensions", 1), ("window_strides", 1), ("padding", (0, 0)))
    }
    return select_and_scatter_p.bind(x, source, args[2], **params | moved), 0


# The source's values combined by `scatter_jaxpr`, from an initial value, at the places that `select_jaxpr` prefers.
select_and_scatter_p = declare(
    "select_and_scatter",
    shape=_by_function_shape,
    lower=_by_function_lower,
    jvp=Missing("it combines by any function; select_and_scatter_add has derivatives"),
    transpose=Missing("it is not linear"),
    batch=_by_function_batch,
    dtypes=ANY,
)
