"""Polynomials, given by their coefficients from the highest power to the constant.

Invariant: what is computed from coefficients alone has a size known while tracing; only trimming leading zeros depends on
values.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import ambient
from anima.lax.arithmetic import add, mul, sub
from anima.lax.control.scanning import scan
from anima.lax.convert import convert_element_type
from anima.lax.create import full, iota
from anima.lax.joining import concatenate, pad
from anima.lax.linalg.general import eig
from anima.lax.operands import constant
from anima.lax.shape import broadcast_in_dim, expand_dims, reshape_p
from anima.lax.slicing import dynamic_slice_in_dim, dynamic_update_slice_in_dim, index_in_dim, slice_in_dim
from anima.numpy.arithmetic import power_of
from anima.numpy.calls import function
from anima.numpy.concrete import contents
from anima.numpy.promotion import (
    array_like,
    dtype_of,
    promote_dtypes,
    promote_dtypes_inexact,
    shape_of,
    stretch,
)
from anima.numpy.shapes import broadcast_shapes, broadcast_to
from anima.numpy.signals import convolve

# Loops over so many coefficients at most are written out in the program.
_WRITTEN_OUT = 16


def _vector(name: str, p: Any, position: int = 0) -> Any:
    p = array_like(name, p, position)
    if len(shape_of(p)) != 1:
        raise ValueError(f"{name}: coefficients must be a vector, got shape {shape_of(p)}")
    return p


def without_leading_zeros(name: str, p: Any, advice: str) -> Any:
    """A vector less the zeros that it begins with, its last element always kept.

    Raises:
      ConcretizationTypeError: it is traced; `advice` says what to do then.
    """
    with ambient(None):
        given = contents(name, p, advice)
    found = np.flatnonzero(given)
    zeros = int(found[0]) if found.size else builtins.max(given.size - 1, 0)
    return slice_in_dim(p, zeros, shape_of(p)[0]) if zeros else p


def _trimmed(name: str, p: Any) -> Any:
    return without_leading_zeros(name, p, "in a transformed function give trim_leading_zeros=False")


# --- values -----------------------------------------------------------------------------------


@function(static=("unroll",))
def polyval(p: Any, x: Any, *, unroll: int = 16) -> Any:
    """The values of a polynomial, by Horner's rule.

    Args:
      p: the coefficients along the first axis; further axes broadcast with `x`.
      x: where to evaluate.
      unroll: how many steps to write out in the body of the loop.
    Raises:
      ValueError: `p` is a scalar. TypeError: an argument is no array.

    >>> import anima.numpy as np
    >>> print(np.polyval(np.array([1, 0, 2]), 3))
    11
    """
    p, x = promote_dtypes("polyval", array_like("polyval", p), array_like("polyval", x, 1))
    if not shape_of(p):
        raise ValueError("polyval: p must have at least one dimension, the coefficients, got a scalar")
    n, *rest = shape_of(p)
    shape = broadcast_shapes(shape_of(x), tuple(rest))
    dtype = dtypes.lattice_result_type(dtypes.pair_of(p), dtypes.pair_of(x))[0]
    x = stretch(convert_element_type(x, dtype), shape_of(x), shape)

    def step(value: Any, coefficient: Any) -> tuple[Any, None]:
        coefficient = stretch(coefficient, shape_of(coefficient), shape)
        return add(mul(value, x), coefficient), None

    start = full(shape, 0, dtype)
    rows = convert_element_type(p, dtype)
    if n > builtins.max(unroll, 1):
        return scan(step, start, rows, unroll=unroll)[0]
    for i in range(n):
        start = step(start, index_in_dim(rows, i, 0, False))[0]
    return start


# --- sums and products ------------------------------------------------------------------------


def _to_size(p: Any, size: int) -> Any:
    missing = size - shape_of(p)[0]
    return pad(p, constant(0, p), [(missing, 0, 0)]) if missing else p


def _pair(name: str, a1: Any, a2: Any) -> tuple[Any, Any]:
    a1, a2 = promote_dtypes(name, _vector(name, a1), _vector(name, a2, 1))
    size = builtins.max(shape_of(a1)[0], shape_of(a2)[0])
    return _to_size(a1, size), _to_size(a2, size)


@function
def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials.

    Raises:
      ValueError: an argument is no vector.

    >>> import anima.numpy as np
    >>> print(np.polyadd(np.array([1, 2]), np.array([5, 0, 0])))
    [5 1 2]
    """
    return add(*_pair("polyadd", a1, a2))


@function
def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials.

    Raises:
      ValueError: an argument is no vector.

    >>> import anima.numpy as np
    >>> print(np.polysub(np.array([1, 2]), np.array([5, 0, 0])))
    [-5  1  2]
    """
    return sub(*_pair("polysub", a1, a2))


@function
def _polymul(a1: Any, a2: Any) -> Any:
    a1, a2 = promote_dtypes_inexact("polymul", a1, a2)
    # An empty vector is the zero polynomial.
    return convolve(*[a if shape_of(a)[0] else full((1,), 0, dtype_of(a)) for a in (a1, a2)])


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """The product of two polynomials.

    Args:
      a1, a2: their coefficients.
      trim_leading_zeros: whether zeros at the start of the arguments are cut off first; not in a transformed function.
    Raises:
      ValueError: an argument is no vector. ConcretizationTypeError: one is traced and to be trimmed.

    >>> import anima.numpy as np
    >>> print(np.polymul(np.array([1, 2]), np.array([1, 3])))
    [1. 5. 6.]
    """
    a1, a2 = _vector("polymul", a1), _vector("polymul", a2, 1)
    if trim_leading_zeros:
        a1, a2 = _trimmed("polymul", a1), _trimmed("polymul", a2)
    return _polymul(a1, a2)


@function
def _polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    u, v = promote_dtypes_inexact("polydiv", u, v)
    n, m = shape_of(u)[0], shape_of(v)[0]
    steps = n - m + 1
    if steps < 1:
        return full((1,), 0, dtype_of(u)), u
    lead = index_in_dim(v, 0, 0)

    def step(left: Any, place: Any) -> tuple[Any, Any]:
        window = dynamic_slice_in_dim(left, place, m)
        share = slice_in_dim(window, 0, 1) / lead
        window = sub(window, mul(v, stretch(share, (1,), (m,))))
        return dynamic_update_slice_in_dim(left, window, place, 0), reshape_p.bind(share, new_sizes=())

    remainder, quotient = scan(step, u, iota("int32", steps), unroll=builtins.min(steps, _WRITTEN_OUT))
    return quotient, remainder


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """The quotient of two polynomials, and the remainder.

    Args:
      u, v: the coefficients of dividend and divisor.
      trim_leading_zeros: whether zeros at the start of the remainder are cut off; not in a transformed function.
        Otherwise it has the size of `u`.
    Raises:
      ValueError: an argument is no vector, or empty. ConcretizationTypeError: an argument is traced, and the remainder to
        be trimmed.

    >>> import anima.numpy as np
    >>> quotient, remainder = np.polydiv(np.array([1, 5, 7]), np.array([1, 2]))
    >>> print(quotient, remainder)
    [1. 3.] [0. 0. 1.]
    """
    u, v = _vector("polydiv", u), _vector("polydiv", v, 1)
    if not shape_of(u)[0] or not shape_of(v)[0]:
        raise ValueError("polydiv: u and v must not be empty")
    quotient, remainder = _polydiv(u, v)
    if trim_leading_zeros:
        found = np.flatnonzero(
            contents("polydiv", remainder, "in a transformed function give trim_leading_zeros=False")
        )
        remainder = slice_in_dim(remainder, int(found[0]) if found.size else shape_of(u)[0], shape_of(u)[0])
    return quotient, remainder


# --- derivatives and integrals ----------------------------------------------------------------


def _order(name: str, m: Any) -> int:
    order = operator.index(m)
    if order < 0:
        raise ValueError(f"{name}: m must not be negative, got {order}")
    return order


def _factors(powers: range, m: int, dtype: Any) -> Any:
    """For each power `n` the product of `n + 1` to `n + m`, in a dtype."""
    return np.array([math.prod(range(n + 1, n + m + 1)) for n in powers], np.float64).astype(dtype)


@function(static=("m",))
def polyder(p: Any, m: int = 1) -> Any:
    """The derivative of a polynomial.

    Args:
      p: its coefficients.
      m: which derivative.
    Raises:
      ValueError: `p` is no vector, or `m` negative.

    >>> import anima.numpy as np
    >>> print(np.polyder(np.array([1, 5, 7])))
    [2. 5.]
    """
    (p,) = promote_dtypes_inexact("polyder", _vector("polyder", p))
    order, n = _order("polyder", m), shape_of(p)[0]
    left = builtins.max(n - order, 0)
    if not order or not left:
        return slice_in_dim(p, 0, left)
    return mul(slice_in_dim(p, 0, left), _factors(range(left - 1, -1, -1), order, dtype_of(p)))


@function(static=("m",))
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """An integral of a polynomial.

    Args:
      p: its coefficients.
      m: how often to integrate.
      k: the constants of integration, one for each time, or one for all; by default 0.
    Raises:
      ValueError: `p` is no vector, `m` negative, or there are not as many constants.

    >>> import anima.numpy as np
    >>> print(np.polyint(np.array([2, 5]), k=7))
    [1. 5. 7.]
    """
    order = _order("polyint", m)
    constants = array_like("polyint", 0 if k is None else k, "k")
    p, constants = promote_dtypes_inexact("polyint", _vector("polyint", p), constants)
    if shape_of(constants) not in ((), (1,), (order,)):
        raise ValueError(f"polyint: k must be a number or {order} of them, got shape {shape_of(constants)}")
    if not order:
        return p
    dtype, n = dtype_of(p), shape_of(p)[0]
    # The constant of the first integration is integrated by those that follow.
    tail = broadcast_to(constants, (order,))
    scale = np.concatenate([_factors(range(n - 1, -1, -1), order, dtype), _factors(range(1), 0, dtype)])[:n]
    spent = np.array([math.factorial(order - 1 - i) for i in range(order)], np.float64).astype(dtype)
    return concatenate([p / scale if n else p, tail / spent], 0)


# --- roots and powers -------------------------------------------------------------------------


@function
def poly(seq_of_zeros: Any) -> Any:
    """The polynomial with the given roots and leading coefficient 1; of a matrix the characteristic one.

    Args:
      seq_of_zeros: the roots, a vector; or a square matrix.
    Raises:
      ValueError: it is neither.

    >>> import anima.numpy as np
    >>> print(np.poly(np.array([1, 2])))
    [ 1. -3.  2.]
    """
    (roots,) = promote_dtypes_inexact("poly", array_like("poly", seq_of_zeros))
    shape = shape_of(roots)
    if len(shape) > 2 or (len(shape) == 2 and shape[0] != shape[1]):
        raise ValueError(f"poly: seq_of_zeros must be a vector or a square matrix, got shape {shape}")
    if len(shape) == 2:
        roots = eig(roots, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]
    roots = reshape_p.bind(roots, new_sizes=(math.prod(shape_of(roots)),))
    n, dtype = shape_of(roots)[0], dtype_of(roots)
    if not n:
        return full((), 1, dtype)

    def step(p: Any, root: Any) -> tuple[Any, None]:
        shifted = pad(p, constant(0, p), [(1, -1, 0)])
        return sub(p, mul(shifted, stretch(root, (), (n + 1,)))), None

    start = pad(full((1,), 1, dtype), np.zeros((), dtype)[()], [(0, n, 0)])
    return scan(step, start, roots, unroll=builtins.min(n, _WRITTEN_OUT))[0]


@function(static=("N", "increasing"))
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The Vandermonde matrix: the powers of the elements of a vector, a row for each.

    Args:
      x: a vector.
      N: the number of powers; by default the size of `x`.
      increasing: whether powers rise from left to right, rather than fall.
    Raises:
      ValueError: `x` is no vector, or `N` negative.

    >>> import anima.numpy as np
    >>> print(np.vander(np.array([2, 3]), 3))
    [[4 2 1]
     [9 3 1]]
    """
    x = array_like("vander", x)
    if len(shape_of(x)) != 1:
        raise ValueError(f"vander: x must be a vector, got shape {shape_of(x)}")
    size = shape_of(x)[0]
    count = size if N is None else operator.index(N)
    if count < 0:
        raise ValueError(f"vander: N must not be negative, got {count}")
    powers = np.arange(count, dtype=np.int32)
    grid = broadcast_in_dim(powers if increasing else powers[::-1].copy(), (size, count), (1,))
    if dtypes.is_bool(dtype_of(x)):
        x = convert_element_type(x, dtypes.default_int_dtype())
    base = stretch(expand_dims(x, (1,)), (size, 1), (size, count))
    return convert_element_type(power_of(base, grid), dtype_of(x))
