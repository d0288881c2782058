"""Exponentials, logarithms, roots, trigonometry: functions that work in floating point and complex numbers.

Invariant: integers and booleans become floating-point numbers first, of 64 bits only if they have 64 bits themselves.
"""

from __future__ import annotations

import math
from typing import Any

from anima import dtypes
from anima.lax import (
    abs as lax_abs,
    acos_p,
    acosh_p,
    add,
    asin_p,
    asinh_p,
    atan2_p,
    atan_p,
    atanh_p,
    bitwise_and,
    bitwise_or,
    cbrt_p,
    complex as lax_complex,
    cos_p,
    cosh_p,
    div,
    eq,
    exp2_p,
    exp_p,
    expm1_p,
    ge,
    imag,
    log1p_p,
    log_p,
    max,
    mul,
    ne,
    real,
    select,
    sin_p,
    sinh_p,
    sqrt_p,
    sub,
    tan_p,
    tanh_p,
)
from anima.lax.operands import constant, filled
from anima.numpy.calls import function
from anima.numpy.complex_limits import completed
from anima.numpy.creation import asarray
from anima.numpy.promotion import (
    aval,
    common_is_weak,
    dtype_of,
    inexact,
    is_weak,
    promote_inexact,
    retyped,
    shape_of,
    stretch,
    strong_inexact,
)


def _applied(name: str, primitive: Any, x: Any) -> Any:
    result = primitive.bind(x)
    return completed(name, asarray(x), result) if dtypes.is_complex(dtype_of(x)) else result


@function
def exp(x: Any, /) -> Any:
    """`e**x`.

    >>> import anima.numpy as np
    >>> print(np.exp(0.0))
    1.0
    """
    return _applied("exp", exp_p, inexact("exp", x))


@function
def exp2(x: Any, /) -> Any:
    """`2**x`.

    >>> import anima.numpy as np
    >>> print(np.exp2(3))
    8.0
    """
    return exp2_p.bind(inexact("exp2", x))


@function
def expm1(x: Any, /) -> Any:
    """`exp(x) - 1`, exact also near 0.

    >>> import anima.numpy as np
    >>> print(np.expm1(0.0))
    0.0
    """
    return _applied("expm1", expm1_p, inexact("expm1", x))


@function
def log(x: Any, /) -> Any:
    """The natural logarithm; NaN for negative real numbers.

    >>> import anima.numpy as np
    >>> print(np.log(1.0))
    0.0
    """
    return _applied("log", log_p, inexact("log", x))


@function
def log1p(x: Any, /) -> Any:
    """`log(1 + x)`, exact also near 0.

    >>> import anima.numpy as np
    >>> print(np.log1p(0.0))
    0.0
    """
    return _applied("log1p", log1p_p, inexact("log1p", x))


@function
def sqrt(x: Any, /) -> Any:
    """The square root; NaN for negative real numbers.

    >>> import anima.numpy as np
    >>> print(np.sqrt(np.array([4, 9])))
    [2. 3.]
    """
    return _applied("sqrt", sqrt_p, inexact("sqrt", x))


@function
def cbrt(x: Any, /) -> Any:
    """The cube root, negative for negative numbers.

    >>> import anima.numpy as np
    >>> print(np.cbrt(-8.0))
    -2.0
    """
    return cbrt_p.bind(inexact("cbrt", x))


@function
def sin(x: Any, /) -> Any:
    """The sine of an angle in radians.

    >>> import anima.numpy as np
    >>> print(np.sin(0.0))
    0.0
    """
    return _applied("sin", sin_p, inexact("sin", x))


@function
def cos(x: Any, /) -> Any:
    """The cosine of an angle in radians.

    >>> import anima.numpy as np
    >>> print(np.cos(0.0))
    1.0
    """
    return _applied("cos", cos_p, inexact("cos", x))


@function
def tan(x: Any, /) -> Any:
    """The tangent of an angle in radians.

    >>> import anima.numpy as np
    >>> print(np.tan(0.0))
    0.0
    """
    return _applied("tan", tan_p, inexact("tan", x))


@function
def sinh(x: Any, /) -> Any:
    """The hyperbolic sine.

    >>> import anima.numpy as np
    >>> print(np.sinh(0.0))
    0.0
    """
    return _applied("sinh", sinh_p, inexact("sinh", x))


@function
def cosh(x: Any, /) -> Any:
    """The hyperbolic cosine.

    >>> import anima.numpy as np
    >>> print(np.cosh(0.0))
    1.0
    """
    return _applied("cosh", cosh_p, inexact("cosh", x))


@function
def tanh(x: Any, /) -> Any:
    """The hyperbolic tangent.

    >>> import anima.numpy as np
    >>> print(np.tanh(0.0))
    0.0
    """
    return _applied("tanh", tanh_p, inexact("tanh", x))


@function
def arcsin(x: Any, /) -> Any:
    """The angle between -pi/2 and pi/2 whose sine is `x`; NaN beyond 1.

    >>> import anima.numpy as np
    >>> print(np.arcsin(0.0))
    0.0
    """
    return _applied("asin", asin_p, inexact("arcsin", x))


@function
def asin(x: Any, /) -> Any:
    """The angle between -pi/2 and pi/2 whose sine is `x`; NaN beyond 1: the same as `arcsin`.

    >>> import anima.numpy as np
    >>> print(np.asin(0.0))
    0.0
    """
    return _applied("asin", asin_p, inexact("asin", x))


@function
def arccos(x: Any, /) -> Any:
    """The angle between 0 and pi whose cosine is `x`; NaN beyond 1.

    >>> import anima.numpy as np
    >>> print(np.arccos(1.0))
    0.0
    """
    return _applied("acos", acos_p, inexact("arccos", x))


@function
def acos(x: Any, /) -> Any:
    """The angle between 0 and pi whose cosine is `x`; NaN beyond 1: the same as `arccos`.

    >>> import anima.numpy as np
    >>> print(np.acos(1.0))
    0.0
    """
    return _applied("acos", acos_p, inexact("acos", x))


@function
def arctan(x: Any, /) -> Any:
    """The angle between -pi/2 and pi/2 whose tangent is `x`.

    >>> import anima.numpy as np
    >>> print(np.arctan(0.0))
    0.0
    """
    return _applied("atan", atan_p, inexact("arctan", x))


@function
def atan(x: Any, /) -> Any:
    """The angle between -pi/2 and pi/2 whose tangent is `x`: the same as `arctan`.

    >>> import anima.numpy as np
    >>> print(np.atan(0.0))
    0.0
    """
    return _applied("atan", atan_p, inexact("atan", x))


@function
def arcsinh(x: Any, /) -> Any:
    """The number whose hyperbolic sine is `x`.

    >>> import anima.numpy as np
    >>> print(np.arcsinh(0.0))
    0.0
    """
    return _applied("asinh", asinh_p, inexact("arcsinh", x))


@function
def asinh(x: Any, /) -> Any:
    """The number whose hyperbolic sine is `x`: the same as `arcsinh`.

    >>> import anima.numpy as np
    >>> print(np.asinh(0.0))
    0.0
    """
    return _applied("asinh", asinh_p, inexact("asinh", x))


@function
def arccosh(x: Any, /) -> Any:
    """The positive number whose hyperbolic cosine is `x`; NaN below 1.

    >>> import anima.numpy as np
    >>> print(np.arccosh(1.0))
    0.0
    """
    return _applied("acosh", acosh_p, inexact("arccosh", x))


@function
def acosh(x: Any, /) -> Any:
    """The positive number whose hyperbolic cosine is `x`; NaN below 1: the same as `arccosh`.

    >>> import anima.numpy as np
    >>> print(np.acosh(1.0))
    0.0
    """
    return _applied("acosh", acosh_p, inexact("acosh", x))


@function
def arctanh(x: Any, /) -> Any:
    """The number whose hyperbolic tangent is `x`; NaN beyond 1.

    >>> import anima.numpy as np
    >>> print(np.arctanh(0.0))
    0.0
    """
    return _applied("atanh", atanh_p, inexact("arctanh", x))


@function
def atanh(x: Any, /) -> Any:
    """The number whose hyperbolic tangent is `x`; NaN beyond 1: the same as `arctanh`.

    >>> import anima.numpy as np
    >>> print(np.atanh(0.0))
    0.0
    """
    return _applied("atanh", atanh_p, inexact("atanh", x))


@function
def log2(x: Any, /) -> Any:
    """The logarithm to base 2.

    >>> import anima.numpy as np
    >>> print(np.log2(8.0))
    3.0
    """
    x = strong_inexact("log2", x)
    return _logarithm(x, 2)


@function
def log10(x: Any, /) -> Any:
    """The logarithm to base 10.

    >>> import anima.numpy as np
    >>> print(np.log10(100.0))
    2.0
    """
    return _logarithm(strong_inexact("log10", x), 10)


def _logarithm(x: Any, base: int) -> Any:
    value = _applied("log", log_p, x)
    # XLA replaces a division by a constant by a product with its reciprocal: this one is rounded once, not twice.
    if not dtypes.is_complex(dtype_of(value)):
        return mul(value, constant(1 / math.log(base), value))
    # By parts: the product of complex numbers would make NaN of an infinite part and the zero of the constant.
    parts = (real(value), imag(value))
    return lax_complex(*[mul(part, constant(1 / math.log(base), part)) for part in parts])


def _scaled(name: str, x: Any, factor: float) -> Any:
    x = inexact(name, x)
    return mul(x, constant(factor, x))


@function
def deg2rad(x: Any, /) -> Any:
    """Degrees as radians.

    >>> import anima.numpy as np
    >>> print(np.deg2rad(180.0))
    3.1415927
    """
    return _scaled("deg2rad", x, math.pi / 180)


@function
def radians(x: Any, /) -> Any:
    """Degrees as radians: the same as `deg2rad`.

    >>> import anima.numpy as np
    >>> print(np.radians(180.0))
    3.1415927
    """
    return _scaled("radians", x, math.pi / 180)


@function
def rad2deg(x: Any, /) -> Any:
    """Radians as degrees.

    >>> import anima.numpy as np
    >>> print(np.rad2deg(np.pi))
    180.0
    """
    return _scaled("rad2deg", x, 180 / math.pi)


@function
def degrees(x: Any, /) -> Any:
    """Radians as degrees: the same as `rad2deg`.

    >>> import anima.numpy as np
    >>> print(np.degrees(np.pi))
    180.0
    """
    return _scaled("degrees", x, 180 / math.pi)


@function
def arctan2(x1: Any, x2: Any, /) -> Any:
    """The angle between -pi and pi of the point with ordinate `x1` and abscissa `x2`.

    >>> import anima.numpy as np
    >>> print(np.arctan2(1.0, 0.0))
    1.5707964
    """
    return atan2_p.bind(*promote_inexact("arctan2", x1, x2))


@function
def atan2(x1: Any, x2: Any, /) -> Any:
    """The angle between -pi and pi of the point with ordinate `x1` and abscissa `x2`: the same as `arctan2`.

    >>> import anima.numpy as np
    >>> print(np.atan2(1.0, 0.0))
    1.5707964
    """
    return atan2_p.bind(*promote_inexact("atan2", x1, x2))


def _real_pair(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    x1, x2 = promote_inexact(name, x1, x2)
    if dtypes.is_complex(dtype_of(x1)):
        raise ValueError(f"{name} does not support complex operands")
    shape = shape_of(x1) or shape_of(x2)
    return stretch(x1, shape_of(x1), shape), stretch(x2, shape_of(x2), shape)


@function(static=("deg",))
def angle(z: Any, deg: bool = False) -> Any:
    """The angle of each complex number with the positive real axis, between -pi and pi.

    Args:
      z: an array.
      deg: whether the result is in degrees.

    >>> import anima.numpy as np
    >>> print(np.angle(1j, deg=True))
    90.0
    """
    z, known = aval("angle", z)
    z = z if dtypes.is_complex(known.dtype) else strong_inexact("angle", z)
    parts = (imag(z), real(z)) if dtypes.is_complex(dtype_of(z)) else (filled(0, z), z)
    result = atan2_p.bind(*(stretch(p, shape_of(p), shape_of(z)) for p in parts))
    return mul(result, constant(180 / math.pi, result)) if deg else result


@function
def hypot(x1: Any, x2: Any, /) -> Any:
    """The hypotenuse of the right triangle with legs `x1` and `x2`, without overflow on the way.

    Raises:
      ValueError: the operands are complex.

    >>> import anima.numpy as np
    >>> print(np.hypot(3, 4))
    5.0
    """
    weak = is_weak("hypot", x1, x2)
    x1, x2 = _real_pair("hypot", x1, x2)
    # A choice and no maximum: the formula is smooth where both are equal.
    first = ge(lax_abs(x1), lax_abs(x2))
    larger, smaller = select(first, x1, x2), select(first, x2, x1)
    zero = filled(0, larger)
    ratio = div(smaller, select(eq(larger, zero), filled(1, larger), larger))
    length = mul(lax_abs(larger), sqrt_p.bind(add(mul(ratio, ratio), constant(1, ratio))))
    # An infinite leg makes the length infinite, also if the other is NaN or infinite; two zeros have length 0 exactly.
    infinite = filled(math.inf, larger)
    length = select(bitwise_and(eq(larger, zero), eq(smaller, zero)), zero, length)
    some = bitwise_or(eq(lax_abs(x1), infinite), eq(lax_abs(x2), infinite))
    return retyped(select(some, infinite, length), weak)


@function
def logaddexp(x: Any, y: Any, /) -> Any:
    """`log(exp(x) + exp(y))` without overflow.

    >>> import anima.numpy as np
    >>> print(np.logaddexp(0.0, 0.0))
    0.6931472
    """
    weak, scalars = common_is_weak("logaddexp", x, y), is_weak("logaddexp", x, y)
    x, y = promote_inexact("logaddexp", x, y)
    return retyped(_log_of_sum(x, y, 1.0), scalars if dtypes.is_complex(dtype_of(x)) else weak)


@function
def logaddexp2(x: Any, y: Any, /) -> Any:
    """`log2(2**x + 2**y)` without overflow.

    >>> import anima.numpy as np
    >>> print(np.logaddexp2(0.0, 0.0))
    1.0
    """
    weak = is_weak("logaddexp2", x, y)
    x, y = promote_inexact("logaddexp2", x, y)
    return retyped(_log_of_sum(x, y, math.log(2)), weak)


def _log_of_sum(x: Any, y: Any, unit: float) -> Any:
    """`log(exp(x*unit) + exp(y*unit)) / unit`."""
    shape = shape_of(x) or shape_of(y)
    x, y = stretch(x, shape_of(x), shape), stretch(y, shape_of(y), shape)
    # A choice and no maximum: the formula is smooth where both are equal.
    first = eq(max(x, y), x) if dtypes.is_complex(dtype_of(x)) else ge(x, y)
    larger, smaller = select(first, x, y), select(first, y, x)
    difference = sub(smaller, larger)
    # Two equal infinities differ by NaN; the sum is that infinity.
    undefined = bitwise_and(eq(x, y), ne(difference, difference))
    safe = select(undefined, filled(0, difference), difference)
    scale = constant(unit, larger)
    return add(larger, div(log1p_p.bind(exp_p.bind(mul(safe, scale))), scale))


@function
def sinc(x: Any, /) -> Any:
    """`sin(pi x) / (pi x)`, and 1 at 0.

    >>> import anima.numpy as np
    >>> print(np.sinc(0.0))
    1.0
    """
    x = inexact("sinc", x)
    scaled = mul(x, constant(math.pi, x))
    zero = eq(scaled, constant(0, scaled))
    # At 0 the quotient has no value; its series there, 1 - (pi x)**2 / 6, gives value and derivatives.
    safe = select(zero, filled(1, scaled), scaled)
    near = sub(constant(1, scaled), div(mul(scaled, scaled), constant(6, scaled)))
    return select(zero, near, div(sin_p.bind(safe), safe))
