"""Rounding: to integers, and to the neighbouring number.

Invariant: the results are of the operand's dtype, and constant almost everywhere: their derivatives are zero.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from anima.core.host import REAL, HostRule
from anima.core.primitive import Missing, primitives
from anima.lax.compare import eq, lt
from anima.lax.convert import bitcast_convert_type
from anima.lax.declare import FLOAT, binary, by_formula, operand, unary
from anima.lax.operands import filled, operands
from anima.lax.selection import select
from anima.lowering.module import Context, Value

floor_p = unary("floor", "stablehlo.floor", FLOAT, None, host=HostRule(np.floor, REAL, "numbers"))


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


ceil_p = unary("ceil", "stablehlo.ceil", FLOAT, None, host=HostRule(np.ceil, REAL, "numbers"))


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
    try:
        method = RoundingMethod(rounding_method)
    except ValueError:
        raise ValueError(
            f"round: rounding_method must be a lax.RoundingMethod, got {rounding_method!r}"
        ) from None
    return round_p.bind(operand(x), rounding_method=method)


def _unsigned_next(x: Any, y: Any) -> Any:
    """The next power of two in a dtype that has nothing but powers of two, and NaN as its largest bits."""
    bits = bitcast_convert_type(x, "uint8")
    one = filled(1, bits)
    moved = select(
        lt(x, y), primitives["add"].bind(bits, one), select(lt(y, x), primitives["sub"].bind(bits, one), bits)
    )
    return bitcast_convert_type(select(eq(x, x), select(eq(y, y), moved, filled(255, bits)), bits), x.dtype)


def _nextafter_lower(ctx: Context, x: Value, y: Value) -> Value:
    # XLA's own takes the highest bit for a sign.
    return (
        _powers_of_two(ctx, x, y) if x.dtype.name == "float8_e8m0fnu" else ctx.op("chlo.next_after", (x, y))
    )


_powers_of_two = by_formula(_unsigned_next)

nextafter_p = binary(
    "nextafter",
    _nextafter_lower,
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
