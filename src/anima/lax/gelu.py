"""The Gaussian error linear unit, `x * Phi(x)` with the normal distribution function, as an operation.

Invariant: real floating-point dtypes only; the value and the slope keep their relative accuracy where both are nearly 0.
"""

from __future__ import annotations

import math
from typing import Any

from anima.core.primitive import Primitive
from anima.lax.arithmetic import add, mul, sub
from anima.lax.declare import FLOAT, by_formula, operand, unary
from anima.lax.error_functions import erfc
from anima.lax.exponential import exp
from anima.lax.normal_tail import gelu_float32, gelu_slope_float32, where_float32
from anima.lax.operands import constant
from anima.lax.powers import square


def _distribution(x: Any) -> Any:
    return mul(constant(0.5, x), erfc(mul(x, constant(-math.sqrt(0.5), x))))


def _density(x: Any) -> Any:
    return mul(constant(1 / math.sqrt(2 * math.pi), x), exp(mul(constant(-0.5, x), square(x))))


def _gelu(x: Any) -> Any:
    return mul(x, _distribution(x))


def _gelu_slope(x: Any) -> Any:
    return add(_distribution(x), mul(x, _density(x)))


gelu_slope_p: Primitive = unary(
    "gelu_slope",
    where_float32(gelu_slope_float32, by_formula(_gelu_slope)),
    FLOAT,
    lambda t, ans, x: mul(t, mul(_density(x), sub(constant(2, x), square(x)))),
)

gelu_p: Primitive = unary(
    "gelu",
    where_float32(gelu_float32, by_formula(_gelu)),
    FLOAT,
    lambda t, ans, x: mul(t, gelu_slope_p.bind(x)),
)


def gelu(x: Any) -> Any:
    """`x` times the normal distribution function of `x`, exact also where that is nearly 0.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima.lax.gelu import gelu
    >>> print(gelu(-1.0).round(4))
    -0.1587
    """
    return gelu_p.bind(operand(x))
