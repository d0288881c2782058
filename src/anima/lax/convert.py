"""Conversions: to other dtypes by value or by bits, and to fewer bits of precision.

Invariant: a conversion to the dtype that a value already has makes no operation.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, has_tangent
from anima.core.host import REAL, WHOLE, HostRule
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.errors import ArgumentError
from anima.interpreters.batch import Axis
from anima.lax.declare import (
    ANY,
    FLOAT,
    batch_elementwise,
    comparison,
    declare,
    no_tangent,
    operand as as_operand,
    unary_linear,
    unchanged,
)
from anima.lowering.module import Context, Value

_PYTHON_SCALARS = (bool, int, float, complex)

# --- convert_element_type ---------------------------------------------------------------------


def _convert_shape(x: ShapedArray, *, new_dtype: Any, weak_type: bool) -> ShapedArray:
    if not isinstance(x.dtype, np.dtype) or not isinstance(new_dtype, np.dtype):
        raise ArgumentError(
            f"convert_element_type cannot convert {dtypes.dtype_name(x.dtype)} to {dtypes.dtype_name(new_dtype)}: "
            "random keys have no numbers to convert; see random.key_data and random.wrap_key_data"
        )
    return ShapedArray(x.shape, new_dtype, weak_type, x.sharding)


def _convert_lower(ctx: Context, x: Value, *, new_dtype: Any, weak_type: bool) -> Value:
    if x.dtype == new_dtype:
        return Value(x.name, ctx.out_avals[0])
    if new_dtype == np.dtype(bool):
        # XLA's own conversion to i1 truncates 0.5 to False.
        zero = ctx.full(0, ShapedArray(x.shape, x.dtype))
        return ctx.op("stablehlo.compare", (x, zero), attrs=comparison("NE", x.dtype))
    if x.dtype.kind == "c" and new_dtype.kind != "c":
        real = ctx.op("stablehlo.real", (x,), ShapedArray(x.shape, np.dtype(f"float{x.dtype.itemsize * 4}")))
        return real if real.dtype == new_dtype else ctx.op("stablehlo.convert", (real,))
    return ctx.op("stablehlo.convert", (x,))


def _convert_jvp(primals: Any, tangents: Any, *, new_dtype: Any, weak_type: bool) -> tuple[Any, Any]:
    params = {"new_dtype": new_dtype, "weak_type": weak_type}
    ans = convert_element_type_p.bind(*primals, **params)
    (t,) = tangents
    if type(t) is Zero or not has_tangent(aval_of(ans)):
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, convert_element_type_p.bind(t, **params)


def _convert_transpose(ct: Any, x: Any, *, new_dtype: Any, weak_type: bool) -> list[Any]:
    return [convert_element_type_p.bind(ct, new_dtype=x.dtype, weak_type=x.aval.weak_type)]


def _converted(x: np.ndarray[Any, Any], *, new_dtype: Any, weak_type: bool) -> Any:
    return x != 0 if new_dtype.kind == "b" else x.astype(new_dtype)


_HALF = ("bfloat16", "float16")


def _not_on_host(x: np.ndarray[Any, Any], *, new_dtype: Any, weak_type: bool) -> bool:
    """Whether NumPy may convert otherwise: floats beyond an integer's range, and what the compiler rounds twice."""
    if new_dtype.kind in "iu" and x.dtype.kind not in "biu":
        info = np.iinfo(new_dtype)
        return not bool(((x > max(info.min, -(2**24))) & (x < min(info.max, 2**24))).all())
    return new_dtype.name in _HALF and x.dtype.itemsize > (4 if x.dtype.kind in "fV" else 1)


convert_element_type_p = declare(
    "convert_element_type",
    shape=_convert_shape,
    lower=_convert_lower,
    jvp=_convert_jvp,
    transpose=_convert_transpose,
    batch=batch_elementwise,
    elementwise=unchanged,
    host=HostRule(_converted, WHOLE + REAL, "numbers", rounds=True, refuses=_not_on_host, kernel="convert"),
    dtypes=ANY,
    remembers=True,
)


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """`operand` with its elements converted to `new_dtype`.

    Complex to real keeps the real part; anything to bool is "not zero". Floating point to integer truncates towards
    zero, saturates, and makes a NaN 0; integer to integer keeps the lowest bits.

    Args:
      operand: an array or scalar.
      new_dtype: a dtype, its name, or one of Python's `bool`, `int`, `float` and `complex` for the default of the mode.
    Raises:
      TypeError: `new_dtype` is not a dtype of arrays, or one of the two is that of random keys.

    >>> from anima import lax
    >>> print(lax.convert_element_type(2.7, "int32"))
    2
    """
    return convert_to(operand, new_dtype, False)


def convert_to(operand: Any, new_dtype: Any, weak_type: bool) -> Any:
    """`convert_element_type`, with a result that may be weakly typed: yield to other dtypes as Python scalars do."""
    if new_dtype is None:
        raise ValueError("convert_element_type: new_dtype must be a dtype, got None")
    value = as_operand(operand)
    aval = aval_of(value)
    assert isinstance(aval, ShapedArray)
    if isinstance(new_dtype, np.dtype) and dtypes.canonical(new_dtype) is new_dtype:
        dtype: Any = new_dtype
    else:
        dtype = dtypes.check_user_dtype_supported(new_dtype, "convert_element_type")
    if dtype == dtypes.float0:
        return np.zeros(aval.shape, dtypes.float0)
    if aval.dtype == dtype and aval.weak_type == weak_type and not isinstance(value, (*_PYTHON_SCALARS, np.generic, np.ndarray)):  # fmt: skip
        return value
    return convert_element_type_p.bind(value, new_dtype=dtype, weak_type=weak_type)


# --- bitcast_convert_type ---------------------------------------------------------------------


def _bitcast_shape(x: ShapedArray, *, new_dtype: Any) -> ShapedArray:
    old_kind, new_kind = dtypes.kind_of(x.dtype), dtypes.kind_of(new_dtype)
    names = f"{dtypes.dtype_name(x.dtype)} to {dtypes.dtype_name(new_dtype)}"
    if x.dtype == new_dtype:
        return x.strip_weak_type()
    if old_kind is None or new_kind is None:
        raise ArgumentError(
            f"bitcast_convert_type cannot cast {names}: the dtypes of keys cast to themselves only"
        )
    old, new = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(new_dtype)
    fits = old >= new or x.shape[-1:] == (new // old,)
    if fits and {old_kind, new_kind} & {"b", "c"}:
        raise TypeError(
            f"bitcast_convert_type cannot cast {names}: bool and complex dtypes cast to themselves only. "
            "Use the array method view, which casts them too"
        )
    if old == new:
        return ShapedArray(x.shape, new_dtype)
    if old > new:
        return ShapedArray((*x.shape, old // new), new_dtype)
    if not fits:
        raise ValueError(
            f"bitcast_convert_type casts {names}, so the last dimension of operand must be {new // old}, to become "
            f"one element; got shape {x.shape}"
        )
    return ShapedArray(x.shape[:-1], new_dtype)


def _bitcast_lower(ctx: Context, x: Value, *, new_dtype: Any) -> Value:
    if x.dtype == new_dtype:
        return Value(x.name, ctx.out_avals[0])
    return ctx.op("stablehlo.bitcast_convert", (x,))


def _bitcast_batch(axis: Axis, args: Any, dims: Any, *, new_dtype: Any) -> tuple[Any, int]:
    return bitcast_convert_type_p.bind(hooks.move_axis(args[0], dims[0], 0), new_dtype=new_dtype), 0


bitcast_convert_type_p = declare(
    "bitcast_convert_type",
    shape=_bitcast_shape,
    lower=_bitcast_lower,
    jvp=no_tangent,
    transpose=Missing("bits do not depend linearly on the value"),
    batch=_bitcast_batch,
    elementwise=unchanged,
    dtypes=ANY,
)


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The bits of `operand` read as another dtype.

    Args:
      operand: an array. If `new_dtype` is wider, its last dimension must be the ratio of the widths, and goes.
      new_dtype: a dtype; if narrower, the result has a last dimension for the parts of each element, the lowest
        bits first.
    Raises:
      TypeError: one of the dtypes is bool or complex, and not the other. ValueError: the last dimension does not fit, or
        `new_dtype` is None. ArgumentError: a dtype is that of keys.

    >>> from anima import lax
    >>> print(lax.bitcast_convert_type(1.0, "int32"))
    1065353216
    """
    value = as_operand(operand)
    if new_dtype is None:
        raise ValueError("bitcast_convert_type: new_dtype must be given, got None")
    dtype = dtypes.check_user_dtype_supported(new_dtype, "bitcast_convert_type")
    return bitcast_convert_type_p.bind(value, new_dtype=dtype)


# --- reduce_precision -------------------------------------------------------------------------


def _reduce_precision_lower(ctx: Context, x: Value, *, exponent_bits: int, mantissa_bits: int) -> Value:
    attrs = f"exponent_bits = {exponent_bits} : i32, mantissa_bits = {mantissa_bits} : i32"
    reduced = ctx.op("stablehlo.reduce_precision", (x,), attrs=attrs)
    if mantissa_bits:
        return reduced
    # Without bits to tell them from infinities, NaNs become these in programs that XLA compiles without its emitters.
    order = "comparison_direction = #stablehlo<comparison_direction NE>, compare_type = #stablehlo<comparison_type FLOAT>"
    is_nan = ctx.op("stablehlo.compare", (x, x), ShapedArray(x.shape, np.dtype(bool)), order)
    return ctx.op("stablehlo.select", (is_nan, x, reduced))


# Tangents and cotangents lose the same bits as values do, for their range and precision are what is being modelled.
reduce_precision_p = unary_linear("reduce_precision", _reduce_precision_lower, FLOAT)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """`operand` rounded to what a floating-point format with fewer bits holds; the dtype stays.

    Derivatives are rounded alike.

    Args:
      operand: an array of real floating-point dtype.
      exponent_bits: positive; values out of range become infinite or zero.
      mantissa_bits: not negative; rounding is to the nearest, ties to even.
    Raises:
      TypeError: the dtype is another. ValueError: a number of bits is out of range.

    >>> from anima import lax
    >>> print(lax.reduce_precision(1.2345, 5, 3))
    1.25
    """
    for argument, bits in (("exponent_bits", exponent_bits), ("mantissa_bits", mantissa_bits)):
        if not hasattr(bits, "__index__"):
            raise TypeError(f"reduce_precision: {argument} must be an integer, got {bits!r}")
    exponent, mantissa = operator.index(exponent_bits), operator.index(mantissa_bits)
    if exponent < 1:
        raise ValueError(f"reduce_precision: exponent_bits must be positive, got {exponent}")
    if mantissa < 0:
        raise ValueError(f"reduce_precision: mantissa_bits must not be negative, got {mantissa}")
    return reduce_precision_p.bind(as_operand(operand), exponent_bits=exponent, mantissa_bits=mantissa)


__all__ = ["bitcast_convert_type", "bitcast_convert_type_p", "convert_element_type", "convert_element_type_p", "reduce_precision", "reduce_precision_p"]  # fmt: skip
