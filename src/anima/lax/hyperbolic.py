"""Hyperbolic functions and their inverses.

Invariant: results overflow only where the true result does.
"""

from __future__ import annotations

import math
from typing import Any

from anima import dtypes
from anima.core.trace import aval_of
from anima.lax.accuracy import AccuracyMode, Tolerance, accurate, checked_accuracy
from anima.lax.arithmetic import abs, add, div, mul, sign, sub
from anima.lax.compare import lt
from anima.lax.complex_parts import complex, imag, real
from anima.lax.declare import INEXACT, by_formula, by_kind, direct, in_float32, operand, unary
from anima.lax.exponential import log, log1p, times_cosh, times_sinh
from anima.lax.operands import constant, filled
from anima.lax.powers import rsqrt, sqrt, square
from anima.lax.selection import select
from anima.lax.trigonometric import cos, sin

# --- sinh, cosh, tanh -------------------------------------------------------------------------
# XLA forms sinh and cosh of large numbers as e**(x - log 2), which is wrong by up to 24 units, and those of complex
# numbers with cancellation.


def _sinh(z: Any) -> Any:
    if not dtypes.is_complex(aval_of(z).dtype):  # type: ignore[attr-defined]
        return times_sinh(filled(1, z), z)
    x, y = real(z), imag(z)
    return complex(times_sinh(cos(y), x), times_cosh(sin(y), x))


def _cosh(z: Any) -> Any:
    if not dtypes.is_complex(aval_of(z).dtype):  # type: ignore[attr-defined]
        return times_cosh(filled(1, z), z)
    x, y = real(z), imag(z)
    return complex(times_cosh(cos(y), x), times_sinh(sin(y), x))


sinh_p = unary("sinh", in_float32(by_formula(_sinh)), INEXACT, lambda t, ans, x: mul(t, cosh(x)))


def sinh(x: Any) -> Any:
    """Elementwise hyperbolic sine.

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.sinh(0.0))
    0.0
    """
    return sinh_p.bind(operand(x))


cosh_p = unary("cosh", in_float32(by_formula(_cosh)), INEXACT, lambda t, ans, x: mul(t, sinh(x)))


def cosh(x: Any) -> Any:
    """Elementwise hyperbolic cosine.

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.cosh(0.0))
    1.0
    """
    return cosh_p.bind(operand(x))


def _tanh_derivative(t: Any, ans: Any, x: Any, **_: Any) -> Any:
    # (1 + ans)(1 - ans) keeps the digits that 1 - ans**2 loses near 1.
    one = constant(1, ans)
    return mul(t, mul(add(one, ans), sub(one, ans)))


tanh_p = unary("tanh", accurate("stablehlo.tanh"), INEXACT, _tanh_derivative)


def tanh(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise hyperbolic tangent.

    Args:
      x: an array of floating-point or complex dtype.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.tanh(0.0))
    0.0
    """
    if accuracy is None:
        return tanh_p.bind(operand(x))
    return tanh_p.bind(operand(x), accuracy=checked_accuracy("tanh", accuracy))


# --- inverses ---------------------------------------------------------------------------------
# The real asinh and atanh are made of our log1p, for the reasons given there.


def _asinh_formula(x: Any) -> Any:
    size = abs(x)
    squared = square(size)
    one = constant(1, x)
    near = log1p(add(size, div(squared, add(one, sqrt(add(one, squared))))))
    far = add(log(size), constant(math.log(2), x))
    return mul(sign(x), select(lt(constant(1e9, x), size), far, near))


asinh_p = unary(
    "asinh",
    by_kind(in_float32(by_formula(_asinh_formula)), direct("chlo.asinh")),
    INEXACT,
    lambda t, ans, x: mul(t, rsqrt(add(square(x), constant(1, x)))),
)


def asinh(x: Any) -> Any:
    """Elementwise inverse hyperbolic sine.

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.asinh(0.0))
    0.0
    """
    return asinh_p.bind(operand(x))


def _acosh_derivative(t: Any, ans: Any, x: Any) -> Any:
    # Two roots, for the root of the product has another branch.
    one = constant(1, x)
    return mul(t, mul(rsqrt(sub(x, one)), rsqrt(add(x, one))))


acosh_p = unary("acosh", in_float32(direct("chlo.acosh")), INEXACT, _acosh_derivative, shapeless=False)


def acosh(x: Any) -> Any:
    """Elementwise inverse hyperbolic cosine; NaN for real `x` below 1.

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.acosh(1.0))
    0.0
    """
    return acosh_p.bind(operand(x))


def _atanh_formula(x: Any) -> Any:
    size = abs(x)
    ratio = div(add(size, size), sub(constant(1, x), size))
    return mul(mul(sign(x), constant(0.5, x)), log1p(ratio))


def _atanh_derivative(t: Any, ans: Any, x: Any) -> Any:
    one = constant(1, x)
    return div(t, mul(sub(one, x), add(one, x)))


atanh_p = unary(
    "atanh",
    by_kind(in_float32(by_formula(_atanh_formula)), direct("chlo.atanh")),
    INEXACT,
    _atanh_derivative,
)


def atanh(x: Any) -> Any:
    """Elementwise inverse hyperbolic tangent; NaN for real `x` outside [-1, 1].

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.atanh(0.0))
    0.0
    """
    return atanh_p.bind(operand(x))
