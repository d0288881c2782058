"""Exponentials and logarithms.

Invariant: each takes floating-point and complex dtypes. Complex logarithms have their cut along the negative real axis.
"""

from __future__ import annotations

import math
from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.lax.accuracy import AccuracyMode, Tolerance, accuracy_params, accurate
from anima.lax.arithmetic import add, div, mul, sub
from anima.lax.declare import INEXACT, operand, unary
from anima.lax.operands import constant
from anima.lowering.module import Context, Value

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
    return exp_p.bind(operand(x), **accuracy_params("exp", accuracy))


def _exp2_lower(ctx: Context, x: Value, *, accuracy: Any = None) -> Value:
    aval = ShapedArray(x.shape, x.dtype)
    return accurate("stablehlo.power")(ctx, x) if accuracy else ctx.op("stablehlo.power", (ctx.full(2, aval), x))


exp2_p = unary("exp2", _exp2_lower, INEXACT, lambda t, ans, x, **_: mul(t, mul(constant(math.log(2), ans), ans)))


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
    return exp2_p.bind(operand(x), **accuracy_params("exp2", accuracy))


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
    return expm1_p.bind(operand(x), **accuracy_params("expm1", accuracy))


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
    return log_p.bind(operand(x), **accuracy_params("log", accuracy))


log1p_p = unary(
    "log1p",
    accurate("stablehlo.log_plus_one"),
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
    return log1p_p.bind(operand(x), **accuracy_params("log1p", accuracy))


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
    return logistic_p.bind(operand(x), **accuracy_params("logistic", accuracy))
