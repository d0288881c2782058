"""Sorting, and the largest elements.

Invariant: the order is total. Floating-point numbers are ordered by value with the two zeros equal and all NaNs equal
and last; complex ones by real part, then by imaginary part. `top_k` alone tells the zeros and the signs of NaNs apart.
The 8-bit formats without a negative zero have their one NaN where XLA has it: first, and in `top_k` last. On CPU devices
kernels of our own do the work (`native/kernels/sort.cc`, `top.cc`), and every sort is stable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import REAL, WHOLE, HostRule, KernelCall, calling
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.lax import on_host
from anima.lax.arguments import check_integers
from anima.lax.bitwise import bitwise_and, bitwise_or
from anima.lax.compare import eq, eq_to, lt_to, ne
from anima.lax.complex_parts import imag, real
from anima.lax.create import broadcasted_iota
from anima.lax.declare import (
    ANY,
    BOOL,
    FLOAT,
    INTEGER,
    SUBBYTE,
    check_dtype,
    declare,
    operand as as_operand,
    traced_region,
    widening,
)
from anima.lax.gathering import GatherDimensionNumbers, GatherScatterMode, gather_p
from anima.lax.selection import select
from anima.lax.shape import check_axis, dtype_of, expand_dims, reshape, shape_of
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.runtime.kernels import call_kernel

# --- sort -------------------------------------------------------------------------------------


def _sort_shape(*avals: ShapedArray, dimension: int, is_stable: bool, num_keys: int) -> list[ShapedArray]:
    first = avals[0]
    for aval in avals:
        check_dtype("sort", aval, ANY)
        if aval.shape != first.shape:
            raise TypeError(f"sort: operands must have equal shapes, got {first.shape} and {aval.shape}")
    return [ShapedArray(a.shape, a.dtype, a.weak_type) for a in avals]


def _parts(x: Any) -> list[Any]:
    """What a key is compared by, in order: every NaN as the one that comes last, and negative zero as zero."""
    dtype = dtype_of(x)
    if dtypes.is_complex(dtype):
        return [*_parts(real(x)), *_parts(imag(x))]
    if dtypes.is_float(dtype):
        zero = dtype.type(0)
        nan = dtype.type(np.nan)
        return [select(eq(x, zero), zero, select(ne(x, x), nan, x))]
    return [x]


def _comparator(num_keys: int) -> Any:
    """Whether the first of two elements comes before the second, given as `x, y` for each operand."""

    def before(*scalars: Any) -> list[Any]:
        keys = [(a, b) for x, y in zip(scalars[::2], scalars[1::2]) for a, b in zip(_parts(x), _parts(y))][
            ::-1
        ]
        # From the last key to the first: less, or equal and decided by the later keys.
        result: Any = None
        for a, b in keys:
            less = lt_to(a, b)
            result = less if result is None else bitwise_or(less, bitwise_and(eq_to(a, b), result))
        return [result]

    def of_keys(*scalars: Any) -> list[Any]:
        return before(*scalars[: 2 * num_keys])

    return of_keys


def _sort_call(*_: Any, dimension: int, num_keys: int, is_stable: bool = True) -> KernelCall:
    return "anima_sort", {"dimension": dimension, "num_keys": num_keys}


def _sort_lower(ctx: Context, *xs: Value, dimension: int, is_stable: bool, num_keys: int) -> list[Value]:
    outs = list(ctx.out_avals)
    if ctx.module.kernels_allowed and xs[0].shape[dimension] < 2**31:
        kernel, attributes = _sort_call(dimension=dimension, num_keys=num_keys)
        work = math.prod(xs[0].shape) * xs[0].shape[dimension].bit_length()
        return call_kernel(ctx, kernel, xs, outs, attributes, work=work)
    scalars = [ShapedArray((), x.dtype) for x in xs for _ in range(2)]
    body = traced_region(ctx, _comparator(num_keys), scalars)
    attrs = f"dimension = {dimension} : i64, is_stable = {str(is_stable).lower()}"
    return ctx.ops("stablehlo.sort", xs, outs, attrs, [body])


def _sort_jvp(
    primals: Any, tangents: Any, *, dimension: int, is_stable: bool, num_keys: int
) -> tuple[Any, Any]:
    params = {"dimension": dimension, "is_stable": is_stable, "num_keys": num_keys}
    if all(type(t) is Zero for t in tangents):
        outs = sort_p.bind(*primals, **params)
        return outs, [Zero(aval_of(out).tangent_aval()) for out in outs]
    places = broadcasted_iota(np.int32, shape_of(primals[0]), dimension)
    *outs, order = sort_p.bind(*primals, places, **params)
    return outs, [t if type(t) is Zero else take_along(t, order, dimension) for t in tangents]


def take_along(x: Any, indices: Any, dimension: int) -> Any:
    """The elements of `x` at the given places along one dimension; `indices` has the other sizes of `x`."""
    if 0 in shape_of(x):
        return reshape(x, shape_of(indices))
    rank = len(shape_of(x))
    others = tuple(d for d in range(rank) if d != dimension)
    return gather_p.bind(
        x,
        expand_dims(indices, (rank,)),
        dimension_numbers=GatherDimensionNumbers((), (dimension,), (dimension,), others, others),
        slice_sizes=(1,) * rank,
        unique_indices=True,
        indices_are_sorted=False,
        mode=GatherScatterMode.PROMISE_IN_BOUNDS,
        fill_value=None,
    )


def _sort_batch(
    axis: Axis, args: Any, dims: Any, *, dimension: int, is_stable: bool, num_keys: int
) -> tuple[Any, Any]:
    first = next(d for d in dims if d is not None)
    xs = [to_axis(x, d, first, axis.size) for x, d in zip(args, dims)]
    outs = sort_p.bind(
        *xs, dimension=dimension + (dimension >= first), is_stable=is_stable, num_keys=num_keys
    )
    return outs, [first] * len(outs)


sort_p = declare(
    "sort",
    shape=_sort_shape,
    lower=widening(SUBBYTE, _sort_lower),
    jvp=_sort_jvp,
    transpose=Missing("it is not linear"),
    batch=_sort_batch,
    host=calling(
        _sort_call,
        (*WHOLE, "float32", "float64"),
        otherwise=HostRule(
            on_host.sort, WHOLE + REAL, "zeros", refuses=lambda *xs, num_keys, **_: num_keys != 1
        ),
    ),
    multiple_results=True,
    dtypes=ANY,
)


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """`operand` sorted in ascending order along one dimension; several arrays are sorted together, by the first ones.

    NaNs come last, the two zeros count as equal, and complex numbers are ordered by real, then imaginary part.

    Args:
      operand: an array; or a sequence of arrays of one shape.
      dimension: negative ones count from the end.
      is_stable: whether equal elements keep their order.
      num_keys: how many of the arrays are keys; each decides where those before it are equal.
    Returns:
      An array, or a tuple of them.
    Raises:
      TypeError: shapes differ, or there is no array. ValueError: the dimension or `num_keys` is out of range.

    >>> from anima import lax
    >>> print(lax.sort(lax.rev(lax.iota("int32", 3), (0,))))
    [0 1 2]
    """
    several = isinstance(operand, (list, tuple))
    xs = [as_operand(x) for x in operand] if several else [as_operand(operand)]
    if not xs:
        raise TypeError("sort: operand must have at least one array")
    (num_keys,) = check_integers("sort", (num_keys,), "num_keys")
    if not 1 <= num_keys <= len(xs):
        raise ValueError(
            f"sort: num_keys must be between 1 and {len(xs)}, the number of arrays, got {num_keys}"
        )
    d = check_axis("sort", dimension, len(shape_of(xs[0])), "dimension")
    outs = sort_p.bind(*xs, dimension=d, is_stable=bool(is_stable), num_keys=num_keys)
    return tuple(outs) if several else outs[0]


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """`keys` sorted in ascending order along one dimension, and `values` in the same order.

    Args:
      keys, values: arrays of one shape.
      dimension: negative ones count from the end.
      is_stable: whether the values of equal keys keep their order.
    Raises:
      TypeError: shapes differ. ValueError: the dimension is out of range.

    >>> from anima import lax
    >>> keys, values = lax.sort_key_val(lax.rev(lax.iota("int32", 3), (0,)), lax.iota("int32", 3))
    >>> print(values)
    [2 1 0]
    """
    keys_out, values_out = sort((keys, values), dimension, is_stable, 1)
    return keys_out, values_out


# --- top_k ------------------------------------------------------------------------------------

_REAL = BOOL + INTEGER + FLOAT


def _top_shape(x: ShapedArray, *, k: int, axis: int) -> list[ShapedArray]:
    if dtypes.is_complex(x.dtype):
        raise ValueError(f"top_k: complex numbers have no order, got operand of dtype {x.dtype}")
    check_dtype("top_k", x, _REAL)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"top_k: k must be from 0 to {x.shape[axis]}, the size of dimension {axis}, got {k}")
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    return [ShapedArray(shape, x.dtype, x.weak_type), ShapedArray(shape, np.dtype(np.int32), x.weak_type)]


def _top_call(*_: Any, axis: int, k: int = 0) -> KernelCall:
    return "anima_top_k", {"axis": axis}


def _top_lower(ctx: Context, x: Value, *, k: int, axis: int) -> list[Value]:
    values, places = ctx.out_avals
    assert isinstance(values, ShapedArray)
    if ctx.module.kernels_allowed and x.shape[axis] < 2**31:
        kernel, attributes = _top_call(axis=axis)
        return call_kernel(ctx, kernel, (x,), [values, places], attributes)
    last = x.ndim - 1
    if axis != last:
        order = [d for d in range(x.ndim) if d != axis] + [axis]
        back = sorted(range(x.ndim), key=order.__getitem__)
        x = _transposed(ctx, x, order)
        values, places = (ShapedArray(tuple(a.shape[d] for d in order), a.dtype) for a in (values, places))  # type: ignore[attr-defined]
    top, at = ctx.ops("chlo.top_k", (x,), [values, places], f"k = {k} : i64")
    return [top, at] if axis == last else [_transposed(ctx, v, back) for v in (top, at)]


def _transposed(ctx: Context, x: Value, order: Sequence[int]) -> Value:
    aval = ShapedArray(tuple(x.shape[d] for d in order), x.dtype)
    return ctx.op("stablehlo.transpose", (x,), aval, f"permutation = {i64_array(order)}")


def _top_jvp(primals: Any, tangents: Any, *, k: int, axis: int) -> tuple[Any, Any]:
    values, places = top_k_p.bind(*primals, k=k, axis=axis)
    (t,) = tangents
    at_places = Zero(aval_of(places).tangent_aval())
    if type(t) is Zero:
        return [values, places], [Zero(aval_of(values).tangent_aval()), at_places]
    return [values, places], [take_along(t, places, axis), at_places]


def _top_batch(axis_: Axis, args: Any, dims: Any, *, k: int, axis: int) -> tuple[Any, Any]:
    (d,) = dims
    return top_k_p.bind(args[0], k=k, axis=axis + (axis >= d)), [d, d]


top_k_p = declare(
    "top_k",
    shape=_top_shape,
    lower=widening((*BOOL, *SUBBYTE), _top_lower),
    jvp=_top_jvp,
    transpose=Missing("it is not linear"),
    batch=_top_batch,
    host=calling(_top_call, (*[d for d in WHOLE if d != "bool"], "float32", "float64")),
    multiple_results=True,
    dtypes=_REAL,
)


def top_k(operand: Any, k: int, *, axis: int = -1) -> list[Any]:
    """The `k` largest elements along one dimension, in descending order, and their places; of equal ones the first.

    A positive NaN is larger than everything else, a negative one smaller, and 0.0 larger than -0.0.

    Args:
      operand: an array of booleans or real numbers.
      k: how many; at most the size of the dimension.
      axis: the dimension; negative ones count from the end.
    Returns:
      The values, and their indices as int32.
    Raises:
      ValueError: `k` or the axis is out of range, or the operand is complex. TypeError: it is of random keys.

    >>> from anima import lax
    >>> values, places = lax.top_k(lax.iota("float32", 4), 2)
    >>> print(values, places)
    [3. 2.] [3 2]
    """
    x = as_operand(operand)
    d = check_axis("top_k", axis, len(shape_of(x)))
    (count,) = check_integers("top_k", (k,), "k")
    return list(top_k_p.bind(x, k=count, axis=d))
