"""Modified Bessel functions of the first kind, scaled by `exp(-|x|)`.

Invariant: real floating-point dtypes only.
"""

from __future__ import annotations

import math
from typing import Any

from anima.core.primitive import Primitive
from anima.lax.arithmetic import abs, add, div, mul, sign, sub
from anima.lax.compare import eq
from anima.lax.declare import FLOAT, by_formula, in_float32, operand, unary
from anima.lax.exponential import exp
from anima.lax.operands import constant, filled
from anima.lax.powers import sqrt
from anima.lax.selection import select
from anima.lax.special.parts import chebyshev, polynomial, where
from anima.lax.special.tables import I0_LARGE, I0_SMALL, I1_LARGE, I1_SMALL


def _both(x: Any, small: tuple[float, ...], large: tuple[float, ...]) -> tuple[Any, Any]:
    """The sums of the tables for up to 8 and from there on, the latter with the factor `1 / sqrt(x)`."""
    near = x <= 8
    far = where(near, 8, x)
    return chebyshev(where(near, x, 0) / 4 - 1, small), chebyshev(16 / far - 1, large) / sqrt(far)


def _i0e(x: Any) -> Any:
    x = abs(x)
    near, far = _both(x, I0_SMALL, I0_LARGE)
    quarter = where(x < 1, x * x / 4, 0)
    least = exp(-x) * polynomial(quarter, [1 / math.factorial(k) ** 2 for k in range(12)], 0.25)  # 1 at 0
    return where(x < 1, least, where(x <= 8, near, far))


def _i1e(x: Any) -> Any:
    size = abs(x)
    near, far = _both(size, I1_SMALL, I1_LARGE)
    return where(size <= 8, x * near, sign(x) * far)


bessel_i0e_p = unary(
    "bessel_i0e",
    in_float32(by_formula(_i0e)),
    FLOAT,
    lambda t, ans, x: mul(t, sub(bessel_i1e(x), mul(sign(x), ans))),
)


def bessel_i0e(x: Any) -> Any:
    """Elementwise modified Bessel function of order 0, times `exp(-|x|)`.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    The power series near 0, and Chebyshev series on two intervals beyond.

    >>> from anima import lax
    >>> print(lax.bessel_i0e(0.0))
    1.0
    """
    return bessel_i0e_p.bind(operand(x))


def _i1e_derivative(t: Any, ans: Any, x: Any) -> Any:
    return mul(t, sub(bessel_i0e(x), add(mul(sign(x), ans), _over(ans, x))))


bessel_i1e_p = unary("bessel_i1e", in_float32(by_formula(_i1e)), FLOAT, _i1e_derivative)


def bessel_i1e(x: Any) -> Any:
    """Elementwise modified Bessel function of order 1, times `exp(-|x|)`.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    Chebyshev series on two intervals.

    >>> from anima import lax
    >>> print(lax.bessel_i1e(0.0))
    0.0
    """
    return bessel_i1e_p.bind(operand(x))


# --- without the factor, for `numpy` and `scipy` ----------------------------------------------


def _grown(value: Any, x: Any, end: Any) -> Any:
    half = exp(abs(x) / 2)  # overflows later than the whole
    return where(abs(x) == math.inf, end, half * value * half)


bessel_i0_p = unary(
    "bessel_i0",
    in_float32(by_formula(lambda x: _grown(_i0e(x), x, abs(x)))),
    FLOAT,
    lambda t, ans, x: mul(t, bessel_i1_p.bind(x)),
)


def _i1_derivative(t: Any, ans: Any, x: Any) -> Any:
    return mul(t, sub(bessel_i0_p.bind(x), _over(ans, x)))


def _over(i1: Any, x: Any) -> Any:
    """`i1 / x`, which at 0 has the series `(1 + x**2 / 8) / 2`."""
    zero = eq(x, filled(0, x))
    near = add(filled(0.5, x), mul(constant(1 / 16, x), mul(x, x)))
    return select(zero, near, div(i1, select(zero, filled(1, x), x)))


bessel_i1_p: Primitive = unary(
    "bessel_i1", in_float32(by_formula(lambda x: _grown(_i1e(x), x, x))), FLOAT, _i1_derivative
)
