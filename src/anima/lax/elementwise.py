"""Elementwise operations: arithmetic, powers, exponentials, trigonometry, comparison, bits, rounding, selection.

Invariant: primitives take operands of one dtype and one shape; the public functions broadcast scalars first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.core.primitive import Missing
from anima.core.trace import aval_of
from anima.lax.declare import (
    ANY,
    COMPLEX,
    FLOAT,
    INEXACT,
    NUMERIC,
    binary,
    check_dtype,
    declare,
    elementwise,
    is_linear,
    operand,
    unary,
    unary_linear,
)
from anima.lax.operands import operands
from anima.lowering.module import Context, Value

# --- addition and multiplication --------------------------------------------------------------


def _add_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [ct if is_linear(x) else None, ct if is_linear(y) else None]


add_p = binary(
    "add", "stablehlo.add", NUMERIC, (lambda t, ans, x, y: t, lambda t, ans, x, y: t), transpose=_add_transpose
)


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


# The sum of two cotangents: like `add`, on any dtype that has tangents.
add_any_p = binary(
    "add_any", "stablehlo.add", INEXACT, (lambda t, ans, x, y: t, lambda t, ans, x, y: t), transpose=_add_transpose
)

neg_p = unary_linear("neg", "stablehlo.negate", NUMERIC)


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


def _mul_transpose(ct: Any, x: Any, y: Any) -> list[Any]:
    return [mul(ct, y), None] if is_linear(x) else [None, mul(x, ct)]


mul_p = binary(
    "mul",
    "stablehlo.multiply",
    NUMERIC,
    (lambda t, ans, x, y: mul(t, y), lambda t, ans, x, y: mul(x, t)),
    transpose=_mul_transpose,
)


def mul(x: Any, y: Any) -> Any:
    """Elementwise product `x * y`.

    Args:
      x, y: arrays of one numeric dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.mul(3.0, 2.0))
    6.0
    """
    return mul_p.bind(*operands("mul", x, y))


# --- trigonometry -----------------------------------------------------------------------------

sin_p = unary("sin", "stablehlo.sine", INEXACT, lambda t, ans, x: mul(t, cos(x)))


def sin(x: Any) -> Any:
    """Elementwise sine.

    Args:
      x: an array of floating point or complex dtype, in radians.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.sin(0.0))
    0.0
    """
    return sin_p.bind(operand(x))


cos_p = unary("cos", "stablehlo.cosine", INEXACT, lambda t, ans, x: neg(mul(t, sin(x))))


def cos(x: Any) -> Any:
    """Elementwise cosine.

    Args:
      x: an array of floating point or complex dtype, in radians.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.cos(0.0))
    1.0
    """
    return cos_p.bind(operand(x))


# --- comparison -------------------------------------------------------------------------------


def _comparison(name: str, direction: str) -> Any:
    def lower(ctx: Context, x: Value, y: Value) -> Value:
        return ctx.op("stablehlo.compare", (x, y), attrs=f"comparison_direction = #stablehlo<comparison_direction {direction}>")

    accepts = ANY if direction in ("EQ", "NE") else tuple(n for n in ANY if n not in COMPLEX)
    return binary(name, lower, accepts, None, out_dtype=lambda _: np.dtype(bool), keeps_weak=False)


lt_p = _comparison("lt", "LT")


def lt(x: Any, y: Any) -> Any:
    """Elementwise `x < y`; False where either is NaN.

    Args:
      x, y: arrays of one real dtype and shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or they are complex.

    >>> from anima import lax
    >>> print(lax.lt(1.0, 2.0))
    True
    """
    return lt_p.bind(*operands("lt", x, y))
