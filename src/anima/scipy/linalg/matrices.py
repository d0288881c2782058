"""Matrices of special structure.

Invariant: those that are made from vectors take stacks of them and give a stack of matrices; those that depend on sizes alone
are computed in float64, from sums of numbers of one sign, and rounded at the end.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as host

from anima import dtypes, lax
from anima.lax.shape import dtype_of
from anima.numpy import shapes
from anima.numpy.arithmetic import abs as np_abs
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import array_like, promote_dtypes, strong_inexact
from anima.numpy.selection import where

# --- from vectors -----------------------------------------------------------------------------


def _vectors(name: str, argument: str, value: Any, scalars: bool = True) -> Any:
    x = asarray(array_like(name, value, argument))
    if x.ndim == 0:
        if not scalars:
            raise ValueError(f"{name}: {argument} must have at least 1 dimension, got a scalar")
        return x.reshape(1)
    return x


def _places(rows: int, columns: int) -> tuple[Any, Any]:
    """The row and the column of each element."""
    return lax.broadcasted_iota("int32", (rows, columns), 0), lax.broadcasted_iota(
        "int32", (rows, columns), 1
    )


def _together(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Two stacks of vectors with one dtype and one shape of the stacks."""
    x, y = promote_dtypes(name, x, y)
    stack = shapes.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    return shapes.broadcast_to(x, (*stack, x.shape[-1])), shapes.broadcast_to(y, (*stack, y.shape[-1]))


def _selected(x: Any, places: Any) -> Any:
    """For each element of a matrix the vector's element at that place."""
    if places.size == 0:
        return lax.full((*x.shape[:-1], *places.shape), 0, dtype_of(x))
    return x[..., places]


@function
def toeplitz(c: Any, r: Any = None) -> Any:
    """Matrices with constant diagonals.

    Args:
      c: the first columns.
      r: the first rows, whose first elements are not read; by default the complex conjugate of `c`.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.toeplitz(np.array([1, 2]), np.array([1, 5, 6])))
    [[1 5 6]
     [2 1 5]]
    """
    c = _vectors("toeplitz", "c", c)
    r = c.conj() if r is None else _vectors("toeplitz", "r", r)
    c, r = _together("toeplitz", c, r)
    rows, columns = c.shape[-1], r.shape[-1]
    i, j = _places(rows, columns)
    return _selected(lax.concatenate([r[..., :0:-1], c], c.ndim - 1), i - j + (columns - 1))


@function
def hankel(c: Any, r: Any = None) -> Any:
    """Matrices with constant antidiagonals.

    Args:
      c: the first columns.
      r: the last rows, whose first elements are not read; by default zeros.
    Raises:
      ValueError: an argument is a scalar.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.hankel(np.array([1, 2]), np.array([2, 5, 6])))
    [[1 2 5]
     [2 5 6]]
    """
    c = _vectors("hankel", "c", c, scalars=False)
    r = lax.full_like(c, 0) if r is None else _vectors("hankel", "r", r, scalars=False)
    c, r = _together("hankel", c, r)
    i, j = _places(c.shape[-1], r.shape[-1])
    return _selected(lax.concatenate([c, r[..., 1:]], c.ndim - 1), i + j)


@function
def circulant(c: Any) -> Any:
    """Matrices whose columns are their first ones `c`, moved round by one place more each.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.circulant(np.array([1, 2, 3])))
    [[1 3 2]
     [2 1 3]
     [3 2 1]]
    """
    c = _vectors("circulant", "c", c)
    n = c.shape[-1]
    i, j = _places(n, n)
    return _selected(c, (i - j) % max(n, 1))


def _needs(name: str, argument: str, x: Any, least: int) -> None:
    if x.shape[-1] < least:
        raise ValueError(f"{name}: {argument} must have at least {least} elements, got shape {x.shape}")


@function
def companion(a: Any) -> Any:
    """The matrices whose eigenvalues are the roots of the polynomials with coefficients `a`, highest power first.

    Raises:
      ValueError: there are less than two coefficients.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.companion(np.array([2.0, 4.0, 6.0])))
    [[-2. -3.]
     [ 1.  0.]]
    """
    a = _vectors("companion", "a", strong_inexact("companion", a))
    _needs("companion", "a", a, 2)
    n = a.shape[-1] - 1
    i, j = _places(n, n)
    first = (-a[..., 1:] / a[..., :1])[..., None, :]
    return where(i == 0, first, (i == j + 1).astype(a.dtype))


def _fiedler_table(n: int) -> host.ndarray[Any, Any]:
    """For each element its place in `[0, 1, -a1/a0, -a2/a0, ...]`."""
    table = host.zeros((n, n), host.int32)
    for i in range(n):
        if i % 2:
            table[i, max(i - 2, 0)] = 1
            continue
        table[i, max(i - 1, 0)] = i + 2
        if i + 1 < n:
            table[i, i + 1] = i + 3
        if i + 2 < n:
            table[i, i + 2] = 1
    return table


@function
def fiedler_companion(a: Any) -> Any:
    """Pentadiagonal matrices whose eigenvalues are the roots of the polynomials with coefficients `a`.

    Raises:
      ValueError: there are no coefficients.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.fiedler_companion(np.array([1.0, 2.0, 3.0, 4.0])))
    [[-2. -3.  1.]
     [ 1.  0.  0.]
     [ 0. -4.  0.]]
    """
    a = _vectors("fiedler_companion", "a", strong_inexact("fiedler_companion", a))
    _needs("fiedler_companion", "a", a, 1)
    fixed = shapes.broadcast_to(asarray([0, 1], a.dtype), (*a.shape[:-1], 2))
    values = lax.concatenate([fixed, -a[..., 1:] / a[..., :1]], a.ndim - 1)
    return _selected(values, _fiedler_table(a.shape[-1] - 1))


@function
def fiedler(a: Any) -> Any:
    """The matrices of the distances `abs(a[i] - a[j])`.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.fiedler(np.array([1, 4])))
    [[0 3]
     [3 0]]
    """
    a = _vectors("fiedler", "a", a)
    if dtypes.is_bool(a.dtype):
        raise TypeError("fiedler does not accept dtype bool for argument a")
    return np_abs(a[..., :, None] - a[..., None, :])


@function
def leslie(f: Any, s: Any) -> Any:
    """Matrices with `f` as first rows and `s` below the diagonals: the growth of a population by age.

    Args:
      f: at least two fecundities.
      s: the survival rates, one less.
    Raises:
      ValueError: the sizes are others.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.leslie(np.array([1, 2]), np.array([3])))
    [[1 2]
     [3 0]]
    """
    f, s = _vectors("leslie", "f", f), _vectors("leslie", "s", s)
    _needs("leslie", "f", f, 2)
    if s.shape[-1] != f.shape[-1] - 1:
        raise ValueError(f"leslie: s must have one element less than f, got shapes {s.shape} and {f.shape}")
    f, s = _together("leslie", f, s)
    n = f.shape[-1]
    i, j = _places(n, n)
    rates = lax.pad(s, s.dtype.type(0), [*[(0, 0, 0)] * (s.ndim - 1), (0, 1, 0)])[..., None, :]
    return where(i == 0, f[..., None, :], where(i == j + 1, rates, s.dtype.type(0)))


@function(static=("n", "mode"))
def convolution_matrix(a: Any, n: int, mode: str = "full") -> Any:
    """The matrices whose product with a vector of `n` elements is its convolution with `a`.

    Args:
      a: vectors.
      n: how many columns.
      mode: "full", "valid" or "same", as for `numpy.convolve`.
    Raises:
      ValueError: there are no elements, `n` is not positive, or there is no such mode.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.convolution_matrix(np.array([1, 2]), 2))
    [[1 0]
     [2 1]
     [0 2]]
    """
    a = _vectors("convolution_matrix", "a", a, scalars=False)
    if operator.index(n) <= 0:
        raise ValueError(f"convolution_matrix: n must be positive, got {n}")
    _needs("convolution_matrix", "a", a, 1)
    m = a.shape[-1]
    if mode not in ("full", "valid", "same"):
        raise ValueError(f"convolution_matrix: mode must be 'full', 'valid' or 'same', got {mode!r}")
    size = {"full": m + n - 1, "valid": max(m, n) - min(m, n) + 1, "same": max(m, n)}[mode]
    first = {"full": 0, "valid": min(m, n) - 1, "same": (min(m, n) - 1) // 2}[mode]
    i, j = _places(size, n)
    place = i + first - j
    inside = (place >= 0) & (place < m)
    return where(inside, _selected(a, where(inside, place, 0)), a.dtype.type(0))


@function
def block_diag(*arrs: Any) -> Any:
    """The matrices `arrs` along the diagonal of one, and zeros; vectors are rows.

    Raises:
      ValueError: one has more than two dimensions.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.block_diag(np.array([[1, 2]]), np.array([[3], [4]])))
    [[1 2 0]
     [0 0 3]
     [0 0 4]]
    """
    if not arrs:
        return lax.full((1, 0), 0.0)
    for place, arr in enumerate(arrs):
        if array_like("block_diag", arr, place) is arr and len(asarray(arr).shape) > 2:
            raise ValueError(
                f"block_diag: arrays must have at most 2 dimensions, got shape {asarray(arr).shape} at position {place}"
            )
    blocks = [
        x.reshape((1,) * (2 - x.ndim) + x.shape) for x in map(asarray, promote_dtypes("block_diag", *arrs))
    ]
    width = sum(x.shape[1] for x in blocks)
    rows, before = [], 0
    for x in blocks:
        rows.append(lax.pad(x, x.dtype.type(0), [(0, 0, 0), (before, width - before - x.shape[1], 0)]))
        before += x.shape[1]
    return lax.concatenate(rows, 0)


# --- from sizes -------------------------------------------------------------------------------


def _size(name: str, n: Any, least: int = 0) -> int:
    size = operator.index(n)
    if size < least:
        raise ValueError(f"{name}: n must be at least {least}, got {size}")
    return size


def _constant(values: host.ndarray[Any, Any]) -> Any:
    """Exact numbers of the host, rounded to the default dtype."""
    return asarray(values)


@function(static=("n",))
def hilbert(n: int) -> Any:
    """The matrix of `1 / (i + j + 1)`, whose condition grows exponentially with `n`.

    >>> from anima import scipy
    >>> print(scipy.linalg.hilbert(2))
    [[1.         0.5       ]
     [0.5        0.33333334]]
    """
    size = _size("hilbert", n)
    i, j = _places(size, size)
    return 1.0 / (i + j + 1)


def invhilbert(n: int) -> Any:
    """The inverse of `hilbert(n)`; its elements are integers, here rounded to the default dtype.

    >>> from anima import scipy
    >>> print(scipy.linalg.invhilbert(2))
    [[ 4. -6.]
     [-6. 12.]]
    """
    size = _size("invhilbert", n)
    comb = math.comb

    def element(i: int, j: int) -> float:
        exact = (
            (i + j - 1)
            * comb(size + i - 1, size - j)
            * comb(size + j - 1, size - i)
            * comb(i + j - 2, i - 1) ** 2
        )
        return _rounded(-exact if (i + j) % 2 else exact)

    rows = [[element(i, j) for j in range(1, size + 1)] for i in range(1, size + 1)]
    return _constant(host.array(rows, host.float64).reshape(size, size))


def _rounded(exact: int) -> float:
    try:
        return float(exact)
    except OverflowError:
        return math.copysign(math.inf, exact)


def _kind(name: str, kind: str | None) -> str:
    if kind not in (None, "symmetric", "lower", "upper"):
        raise ValueError(f"{name}: kind must be 'symmetric', 'lower' or 'upper', got {kind!r}")
    return kind or "symmetric"


def _binomials(n: int) -> host.ndarray[Any, Any]:
    """The rows of Pascal's triangle, with zeros behind."""
    rows = host.zeros((n, n))
    for i in range(n):
        rows[i, 0] = 1
        rows[i, 1:] = rows[i - 1, 1:] + rows[i - 1, :-1] if i else 0
    return rows


def pascal(n: int, kind: str | None = None) -> Any:
    """The matrix of binomial coefficients `(i + j)! / (i! j!)`, or its triangular factors.

    Args:
      n: how many rows and columns.
      kind: "symmetric" (the default); "lower" for the coefficients of row `i`; "upper" for the transpose of that.
    Raises:
      ValueError: there is no such kind, or `n` is negative.

    >>> from anima import scipy
    >>> print(scipy.linalg.pascal(3))
    [[1. 1. 1.]
     [1. 2. 3.]
     [1. 3. 6.]]
    """
    kind, lower = _kind("pascal", kind), _binomials(_size("pascal", n))
    return _constant({"symmetric": lower @ lower.T, "lower": lower, "upper": lower.T}[kind])


def invpascal(n: int, kind: str | None = None) -> Any:
    """The inverse of `pascal(n, kind)`.

    >>> from anima import scipy
    >>> print(scipy.linalg.invpascal(2))
    [[ 2. -1.]
     [-1.  1.]]
    """
    kind, lower = _kind("invpascal", kind), _binomials(_size("invpascal", n))
    i, j = host.indices(lower.shape, sparse=True)
    lower = host.where((i + j) % 2, -lower, lower)
    return _constant({"symmetric": lower.T @ lower, "lower": lower, "upper": lower.T}[kind])


@function(static=("n", "full"))
def helmert(n: int, full: bool = False) -> Any:
    """Orthonormal rows, each the contrast of a number with the mean of those before it.

    Args:
      n: how many columns.
      full: include the first row, that of the mean, so that the matrix is square.
    Raises:
      ValueError: `n` is not positive.

    >>> from anima import scipy
    >>> print(scipy.linalg.helmert(2))
    [[ 0.70710677 -0.70710677]]
    """
    size = _size("helmert", n, 1)
    i, j = host.indices((size, size))
    values = host.where(j < i, 1.0, host.where(j == i, -i, 0.0)) / host.sqrt(host.maximum(i * (i + 1.0), 1.0))
    values[0] = 1 / math.sqrt(size)
    return _constant(values if full else values[1:])


@function(static=("n", "dtype"))
def hadamard(n: int, dtype: Any = int) -> Any:
    """A matrix of 1 and -1 with orthogonal rows.

    Args:
      n: a power of two.
      dtype: that of the result.
    Raises:
      ValueError: `n` is no power of two.

    >>> from anima import scipy
    >>> print(scipy.linalg.hadamard(2))
    [[ 1  1]
     [ 1 -1]]
    """
    size = int(n)
    if size != n or size < 1 or size & (size - 1):
        raise ValueError(f"hadamard: n must be a power of two, got {n}")
    i, j = _places(size, size)
    return (1 - 2 * (lax.population_count(i & j) % 2)).astype(dtype)


_SCALES = {None: lambda n: 1.0, "sqrtn": math.sqrt, "n": float}


@function(static=("n", "scale", "dtype"))
def dft(n: int, scale: str | None = None, *, dtype: Any = None) -> Any:
    """The matrix of the discrete Fourier transform: the powers of `exp(-2 pi i / n)`.

    Args:
      n: how many rows and columns.
      scale: None; "sqrtn" or "n" to divide by that.
      dtype: a complex dtype; by default the default one.
    Raises:
      ValueError: there is no such scale, or the dtype is not complex.

    >>> from anima import scipy
    >>> print(scipy.linalg.dft(2).real)
    [[ 1.  1.]
     [ 1. -1.]]
    """
    size = _size("dft", n)
    if scale not in _SCALES:
        raise ValueError(f"dft: scale must be None, 'sqrtn' or 'n', got {scale!r}")
    wanted = dtypes.check_user_dtype_supported(complex if dtype is None else dtype, "dft")
    if not dtypes.is_complex(wanted):
        raise ValueError(f"dft: dtype must be complex, got {dtypes.dtype_name(wanted)}")
    turns = host.arange(size) / max(size, 1)
    roots = host.exp(-2j * host.pi * turns) / (_SCALES[scale](size) if size else 1.0)
    i, j = host.indices((size, size), sparse=True)
    return asarray(roots.astype(wanted))[i * j % max(size, 1)] if size else lax.full((0, 0), 0, wanted)
