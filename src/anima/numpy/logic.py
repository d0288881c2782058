"""Comparisons, truth values, bits, and tests for special numbers.

Invariant: a truth value is "not zero", so NaN is true.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax import (
    abs as lax_abs,
    add,
    and_p,
    bitwise_and as lax_and,
    bitwise_or as lax_or,
    convert_element_type,
    eq,
    eq_p,
    ge_p,
    gt_p,
    imag,
    is_finite_p,
    le,
    le_p,
    lt_p,
    mul,
    ne,
    ne_p,
    not_p,
    or_p,
    population_count_p,
    real,
    reduce_and_p,
    select,
    shift_left_p,
    shift_right_arithmetic_p,
    shift_right_logical_p,
    sub,
    xor_p,
)
from anima.lax.declare import ANY, check_dtype
from anima.lax.operands import constant, filled
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import (
    array_like,
    aval,
    dtype_of,
    inexact,
    is_weak,
    promote,
    retyped,
    shape_of,
    stretch,
)

_BOOL = np.dtype(bool)

# --- comparisons ------------------------------------------------------------------------------


def _compare(name: str, primitive: Any, x: Any, y: Any) -> Any:
    x, y = promote(name, x, y)
    if not dtypes.is_complex(dtype_of(x)):
        return primitive.bind(x, y)
    shape = shape_of(x) or shape_of(y)
    x, y = stretch(x, shape_of(x), shape), stretch(y, shape_of(y), shape)
    tie = eq(real(x), real(y))
    return select(tie, primitive.bind(imag(x), imag(y)), primitive.bind(real(x), real(y)))


@function
def equal(x: Any, y: Any, /) -> Any:
    """`x == y`.

    >>> import anima.numpy as np
    >>> print(np.equal(np.array([1, 2, 3]), 2))
    [False  True False]
    """
    return eq_p.bind(*promote("equal", x, y))


@function
def not_equal(x: Any, y: Any, /) -> Any:
    """`x != y`.

    >>> import anima.numpy as np
    >>> print(np.not_equal(np.array([1, 2, 3]), 2))
    [ True False  True]
    """
    return ne_p.bind(*promote("not_equal", x, y))


@function
def less(x: Any, y: Any, /) -> Any:
    """`x < y`; complex numbers are ordered by real part, then by imaginary part.

    >>> import anima.numpy as np
    >>> print(np.less(np.array([1, 2, 3]), 2))
    [ True False False]
    """
    return _compare("less", lt_p, x, y)


@function
def less_equal(x: Any, y: Any, /) -> Any:
    """`x <= y`; complex numbers are ordered by real part, then by imaginary part.

    >>> import anima.numpy as np
    >>> print(np.less_equal(np.array([1, 2, 3]), 2))
    [ True  True False]
    """
    return _compare("less_equal", le_p, x, y)


@function
def greater(x: Any, y: Any, /) -> Any:
    """`x > y`; complex numbers are ordered by real part, then by imaginary part.

    >>> import anima.numpy as np
    >>> print(np.greater(np.array([1, 2, 3]), 2))
    [False False  True]
    """
    return _compare("greater", gt_p, x, y)


@function
def greater_equal(x: Any, y: Any, /) -> Any:
    """`x >= y`; complex numbers are ordered by real part, then by imaginary part.

    >>> import anima.numpy as np
    >>> print(np.greater_equal(np.array([1, 2, 3]), 2))
    [False  True  True]
    """
    return _compare("greater_equal", ge_p, x, y)


# --- booleans ---------------------------------------------------------------------------------


@function
def logical_and(x: Any, y: Any, /) -> Any:
    """Whether both are nonzero.

    >>> import anima.numpy as np
    >>> print(np.logical_and(np.array([True, False]), True))
    [ True False]
    """
    return _logical("logical_and", and_p, x, y)


@function
def logical_or(x: Any, y: Any, /) -> Any:
    """Whether either is nonzero.

    >>> import anima.numpy as np
    >>> print(np.logical_or(np.array([True, False]), True))
    [ True  True]
    """
    return _logical("logical_or", or_p, x, y)


@function
def logical_xor(x: Any, y: Any, /) -> Any:
    """Whether exactly one is nonzero.

    >>> import anima.numpy as np
    >>> print(np.logical_xor(np.array([True, False]), True))
    [False  True]
    """
    return _logical("logical_xor", xor_p, x, y)


@function
def logical_not(x: Any, /) -> Any:
    """Whether each element is zero.

    >>> import anima.numpy as np
    >>> print(np.logical_not(np.array([0, 2])))
    [ True False]
    """
    return not_p.bind(truth("logical_not", x))


# --- bits -------------------------------------------------------------------------------------


@function
def bitwise_and(x: Any, y: Any, /) -> Any:
    """The bits that both have.

    Raises:
      TypeError: the operands are neither integers nor booleans.

    >>> import anima.numpy as np
    >>> print(np.bitwise_and(6, 3))
    2
    """
    return and_p.bind(*promote("bitwise_and", x, y))


@function
def bitwise_or(x: Any, y: Any, /) -> Any:
    """The bits that either has.

    Raises:
      TypeError: the operands are neither integers nor booleans.

    >>> import anima.numpy as np
    >>> print(np.bitwise_or(6, 3))
    7
    """
    return or_p.bind(*promote("bitwise_or", x, y))


@function
def bitwise_xor(x: Any, y: Any, /) -> Any:
    """The bits that exactly one has.

    Raises:
      TypeError: the operands are neither integers nor booleans.

    >>> import anima.numpy as np
    >>> print(np.bitwise_xor(6, 3))
    5
    """
    return xor_p.bind(*promote("bitwise_xor", x, y))


@function
def invert(x: Any, /) -> Any:
    """The other bits; of booleans, "not".

    Raises:
      TypeError: `x` is neither of integers nor of booleans.

    >>> import anima.numpy as np
    >>> print(np.invert(5))
    -6
    """
    return not_p.bind(array_like("invert", x))


@function
def bitwise_not(x: Any, /) -> Any:
    """The other bits; of booleans, "not": the same as `invert`.

    Raises:
      TypeError: `x` is neither of integers nor of booleans.

    >>> import anima.numpy as np
    >>> print(np.bitwise_not(5))
    -6
    """
    return not_p.bind(array_like("bitwise_not", x))


@function
def bitwise_invert(x: Any, /) -> Any:
    """The other bits; of booleans, "not": the same as `invert`.

    Raises:
      TypeError: `x` is neither of integers nor of booleans.

    >>> import anima.numpy as np
    >>> print(np.bitwise_invert(5))
    -6
    """
    return not_p.bind(array_like("bitwise_invert", x))


@function
def left_shift(x: Any, y: Any, /) -> Any:
    """The bits of `x` moved up by `y` places.

    Raises:
      TypeError: the operands are no integers.

    >>> import anima.numpy as np
    >>> print(np.left_shift(1, 3))
    8
    """
    return _shift_left("left_shift", x, y)


@function
def bitwise_left_shift(x: Any, y: Any, /) -> Any:
    """The bits of `x` moved up by `y` places: the same as `left_shift`.

    Raises:
      TypeError: the operands are no integers.

    >>> import anima.numpy as np
    >>> print(np.bitwise_left_shift(1, 3))
    8
    """
    return _shift_left("bitwise_left_shift", x, y)


@function
def right_shift(x1: Any, x2: Any, /) -> Any:
    """The bits of `x1` moved down by `x2` places; the sign stays.

    Raises:
      TypeError: the operands are no integers.

    >>> import anima.numpy as np
    >>> print(np.right_shift(-8, 2))
    -2
    """
    return _shift_right("right_shift", x1, x2)


@function
def bitwise_right_shift(x1: Any, x2: Any, /) -> Any:
    """The bits of `x1` moved down by `x2` places; the sign stays: the same as `right_shift`.

    Raises:
      TypeError: the operands are no integers.

    >>> import anima.numpy as np
    >>> print(np.bitwise_right_shift(-8, 2))
    -2
    """
    return _shift_right("bitwise_right_shift", x1, x2)


def truth(name: str, x: Any) -> Any:
    """`x` as booleans."""
    x, known = aval(name, x)
    if known.dtype == _BOOL:
        return x
    check_dtype(name, known, ANY)
    return ne(x, constant(0, x))


def _logical(name: str, primitive: Any, x: Any, y: Any) -> Any:
    weak = is_weak(name, x, y)
    result = primitive.bind(*promote(name, truth(name, x), truth(name, y)))
    return retyped(result, weak)


def _shift_operands(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    x, y = promote(name, x, y)
    if dtype_of(x) == _BOOL:
        integer = dtypes.default_int_dtype()
        return convert_element_type(x, integer), convert_element_type(y, integer)
    return x, y


def _shift_left(name: str, x: Any, y: Any) -> Any:
    return shift_left_p.bind(*_shift_operands(name, x, y))


def _shift_right(name: str, x: Any, y: Any) -> Any:
    x, y = _shift_operands(name, x, y)
    unsigned = dtypes.is_unsigned_int(dtype_of(x))
    return (shift_right_logical_p if unsigned else shift_right_arithmetic_p).bind(x, y)


@function
def bitwise_count(x: Any, /) -> Any:
    """How many bits the absolute value of each element has.

    Raises:
      TypeError: `x` is not of integers or booleans.

    >>> import anima.numpy as np
    >>> print(np.bitwise_count(np.array([-3, 8])))
    [2 1]
    """
    x, known = aval("bitwise_count", x)
    if dtypes.is_bool(known.dtype):
        return convert_element_type(x, np.uint8)
    if not dtypes.is_int(known.dtype):
        raise TypeError(f"bitwise_count requires integers or booleans, got dtype {known.dtype}")
    magnitude = lax_abs(x) if dtypes.is_signed_int(known.dtype) else x
    return convert_element_type(population_count_p.bind(magnitude), np.uint8)


# --- special numbers --------------------------------------------------------------------------


def _all_true(x: Any) -> Any:
    """An array of True in the shape of `x`."""
    return asarray(filled(True, convert_element_type(x, _BOOL)))


def _is_integer(x: Any) -> bool:
    return not dtypes.is_inexact(dtype_of(x))


def finite(name: str, x: Any) -> Any:
    """Whether each element is neither infinite nor NaN."""
    x, known = aval(name, x)
    if not dtypes.is_inexact(known.dtype):
        return _all_true(x)
    if dtypes.is_complex(known.dtype):
        return lax_and(is_finite_p.bind(real(x)), is_finite_p.bind(imag(x)))
    return is_finite_p.bind(x)


@function
def isfinite(x: Any, /) -> Any:
    """Whether each element is neither infinite nor NaN.

    >>> import anima.numpy as np
    >>> print(np.isfinite(np.array([1.0, np.inf, np.nan])))
    [ True False False]
    """
    return finite("isfinite", x)


def _infinite(name: str, x: Any) -> Any:
    x, known = aval(name, x)
    if not dtypes.is_inexact(known.dtype):
        return not_p.bind(_all_true(x))
    if dtypes.is_complex(known.dtype):
        return lax_or(_infinite(name, real(x)), _infinite(name, imag(x)))
    return retyped(eq(lax_abs(x), constant(math.inf, x)), False)


@function
def isinf(x: Any, /) -> Any:
    """Whether each element is plus or minus infinity.

    >>> import anima.numpy as np
    >>> print(np.isinf(np.array([1.0, np.inf, np.nan])))
    [False  True False]
    """
    return _infinite("isinf", x)


@function
def isnan(x: Any, /) -> Any:
    """Whether each element is NaN.

    >>> import anima.numpy as np
    >>> print(np.isnan(np.array([1.0, np.inf, np.nan])))
    [False False  True]
    """
    x = array_like("isnan", x)
    return ne(x, x)


def _signed_infinity(name: str, x: Any, value: float, out: Any) -> Any:
    if out is not None:
        raise ValueError(f"{name}: out is not supported: arrays are immutable")
    x, known = aval(name, x)
    if dtypes.is_complex(known.dtype):
        raise ValueError(f"{name} does not support complex operands")
    if not dtypes.is_inexact(known.dtype):
        return not_p.bind(_all_true(x))
    return retyped(eq(x, constant(value, x)), False)


@function(static=("out",))
def isposinf(x: Any, /, out: None = None) -> Any:
    """Whether each element is plus infinity.

    >>> import anima.numpy as np
    >>> print(np.isposinf(np.array([1.0, np.inf, -np.inf])))
    [False  True False]
    """
    return _signed_infinity("isposinf", x, math.inf, out)


@function(static=("out",))
def isneginf(x: Any, /, out: None = None) -> Any:
    """Whether each element is minus infinity.

    >>> import anima.numpy as np
    >>> print(np.isneginf(np.array([1.0, np.inf, -np.inf])))
    [False False  True]
    """
    return _signed_infinity("isneginf", x, -math.inf, out)


@function
def iscomplex(x: Any) -> Any:
    """Whether each element has an imaginary part that is not zero.

    >>> import anima.numpy as np
    >>> print(np.iscomplex(np.array([1 + 1j, 1])))
    [ True False]
    """
    x, known = aval("iscomplex", x)
    if not dtypes.is_complex(known.dtype):
        return retyped(not_p.bind(_all_true(x)), known.weak_type)
    part = imag(x)
    return ne(part, constant(0, part))


@function
def isreal(x: Any) -> Any:
    """Whether each element has no imaginary part, or one of zero.

    >>> import anima.numpy as np
    >>> print(np.isreal(np.array([1 + 1j, 1])))
    [False  True]
    """
    x, known = aval("isreal", x)
    if not dtypes.is_complex(known.dtype):
        return retyped(_all_true(x), known.weak_type)
    part = imag(x)
    return eq(part, constant(0, part))


def _close(name: str, a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    a, b = promote(name, a, b)
    shape = shape_of(a) or shape_of(b)
    a, b = stretch(a, shape_of(a), shape), stretch(b, shape_of(b), shape)
    if dtype_of(a) == _BOOL or dtypes.issubdtype(dtype_of(a), dtypes.extended):
        return eq(a, b)  # keys, too, are close if they are equal
    if _is_integer(a):
        a, b = inexact(name, a), inexact(name, b)
    difference, scale = lax_abs(sub(a, b)), lax_abs(b)
    rtol, atol = (convert_element_type(t, dtype_of(scale)) for t in (rtol, atol))
    bound = promote(name, atol, mul(*promote(name, rtol, scale)))
    close = le(difference, add(*(stretch(v, shape_of(v), shape) for v in bound)))
    both_finite = lax_and(finite(name, a), finite(name, b))
    close = select(both_finite, close, eq(a, b))
    return lax_or(close, lax_and(ne(a, a), ne(b, b))) if equal_nan else close


@function(static=("equal_nan",))
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether `|a - b| <= atol + rtol * |b|`; infinities are close to themselves.

    Args:
      a, b: arrays.
      rtol, atol: the relative and the absolute tolerance.
      equal_nan: whether NaN is close to NaN.

    >>> import anima.numpy as np
    >>> print(np.isclose(np.array([1.0, 2.0]), np.array([1.000001, 2.1])))
    [ True False]
    """
    return _close("isclose", a, b, rtol, atol, equal_nan)


def _every(x: Any) -> Any:
    return reduce_and_p.bind(x, axes=tuple(range(len(shape_of(x)))))


@function(static=("equal_nan",))
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """Whether all elements are close, as `isclose` has it.

    >>> import anima.numpy as np
    >>> print(np.allclose(np.array([1.0, 2.0]), np.array([1.000001, 2.1])))
    False
    """
    return _every(_close("allclose", a, b, rtol, atol, equal_nan))
