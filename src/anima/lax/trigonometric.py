"""Trigonometric functions and their inverses.

Invariant: angles are in radians. Complex inverses have their principal values, continuous with the real ones.
"""

from __future__ import annotations

from typing import Any

from anima.core.host import HostRule
from anima.lax import on_host_tiny
from anima.lax.accuracy import AccuracyMode, Tolerance, accurate, checked_accuracy
from anima.lax.arithmetic import add, div, mul, neg, sub
from anima.lax.complex_parts import complex, imag, real
from anima.lax.declare import INEXACT, binary, by_formula, by_kind, direct, in_float32, operand, unary
from anima.lax.exponential import times_cosh, times_sinh
from anima.lax.operands import constant, operands
from anima.lax.powers import rsqrt, square

# --- sin, cos, tan ----------------------------------------------------------------------------
# XLA's own sine and cosine of complex numbers lose the smaller part to cancellation near the real axis.


def _complex_sin(z: Any, accuracy: Any = None) -> Any:
    x, y = real(z), imag(z)
    return complex(times_cosh(sin(x, accuracy=accuracy), y), times_sinh(cos(x, accuracy=accuracy), y))


def _complex_cos(z: Any, accuracy: Any = None) -> Any:
    x, y = real(z), imag(z)
    return complex(times_cosh(cos(x, accuracy=accuracy), y), neg(times_sinh(sin(x, accuracy=accuracy), y)))


def _of_the_c_library(name: str) -> HostRule:
    return HostRule(
        None,
        on_host_tiny.PLAIN,
        "numbers",
        rounds=True,
        kernel=name,
        alone=True,
        suits=on_host_tiny.is_function,
    )


sin_p = unary(
    "sin",
    by_kind(accurate("stablehlo.sine"), by_formula(_complex_sin)),
    INEXACT,
    lambda t, ans, x, accuracy=None: mul(t, cos(x, accuracy=accuracy)),
    host=_of_the_c_library("sin"),
)


def sin(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise sine.

    Args:
      x: an array of floating-point or complex dtype, in radians.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.sin(0.0))
    0.0
    """
    if accuracy is None:
        return sin_p.bind(operand(x))
    return sin_p.bind(operand(x), accuracy=checked_accuracy("sin", accuracy))


cos_p = unary(
    "cos",
    by_kind(accurate("stablehlo.cosine"), by_formula(_complex_cos)),
    INEXACT,
    lambda t, ans, x, accuracy=None: neg(mul(t, sin(x, accuracy=accuracy))),
    host=_of_the_c_library("cos"),
)


def cos(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise cosine.

    Args:
      x: an array of floating-point or complex dtype, in radians.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.cos(0.0))
    1.0
    """
    if accuracy is None:
        return cos_p.bind(operand(x))
    return cos_p.bind(operand(x), accuracy=checked_accuracy("cos", accuracy))


tan_p = unary(
    "tan",
    accurate("stablehlo.tan"),
    INEXACT,
    lambda t, ans, x, **_: mul(t, add(square(ans), constant(1, ans))),
)


def tan(x: Any, *, accuracy: Tolerance | AccuracyMode | None = None) -> Any:
    """Elementwise tangent.

    Args:
      x: an array of floating-point or complex dtype, in radians.
      accuracy: how exact the result must be.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.tan(0.0))
    0.0
    """
    if accuracy is None:
        return tan_p.bind(operand(x))
    return tan_p.bind(operand(x), accuracy=checked_accuracy("tan", accuracy))


# --- inverses ---------------------------------------------------------------------------------


def _asin_derivative(t: Any, ans: Any, x: Any) -> Any:
    one = constant(1, x)
    return mul(t, mul(rsqrt(sub(one, x)), rsqrt(add(one, x))))


asin_p = unary("asin", in_float32(direct("chlo.asin")), INEXACT, _asin_derivative)


def asin(x: Any) -> Any:
    """Elementwise inverse sine, between -pi/2 and pi/2; NaN for real `x` outside [-1, 1].

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.asin(1.0))
    1.5707964
    """
    return asin_p.bind(operand(x))


acos_p = unary(
    "acos", in_float32(direct("chlo.acos")), INEXACT, lambda t, ans, x: neg(_asin_derivative(t, ans, x))
)


def acos(x: Any) -> Any:
    """Elementwise inverse cosine, between 0 and pi; NaN for real `x` outside [-1, 1].

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.acos(1.0))
    0.0
    """
    return acos_p.bind(operand(x))


atan_p = unary(
    "atan", in_float32(direct("chlo.atan")), INEXACT, lambda t, ans, x: div(t, add(square(x), constant(1, x)))
)


def atan(x: Any) -> Any:
    """Elementwise inverse tangent, between -pi/2 and pi/2.

    Args:
      x: an array of floating-point or complex dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.atan(1.0))
    0.7853982
    """
    return atan_p.bind(operand(x))


def _atan2_derivatives() -> tuple[Any, Any]:
    norm = lambda x, y: add(square(x), square(y))
    return (
        lambda t, ans, x, y: mul(t, div(y, norm(x, y))),
        lambda t, ans, x, y: mul(t, neg(div(x, norm(x, y)))),
    )


atan2_p = binary("atan2", "stablehlo.atan2", INEXACT, _atan2_derivatives())


def atan2(x: Any, y: Any) -> Any:
    """Elementwise angle, between -pi and pi, of the point with abscissa `y` and ordinate `x`: that of `x / y`.

    Args:
      x, y: arrays of one floating-point or complex dtype and one shape, or scalars.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> print(lax.atan2(1.0, -1.0))
    2.3561945
    """
    return atan2_p.bind(*operands("atan2", x, y))
