"""Reductions over axes: sums, products, extrema and their places, logical ones.

Invariant: axes are distinct and not negative. Derivatives are exact also where elements are zero or tie; the order in
which elements combine is not specified.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.config import allow_f16_reductions
from anima.core.aval import ShapedArray
from anima.core.host import REAL, WHOLE, HostRule
from anima.core.primitive import Missing, Primitive, Zero, primitives
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis
from anima.lax import lanes, on_host_tiny
from anima.lax.arithmetic import div, min, mul
from anima.lax.bitwise import bitwise_and, bitwise_or
from anima.lax.compare import eq, gt, lt, ne
from anima.lax.convert import convert_element_type
from anima.lax.declare import (
    ANY,
    BOOL,
    FLOAT,
    INTEGER,
    NUMERIC,
    SUBBYTE,
    check_dtype,
    combining_region,
    declare,
    jvp_linear,
    no_tangent,
    operand as as_operand,
    traced_region,
    widening,
)
from anima.lax.joining import pad_p
from anima.lax.keeping import computed_once
from anima.lax.places import packs, place_by_packing
from anima.lax.selection import select
from anima.lax.shape import (
    broadcast_in_dim,
    broadcast_in_dim_p,
    check_axes,
    dtype_of,
    refuse_out_sharding,
    reshape,
    shape_of,
    transpose,
)
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

# --- what reductions have in common -----------------------------------------------------------


NO_ZERO = ("float8_e8m0fnu",)  # it has powers of two alone, so sums have nowhere to start


def reduced_shape(name: str, x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without `axes`.

    Raises:
      ValueError: an axis is repeated or out of range.
    """
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.ndim for a in axes):
        raise ValueError(
            f"{name}: axes {axes} must be distinct and within the {x.ndim} dimensions of the operand"
        )
    return tuple(d for i, d in enumerate(x.shape) if i not in axes)


def _reduction_lowering(operation: str) -> Callable[..., Value]:
    def lower(ctx: Context, x: Value, *, axes: tuple[int, ...]) -> Value:
        def reduce(v: Value, over: tuple[int, ...]) -> Value:
            scalar = ShapedArray((), v.dtype)
            init = ctx.constant(np.asarray(identity(operation, v.dtype), v.dtype), scalar)
            body = combining_region(ctx, operation, scalar.dtype)
            out = ShapedArray(tuple(n for d, n in enumerate(v.shape) if d not in over), v.dtype)
            return ctx.op("stablehlo.reduce", (v, init), out, f"dimensions = {i64_array(over)}", [body])

        summed = lanes.summed_by_kernel(ctx, x, axes) if operation == "add" else None
        if summed is not None:
            return summed
        if lanes.pays(ctx, x.aval, axes):  # type: ignore[arg-type]
            return lanes.in_lanes(ctx, x, axes, operation, reduce)
        return reduce(x, axes)

    return lower


def identity(operation: str, dtype: Any) -> Any:
    """The scalar that changes nothing when combined by an associative operation.

    >>> import numpy as np
    >>> (
    ...     identity("max", np.dtype("float32")),
    ...     identity("min", np.dtype("uint8")),
    ...     identity("and", np.dtype("int8")),
    ... )
    (-inf, 255, -1)
    """
    if operation in ("add", "or", "xor"):
        return 0
    if operation == "mul":
        return 1
    if operation == "and":
        return True if dtypes.is_bool(dtype) else int(np.array(-1).astype(dtype))
    return extreme(dtype, lowest=operation == "max")


def extreme(dtype: Any, lowest: bool) -> Any:
    """The smallest or the largest value of a dtype: infinite where there are infinities."""
    if dtypes.is_bool(dtype):
        return not lowest
    if dtypes.is_int(dtype):
        info = dtypes.iinfo(dtype)
        return int(info.min if lowest else info.max)
    if dtypes.is_complex(dtype):
        bound = -math.inf if lowest else math.inf
        return complex(bound, bound)
    if dtypes.supports_inf(dtype):
        return -math.inf if lowest else math.inf
    return float(dtypes.finfo(dtype).min if lowest else dtypes.finfo(dtype).max)


_HALVES = (np.dtype(np.float16), dtypes.bfloat16)


def _reduction(
    name: str,
    operation: str,
    accepts: tuple[str, ...],
    jvp: Any,
    transpose: Any = None,
    keeps_weak: bool = True,
    host: HostRule | None = None,
) -> Primitive:
    """The reduction with the elementwise operation `operation`, by its name in jaxprs."""

    def shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
        check_dtype(name, x, accepts)
        if operation == "add" and x.dtype in _HALVES and not allow_f16_reductions.value:
            raise ValueError(
                f"{name} on operand {x} is not allowed when jax_allow_f16_reductions=False: convert it to float32 first"
            )
        return ShapedArray(reduced_shape(name, x, axes), x.dtype, keeps_weak and x.weak_type)

    def batch(axis: Axis, args: Any, dims: Any, *, axes: tuple[int, ...]) -> tuple[Any, int]:
        (d,) = dims
        moved = tuple(a + (a >= d) for a in axes)
        return primitive.bind(args[0], axes=moved), d - sum(a < d for a in moved)

    primitive = declare(
        name,
        shape=shape,
        lower=widening(NO_ZERO, _reduction_lowering(operation)),
        jvp=jvp,
        transpose=transpose or Missing("it is not linear"),
        batch=batch,
        host=host,
        dtypes=accepts,
        remembers=True,
    )
    return primitive


def _on_host(ufunc: np.ufunc, kernel: str, accepts: tuple[str, ...] = WHOLE) -> HostRule:
    """NumPy's reduction with `ufunc`: exact where the order does not matter, as for floats it does in sums."""
    return HostRule(
        lambda x, *, axes: ufunc.reduce(x, axes, dtype=x.dtype),
        accepts,
        "zeros",
        suits=lambda x, *, axes: x.size > 0,
        kernel=kernel,
    )


def _reduce(name: str, primitive: Primitive, operand: Any, axes: Any) -> Any:
    x = as_operand(operand)
    return primitive.bind(x, axes=check_axes(name, axes, len(shape_of(x))))


# --- sum --------------------------------------------------------------------------------------


_HOST_SUM = HostRule(
    on_host_tiny.total,
    on_host_tiny.ADDED,
    "zeros",
    rounds=True,
    suits=on_host_tiny.is_sum,
    refuses=on_host_tiny.has_small_terms,
    kernel="reduce_sum",
    alone=True,
    sequence="total",
)


def _sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...]) -> list[Any]:
    kept = tuple(d for d in range(x.ndim) if d not in axes)
    return [broadcast_in_dim_p.bind(ct, shape=x.shape, broadcast_dimensions=kept)]


reduce_sum_p = _reduction("reduce_sum", "add", NUMERIC, jvp_linear, _sum_transpose, host=_HOST_SUM)


def reduce_sum(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """The sum over some dimensions, in the operand's dtype; 0 where there is nothing to sum.

    Args:
      operand: an array of numeric dtype.
      axes: the dimensions to sum over; distinct and not negative.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      TypeError: the operand is boolean. ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_sum(lax.full((2, 3), 1.0), (1,)))
    [3. 3.]
    """
    refuse_out_sharding("reduce_sum", out_sharding)
    return _reduce("reduce_sum", reduce_sum_p, operand, axes)


# --- product ----------------------------------------------------------------------------------


def _prod_jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = reduce_prod_p.bind(x, axes=axes)
    if type(t) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    # Each tangent goes with the product of the other elements: those before it times those after it. No division,
    # so zeros do no harm.
    x, t = _flatten_axes(x, axes), _flatten_axes(t, axes)
    last = len(shape_of(x)) - 1
    one = dtype_of(x).type(1)
    same = ((0, 0, 0),) * last
    before = pad_p.bind(x, one, padding_config=(*same, (1, -1, 0)))
    after = pad_p.bind(x, one, padding_config=(*same, (-1, 1, 0)))
    product = primitives["cumprod"]
    others = mul(product.bind(before, axis=last, reverse=False), product.bind(after, axis=last, reverse=True))
    return ans, reduce_sum_p.bind(mul(t, others), axes=(last,))


def _flatten_axes(x: Any, axes: tuple[int, ...]) -> Any:
    """`x` with the given axes merged into one, which comes last."""
    shape = shape_of(x)
    kept = [d for d in range(len(shape)) if d not in axes]
    size = math.prod(shape[a] for a in axes)
    return reshape(transpose(x, (*kept, *axes)), (*(shape[d] for d in kept), size))


_HOST_PROD = HostRule(
    on_host_tiny.multiplied,
    on_host_tiny.PLAIN,
    "zeros",
    rounds=True,
    suits=on_host_tiny.is_sum,
    refuses=on_host_tiny.has_far_terms,
    alone=True,
    sequence="total",
    otherwise=_on_host(np.multiply, "reduce_prod"),
)
reduce_prod_p = _reduction("reduce_prod", "mul", NUMERIC, _prod_jvp, host=_HOST_PROD)


def reduce_prod(operand: Any, axes: Sequence[int]) -> Any:
    """The product over some dimensions, in the operand's dtype; 1 where there is nothing to multiply.

    Args:
      operand: an array of numeric dtype.
      axes: the dimensions to multiply over; distinct and not negative.
    Raises:
      TypeError: the operand is boolean. ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_prod(lax.full((2, 3), 2.0), (1,)))
    [8. 8.]
    """
    return _reduce("reduce_prod", reduce_prod_p, operand, axes)


# --- extrema ----------------------------------------------------------------------------------


def _extremum(name: str, operation: str) -> Primitive:
    def jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> tuple[Any, Any]:
        (x,), (t,) = primals, tangents
        if type(t) is Zero:
            ans = primitive.bind(x, axes=axes)
            return ans, Zero(aval_of(ans).tangent_aval())
        # All that equal the extremum share its tangent evenly.
        x = computed_once(x)
        ans = primitive.bind(x, axes=axes)
        shape = shape_of(x)
        kept = [d for d in range(len(shape)) if d not in axes]
        wins = convert_element_type(eq(x, broadcast_in_dim(ans, shape, kept)), dtype_of(x))
        count = reduce_sum_p.bind(wins, axes=axes)
        return ans, div(reduce_sum_p.bind(mul(t, wins), axes=axes), count)

    ufunc = np.maximum if operation == "max" else np.minimum
    primitive = _reduction(name, operation, ANY, jvp, host=_on_host(ufunc, name, WHOLE + REAL))
    return primitive


reduce_max_p = _extremum("reduce_max", "max")


def reduce_max(operand: Any, axes: Sequence[int]) -> Any:
    """The maximum over some dimensions: NaN if there is one, the smallest value of the dtype where there is nothing.

    Complex numbers are ordered by real part, then by imaginary part. Elements that tie share the derivative.

    Args:
      operand: an array.
      axes: the dimensions; distinct and not negative.
    Raises:
      ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_max(lax.iota("float32", 4), (0,)))
    3.0
    """
    return _reduce("reduce_max", reduce_max_p, operand, axes)


reduce_min_p = _extremum("reduce_min", "min")


def reduce_min(operand: Any, axes: Sequence[int]) -> Any:
    """The minimum over some dimensions: NaN if there is one, the largest value of the dtype where there is nothing.

    Complex numbers are ordered by real part, then by imaginary part. Elements that tie share the derivative.

    Args:
      operand: an array.
      axes: the dimensions; distinct and not negative.
    Raises:
      ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_min(lax.iota("float32", 4), (0,)))
    0.0
    """
    return _reduce("reduce_min", reduce_min_p, operand, axes)


# --- logic ------------------------------------------------------------------------------------

# Narrower integers than int8 are left out, as in JAX.
_LOGICAL = BOOL + tuple(name for name in INTEGER if name not in ("int2", "int4", "uint2", "uint4"))

reduce_and_p = _reduction(
    "reduce_and", "and", _LOGICAL, no_tangent, keeps_weak=False, host=_on_host(np.bitwise_and, "reduce_and")
)


def reduce_and(operand: Any, axes: Sequence[int]) -> Any:
    """The bitwise "and" over some dimensions: of booleans, whether all are True.

    Args:
      operand: an array of booleans or integers.
      axes: the dimensions; distinct and not negative.
    Raises:
      TypeError: the operand is of another dtype. ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_and(lax.lt(lax.iota("int32", 4), 3), (0,)))
    False
    """
    return _reduce("reduce_and", reduce_and_p, operand, axes)


reduce_or_p = _reduction(
    "reduce_or", "or", _LOGICAL, no_tangent, keeps_weak=False, host=_on_host(np.bitwise_or, "reduce_or")
)


def reduce_or(operand: Any, axes: Sequence[int]) -> Any:
    """The bitwise "or" over some dimensions: of booleans, whether any is True.

    Args:
      operand: an array of booleans or integers.
      axes: the dimensions; distinct and not negative.
    Raises:
      TypeError: the operand is of another dtype. ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_or(lax.lt(lax.iota("int32", 4), 3), (0,)))
    True
    """
    return _reduce("reduce_or", reduce_or_p, operand, axes)


reduce_xor_p = _reduction(
    "reduce_xor", "xor", _LOGICAL, no_tangent, keeps_weak=False, host=_on_host(np.bitwise_xor, "reduce_xor")
)


def reduce_xor(operand: Any, axes: Sequence[int]) -> Any:
    """The bitwise "exclusive or" over some dimensions: of booleans, whether an odd number is True.

    Args:
      operand: an array of booleans or integers.
      axes: the dimensions; distinct and not negative.
    Raises:
      TypeError: the operand is of another dtype. ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> print(lax.reduce_xor(lax.iota("int32", 4), (0,)))
    0
    """
    return _reduce("reduce_xor", reduce_xor_p, operand, axes)


# --- the places of extrema --------------------------------------------------------------------

_REAL = BOOL + INTEGER + FLOAT


def _place_on_host(name: str, find: Callable[..., Any]) -> HostRule:
    def place(x: Any, *, axes: tuple[int, ...], index_dtype: Any) -> Any:
        return find(x, axes[0]).astype(index_dtype)

    return HostRule(place, WHOLE + REAL, "numbers", kernel=name)


def _place(name: str, operation: str, beats: Callable[[Any, Any], Any]) -> Primitive:
    def shape(x: ShapedArray, *, axes: tuple[int, ...], index_dtype: Any) -> ShapedArray:
        check_dtype(name, x, _REAL)
        if len(axes) != 1 or not 0 <= axes[0] < x.ndim:
            raise ValueError(f"{name}: axis {axes[0]} is out of bounds for an array of shape {x.shape}")
        if not dtypes.is_int(index_dtype):
            raise TypeError(
                f"{name}: index_dtype must be an integer dtype, got {dtypes.dtype_name(index_dtype)}"
            )
        if x.shape[axes[0]] == 0:
            raise ValueError(f"{name}: dimension {axes[0]} of shape {x.shape} must not be empty")
        return ShapedArray(reduced_shape(name, x, axes), index_dtype)

    def first(value: Any, index: Any, other_value: Any, other_index: Any) -> list[Any]:
        """The better of two places. A NaN beats everything else; of equals, and of NaNs, the first one wins."""
        nan, other_nan = ne(value, value), ne(other_value, other_value)
        better = bitwise_or(beats(value, other_value), nan)
        tie = bitwise_or(eq(value, other_value), bitwise_and(nan, other_nan))
        best = select(better, index, other_index)
        return [select(better, value, other_value), select(tie, min(index, other_index), best)]

    def lower(ctx: Context, x: Value, *, axes: tuple[int, ...], index_dtype: Any) -> Value:
        if packs(ctx, x, axes[0]):
            return place_by_packing(ctx, x, axes[0], operation == "max", _reduction_lowering("min"))
        out = ctx.out_avals[0]
        scalar, index = ShapedArray((), x.dtype), ShapedArray((), index_dtype)
        places = ctx.op(
            "stablehlo.iota", (), ShapedArray(x.shape, index_dtype), f"iota_dimension = {axes[0]} : i64"
        )
        init = ctx.constant(np.asarray(identity(operation, x.dtype), x.dtype), scalar)
        zero = ctx.constant(np.zeros((), index_dtype), index)
        body = traced_region(ctx, first, [scalar, index, scalar, index])
        outs = [ShapedArray(out.shape, x.dtype), out]  # type: ignore[attr-defined]
        attrs = f"dimensions = {i64_array(axes)}"
        return ctx.ops("stablehlo.reduce", (x, places, init, zero), outs, attrs, [body])[1]

    def batch(
        axis: Axis, args: Any, dims: Any, *, axes: tuple[int, ...], index_dtype: Any
    ) -> tuple[Any, int]:
        (d,) = dims
        (a,) = (a + (a >= d) for a in axes)
        return primitive.bind(args[0], axes=(a,), index_dtype=index_dtype), d - (a < d)

    primitive = declare(
        name,
        shape=shape,
        host=_place_on_host(name, np.argmax if operation == "max" else np.argmin),
        lower=widening(SUBBYTE, lower),
        jvp=no_tangent,
        transpose=Missing("it is not linear"),
        batch=batch,
        dtypes=_REAL,
    )
    return primitive


argmax_p = _place("argmax", "max", gt)


def argmax(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the maximum along one dimension: of equal ones the first; of the first NaN, if there is one.

    Args:
      operand: an array of booleans or real numbers.
      axis: the dimension; not negative, and not empty.
      index_dtype: the integer dtype of the result.
    Raises:
      ValueError: the axis is out of range or empty. TypeError: a dtype is not accepted.

    >>> from anima import lax
    >>> print(lax.argmax(lax.iota("float32", 4), 0, "int32"))
    3
    """
    return _bind_place("argmax", argmax_p, operand, axis, index_dtype)


argmin_p = _place("argmin", "min", lt)


def argmin(operand: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the minimum along one dimension: of equal ones the first; of the first NaN, if there is one.

    Args:
      operand: an array of booleans or real numbers.
      axis: the dimension; not negative, and not empty.
      index_dtype: the integer dtype of the result.
    Raises:
      ValueError: the axis is out of range or empty. TypeError: a dtype is not accepted.

    >>> from anima import lax
    >>> print(lax.argmin(lax.iota("float32", 4), 0, "int32"))
    0
    """
    return _bind_place("argmin", argmin_p, operand, axis, index_dtype)


def _bind_place(name: str, primitive: Primitive, operand: Any, axis: Any, index_dtype: Any) -> Any:
    x = as_operand(operand)
    if index_dtype is None:
        raise ValueError(f"{name}: index_dtype must be an integer dtype, got None")
    axes = check_axes(name, (axis,), len(shape_of(x)), "axis")
    return primitive.bind(x, axes=axes, index_dtype=dtypes.check_user_dtype_supported(index_dtype, name))
