"""Arithmetic, element by element: sums, products, quotients, remainders, powers, signs, extremes.

Invariant: operands are promoted to one dtype and broadcast together; division and remainder follow Python's signs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.lax import (
    abs_p,
    add_p,
    and_p,
    bitwise_and,
    conj_p,
    convert_element_type,
    div_p,
    eq,
    imag_p,
    integer_pow_p,
    lt,
    max_p,
    min_p,
    mul_p,
    ne,
    neg_p,
    or_p,
    pow_p,
    real_p,
    rem_p,
    round as lax_round,
    select,
    shift_right_logical,
    sign_p,
    square_p,
    sub_p,
)
from anima.lax.convert import convert_to
from anima.lax.operands import constant, filled
from anima.numpy.calls import function
from anima.numpy.complex_limits import modulus
from anima.numpy.creation import asarray
from anima.numpy.promotion import (
    array_like,
    aval,
    broadcast_together,
    convert,
    dtype_of,
    inexact,
    promote,
    promote_inexact,
    shape_of,
    stretch,
)

_BOOL = np.dtype(bool)


@function
def add(x: Any, y: Any, /) -> Any:
    """`x + y`; "or" of booleans.

    >>> import anima.numpy as np
    >>> print(np.add(np.array([1, 2]), 3))
    [4 5]
    """
    x, y = promote("add", x, y)
    return or_p.bind(x, y) if dtype_of(x) is _BOOL else add_p.bind(x, y)


@function
def subtract(x: Any, y: Any, /) -> Any:
    """`x - y`.

    Raises:
      TypeError: both are boolean.

    >>> import anima.numpy as np
    >>> print(np.subtract(np.array([1, 2]), 3))
    [-2 -1]
    """
    x, y = promote("subtract", x, y)
    return sub_p.bind(x, y)


@function
def multiply(x: Any, y: Any, /) -> Any:
    """`x * y`; "and" of booleans.

    >>> import anima.numpy as np
    >>> print(np.multiply(np.array([1, 2]), 3))
    [3 6]
    """
    x, y = promote("multiply", x, y)
    return and_p.bind(x, y) if dtype_of(x) is _BOOL else mul_p.bind(x, y)


@function
def divide(x1: Any, x2: Any, /) -> Any:
    """`x1 / x2`, in floating point or complex.

    >>> import anima.numpy as np
    >>> print(np.divide(np.array([1, 2]), 4))
    [0.25 0.5 ]
    """
    return div_p.bind(*promote_inexact("divide", x1, x2))


@function
def true_divide(x1: Any, x2: Any, /) -> Any:
    """`x1 / x2`: the same as `divide`.

    >>> import anima.numpy as np
    >>> print(np.true_divide(1, 4))
    0.25
    """
    return div_p.bind(*promote_inexact("true_divide", x1, x2))


def _integers(x: Any) -> bool:
    return not dtypes.is_inexact(dtype_of(x))


def _numeric(name: str, x1: Any, x2: Any) -> tuple[Any, Any]:
    """Promoted real operands; booleans become integers."""
    x1, x2 = promote(name, x1, x2)
    kind = dtypes.kind_of(dtype_of(x1))
    if kind == "c":
        raise TypeError(
            f"{name} does not support complex operands: complex numbers have no quotient with remainder"
        )
    if kind == "b":
        integer = dtypes.default_int_dtype()
        x1, x2 = convert_element_type(x1, integer), convert_element_type(x2, integer)
    return x1, x2


def _float_divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    remainder_ = rem_p.bind(x1, x2)
    zero = constant(0, remainder_)
    by_zero = eq(x2, zero)
    quotient = div_p.bind(sub_p.bind(x1, select_scalar(by_zero, zero, remainder_)), x2)
    # The remainder has the sign of x1; where it should have the other, one more is taken from the quotient.
    adjust = bitwise_and(ne(remainder_, zero), ne(_sign(x2), _sign(remainder_)))
    remainder_ = select(adjust, add_p.bind(remainder_, x2), remainder_)
    one = constant(1, quotient)
    quotient = select(adjust, sub_p.bind(quotient, one), quotient)
    quotient = lax_round(quotient)
    # A zero has the sign of the quotient that it is the floor of.
    signed = mul_p.bind(_sign(div_p.bind(x1, x2)), filled(0, quotient))
    return select(eq(quotient, zero), signed, quotient), remainder_


def _sign(x: Any) -> Any:
    return sign_p.bind(x)


def select_scalar(pred: Any, on_true: Any, on_false: Any) -> Any:
    """`select` whose operands may be constant scalars."""
    shape = max(shape_of(pred), shape_of(on_true), shape_of(on_false), key=len)
    return select(
        pred if shape_of(pred) == () else stretch(pred, shape_of(pred), shape),
        stretch(on_true, shape_of(on_true), shape),
        stretch(on_false, shape_of(on_false), shape),
    )


def _whole(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Both operands in their common shape: constant scalars are filled out."""
    shape = max(shape_of(x1), shape_of(x2), key=len)
    return stretch(x1, shape_of(x1), shape), stretch(x2, shape_of(x2), shape)


def _floor_divide(x1: Any, x2: Any) -> Any:
    if not _integers(x1):
        return _float_divmod(x1, x2)[0]
    quotient = div_p.bind(x1, x2)
    if dtypes.is_unsigned_int(dtype_of(x1)):
        return quotient
    # XLA truncates; where the signs differ and a remainder is left, the floor is one below.
    below = bitwise_and(ne(_sign(x1), _sign(x2)), ne(rem_p.bind(x1, x2), constant(0, quotient)))
    return select(below, sub_p.bind(quotient, constant(1, quotient)), quotient)


def _truncated_remainder(x1: Any, x2: Any) -> Any:
    """The remainder with the sign of `x1`; of integers by zero it is zero, as NumPy has it."""
    left = rem_p.bind(x1, x2)
    return select(eq(x2, constant(0, x2)), filled(0, left), left) if _integers(x1) else left


def _remainder(x1: Any, x2: Any) -> Any:
    left = _truncated_remainder(x1, x2)
    zero = constant(0, left)
    negative_divisor = lt(x2, zero)
    other_sign = ne(lt(left, zero), stretch(negative_divisor, shape_of(negative_divisor), shape_of(left)))
    adjust = bitwise_and(other_sign, ne(left, zero))
    return select(adjust, add_p.bind(left, x2), left)


@function
def floor_divide(x1: Any, x2: Any, /) -> Any:
    """`x1 // x2`: the quotient rounded towards minus infinity.

    Raises:
      TypeError: the operands are complex.

    >>> import anima.numpy as np
    >>> print(np.floor_divide(np.array([-3, 3]), 2))
    [-2  1]
    """
    return _floor_divide(*_whole(*_numeric("floor_divide", x1, x2)))


@function
def remainder(x1: Any, x2: Any, /) -> Any:
    """`x1 % x2`: what `floor_divide` leaves, with the sign of `x2`.

    Raises:
      TypeError: the operands are complex.

    >>> import anima.numpy as np
    >>> print(np.remainder(np.array([-3, 3]), 2))
    [1 1]
    """
    return _remainder(*_whole(*_numeric("remainder", x1, x2)))


@function
def mod(x1: Any, x2: Any, /) -> Any:
    """`x1 % x2`: the same as `remainder`.

    >>> import anima.numpy as np
    >>> print(np.mod(-3, 2))
    1
    """
    return _remainder(*_whole(*_numeric("mod", x1, x2)))


@function
def fmod(x1: Any, x2: Any, /) -> Any:
    """The remainder of the quotient rounded towards zero: it has the sign of `x1`.

    Raises:
      TypeError: the operands are complex.

    >>> import anima.numpy as np
    >>> print(np.fmod(np.array([-3, 3]), 2))
    [-1  1]
    """
    return _truncated_remainder(*_whole(*_numeric("fmod", x1, x2)))


@function
def divmod(x1: Any, x2: Any, /) -> tuple[Any, Any]:
    """`(x1 // x2, x1 % x2)`.

    Raises:
      TypeError: the operands are complex.

    >>> import anima.numpy as np
    >>> np.divmod(np.array([-3, 3]), 2)
    (DeviceArray([-2,  1], dtype=int32), DeviceArray([1, 1], dtype=int32))
    """
    x1, x2 = _whole(*_numeric("divmod", x1, x2))
    return (_floor_divide(x1, x2), _remainder(x1, x2)) if _integers(x1) else _float_divmod(x1, x2)


# --- powers -----------------------------------------------------------------------------------

# An eager power compiles one program for each integer exponent up to this, and one for all that are larger.
_LARGEST_STATIC = 64


def integer_power(x: Any, y: int) -> Any:
    """`x**y` for a Python integer `y`."""
    x, known = aval("power", x)
    if known.dtype == _BOOL:
        x = convert(x, known, dtypes.default_int_dtype(), False)
    if y < 0 and dtypes.is_int(dtype_of(x)):
        raise TypeError(
            f"power: integers cannot be raised to negative powers, got {known} to the power {y}; "
            "convert the base to a floating-point dtype first"
        )
    return integer_pow_p.bind(x, y=y)


def power_of(x1: Any, x2: Any) -> Any:
    """`x1**x2` for an exponent that may be traced."""
    if type(x2) is int:
        return integer_power(x1, x2)
    x1, a = aval("power", x1, 0)
    x2, b = aval("power", x2, 1)
    dtype, weak = dtypes.lattice_result_type((a.dtype, a.weak_type), (b.dtype, b.weak_type))
    kind = dtypes.kind_of(dtype)
    if kind not in ("b", "i", "u"):
        x1 = convert(x1, a, dtype, weak) if a.dtype != dtype else x1
        if not dtypes.is_int(b.dtype):  # an integer exponent stays one: its power has a derivative at 0
            x2 = convert(x2, b, dtype, weak) if b.dtype != dtype else x2
        return pow_p.bind(*broadcast_together("power", x1, x2))
    if kind == "b":
        dtype = dtypes.default_int_dtype()
    x1, x2 = (convert_to(x, dtype, weak) for x in (x1, x2))
    return _integer_powers(*_whole(*broadcast_together("power", x1, x2)))


def _integer_powers(x: Any, y: Any) -> Any:
    """Powers of integers by integers; those that are no integers are 0."""
    zero, one = filled(0, x), filled(1, x)
    result = select(bitwise_and(eq(x, zero), ne(y, zero)), zero, one)
    for _ in range(6):  # any base beyond 1 to a power of 64 and more is out of range
        result = select(ne(bitwise_and(y, one), zero), mul_p.bind(result, x), result)
        x, y = mul_p.bind(x, x), shift_right_logical(y, one)
    return result


_static_power = function(static=("y",), name="power")(integer_power)
_power = function(name="power")(power_of)


def power(x1: Any, x2: Any, /) -> Any:
    """`x1**x2`.

    A Python integer as exponent gives exact products; integers to the power of integers stay integers.

    Raises:
      TypeError: integers are raised to a negative Python integer.

    >>> import anima.numpy as np
    >>> print(np.power(np.array([1.0, 2.0]), 3), np.power(2, np.array([1, 2])))
    [1. 8.] [2 4]
    """
    if type(x2) is int and -_LARGEST_STATIC <= x2 <= _LARGEST_STATIC:
        return _static_power(x1, x2)
    return _power(x1, x2)


def pow(x1: Any, x2: Any, /) -> Any:
    """`x1**x2`: the same as `power`.

    >>> import anima.numpy as np
    >>> print(np.pow(2.0, 3))
    8.0
    """
    return power(x1, x2)


@function
def float_power(x: Any, y: Any, /) -> Any:
    """`x**y` in floating point or complex, also for integers.

    >>> import anima.numpy as np
    >>> print(np.float_power(2, -1))
    0.5
    """
    return pow_p.bind(*promote_inexact("float_power", x, y))


@function
def square(x: Any, /) -> Any:
    """`x * x`.

    >>> import anima.numpy as np
    >>> print(np.square(np.array([1, -2])))
    [1 4]
    """
    x, known = aval("square", x)
    return square_p.bind(convert(x, known, dtypes.default_int_dtype(), False) if known.dtype == _BOOL else x)


@function
def reciprocal(x: Any, /) -> Any:
    """`1 / x`, in floating point or complex.

    >>> import anima.numpy as np
    >>> print(np.reciprocal(4))
    0.25
    """
    return integer_pow_p.bind(inexact("reciprocal", x), y=-1)


# --- signs ------------------------------------------------------------------------------------


@function
def negative(x: Any, /) -> Any:
    """`-x`.

    Raises:
      TypeError: `x` is boolean.

    >>> import anima.numpy as np
    >>> print(np.negative(np.array([1, -2])))
    [-1  2]
    """
    return neg_p.bind(array_like("negative", x))


@function
def positive(x: Any, /) -> Any:
    """`+x`: `x` itself.

    >>> import anima.numpy as np
    >>> print(np.positive(np.array([1, -2])))
    [ 1 -2]
    """
    return asarray(array_like("positive", x))


def _absolute(name: str, x: Any) -> Any:
    x, known = aval(name, x)
    kind = dtypes.kind_of(known.dtype)
    if kind in ("b", "u"):
        return asarray(x)
    return modulus(asarray(x), abs_p.bind(x)) if kind == "c" else abs_p.bind(x)


@function
def absolute(x: Any, /) -> Any:
    """The absolute value of each element; of complex numbers the modulus.

    >>> import anima.numpy as np
    >>> print(np.absolute(np.array([1, -2])), np.absolute(3 + 4j))
    [1 2] 5.0
    """
    return _absolute("absolute", x)


@function
def abs(x: Any, /) -> Any:
    """The absolute value of each element: the same as `absolute`.

    >>> import anima.numpy as np
    >>> print(np.abs(np.array([1, -2])))
    [1 2]
    """
    return _absolute("abs", x)


@function
def fabs(x: Any, /) -> Any:
    """The absolute value of each element, in floating point.

    Raises:
      TypeError: `x` is complex.

    >>> import anima.numpy as np
    >>> print(np.fabs(-2))
    2.0
    """
    x = inexact("fabs", x)
    if dtypes.is_complex(dtype_of(x)):
        raise TypeError("fabs does not support complex operands; use absolute")
    return abs_p.bind(x)


@function
def sign(x: Any, /) -> Any:
    """-1, 0 or 1 as each element is negative, zero or positive; `x / |x|` of complex numbers.

    Raises:
      TypeError: `x` is boolean.

    >>> import anima.numpy as np
    >>> print(np.sign(np.array([-2.5, 0.0, 3.0])))
    [-1.  0.  1.]
    """
    return sign_p.bind(array_like("sign", x))


# --- parts of complex numbers -----------------------------------------------------------------


@function
def real(val: Any, /) -> Any:
    """The real part of each element.

    >>> import anima.numpy as np
    >>> print(np.real(np.array([1 + 2j, 3])))
    [1. 3.]
    """
    val, known = aval("real", val)
    return real_p.bind(val) if dtypes.is_complex(known.dtype) else asarray(val)


@function
def imag(val: Any, /) -> Any:
    """The imaginary part of each element.

    >>> import anima.numpy as np
    >>> print(np.imag(np.array([1 + 2j, 3])))
    [2. 0.]
    """
    val, known = aval("imag", val)
    return imag_p.bind(val) if dtypes.is_complex(known.dtype) else asarray(filled(0, val))


def _conjugate(name: str, x: Any) -> Any:
    x, known = aval(name, x)
    return conj_p.bind(x) if dtypes.is_complex(known.dtype) else asarray(x)


@function
def conjugate(x: Any, /) -> Any:
    """The complex conjugate of each element.

    >>> import anima.numpy as np
    >>> print(np.conjugate(1 + 2j))
    (1-2j)
    """
    return _conjugate("conjugate", x)


@function
def conj(x: Any, /) -> Any:
    """The complex conjugate of each element: the same as `conjugate`.

    >>> import anima.numpy as np
    >>> print(np.conj(1 + 2j))
    (1-2j)
    """
    return _conjugate("conj", x)


# --- extremes ---------------------------------------------------------------------------------


@function
def maximum(x: Any, y: Any, /) -> Any:
    """The larger of each two elements; NaN where either is.

    >>> import anima.numpy as np
    >>> print(np.maximum(np.array([1, 5]), 3))
    [3 5]
    """
    return max_p.bind(*promote("maximum", x, y))


@function
def minimum(x: Any, y: Any, /) -> Any:
    """The smaller of each two elements; NaN where either is.

    >>> import anima.numpy as np
    >>> print(np.minimum(np.array([1, 5]), 3))
    [1 3]
    """
    return min_p.bind(*promote("minimum", x, y))


def _ignoring_nan(name: str, primitive: Any, x1: Any, x2: Any) -> Any:
    x1, x2 = _whole(*promote(name, x1, x2))
    extreme = primitive.bind(x1, x2)
    if not dtypes.is_inexact(dtype_of(x1)):
        return extreme
    return select(ne(x1, x1), x2, select(ne(x2, x2), x1, extreme))


@function
def fmax(x1: Any, x2: Any) -> Any:
    """The larger of each two elements; the other one where either is NaN.

    >>> import anima.numpy as np
    >>> print(np.fmax(np.array([1.0, np.nan]), 0.0))
    [1. 0.]
    """
    return _ignoring_nan("fmax", max_p, x1, x2)


@function
def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of each two elements; the other one where either is NaN.

    >>> import anima.numpy as np
    >>> print(np.fmin(np.array([1.0, np.nan]), 0.0))
    [0. 0.]
    """
    return _ignoring_nan("fmin", min_p, x1, x2)
