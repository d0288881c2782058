"""Arithmetic: sums, products, quotients, remainders, signs, extrema.

Invariant: integers wrap around, and division by zero does not raise: an integer divided by zero has all bits set.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray
from anima.core.host import REAL, WHOLE, HostRule
from anima.core.trace import aval_of
from anima.interpreters.zeros import zero_of
from anima.lax import on_host_tiny
from anima.lax.bitwise import bitwise_and, shift_right_arithmetic, shift_right_logical
from anima.lax.compare import eq, gt, lt
from anima.lax.complex_parts import complex, conj, imag, real
from anima.lax.convert import convert_element_type
from anima.lax.declare import (
    ANY,
    FLOAT,
    INEXACT,
    INTEGER,
    NUMERIC,
    UNSIGNED,
    binary,
    by_formula,
    is_linear,
    operand,
    unary,
    unary_linear,
)
from anima.lax.operands import constant, filled, operands
from anima.lax.rounding import round
from anima.lax.selection import select_n
from anima.lowering.module import Context, Value

_REAL = INTEGER + FLOAT


def _dtype(value: Any) -> Any:
    return aval_of(value).dtype  # type: ignore[attr-defined]


# --- add, sub, neg ----------------------------------------------------------------------------


def _add_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [ct if is_linear(x) else None, ct if is_linear(y) else None]


_add_derivatives = (lambda t, ans, x, y: t, lambda t, ans, x, y: t)

# In a program the compiler drops the addition of a constant zero, which makes a negative zero a positive one.
_HOST_SUM = HostRule(np.add, WHOLE + REAL, "zeros", rounds=True, kernel="add", sequence="sum")

add_p = binary("add", "stablehlo.add", NUMERIC, _add_derivatives, transpose=_add_transpose, host=_HOST_SUM)

# The sum of two tangents or two cotangents; programs show it under a name of its own.
add_any_p = binary(
    "add_any", "stablehlo.add", NUMERIC, _add_derivatives, transpose=_add_transpose, host=_HOST_SUM
)

hooks.add_tangents = add_any_p.bind


def add(x: Any, y: Any) -> Any:
    """Elementwise sum `x + y`.

    Args:
      x, y: arrays of one numeric dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.add(1.0, 2.0))
    3.0
    """
    return add_p.bind(*operands("add", x, y))


neg_p = unary_linear(
    "neg", "stablehlo.negate", NUMERIC, host=HostRule(np.negative, WHOLE + REAL, "numbers", kernel="neg")
)


def neg(x: Any) -> Any:
    """Elementwise negation `-x`.

    Args:
      x: an array of numeric dtype; unsigned integers wrap around.
    Raises:
      TypeError: `x` is boolean.

    >>> from anima import lax
    >>> print(lax.neg(3))
    -3
    """
    return neg_p.bind(operand(x))


def _sub_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [ct if is_linear(x) else None, neg(ct) if is_linear(y) else None]


sub_p = binary(
    "sub",
    "stablehlo.subtract",
    NUMERIC,
    (lambda t, ans, x, y: t, lambda t, ans, x, y: neg(t)),
    transpose=_sub_transpose,
    host=HostRule(np.subtract, WHOLE + REAL, "zeros", rounds=True, kernel="sub", sequence="sum"),
)


def sub(x: Any, y: Any) -> Any:
    """Elementwise difference `x - y`.

    Args:
      x, y: arrays of one numeric dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.sub(1.0, 3.0))
    -2.0
    """
    return sub_p.bind(*operands("sub", x, y))


# --- mul --------------------------------------------------------------------------------------


def _mul_at_once(ctx: Context, x: Value, y: Value) -> Value | None:
    if x.scaled is not None and not y.shape:
        return x.scaled(ctx, y)
    return y.scaled(ctx, x) if y.scaled is not None and not x.shape else None


def _mul_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [mul(ct, y), None] if is_linear(x) else [None, mul(x, ct)]


mul_p = binary(
    "mul",
    "stablehlo.multiply",
    NUMERIC,
    (lambda t, ans, x, y: mul(t, y), lambda t, ans, x, y: mul(x, t)),
    transpose=_mul_transpose,
    host=HostRule(np.multiply, WHOLE + REAL, "numbers", rounds=True, kernel="mul", sequence="product"),
    at_once=_mul_at_once,
)


def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """Elementwise product `x * y`.

    Args:
      x, y: arrays of one numeric dtype and shape, or scalars.
      out_dtype: a dtype to convert both to first, such as one wide enough for the product; they may then differ.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.mul(3.0, 2.0))
    6.0
    """
    if out_dtype is not None:
        x, y = convert_element_type(x, out_dtype), convert_element_type(y, out_dtype)
    return mul_p.bind(*operands("mul", x, y))


hooks.scale = lambda x, number: mul(x, constant(number, x))


def _mulhi(x: Any, y: Any) -> Any:
    dtype = _dtype(x)
    unsigned, bits = dtypes.is_unsigned_int(dtype), dtypes.itemsize_bits(dtype)
    if bits >= 32:
        return _mulhi_by_halves(x, y, unsigned, bits // 2)
    wide = np.dtype("uint32" if unsigned else "int32")
    a, b = (convert_element_type(v, wide) for v in (x, y))
    return convert_element_type(shift_right_arithmetic(mul(a, b), constant(bits, a)), dtype)


def _mulhi_by_halves(x: Any, y: Any, unsigned: bool, half: int) -> Any:
    """Products of halves do not overflow: Warren, Hacker's Delight, 2nd edition, section 8-2."""
    shift, mask = constant(half, x), constant((1 << half) - 1, x)
    high = lambda v: (shift_right_logical if unsigned else shift_right_arithmetic)(v, shift)
    low = lambda v: bitwise_and(v, mask)
    cross = add(mul(high(x), low(y)), shift_right_logical(mul(low(x), low(y)), shift))
    other = add(mul(low(x), high(y)), low(cross))
    return add(add(mul(high(x), high(y)), high(cross)), high(other))


mulhi_p = binary("mulhi", by_formula(_mulhi), INTEGER, None)


def mulhi(x: Any, y: Any, /) -> Any:
    """The upper half of the bits of the full product of two integers, elementwise.

    Args:
      x, y: arrays of one integer dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or are not those of integers.

    >>> from anima import lax
    >>> print(lax.mulhi(1 << 30, 8))
    2
    """
    return mulhi_p.bind(*operands("mulhi", x, y))


# --- div, rem ---------------------------------------------------------------------------------


def _div_at_once(ctx: Context, x: Value, y: Value) -> Value | None:
    if x.scaled is None or y.shape:
        return None
    return x.scaled(ctx, ctx.op("stablehlo.divide", (ctx.constant(y.dtype.type(1)), y), y.aval))


div_p = binary(
    "div",
    "stablehlo.divide",
    NUMERIC,
    # As a quotient by `y`, the second one joins the first in derivatives of higher order: see interpreters.taylor.
    (lambda t, ans, x, y: div(t, y), lambda t, ans, x, y: div(mul(neg(t), ans), y)),
    transpose=lambda ct, x, y: [div(ct, y), None],
    # The compiler multiplies by the inverse of a constant divisor.
    host=HostRule(
        np.divide,
        REAL,
        "numbers",
        rounds=True,
        variable=(1,),
        kernel="div",
        by_constant=on_host_tiny.BY_INVERSE,
        sequence="product",
    ),
    at_once=_div_at_once,  # as the compiler, which multiplies by the inverse of a constant
)


def div(x: Any, y: Any) -> Any:
    """Elementwise quotient `x / y`; that of integers is rounded towards zero.

    An integer divided by zero gives -1 (the largest number if unsigned); the smallest integer divided by -1 is itself.

    Args:
      x, y: arrays of one numeric dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.div(-7, 2), lax.div(-7.0, 2.0))
    -3 -3.5
    """
    return div_p.bind(*operands("div", x, y))


def _rem_derivative(t: Any, ans: Any, x: Any, y: Any) -> Any:
    # x - ans is a whole multiple of y; the quotient x / y may have been rounded up to the next integer.
    return mul(t, neg(round(div(sub(x, ans), y))))


rem_p = binary("rem", "stablehlo.remainder", _REAL, (lambda t, ans, x, y: t, _rem_derivative))


def rem(x: Any, y: Any) -> Any:
    """Elementwise remainder of the division of `x` by `y` that rounds towards zero; it has the sign of `x`.

    An integer's remainder by zero is the integer itself, a floating-point number's is NaN.

    Args:
      x, y: arrays of one real dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima import lax
    >>> print(lax.rem(-7, 3), lax.rem(7.5, 2.0))
    -1 1.5
    """
    return rem_p.bind(*operands("rem", x, y))


# --- abs, sign --------------------------------------------------------------------------------


def _abs_derivative(t: Any, ans: Any, x: Any) -> Any:
    if dtypes.is_complex(_dtype(x)):
        return real(mul(t, conj(sign(x))))
    return select_n(lt(x, constant(0, x)), t, neg(t))


# Signed integers narrower than int8 are left out, as in JAX.
abs_p = unary(
    "abs",
    "stablehlo.abs",
    ("int8", "int16", "int32", "int64", *INEXACT),
    _abs_derivative,
    out_dtype=dtypes.to_real_dtype,
    host=HostRule(np.abs, WHOLE + REAL, "numbers", kernel="abs"),
)


def abs(x: Any) -> Any:
    """Elementwise absolute value `|x|`, real also for complex `x`.

    Its derivative at 0 is 1 for real `x` and 0 for complex `x`.

    Args:
      x: an array of signed integer, floating-point or complex dtype. The smallest integer is its own absolute value.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.abs(-3), lax.abs(3 + 4j))
    3 5.0
    """
    return abs_p.bind(operand(x))


def _sign_lower(ctx: Context, x: Value) -> Value:
    if x.dtype.name in UNSIGNED:
        return ctx.op("stablehlo.minimum", (x, ctx.full(1, x.aval)))  # type: ignore[arg-type]
    return ctx.op("stablehlo.sign", (x,))


def _sign_derivative(t: Any, ans: Any, x: Any) -> Any:
    if not dtypes.is_complex(_dtype(x)):
        return zero_of(ans)
    # Only the part of t at right angles to x turns the sign, the more the nearer x is to 0. At 0, ans is 0 and so is this.
    modulus = abs(x)
    modulus = select_n(eq(modulus, constant(0, modulus)), modulus, filled(1, modulus))
    turn = div(imag(mul(t, conj(ans))), modulus)
    return mul(complex(filled(0, turn), turn), ans)


sign_p = unary("sign", _sign_lower, NUMERIC, _sign_derivative)


def sign(x: Any) -> Any:
    """Elementwise sign: -1, 0 or 1, and `x / |x|` for complex `x`; zeros and NaNs are themselves.

    Args:
      x: an array of numeric dtype.
    Raises:
      TypeError: `x` is boolean.

    >>> from anima import lax
    >>> print(lax.sign(-2.5), lax.sign(3 + 4j))
    -1.0 (0.6+0.8j)
    """
    return sign_p.bind(operand(x))


# --- max, min ---------------------------------------------------------------------------------


def _extremum_derivative(position: int, beats: Any) -> Any:
    """The tangent of the operand that is the result; half of each where both are equal.

    Real operands are compared with each other, not with the result: a compiler that computes an operand twice, once with a
    product and a sum in one rounding, may find that it differs from itself, and neither would have the derivative.
    """

    def derivative(t: Any, ans: Any, x: Any, y: Any) -> Any:
        mine, other = (x, y) if position == 0 else (y, x)
        if dtypes.is_complex(_dtype(ans)):
            wins, ties = eq(mine, ans), eq(other, ans)
            return mul(t, select_n(wins, filled(0, ans), select_n(ties, filled(1, ans), filled(0.5, ans))))
        share = select_n(eq(mine, other), filled(0, ans), filled(0.5, ans))
        return mul(t, select_n(beats(mine, other), share, filled(1, ans)))

    return derivative


def _extremum_lower(hlo: str, direction: str) -> Any:
    def lower(ctx: Context, x: Value, y: Value) -> Value:
        if x.dtype.kind != "c":
            return ctx.op(hlo, (x, y))
        part = ShapedArray(x.shape, dtypes.to_real_dtype(x.dtype))
        truth = ShapedArray(x.shape, np.dtype(bool))

        def compare(a: Value, b: Value, how: str) -> Value:
            attrs = f"comparison_direction = #stablehlo<comparison_direction {how}>"
            return ctx.op("stablehlo.compare", (a, b), truth, attrs)

        x_real, y_real = (ctx.op("stablehlo.real", (v,), part) for v in (x, y))
        x_imag, y_imag = (ctx.op("stablehlo.imag", (v,), part) for v in (x, y))
        by_imag, by_real = compare(x_imag, y_imag, direction), compare(x_real, y_real, direction)
        first = ctx.op("stablehlo.select", (compare(x_real, y_real, "EQ"), by_imag, by_real), truth)
        # A NaN compares false with everything; the one in y is chosen by that, the one in x by this.
        first = ctx.op("stablehlo.or", (first, compare(x, x, "NE")), truth)
        return ctx.op("stablehlo.select", (first, x, y))

    return lower


max_p = binary(
    "max",
    _extremum_lower("stablehlo.maximum", "GT"),
    ANY,
    (_extremum_derivative(0, gt), _extremum_derivative(1, gt)),
    host=HostRule(np.maximum, WHOLE + REAL, "zeros", kernel="max"),
)


def max(x: Any, y: Any) -> Any:
    """Elementwise maximum; NaN where either is.

    Complex numbers are ordered by real part, then by imaginary part. Where both are equal, each gets half of the
    derivative.

    Args:
      x, y: arrays of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.max(1.0, 2.0))
    2.0
    """
    return max_p.bind(*operands("max", x, y))


min_p = binary(
    "min",
    _extremum_lower("stablehlo.minimum", "LT"),
    ANY,
    (_extremum_derivative(0, lt), _extremum_derivative(1, lt)),
    host=HostRule(np.minimum, WHOLE + REAL, "zeros", kernel="min"),
)


def min(x: Any, y: Any) -> Any:
    """Elementwise minimum; NaN where either is.

    Complex numbers are ordered by real part, then by imaginary part. Where both are equal, each gets half of the
    derivative.

    Args:
      x, y: arrays of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.min(1.0, 2.0))
    1.0
    """
    return min_p.bind(*operands("min", x, y))
