"""Exponentials and logarithms.

Invariant: each takes floating-point and complex dtypes. Complex logarithms have their cut along the negative real axis.
Where XLA's own approximation errs by more than a few units in the last place, a formula stands in for it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import aval_of
from anima.lax.accuracy import AccuracyMode, Tolerance, accurate, checked_accuracy
from anima.lax.arithmetic import abs, add, div, mul, sign, sub
from anima.lax.bitwise import bitwise_and, shift_left, shift_right_arithmetic
from anima.lax.compare import eq, lt
from anima.lax.convert import bitcast_convert_type, convert_element_type
from anima.lax.declare import INEXACT, by_formula, by_kind, in_float32, operand, unary
from anima.lax.operands import constant, filled
from anima.lax.rounding import RoundingMethod, round
from anima.lax.selection import clamp, select


def _dtype(value: Any) -> Any:
    return aval_of(value).dtype  # type: ignore[attr-defined]


# --- exponentials -----------------------------------------------------------------------------

exp_p = unary("exp", accurate("stablehlo.exponential"), INEXACT, lambda t, ans, x, **_: mul(t, ans))


def exp(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise exponential `e**x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.exp(0.0))
    1.0
    """
    if accuracy is None:
        return exp_p.bind(operand(x))
    return exp_p.bind(operand(x), accuracy=checked_accuracy("exp", accuracy))


def _exp2(x: Any, accuracy: Any = None) -> Any:
    """`e**(f log 2) * 2**n`, with `x = n + f` and |f| <= 1/2, so that whole numbers give exact results.

    The power of two is made of its bits, in two halves, for either may be out of the range of exponents where the
    result is not. (XLA's power is as exact and eight times slower; `exp(x * log 2)` is wrong by up to 40 units.)
    """
    dtype = _dtype(x)
    if dtypes.is_complex(dtype):
        return exp(mul(x, constant(math.log(2), x)), accuracy=accuracy)
    info = np.finfo(dtype)
    whole = np.dtype(f"int{info.bits}")
    limit = 3 * info.maxexp
    bounded = clamp(constant(-limit, x), x, constant(limit, x))
    n = round(bounded, RoundingMethod.TO_NEAREST_EVEN)
    fraction = exp(mul(sub(bounded, n), constant(math.log(2), x)), accuracy=accuracy)
    exponent = convert_element_type(n, whole)
    half = shift_right_arithmetic(exponent, constant(1, exponent))
    for part in (half, sub(exponent, half)):
        biased = clamp(
            constant(0, part), add(part, constant(info.maxexp - 1, part)), constant(2 * info.maxexp - 1, part)
        )
        power = bitcast_convert_type(shift_left(biased, constant(info.nmant, part)), dtype)
        fraction = mul(fraction, power)
    return fraction


exp2_p = unary(
    "exp2",
    in_float32(by_formula(_exp2)),
    INEXACT,
    lambda t, ans, x, **_: mul(t, mul(constant(math.log(2), ans), ans)),
)


def exp2(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise power of two `2**x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.exp2(3.0))
    8.0
    """
    if accuracy is None:
        return exp2_p.bind(operand(x))
    return exp2_p.bind(operand(x), accuracy=checked_accuracy("exp2", accuracy))


expm1_p = unary(
    "expm1",
    accurate("stablehlo.exponential_minus_one"),
    INEXACT,
    lambda t, ans, x, **_: mul(t, add(ans, constant(1, ans))),
)


def expm1(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise `e**x - 1`, exact also for small `x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.expm1(0.0))
    0.0
    """
    if accuracy is None:
        return expm1_p.bind(operand(x))
    return expm1_p.bind(operand(x), accuracy=checked_accuracy("expm1", accuracy))


# --- logarithms -------------------------------------------------------------------------------

log_p = unary("log", accurate("stablehlo.log"), INEXACT, lambda t, ans, x, **_: div(t, x))


def log(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise natural logarithm; NaN for negative real `x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.log(1.0))
    0.0
    """
    if accuracy is None:
        return log_p.bind(operand(x))
    return log_p.bind(operand(x), accuracy=checked_accuracy("log", accuracy))


def _log1p_formula(x: Any, accuracy: Any = None) -> Any:
    """Near 0 the Taylor series of `2 atanh(s)` with `s = x / (2 + x)`, arranged so that `x` is corrected, not replaced.

    XLA's polynomial for float64 loses up to 7 bits around -0.4, and that for float32 is three times slower. The usual
    corrections for the rounding of `1 + x` do not survive XLA's simplification of `(1 + x) - 1` to `x`.
    """
    s = div(x, add(x, constant(2, x)))
    square = mul(s, s)
    degree = 11 if _dtype(x) == np.float32 else 23
    series = filled(2 / degree, x)
    for power in range(degree - 2, 1, -2):
        series = add(mul(series, square), constant(2 / power, x))
    near = sub(x, mul(s, sub(x, mul(series, square))))
    inside = bitwise_and(lt(constant(-0.2929, x), x), lt(x, constant(0.4143, x)))
    return select(inside, near, log(add(x, constant(1, x)), accuracy=accuracy))


log1p_p = unary(
    "log1p",
    by_kind(in_float32(by_formula(_log1p_formula)), accurate("stablehlo.log_plus_one")),
    INEXACT,
    lambda t, ans, x, **_: div(t, add(x, constant(1, x))),
)


def log1p(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise natural logarithm of `1 + x`, exact also for small `x`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.log1p(0.0))
    0.0
    """
    if accuracy is None:
        return log1p_p.bind(operand(x))
    return log1p_p.bind(operand(x), accuracy=checked_accuracy("log1p", accuracy))


logistic_p = unary(
    "logistic",
    accurate("stablehlo.logistic"),
    INEXACT,
    lambda t, ans, x, **_: mul(t, mul(ans, sub(constant(1, ans), ans))),
)


def logistic(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise logistic function `1 / (1 + e**-x)`.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.logistic(0.0))
    0.5
    """
    if accuracy is None:
        return logistic_p.bind(operand(x))
    return logistic_p.bind(operand(x), accuracy=checked_accuracy("logistic", accuracy))


# --- what sines and hyperbolic functions are made of ------------------------------------------


def times_cosh(factor: Any, x: Any) -> Any:
    """`factor * cosh(x)` for real arrays; overflows only where the product does, and 0 times anything is 0."""
    grows, decays = _halves(factor, x)
    return select(eq(factor, constant(0, factor)), factor, add(grows, decays))


def times_sinh(factor: Any, x: Any) -> Any:
    """`factor * sinh(x)` for real arrays, with the precautions of `times_cosh`."""
    grows, decays = _halves(factor, x)
    result = select(lt(abs(x), constant(1, x)), mul(factor, _small_sinh(x)), mul(sign(x), sub(grows, decays)))
    return select(eq(factor, constant(0, factor)), mul(factor, sign(x)), result)


def _halves(factor: Any, x: Any) -> tuple[Any, Any]:
    """`factor * e**|x| / 2` and `factor * e**-|x| / 2`."""
    root = exp(mul(abs(x), constant(0.5, x)))
    half = constant(0.5, x)
    return mul(mul(factor, mul(half, root)), root), div(mul(factor, div(half, root)), root)


def _small_sinh(x: Any) -> Any:
    """The Taylor series of sinh for |x| <= 1, to the last term that matters."""
    degree = 11 if _dtype(x) == np.float32 else 19
    square = mul(x, x)
    series = filled(1 / math.factorial(degree), x)
    for power in range(degree - 2, 2, -2):
        series = add(mul(series, square), constant(1 / math.factorial(power), x))
    return add(x, mul(mul(series, square), x))
