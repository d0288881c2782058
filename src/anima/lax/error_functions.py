"""The error function and the logarithm of the gamma function, with their relatives.

Invariant: real floating-point dtypes only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima.core.trace import aval_of
from anima.errors import MissingRuleError
from anima.lax.arithmetic import abs, add, mul, neg, sign, sub
from anima.lax.compare import eq, is_finite, lt
from anima.lax.declare import FLOAT, binary, by_formula, in_float32, operand, unary
from anima.lax.exponential import exp, log
from anima.lax.operands import constant, filled, operands
from anima.lax.powers import sqrt, square
from anima.lax.selection import select
from anima.lowering.module import Context, Value

# --- error functions --------------------------------------------------------------------------

_SLOPE = 2 / math.sqrt(math.pi)


def _gaussian(x: Any) -> Any:
    return mul(constant(_SLOPE, x), exp(neg(square(x))))


erf_p = unary("erf", "chlo.erf", FLOAT, lambda t, ans, x: mul(t, _gaussian(x)))


def erf(x: Any) -> Any:
    """Elementwise error function: 2/sqrt(pi) times the integral of `e**-t**2` from 0 to `x`.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.erf(0.0))
    0.0
    """
    return erf_p.bind(operand(x))


def _erfc_correction(x: Any, y: Any) -> Any:
    """XLA's `y` contains `e**-s`, where `s` is `x**2` rounded; put back the factor `e**(s - x**2)` that is missing.

    The part of the square that rounding lost comes from Dekker's splitting of `x` into halves whose products are exact.
    """
    bits = (np.finfo(aval_of(x).dtype).nmant + 2) // 2  # type: ignore[attr-defined]
    scaled = mul(x, constant(2**bits + 1, x))
    high = sub(scaled, sub(scaled, x))
    low = sub(x, high)
    s = square(x)
    lost = add(add(sub(square(high), s), mul(constant(2, x), mul(high, low))), square(low))
    corrected = sub(y, mul(y, lost))
    return select(lt(constant(1, x), x), select(is_finite(corrected), corrected, y), y)


erfc_p = unary(
    "erfc",
    in_float32(by_formula(_erfc_correction, start="chlo.erfc")),
    FLOAT,
    lambda t, ans, x: mul(t, neg(_gaussian(x))),
)


def erfc(x: Any) -> Any:
    """Elementwise complementary error function `1 - erf(x)`, exact also where `erf(x)` is nearly 1.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.erfc(0.0))
    1.0
    """
    return erfc_p.bind(operand(x))


# M. Giles, Approximating the erfinv function, GPU Computing Gems (Jade edition), 2012: two polynomials in a logarithm.
_CENTRAL = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _erf_inv_32(x: Any) -> Any:
    """Giles's approximation for float32. XLA's takes `log1p(-x**2)`, which is slower and loses 6 bits near 1."""
    one = constant(1, x)
    w = neg(log(mul(sub(one, x), add(one, x))))
    central = lt(w, constant(5, x))
    v = select(central, sub(w, constant(2.5, x)), sub(sqrt(w), constant(3, x)))
    sum_ = select(central, filled(_CENTRAL[0], x), filled(_TAIL[0], x))
    for near, far in zip(_CENTRAL[1:], _TAIL[1:]):
        sum_ = add(select(central, filled(near, x), filled(far, x)), mul(sum_, v))
    infinite = eq(abs(x), one)
    return select(infinite, mul(x, constant(math.inf, x)), mul(sum_, x))


def _erf_inv_64(x: Any, y: Any) -> Any:
    """A Newton step from XLA's `y`, of which only 10 digits are right, to the solution of `erf(y) = x`."""
    size, guess = abs(x), abs(y)
    near_zero = sub(erf(guess), size)
    near_one = sub(sub(constant(1, x), size), erfc(guess))
    residue = select(lt(size, constant(0.5, x)), near_zero, near_one)
    better = sub(guess, mul(residue, mul(constant(1 / _SLOPE, x), exp(square(guess)))))
    return select(is_finite(better), mul(sign(x), better), y)


_single = by_formula(_erf_inv_32)
_double = by_formula(_erf_inv_64, start="chlo.erf_inv")


@in_float32
def _erf_inv_lower(ctx: Context, x: Value) -> Value:
    return _double(ctx, x) if x.dtype == np.float64 else _single(ctx, x)


erf_inv_p = unary(
    "erf_inv",
    _erf_inv_lower,
    FLOAT,
    lambda t, ans, x: mul(t, mul(constant(1 / _SLOPE, ans), exp(square(ans)))),
)


def erf_inv(x: Any) -> Any:
    """Elementwise inverse of the error function: infinite at -1 and 1, NaN beyond.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.erf_inv(0.0))
    0.0
    """
    return erf_inv_p.bind(operand(x))


# --- gamma functions --------------------------------------------------------------------------

lgamma_p = unary("lgamma", "chlo.lgamma", FLOAT, lambda t, ans, x: mul(t, digamma(x)))


def lgamma(x: Any) -> Any:
    """Elementwise logarithm of the absolute value of the gamma function; infinite at 0, -1, -2, ...

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> round(float(lax.lgamma(5.0)), 4)
    3.1781
    """
    return lgamma_p.bind(operand(x))


digamma_p = unary("digamma", "chlo.digamma", FLOAT, lambda t, ans, x: mul(t, polygamma(constant(1, x), x)))


def digamma(x: Any) -> Any:
    """Elementwise digamma function, the derivative of `lgamma`; NaN at 0, -1, -2, ...

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> round(float(lax.digamma(1.0)), 4)
    -0.5772
    """
    return digamma_p.bind(operand(x))


def _no_order(what: str) -> Any:
    def derivative(t: Any, ans: Any, *operands: Any) -> Any:
        raise MissingRuleError(
            f"{what}: its order has no derivative; differentiate by the other argument only"
        )

    return derivative


polygamma_p = binary(
    "polygamma",
    "chlo.polygamma",
    FLOAT,
    (_no_order("polygamma"), lambda t, ans, m, x: mul(t, polygamma(add(m, constant(1, m)), x))),
)


def polygamma(m: Any, x: Any) -> Any:
    """Elementwise `m`-th derivative of `digamma` at `x`.

    Args:
      m: the order, whole numbers that are not negative, in the dtype of `x`; it has no derivative.
      x: an array of real floating-point dtype and of the same shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> round(float(lax.polygamma(1.0, 1.0)), 4)
    1.6449
    """
    return polygamma_p.bind(*operands("polygamma", m, x))


zeta_p = binary(
    "zeta",
    "chlo.zeta",
    FLOAT,
    (_no_order("zeta"), lambda t, ans, x, q: mul(t, neg(mul(x, zeta(add(x, constant(1, x)), q))))),
)


def zeta(x: Any, q: Any) -> Any:
    """Elementwise Hurwitz zeta function: the sum of `(q + n)**-x` over `n = 0, 1, 2, ...`.

    Args:
      x: the exponent, above 1; it has no derivative.
      q: an array of the same dtype and shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> round(float(lax.zeta(2.0, 1.0)), 4)
    1.6449
    """
    return zeta_p.bind(*operands("zeta", x, q))
