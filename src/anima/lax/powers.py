"""Powers and roots.

Invariant: derivatives are the limits where there are any: that of `x**0` by `x` is 0 everywhere, that of `0**y` by
`y` is 0 for `y >= 0`, and that of a root at 0 is infinite.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import REAL, WHOLE, HostRule
from anima.core.primitive import Missing
from anima.core.trace import aval_of, shaped
from anima.lax import on_host_tiny
from anima.lax.accuracy import AccuracyMode, Tolerance, accurate, checked_accuracy
from anima.lax.arithmetic import div, mul, sub
from anima.lax.bitwise import bitwise_or
from anima.lax.compare import eq, is_finite, ne
from anima.lax.convert import convert_element_type
from anima.lax.declare import (
    FLOAT,
    INEXACT,
    INTEGER,
    NUMERIC,
    batch_elementwise,
    by_formula,
    check_dtype,
    declare,
    in_float32,
    jvp_of,
    operand,
    same_shapes,
    spread,
    unary,
    unchanged,
)
from anima.lax.exponential import log
from anima.lax.operands import constant, filled, match_dtypes, match_shapes
from anima.lax.selection import select, select_n
from anima.lowering.module import Context, Value

# --- integer_pow, square, reciprocal ----------------------------------------------------------


def _integer_pow_lower(ctx: Context, x: Value, *, y: int) -> Value:
    aval = ShapedArray(x.shape, x.dtype)
    result: Value | None = None
    square_, exponent = x, abs(y)
    while exponent:
        if exponent & 1:
            result = square_ if result is None else ctx.op("stablehlo.multiply", (result, square_), aval)
        exponent >>= 1
        if exponent:
            square_ = ctx.op("stablehlo.multiply", (square_, square_), aval)
    if result is None:
        return ctx.full(1, aval)
    return result if y > 0 else ctx.op("stablehlo.divide", (ctx.full(1, aval), result), aval)


def _integer_pow_derivative(t: Any, ans: Any, x: Any, *, y: int) -> Any:
    return mul(t, filled(0, x) if y == 0 else mul(constant(y, x), integer_pow(x, y - 1)))


integer_pow_p = unary(
    "integer_pow",
    _integer_pow_lower,
    NUMERIC,
    _integer_pow_derivative,
    host=HostRule(
        lambda x, *, y: x * x, WHOLE + REAL, "numbers", rounds=True, refuses=lambda x, *, y: y != 2
    ),
)


def integer_pow(x: Any, y: int) -> Any:
    """Elementwise `x**y` for a constant integer `y`, by repeated multiplication.

    Args:
      x: an array of numeric dtype.
      y: the exponent, an integer (a float that is one will do); negative only if `x` is not of integers.
    Raises:
      TypeError: `x` is boolean, or `y` no integer, or negative for integers.

    >>> from anima import lax
    >>> print(lax.integer_pow(2.0, -3))
    0.125
    """
    whole = int(y) if isinstance(y, float) and float(y).is_integer() else y
    if not hasattr(whole, "__index__"):
        raise TypeError(f"integer_pow: y must be an integer, got {y!r}; see pow for other exponents")
    value, exponent = operand(x), operator.index(whole)
    aval = aval_of(value)
    assert isinstance(aval, ShapedArray)
    if exponent < 0 and dtypes.is_int(aval.dtype):
        raise TypeError(
            f"integer_pow: integers cannot be raised to negative powers, got {aval} and y={exponent}; "
            "convert x to a floating-point dtype first"
        )
    return integer_pow_p.bind(value, y=exponent)


square_p = unary(
    "square",
    lambda ctx, x: ctx.op("stablehlo.multiply", (x, x)),
    NUMERIC,
    lambda t, ans, x: mul(t, mul(constant(2, x), x)),
    host=HostRule(lambda x: x * x, WHOLE + REAL, "numbers", rounds=True, kernel="square", sequence="product"),
)


def square(x: Any) -> Any:
    """Elementwise `x * x`.

    Args:
      x: an array of numeric dtype.
    Raises:
      TypeError: `x` is boolean.

    >>> from anima import lax
    >>> print(lax.square(-3))
    9
    """
    return square_p.bind(operand(x))


def reciprocal(x: Any) -> Any:
    """Elementwise `1 / x`.

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.reciprocal(4.0))
    0.25
    """
    value = operand(x)
    check_dtype("reciprocal", shaped(value), INEXACT)
    return integer_pow_p.bind(value, y=-1)


# --- sqrt, rsqrt, cbrt ------------------------------------------------------------------------

sqrt_p = unary(
    "sqrt",
    accurate("stablehlo.sqrt"),
    INEXACT,
    lambda t, ans, x, **_: mul(t, div(constant(0.5, ans), ans)),
    host=HostRule(
        lambda x, **_: np.sqrt(x),
        on_host_tiny.PLAIN,
        "numbers",
        rounds=True,
        kernel="sqrt",
        alone=True,
        suits=on_host_tiny.is_root,
        sequence="root",
    ),
)


def sqrt(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise square root; NaN for negative real `x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.sqrt(4.0))
    2.0
    """
    if accuracy is None:
        return sqrt_p.bind(operand(x))
    return sqrt_p.bind(operand(x), accuracy=checked_accuracy("sqrt", accuracy))


rsqrt_p = unary(
    "rsqrt",
    accurate("stablehlo.rsqrt"),
    INEXACT,
    lambda t, ans, x, **_: mul(t, div(mul(constant(-0.5, ans), ans), x)),
    shapeless=False,
)


def rsqrt(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise reciprocal square root `1 / sqrt(x)`; NaN for negative real `x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.rsqrt(4.0))
    0.5
    """
    if accuracy is None:
        return rsqrt_p.bind(operand(x))
    return rsqrt_p.bind(operand(x), accuracy=checked_accuracy("rsqrt", accuracy))


def _cbrt_step(x: Any, y: Any, *, accuracy: Any = None) -> Any:
    """A Newton step from XLA's `y`, which errs by up to 10 units, to the cube root of `x`."""
    better = sub(y, mul(sub(y, div(x, square(y))), constant(1 / 3, y)))
    return select(eq(x, constant(0, x)), x, select(is_finite(better), better, y))


cbrt_p = unary(
    "cbrt",
    in_float32(by_formula(_cbrt_step, start="stablehlo.cbrt")),
    FLOAT,
    # A power rather than a quotient: its own derivative is 0 at infinity, and infinite at 0.
    lambda t, ans, x, **_: mul(t, mul(constant(1 / 3, ans), integer_pow(ans, -2))),
)


def cbrt(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise cube root; negative for negative `x`.

    Args:
      x: an array of real floating-point dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.cbrt(-8.0))
    -2.0
    """
    if accuracy is None:
        return cbrt_p.bind(operand(x))
    return cbrt_p.bind(operand(x), accuracy=checked_accuracy("cbrt", accuracy))


# --- pow --------------------------------------------------------------------------------------


def _pow_shape(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    check_dtype("pow", x, INEXACT, "x")
    check_dtype("pow", y, INEXACT + INTEGER, "y")
    if x.dtype != y.dtype and not dtypes.is_int(y.dtype):
        raise TypeError(
            f"lax.pow requires arguments to have the same dtypes, or y to be of integers, got "
            f"{dtypes.dtype_name(x.dtype)}, {dtypes.dtype_name(y.dtype)}. (Tip: numpy.power promotes its arguments)"
        )
    return ShapedArray(same_shapes("pow", (x, y)), x.dtype, x.weak_type and y.weak_type)


def _pow_lower(ctx: Context, x: Value, y: Value) -> Value:
    x, y = spread(ctx, (x, y))
    if x.dtype != y.dtype:
        y = ctx.op("stablehlo.convert", (y,), ShapedArray(y.shape, x.dtype))
    return ctx.op("stablehlo.power", (x, y))


def _pow_by_base(t: Any, ans: Any, x: Any, y: Any) -> Any:
    # Where both are 0, the exponent of the derivative is kept at 0, too: 0 * 0**-1 would be NaN.
    lowered = bitwise_or(ne(x, constant(0, x)), ne(y, constant(0, y)))
    exponent = sub(y, convert_element_type(lowered, aval_of(y).dtype))  # type: ignore[attr-defined]
    return mul(t, mul(convert_element_type(y, aval_of(x).dtype), pow(x, exponent)))  # type: ignore[attr-defined]


def _pow_by_exponent(t: Any, ans: Any, x: Any, y: Any) -> Any:
    # 0**y is 0 for all y > 0, and so is its derivative; a logarithm of 0 would make it NaN.
    base = select_n(eq(x, constant(0, x)), x, filled(1, x))
    return mul(t, mul(ans, log(base)))


pow_p = declare(
    "pow",
    shape=_pow_shape,
    lower=_pow_lower,
    jvp=jvp_of(_pow_by_base, _pow_by_exponent),
    transpose=Missing("it is not linear"),
    batch=batch_elementwise,
    elementwise=unchanged,
    dtypes=INEXACT,
    remembers=True,
)


def pow(x: Any, y: Any) -> Any:
    """Elementwise `x**y`; NaN for negative real `x` unless `y` is a whole number.

    Args:
      x: an array of floating-point or complex dtype, or a scalar.
      y: the exponent: an array of the same dtype or of integers, and of the same shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ otherwise, or `x` is not of such a dtype.

    >>> from anima import lax
    >>> print(lax.pow(2.0, 0.5), lax.pow(2.0, -1))
    1.4142135 0.5
    """
    values: tuple[Any, ...] = (operand(x), operand(y))
    avals: list[Any] = [aval_of(v) for v in values]
    if avals[0].dtype != avals[1].dtype and not dtypes.is_int(avals[1].dtype):
        values = match_dtypes("pow", values, avals)
    if avals[0].shape != avals[1].shape:
        values = match_shapes("pow", values, avals)
    return pow_p.bind(*values)
