"""Bits of integers and booleans: logic, shifts, counts.

Invariant: nothing here has tangents. A shift by as many bits as there are, or more, or by a negative number, shifts
everything out: the result is 0, or the sign for arithmetic shifts to the right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.host import WHOLE, HostRule
from anima.lax.declare import BOOL, INTEGER, binary, operand, unary
from anima.lax.operands import operands
from anima.lowering.module import Context, Value

_LOGIC = BOOL + INTEGER

not_p = unary("not", "stablehlo.not", _LOGIC, None, host=HostRule(np.invert, WHOLE, kernel="not"))


def bitwise_not(x: Any) -> Any:
    """Elementwise `~x`: all bits inverted; logical negation of booleans.

    Args:
      x: an array of integers or booleans.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.bitwise_not(5))
    -6
    """
    return not_p.bind(operand(x))


and_p = binary("and", "stablehlo.and", _LOGIC, None, host=HostRule(np.bitwise_and, WHOLE, kernel="and"))


def bitwise_and(x: Any, y: Any) -> Any:
    """Elementwise `x & y`.

    Args:
      x, y: integers or booleans of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> print(lax.bitwise_and(6, 3))
    2
    """
    return and_p.bind(*operands("and", x, y))


or_p = binary("or", "stablehlo.or", _LOGIC, None, host=HostRule(np.bitwise_or, WHOLE, kernel="or"))


def bitwise_or(x: Any, y: Any) -> Any:
    """Elementwise `x | y`.

    Args:
      x, y: integers or booleans of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> print(lax.bitwise_or(6, 3))
    7
    """
    return or_p.bind(*operands("or", x, y))


xor_p = binary("xor", "stablehlo.xor", _LOGIC, None, host=HostRule(np.bitwise_xor, WHOLE, kernel="xor"))


def bitwise_xor(x: Any, y: Any) -> Any:
    """Elementwise `x ^ y`.

    Args:
      x, y: integers or booleans of one dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> print(lax.bitwise_xor(6, 3))
    5
    """
    return xor_p.bind(*operands("xor", x, y))


shift_left_p = binary("shift_left", "stablehlo.shift_left", INTEGER, None)


def shift_left(x: Any, y: Any) -> Any:
    """Elementwise `x << y`; zeros come in.

    Args:
      x: an array of integers, or a scalar.
      y: by how many bits; of the same dtype and shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or they are not integers.

    >>> from anima import lax
    >>> print(lax.shift_left(3, 4))
    48
    """
    return shift_left_p.bind(*operands("shift_left", x, y))


shift_right_arithmetic_p = binary("shift_right_arithmetic", "stablehlo.shift_right_arithmetic", INTEGER, None)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """Elementwise `x >> y`; copies of the highest bit come in, also for unsigned integers.

    Args:
      x: an array of integers, or a scalar.
      y: by how many bits; of the same dtype and shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or they are not integers.

    >>> from anima import lax
    >>> print(lax.shift_right_arithmetic(-48, 4))
    -3
    """
    return shift_right_arithmetic_p.bind(*operands("shift_right_arithmetic", x, y))


shift_right_logical_p = binary("shift_right_logical", "stablehlo.shift_right_logical", INTEGER, None)


def shift_right_logical(x: Any, y: Any) -> Any:
    """Elementwise `x >> y`; zeros come in, also for negative integers.

    Args:
      x: an array of integers, or a scalar.
      y: by how many bits; of the same dtype and shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or they are not integers.

    >>> from anima import lax
    >>> print(lax.shift_right_logical(-48, 28))
    15
    """
    return shift_right_logical_p.bind(*operands("shift_right_logical", x, y))


def _population_count_lower(ctx: Context, x: Value) -> Value:
    if dtypes.itemsize_bits(x.dtype) >= 8:
        return ctx.op("stablehlo.popcnt", (x,))
    # XLA's CPU code would count the copies of the sign in the byte that holds a narrow integer.
    byte = ShapedArray(x.shape, dtypes.uint8)
    bits = ctx.op("stablehlo.convert", (x,), byte)
    bits = ctx.op("stablehlo.and", (bits, ctx.full((1 << dtypes.itemsize_bits(x.dtype)) - 1, byte)), byte)
    return ctx.op("stablehlo.convert", (ctx.op("stablehlo.popcnt", (bits,), byte),))


population_count_p = unary("population_count", _population_count_lower, INTEGER, None)


def population_count(x: Any) -> Any:
    """How many bits of each element are set.

    Args:
      x: an array of integers.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.population_count(7))
    3
    """
    return population_count_p.bind(operand(x))


clz_p = unary("clz", "stablehlo.count_leading_zeros", INTEGER, None)


def clz(x: Any) -> Any:
    """How many zero bits precede the highest one of each element; all bits of a zero.

    Args:
      x: an array of integers.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.clz(1))
    31
    """
    return clz_p.bind(operand(x))
