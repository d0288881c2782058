"""Random vectors with a covariance, and random orthogonal matrices.

Invariant: both are linear algebra on normal numbers, which are JAX's; the factorisations are LAPACK's on CPU devices.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes, lax
from anima.lax.linalg import cholesky, eigh, qr, svd
from anima.lax.shape import check_shape
from anima.numpy import abs as np_abs, diagonal, einsum, expand_dims, sqrt, swapaxes
from anima.random.arguments import (
    aval_of_parameter,
    begin,
    common_shape,
    function,
    real_parameter,
)
from anima.random.continuous import standard_normal
from anima.random.domains import covariance, within

_METHODS = ("cholesky", "eigh", "svd")


@within(covariance("cov"))
@function(static=("shape", "dtype", "method"))
def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: Any = None,
    dtype: Any = None,
    method: str = "cholesky",
    *,
    out_sharding: Any = None,
) -> Any:
    """Vectors of the normal distribution with a mean and a covariance.

    Args:
      key: a random key.
      mean: the means, an array of shape `(..., n)`.
      cov: the covariances, symmetric matrices of shape `(..., n, n)`, positive definite for "cholesky".
      shape: the shape of the result without its last axis, to which the leading ones of `mean` and `cov` broadcast; by
        default their common one.
      dtype: a floating-point dtype; float32 by default, float64 in 64-bit mode.
      method: how the covariance is factored: "cholesky", the quickest; "eigh"; or "svd", which bears the most.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      an array of shape `(*shape, n)`.
    Raises:
      TypeError: `key` is no key, or `shape` no shape.
      ValueError: shapes do not fit, the method or the dtype is another, or `key` is an array of keys.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> random.multivariate_normal(random.PRNGKey(0), np.zeros(2), np.eye(2), (5,)).shape
    (5, 2)
    """
    key, kind = begin("multivariate_normal", key, dtype, out_sharding)
    if method not in _METHODS:
        raise ValueError(f"multivariate_normal: method must be one of {', '.join(_METHODS)}, got {method!r}")
    middle, spread = (
        aval_of_parameter("multivariate_normal", a, v) for a, v in (("mean", mean), ("cov", cov))
    )
    if not middle.shape:
        raise ValueError("multivariate_normal requires mean.ndim >= 1, got a scalar")
    size = middle.shape[-1]
    if spread.shape[-2:] != (size, size):
        raise ValueError(
            f"multivariate_normal requires cov.shape == (..., n, n) for n={size}, but got cov.shape == {spread.shape}"
        )
    batch = lax.broadcast_shapes(middle.shape[:-1], spread.shape[:-2])
    dims = batch if shape is None else check_shape("multivariate_normal", shape)
    if lax.broadcast_shapes(dims, batch) != dims:
        raise ValueError(
            f"multivariate_normal: mean and cov must broadcast to the shape asked for, {dims}, got {middle.shape} and "
            f"{spread.shape}"
        )
    dims = common_shape("multivariate_normal", (*dims, size), mean=mean)
    own = dtypes.to_inexact_dtype(spread.dtype)
    wide = own if dtypes.itemsize_bits(own) >= 32 else dtypes.float32
    matrix = real_parameter("multivariate_normal", "cov", cov, wide, spread.shape)
    factor = lax.convert_element_type(_factor(matrix, method), kind)
    z = standard_normal(key, dims, kind)
    shifted = real_parameter("multivariate_normal", "mean", mean, kind, dims)
    return shifted + einsum("...ij,...j->...i", factor, z)


def _factor(cov: Any, method: str) -> Any:
    """A matrix whose product with its transpose is the covariance."""
    if method == "cholesky":
        return cholesky(cov)
    if method == "svd":
        u, s, _ = svd(cov, full_matrices=False)
        return u * expand_dims(sqrt(s), -2)
    v, w = eigh(cov)
    return v * expand_dims(sqrt(w), -2)


@function(static=("n", "shape", "dtype", "m"))
def orthogonal(
    key: Any, n: int, shape: Any = (), dtype: Any = None, m: int | None = None, *, out_sharding: Any = None
) -> Any:
    """Orthogonal matrices, or unitary ones, uniformly distributed over their group.

    Source: Mezzadri, "How to Generate Random Matrices from the Classical Compact Groups" (2007).

    Args:
      key: a random key.
      n: the number of rows.
      shape: the shape of the result without its last two axes.
      dtype: a floating-point dtype, or a complex one for unitary matrices; float32 by default, float64 in 64-bit mode.
      m: the number of columns, `n` by default; where they differ, the rows or the columns, whichever are fewer, are
        orthonormal.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Returns:
      an array of shape `(*shape, n, m)`.
    Raises:
      TypeError: `key` is no key, or `n`, `m` or `shape` are not integers from 0 on.
      ValueError: the dtype is another, or `key` is an array of keys.

    >>> import anima.numpy as np
    >>> from anima import random
    >>> q = random.orthogonal(random.PRNGKey(0), 3)
    >>> bool(np.allclose(q @ q.T, np.eye(3), atol=1e-5))
    True
    """
    key, kind = begin("orthogonal", key, dtype, out_sharding, complex_too=True)
    dims = check_shape("orthogonal", shape)
    rows, columns = check_shape("orthogonal", (n, n if m is None else m), "n or m")
    z = standard_normal(key, (*dims, max(rows, columns), min(rows, columns)), kind)
    q, r = qr(z, full_matrices=False)
    # The factorisation is unique, and so uniform, once the diagonal of the triangle is positive.
    d = diagonal(r, axis1=-2, axis2=-1)
    q = q * expand_dims(d / lax.convert_element_type(np_abs(d), kind), -2)
    return swapaxes(q, -1, -2) if rows < columns else q
