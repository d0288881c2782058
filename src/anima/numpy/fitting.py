"""Roots of polynomials, and polynomials that fit points: what needs the linear algebra of `numpy.linalg`.

Invariant: coefficients go from the highest power to the constant; sizes are known while tracing, except where zeros are
stripped. The module is loaded when one of its functions is asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima.numpy import linalg, ranges, reductions, shapes
from anima.numpy.arithmetic import real
from anima.numpy.calls import function, plain
from anima.numpy.creation import asarray
from anima.numpy.elementary import sqrt
from anima.numpy.flipping import roll
from anima.numpy.linear import matmul, outer
from anima.numpy.polynomials import vander, without_leading_zeros
from anima.numpy.promotion import array_like, dtype_of, promote_dtypes_inexact, shape_of
from anima.numpy.selection import where
from anima.numpy.sorting import argsort


@function(name="roots")
def _roots(p: Any) -> Any:
    """The roots of a polynomial of any degree up to the size of `p` less one; NaN for those that it has not.

    They are the eigenvalues of the companion matrix. Coefficients are rolled so that the first is not zero, and the
    matrix has a block for those up to the last that is not zero; the rest of it is zero, and so are its eigenvalues,
    exactly. First come as many as there are roots at zero, then those that stand for leading zeros.
    """
    (p,) = promote_dtypes_inexact("roots", asarray(p))
    n = p.shape[0]
    given = p != 0
    places = np.arange(n)
    leading = reductions.min(where(given, places, n))
    degree = reductions.max(where(given, places, 0)) - leading
    p = roll(p, -leading)
    row = -p[1:] / where(leading < n, p[0], 1)
    below = ranges.diag((places[1:-1] <= degree - 1).astype(p.dtype), -1)
    values = linalg.eigvals(below.at[0].set(row))
    order = argsort(values == 0, stable=True)
    return where(places[1:] <= n - 1 - leading, values[order], np.nan)


def roots(p: Any, *, strip_zeros: bool = True) -> Any:
    """The roots of a polynomial, complex, in no particular order; those at zero come last.

    Args:
      p: the coefficients, a vector.
      strip_zeros: whether zeros at the start of `p` are cut off; not in a transformed function. Otherwise the result has
        the size of `p` less one, and ends with a NaN for each zero that `p` starts with.
    Raises:
      ValueError: `p` has more than one dimension. ConcretizationTypeError: `p` is traced, and its zeros to be stripped.

    >>> import anima.numpy as np
    >>> print(np.roots(np.array([1, -3, 2])))
    [2.+0.j 1.+0.j]
    """
    p = shapes.atleast_1d(array_like("roots", p))
    if p.ndim > 1:
        raise ValueError(f"roots: p must be a vector, got shape {p.shape}")
    if strip_zeros:
        p = without_leading_zeros("roots", p, "in a transformed function give strip_zeros=False")
    if p.shape[0] < 2:
        return asarray(np.zeros(0), dtype=dtypes.to_complex_dtype(dtypes.to_inexact_dtype(p.dtype)))
    return _roots(p)


# --- fitting ----------------------------------------------------------------------------------


def _check_points(x: Any, y: Any, w: Any) -> None:
    if len(shape_of(x)) != 1 or not shape_of(x)[0]:
        raise TypeError(f"polyfit: x must be a vector that is not empty, got shape {shape_of(x)}")
    if len(shape_of(y)) not in (1, 2) or shape_of(y)[0] != shape_of(x)[0]:
        raise TypeError(
            "polyfit: y must be a vector or matrix with as many rows as x has elements, got shapes "
            f"{shape_of(y)} and {shape_of(x)}"
        )
    if w is not None and shape_of(w) != shape_of(x):
        raise TypeError(f"polyfit: w must be a vector like x, got shapes {shape_of(w)} and {shape_of(x)}")


@function(static=("order", "full", "cov"), name="polyfit")
def _polyfit(x: Any, y: Any, order: int, rcond: Any, full: bool, w: Any, cov: Any) -> Any:
    is_real = not dtypes.is_complex(dtype_of(x))
    x, y = (asarray(v) for v in promote_dtypes_inexact("polyfit", x, y))
    matrix, rows = plain(vander)(x, order), y
    if w is not None:
        w = asarray(w).astype(dtypes.to_inexact_dtype(np.promote_types(w.dtype, np.int8)))
        matrix = matrix * w[:, None]
        rows = rows * (w[:, None] if y.ndim == 2 else w)
    # Columns of one length are better conditioned than powers of x.
    scale = sqrt(reductions.sum(real(matrix * matrix.conj()), axis=0))
    scale = where(scale == 0, 1, scale)
    matrix = matrix / scale
    limit = x.shape[0] * float(dtypes.finfo(x.dtype).eps) if rcond is None else rcond
    c, residuals, rank, s = linalg.lstsq(matrix, rows, limit)
    c = c / (scale[:, None] if y.ndim == 2 else scale)
    if full:
        return c, residuals, rank, s, asarray(limit)
    if not cov:
        return c
    spread = linalg.inv(matmul(matrix.conj().T, matrix)) / outer(scale, scale)
    spread = real(spread) if is_real else spread
    if y.ndim == 2:
        spread = spread[:, :, None]
    return c, spread if cov == "unscaled" else spread * (residuals / (x.shape[0] - order))


def polyfit(
    x: Any, y: Any, deg: int, rcond: float | None = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """The polynomial of a degree that comes nearest to points, by least squares.

    Args:
      x: where the points are, a vector of n numbers.
      y: their values, of shape `(n,)`, or `(n, k)` for k polynomials.
      deg: the degree.
      rcond: singular values up to this times the largest count as zero; by default n times the distance of 1 to the next
        number.
      full: return what the solution is made of, too.
      w: what the distances of the points are multiplied by before they are squared.
      cov: return the covariance of the coefficients, too, scaled by the squared distances over `n - deg - 1`; not scaled
        if it is "unscaled".
    Returns:
      The coefficients, of shape `(deg + 1,)` or `(deg + 1, k)`. With `full` also the sums of squared distances, the rank
      and the singular values of the matrix that was solved with, and `rcond`; otherwise with `cov` their covariance, of
      shape `(deg + 1, deg + 1)`, or `(deg + 1, deg + 1, k)` of which k is 1 if it is not scaled.
    Raises:
      TypeError: the shapes do not fit. ValueError: the degree is negative, or `cov` wants more points.

    >>> import anima.numpy as np
    >>> print(np.polyfit(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]), 1).round(3))
    [2. 1.]
    """
    x, y = array_like("polyfit", x), array_like("polyfit", y, 1)
    w = None if w is None else array_like("polyfit", w, "w")
    order = int(deg) + 1
    if order < 1:
        raise ValueError(f"polyfit: deg must not be negative, got {deg}")
    _check_points(x, y, w)
    if cov and cov != "unscaled" and not full and shape_of(x)[0] <= order:
        raise ValueError(
            f"polyfit: {shape_of(x)[0]} points do not tell the scale of the covariance of {order} coefficients; give "
            "cov='unscaled' or more points"
        )
    return _polyfit(x, y, order, rcond, bool(full), w, cov if cov == "unscaled" else bool(cov))
