"""Modified Bessel functions of the first kind, scaled by `exp(-|x|)`.

Invariant: real floating-point dtypes only.
"""

from __future__ import annotations

from typing import Any

from anima.lax.arithmetic import abs, add, div, mul, sign, sub
from anima.lax.compare import eq
from anima.lax.declare import FLOAT, by_formula, in_float32, operand, unary
from anima.lax.operands import filled
from anima.lax.powers import sqrt
from anima.lax.selection import select
from anima.lax.special.parts import chebyshev, where
from anima.lax.special.tables import I0_LARGE, I0_SMALL, I1_LARGE, I1_SMALL


def _both(x: Any, small: tuple[float, ...], large: tuple[float, ...]) -> tuple[Any, Any]:
    """The sums of the tables for up to 8 and from there on, the latter with the factor `1 / sqrt(x)`."""
    near = x <= 8
    far = where(near, 8, x)
    return chebyshev(where(near, x, 0) / 4 - 1, small), chebyshev(16 / far - 1, large) / sqrt(far)


def _i0e(x: Any) -> Any:
    x = abs(x)
    near, far = _both(x, I0_SMALL, I0_LARGE)
    return where(x <= 8, near, far)


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

    Chebyshev series on two intervals.

    >>> from anima import lax
    >>> print(lax.bessel_i0e(0.0))
    1.0
    """
    return bessel_i0e_p.bind(operand(x))


def _i1e_derivative(t: Any, ans: Any, x: Any) -> Any:
    zero = eq(x, filled(0, x))
    # ans / x is 1/2 at 0.
    ratio = select(zero, filled(0.5, x), div(ans, select(zero, filled(1, x), x)))
    return mul(t, sub(bessel_i0e(x), add(mul(sign(x), ans), ratio)))


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
