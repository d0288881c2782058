"""Rounding, and the parts of floating-point numbers.

Invariant: rounding leaves integers as they are.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax import (
    RoundingMethod,
    abs as lax_abs,
    bitcast_convert_type,
    bitwise_and,
    bitwise_or,
    ceil as lax_ceil,
    complex as lax_complex,
    convert_element_type,
    div,
    eq,
    floor as lax_floor,
    imag,
    lt,
    mul,
    ne,
    neg,
    nextafter_p,
    optimization_barrier,
    real,
    round as lax_round,
    select,
    shift_left,
    shift_right_logical,
    sub,
)
from anima.lax.declare import ANY, check_dtype
from anima.lax.operands import constant, filled
from anima.numpy.arithmetic import floor_divide
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import (
    array_like,
    aval,
    common_is_weak,
    dtype_of,
    inexact,
    promote_inexact,
    retyped,
    shape_of,
    stretch,
    strong_inexact,
    weak_of,
)


def _rounded(name: str, x: Any, to_whole: Any) -> Any:
    x, known = aval(name, x)
    check_dtype(name, known, ANY)
    if not dtypes.is_inexact(known.dtype):
        return asarray(x)
    if dtypes.is_complex(known.dtype):
        raise TypeError(f"{name} does not support complex operands")
    return to_whole(x)


@function
def floor(x: Any, /) -> Any:
    """The largest whole number not above each element.

    Raises:
      TypeError: `x` is complex.

    >>> import anima.numpy as np
    >>> print(np.floor(np.array([1.7, -1.7])))
    [ 1. -2.]
    """
    return _rounded("floor", x, lax_floor)


@function
def ceil(x: Any, /) -> Any:
    """The smallest whole number not below each element.

    Raises:
      TypeError: `x` is complex.

    >>> import anima.numpy as np
    >>> print(np.ceil(np.array([1.7, -1.7])))
    [ 2. -1.]
    """
    return _rounded("ceil", x, lax_ceil)


def toward_zero(x: Any) -> Any:
    """The whole part of each floating-point element."""
    return select(lt(x, constant(0, x)), lax_ceil(x), lax_floor(x))


@function
def trunc(x: Any) -> Any:
    """The whole part of each element.

    Raises:
      TypeError: `x` is complex.

    >>> import anima.numpy as np
    >>> print(np.trunc(np.array([1.7, -1.7])))
    [ 1. -1.]
    """
    return _rounded("trunc", x, toward_zero)


def _to_even(x: Any) -> Any:
    return lax_round(x, RoundingMethod.TO_NEAREST_EVEN)


@function
def rint(x: Any, /) -> Any:
    """The whole number nearest to each element, of two equally near ones the even one; in floating point.

    >>> import anima.numpy as np
    >>> print(np.rint(np.array([0.5, 1.5, -1.7])))
    [ 0.  2. -2.]
    """
    x, known = aval("rint", x)
    if not dtypes.is_inexact(known.dtype):
        x = strong_inexact("rint", x)
    return (
        lax_complex(_to_even(real(x)), _to_even(imag(x))) if dtypes.is_complex(dtype_of(x)) else _to_even(x)
    )


def _decimal(x: Any, decimals: int) -> Any:
    if dtypes.is_complex(dtype_of(x)):
        return lax_complex(_decimal(real(x), decimals), _decimal(imag(x), decimals))
    if decimals == 0:
        return _to_even(x)
    dtype = dtype_of(x)
    inner = (
        dtypes.float32 if dtypes.itemsize_bits(dtype) <= 16 else dtype
    )  # half-precision powers of ten are too rough
    wide = convert_element_type(x, inner)
    # A constant divisor would become a product with its rounded reciprocal; this one is hidden from the compiler.
    factor = optimization_barrier(constant(10.0 ** abs(decimals), wide))
    factor = stretch(factor, (), shape_of(wide))
    scaled = mul(wide, factor) if decimals > 0 else div(wide, factor)
    back = div(_to_even(scaled), factor) if decimals > 0 else mul(_to_even(scaled), factor)
    # Beyond the range of the scaling, and for infinities, every number is as round as can be.
    finite = eq(sub(scaled, scaled), constant(0, scaled))
    rounded = convert_element_type(select(finite, back, wide), dtype)
    return retyped(rounded, weak_of(x))


def _round(name: str, a: Any, decimals: Any, out: Any) -> Any:
    if out is not None:
        raise ValueError(f"{name}: out is not supported: arrays are immutable; use the result")
    places = operator.index(decimals)
    a, known = aval(name, a)
    check_dtype(name, known, ANY)
    if dtypes.is_inexact(known.dtype):
        return _decimal(a, places)
    if dtypes.is_bool(known.dtype):
        raise ValueError(f"{name} does not support boolean operands; convert them to integers")
    return asarray(a) if places >= 0 else _round_integers(a, 10**-places)


def _round_integers(a: Any, unit: int) -> Any:
    """Integers rounded to multiples of `unit`, halves to even multiples."""
    if unit > dtypes.iinfo(dtype_of(a)).max:
        return filled(0, a)
    step = constant(unit, a)
    quotient = floor_divide(a, step)
    left = sub(a, mul(quotient, step))
    half = constant(unit // 2, a)
    odd = ne(bitwise_and(quotient, constant(1, quotient)), constant(0, quotient))
    up = bitwise_or(lt(half, left), bitwise_and(eq(left, half), odd))
    return mul(select(up, quotient + 1, quotient), step)


@function(static=("decimals", "out"))
def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """Each element rounded to a number of decimals; of two equally near ones to the one with an even last digit.

    Args:
      a: an array.
      decimals: how many digits are left after the point; negative ones round before it.
      out: not supported; must be None.
    Raises:
      ValueError: `a` is boolean.

    >>> import anima.numpy as np
    >>> print(np.round(np.array([1.25, -2.5]), 1))
    [ 1.2 -2.5]
    """
    return _round("round", a, decimals, out)


@function(static=("decimals", "out"))
def around(a: Any, decimals: int = 0, out: None = None) -> Any:
    """Each element rounded to a number of decimals: the same as `round`.

    >>> import anima.numpy as np
    >>> print(np.around(2.5))
    2.0
    """
    return _round("around", a, decimals, out)


# --- the parts of floating-point numbers ------------------------------------------------------


def _bits_of(dtype: Any) -> tuple[Any, int, int]:
    """The unsigned dtype of a floating-point dtype's bits, its bits, and how many of them are the mantissa's."""
    bits = dtypes.itemsize_bits(dtype)
    return np.dtype(f"uint{bits}"), bits, int(dtypes.finfo(dtype).nmant)


def negative_sign(x: Any) -> Any:
    """Whether the sign bit of each floating-point element is set."""
    word, bits, _ = _bits_of(dtype_of(x))
    raw = bitcast_convert_type(x, word)
    return ne(shift_right_logical(raw, constant(bits - 1, raw)), constant(0, raw))


@function
def signbit(x: Any, /) -> Any:
    """Whether the sign bit of each element is set: also of -0.0.

    Raises:
      ValueError: `x` is complex.

    >>> import anima.numpy as np
    >>> print(np.signbit(np.array([-0.0, 1.0])))
    [ True False]
    """
    x, known = aval("signbit", x)
    if dtypes.is_complex(known.dtype):
        raise ValueError("signbit does not support complex operands")
    if dtypes.is_bool(known.dtype):
        return asarray(filled(False, x))
    found = negative_sign(asarray(x)) if dtypes.is_float(known.dtype) else lt(x, constant(0, x))
    return retyped(found, False)


@function
def copysign(x1: Any, x2: Any, /) -> Any:
    """The magnitude of `x1` with the sign of `x2`.

    Raises:
      TypeError: the operands are complex.

    >>> import anima.numpy as np
    >>> print(np.copysign(3.0, -0.0))
    -3.0
    """
    weak = common_is_weak("copysign", x1, x2)
    x1, x2 = _pair("copysign", x1, x2)
    magnitude = lax_abs(x1)
    return retyped(select(negative_sign(x2), mul(magnitude, constant(-1, magnitude)), magnitude), weak)


def _pair(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Real floating-point operands in their common shape."""
    x1, x2 = promote_inexact(name, x1, x2)
    if dtypes.is_complex(dtype_of(x1)):
        raise TypeError(f"{name} does not support complex operands")
    shape = shape_of(x1) or shape_of(x2)
    return stretch(asarray(x1), shape_of(x1), shape), stretch(asarray(x2), shape_of(x2), shape)


@function
def nextafter(x: Any, y: Any, /) -> Any:
    """The floating-point number next to each element of `x` in the direction of `y`.

    >>> import anima.numpy as np
    >>> print(np.nextafter(1.0, 2.0))
    1.0000001
    """
    return nextafter_p.bind(*_pair("nextafter", x, y))


@function
def spacing(x: Any, /) -> Any:
    """The distance from each element to the next floating-point number away from zero; of float16, as in NumPy, upwards.

    >>> import anima.numpy as np
    >>> print(np.spacing(1.0))
    1.1920929e-07
    """
    x = strong_inexact("spacing", x)
    if dtypes.is_complex(dtype_of(x)):
        raise ValueError("spacing does not support complex operands")
    outwards = filled(np.inf, x)
    if dtype_of(x) != np.dtype("float16"):
        outwards = select(negative_sign(asarray(x)), filled(-np.inf, x), outwards)
    return sub(nextafter_p.bind(x, outwards), x)


@function
def heaviside(x1: Any, x2: Any, /) -> Any:
    """0 where `x1` is negative, 1 where it is positive, and `x2` where it is zero.

    >>> import anima.numpy as np
    >>> print(np.heaviside(np.array([-1.0, 0.0, 1.0]), 0.5))
    [0.  0.5 1. ]
    """
    weak = common_is_weak("heaviside", x1, x2) and not shape_of(x1)
    x1, x2 = (strong_inexact("heaviside", x) for x in _pair("heaviside", x1, x2))
    zero = constant(0, x1)
    step = select(lt(x1, zero), filled(0, x1), select(eq(x1, zero), x2, filled(1, x1)))
    return retyped(select(ne(x1, x1), x1, step), weak)


@function
def modf(x: Any, /, out: None = None) -> tuple[Any, Any]:
    """The fractional and the whole part of each element, both with its sign.

    >>> import anima.numpy as np
    >>> np.modf(1.5)
    (DeviceArray(0.5, dtype=float32), DeviceArray(1., dtype=float32))
    """
    if out is not None:
        raise ValueError("modf: out is not supported: arrays are immutable; use the result")
    x = inexact("modf", x)
    if dtypes.is_complex(dtype_of(x)):
        raise TypeError("modf does not support complex operands")
    whole = toward_zero(x)
    infinite = eq(lax_abs(x), constant(np.inf, x))
    part = select(infinite, filled(0, x), sub(x, whole))
    return select(ne(x, x), x, select(negative_sign(asarray(x)), neg(lax_abs(part)), part)), whole


@function
def ldexp(x1: Any, x2: Any, /) -> Any:
    """`x1 * 2**x2`, exactly.

    Raises:
      ValueError: `x2` is not of integers, or `x1` is complex.

    >>> import anima.numpy as np
    >>> print(np.ldexp(3.0, 2))
    12.0
    """
    x1, x2 = inexact("ldexp", x1), array_like("ldexp", x2, 1)
    if dtypes.is_complex(dtype_of(x1)):
        raise ValueError("ldexp does not support complex operands")
    if dtypes.is_inexact(dtype_of(x2)):
        raise ValueError(f"ldexp: x2 must be of integers, got dtype {dtype_of(x2)}")
    shape = np.broadcast_shapes(shape_of(x1), shape_of(x2))
    x1, x2 = (
        stretch(x1, shape_of(x1), shape),
        stretch(convert_element_type(x2, np.int32), shape_of(x2), shape),
    )
    # In three steps, so that no factor on the way is out of range where the result is in it.
    for _ in range(3):
        third = x2 // 3 if _ < 2 else x2
        x1 = mul(x1, power_of_two(third, dtype_of(x1)))
        x2 = sub(x2, third)
    return x1


def power_of_two(exponent: Any, dtype: Any) -> Any:
    """`2**exponent` in a floating-point dtype, clamped to its range."""
    info = dtypes.finfo(dtype)
    word, _, mantissa = _bits_of(dtype)
    bias = int(info.maxexp) - 1
    biased = exponent.clip(-bias, bias + 1) + bias
    raw = shift_left(
        convert_element_type(biased, word), constant(mantissa, filled(0, convert_element_type(biased, word)))
    )
    return bitcast_convert_type(raw, dtype)


@function
def frexp(x: Any, /) -> tuple[Any, Any]:
    """A mantissa between 0.5 and 1 in magnitude and an exponent of 2 whose product is `x`.

    Raises:
      TypeError: `x` is complex.

    >>> import anima.numpy as np
    >>> np.frexp(12.0)
    (DeviceArray(0.75, dtype=float32), DeviceArray(4, dtype=int32))
    """
    x = inexact("frexp", x)
    dtype = dtype_of(x)
    if dtypes.is_complex(dtype):
        raise TypeError("frexp does not support complex operands")
    word, bits, mantissa = _bits_of(dtype)
    bias = int(dtypes.finfo(dtype).maxexp) - 1
    x = convert_element_type(x, dtype)
    raw = bitcast_convert_type(x, word)
    field = (1 << (bits - 1 - mantissa)) - 1
    biased = bitwise_and(shift_right_logical(raw, constant(mantissa, raw)), constant(field, raw))
    exponent = convert_element_type(biased, np.int32) - (bias - 1)
    kept = bitwise_and(raw, constant(((1 << bits) - 1) & ~(field << mantissa), raw))
    fraction = bitcast_convert_type(bitwise_or(kept, constant((bias - 1) << mantissa, raw)), dtype)
    special = bitwise_or(eq(x, constant(0, x)), bitwise_or(ne(x, x), eq(lax_abs(x), constant(np.inf, x))))
    return select(special, x, fraction), select(special, filled(0, exponent), exponent)
