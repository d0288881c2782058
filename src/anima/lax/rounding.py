"""Rounding: to integers, and to the neighbouring number.

Invariant: the results are of the operand's dtype, and constant almost everywhere: their derivatives are zero.
"""

from __future__ import annotations

import enum
from typing import Any

from anima.core.primitive import Missing
from anima.lax.declare import FLOAT, binary, operand, unary
from anima.lax.operands import operands
from anima.lowering.module import Context, Value

floor_p = unary("floor", "stablehlo.floor", FLOAT, None)


def floor(x: Any) -> Any:
    """The largest integer not above each element.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.floor(-1.5))
    -2.0
    """
    return floor_p.bind(operand(x))


ceil_p = unary("ceil", "stablehlo.ceil", FLOAT, None)


def ceil(x: Any) -> Any:
    """The smallest integer not below each element.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.ceil(1.5))
    2.0
    """
    return ceil_p.bind(operand(x))


class RoundingMethod(enum.IntEnum):
    """Where `round` takes a number half-way between two integers."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def _round_lower(ctx: Context, x: Value, *, rounding_method: RoundingMethod) -> Value:
    even = rounding_method == RoundingMethod.TO_NEAREST_EVEN
    return ctx.op("stablehlo.round_nearest_even" if even else "stablehlo.round_nearest_afz", (x,))


round_p = unary("round", _round_lower, FLOAT, None)


def round(x: Any, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The integer nearest to each element.

    Args:
      x: an array of real floating-point dtype.
      rounding_method: where halves go.
    Raises:
      TypeError: `x` is of another dtype. ValueError: there is no such method.

    >>> from anima import lax
    >>> print(lax.round(2.5), lax.round(2.5, lax.RoundingMethod.TO_NEAREST_EVEN))
    3.0 2.0
    """
    return round_p.bind(operand(x), rounding_method=RoundingMethod(rounding_method))


nextafter_p = binary(
    "nextafter",
    "chlo.next_after",
    FLOAT,
    Missing("the distance between neighbouring numbers is not a differentiable function of them"),
)


def nextafter(x1: Any, x2: Any) -> Any:
    """The number next to each element of `x1` in the direction of `x2`; `x2` where they are equal.

    Args:
      x1, x2: arrays of one real floating-point dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> print(lax.nextafter(1.0, 2.0))
    1.0000001
    """
    return nextafter_p.bind(*operands("nextafter", x1, x2))
