"""Least squares: equations that have no solution, or many.

Invariant: the solution is the pseudo-inverse times the right-hand side, so of all that come nearest it is the smallest; derivatives
are those at matrices near which the rank stays the same.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.lax.linalg import svd as lax_svd
from anima.lax.linalg.matrices import ct, matmul, with_rows
from anima.numpy import reductions
from anima.numpy.calls import function, plain
from anima.numpy.creation import asarray, zeros
from anima.numpy.linalg.spectral import pinv
from anima.numpy.promotion import promote_dtypes_inexact
from anima.numpy.selection import where
from anima.transforms.autodiff import jvp
from anima.transforms.custom_jvp import custom_jvp


def _kept(s: Any, limit: Any) -> Any:
    """Which singular values count as nonzero."""
    return s > limit * s[:1]


@custom_jvp
def _nearest(a: Any, b: Any, limit: Any) -> tuple[Any, Any]:
    """The solution and the singular values."""
    u, s, vh = lax_svd(a, full_matrices=False)
    keep = _kept(s, limit)
    weights = where(keep, 1 / where(keep, s, 1), 0).astype(a.dtype)
    return matmul(ct(vh), with_rows(matmul(ct(u), b), weights)), s


@_nearest.defjvp
def _nearest_jvp(primals: Any, tangents: Any) -> Any:
    """That of a pseudo-inverse times a matrix (Golub and Pereyra, 1973)."""
    (a, b, limit), (da, db, _) = primals, tangents
    x, s = _nearest(a, b, limit)
    p = plain(pinv)(a, limit)
    back = matmul(ct(da), matmul(ct(p), x))
    change = matmul(p, db - matmul(da, x)) + matmul(p, matmul(ct(p), matmul(ct(da), b - matmul(a, x))))
    change = change + back - matmul(p, matmul(a, back))
    _, ds = jvp(lambda a: lax_svd(a, compute_uv=False), (a,), (da,))
    return (x, s), (change, ds)


@function(name="lstsq")
def _lstsq(a: Any, b: Any, rcond: Any) -> tuple[Any, Any, Any, Any]:
    a, b = (asarray(v) for v in promote_dtypes_inexact("lstsq", a, b))
    if a.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != a.shape[0]:
        raise ValueError(
            "lstsq: a must be a matrix and b a vector or matrix with as many rows, got shapes "
            f"{a.shape} and {b.shape}"
        )
    m, n = a.shape
    columns = b[:, None] if b.ndim == 1 else b
    real, eps = dtypes.to_real_dtype(a.dtype), float(dtypes.finfo(a.dtype).eps)
    limit = asarray(max(m, n) * eps if rcond is None else rcond, real)
    limit = where(limit < 0, asarray(eps, real), limit)
    if a.size == 0:
        x, s = zeros((n, columns.shape[1]), a.dtype), zeros((0,), real)
    else:
        x, s = _nearest(a, columns, limit)
    rank = reductions.sum(_kept(s, limit))
    rest = columns - matmul(a, x)
    residuals = reductions.sum((rest * rest.conj()).real, axis=0)
    return (x[:, 0] if b.ndim == 1 else x), residuals, rank, s


def lstsq(
    a: Any, b: Any, rcond: float | None = None, *, numpy_resid: bool = False
) -> tuple[Any, Any, Any, Any]:
    """The `x` for which `a @ x` comes nearest to `b`, and the smallest of those if there are several.

    Args:
      a: a matrix of m rows and n columns.
      b: a vector or matrix of m rows.
      rcond: singular values up to this times the largest count as zero. Default: the larger side times the distance of 1
        to the next number; that distance alone if it is negative.
      numpy_resid: return no residuals where NumPy does not: if the rank is less than n, or m is not more than that. The
        rank must then be known, so not in a function that is compiled.
    Returns:
      The solution; the squared lengths of `b - a @ x` for each column of `b`; the rank of `a`; its singular values.
    Raises:
      ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> x, *_ = np.linalg.lstsq(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]))
    >>> print(x.round(3))
    [2.]
    """
    x, residuals, rank, s = _lstsq(a, b, rcond)
    if numpy_resid:
        m, n = asarray(a).shape
        if m <= n or int(rank) < n:
            residuals = zeros((0,), residuals.dtype)
    return x, residuals, rank, s
