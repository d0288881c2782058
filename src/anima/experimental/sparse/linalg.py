"""Linear algebra of sparse matrices: eigenvectors of a few large eigenvalues, and solutions of linear systems.

Invariant: matrices are met through products alone by `lobpcg_standard`, and on the host, by SciPy, in `spsolve`.
"""

from __future__ import annotations

from typing import Any

import numpy as onp

from anima import dtypes, lax, numpy as np
from anima.core.trace import shaped
from anima.experimental.sparse.base import JAXSparse
from anima.experimental.sparse.bcsr import rows_of
from anima.transforms.callbacks import pure_callback

_ORDERINGS = {0: "NATURAL", 1: "COLAMD", 2: "MMD_ATA", 3: "MMD_AT_PLUS_A"}


# --- eigenvectors -------------------------------------------------------------------------------


def _orthonormal(basis: Any) -> Any:
    """An orthonormal basis of the columns; columns that depend on others become zero.

    By eigenvectors of the Gram matrix of the scaled columns, twice, for the first pass leaves errors of its condition.
    """
    for _ in range(2):
        norms = np.linalg.norm(basis, axis=0, keepdims=True)
        basis = np.where(norms > 0, basis / np.where(norms > 0, norms, 1), 0)
        values, vectors = np.linalg.eigh(basis.T @ basis)
        keep = values > values[-1] * np.finfo(basis.dtype).eps * basis.shape[1] * 10
        basis = basis @ vectors * np.where(keep, lax.rsqrt(np.where(keep, values, 1)), 0)
    return basis


def _without(basis: Any, others: Any) -> Any:
    """`basis` orthogonal to orthonormal `others`, and orthonormal itself."""
    for _ in range(2):
        basis = _orthonormal(basis - others @ (others.T @ basis))
    return basis


def lobpcg_standard(A: Any, X: Any, m: int = 100, tol: Any = None) -> tuple[Any, Any, Any]:
    """The largest eigenvalues of a symmetric matrix and their eigenvectors, by products with the matrix alone.

    Args:
      A: a symmetric matrix `(n, n)`, dense or sparse, or a function that multiplies it with `(n, k)`.
      X: start vectors `(n, k)`, linearly independent; `5 k < n`.
      m: the largest number of steps.
      tol: stop when every residual is below `tol` times a bound of the matrix times the eigenvalue's scale; by default the
        precision of the dtype.
    Returns:
      `(theta, U, i)`: `k` eigenvalues from the largest, eigenvectors as columns, and the number of steps.
    Raises:
      ValueError, TypeError: shapes or dtypes do not fit.

    Source: Knyazev, "Toward the optimal preconditioned eigensolver" (2001), with the basis kept orthonormal as by Duersch et
    al., "A robust and efficient implementation of LOBPCG" (2018).

    >>> import anima.numpy as np
    >>> from anima.experimental.sparse import linalg
    >>> theta, U, i = linalg.lobpcg_standard(np.diag(np.arange(12.0)), np.eye(12)[:, 3:5] + 0.1)
    >>> print(theta.round(3))
    [11. 10.]
    """
    X = np.asarray(X)
    if X.ndim != 2:
        raise ValueError(f"lobpcg_standard: X must have shape (n, k), got {X.shape}")
    n, k = X.shape
    if not dtypes.is_float(X.dtype):
        raise ValueError(
            f"lobpcg_standard: X must have a real floating-point dtype, got {dtypes.dtype_name(X.dtype)}"
        )
    if k == 0:
        raise ValueError(f"lobpcg_standard: X must have at least one column, got shape {X.shape}")
    if 5 * k >= n:
        raise ValueError(f"lobpcg_standard: expected search dim * 5 < matrix dim (got {5 * k}, {n})")
    if isinstance(A, JAXSparse) or not callable(A):
        if tuple(A.shape) != (n, n):
            raise ValueError(f"lobpcg_standard: A must have shape {(n, n)}, got {tuple(A.shape)}")
        matrix = A
        A = lambda x: matrix @ x
    out = A(X)
    if shaped(out).shape != (n, k) or shaped(out).dtype != X.dtype:
        raise ValueError(f"lobpcg_standard: A must map {X.shape} of {X.dtype} to the same, got {shaped(out)}")
    limit = np.finfo(X.dtype).eps if tol is None else tol
    return _iterate(A, _orthonormal(X), int(m), limit)


def _iterate(A: Any, X: Any, m: int, tol: Any) -> tuple[Any, Any, Any]:
    n, k = X.shape
    image = A(X)
    theta, rotation = _largest(X.T @ image, k)
    X, image = X @ rotation, image @ rotation
    residual = image - theta * X

    def unfinished(residual: Any, theta: Any, scale: Any) -> Any:
        norms = np.linalg.norm(residual, axis=0)
        return ((norms > tol * n * 10 * (scale + np.abs(theta))) & np.isfinite(norms)).any()

    def step(state: Any) -> Any:
        i, X, P, residual, theta, scale, _ = state
        R = _without(residual, np.concatenate([X, P], 1))
        S = np.concatenate([X, P, R], 1)
        image = A(S)
        theta, rotation = _largest(S.T @ image, k)
        new = S @ rotation
        # The direction of the next step: what the new vectors have beside the old, orthogonal to the new.
        P = _without(S[:, k:] @ rotation[k:], new)
        found = image @ rotation
        residual = found - theta * new
        scale = np.maximum(scale, np.abs(theta).max())
        return i + 1, new, P, residual, theta, scale, unfinished(residual, theta, scale)

    scale = np.abs(theta).max()
    start = (np.int32(0), X, np.zeros_like(X), residual, theta, scale, unfinished(residual, theta, scale))
    i, X, _, _, theta, _, _ = lax.while_loop(lambda s: (s[0] < m) & s[6], step, start)
    return theta, X, i


def _largest(gram: Any, k: int) -> tuple[Any, Any]:
    """The `k` largest eigenvalues and their vectors, from the largest."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    return values[::-1][:k], vectors[:, ::-1][:, :k]


# --- linear systems -----------------------------------------------------------------------------


def _on_host(ordering: str, transpose: bool, data: Any, indices: Any, indptr: Any, b: Any) -> Any:
    import scipy.sparse
    import scipy.sparse.linalg

    size = indptr.shape[-1] - 1
    matrix = scipy.sparse.csr_matrix((data, indices, indptr), shape=(size, size))
    matrix = matrix.T if transpose else matrix
    wide = onp.result_type(data.dtype, onp.float32)  # its smallest precision
    found = scipy.sparse.linalg.spsolve(
        matrix.tocsc().astype(wide), onp.asarray(b).astype(wide), permc_spec=ordering
    )
    return found.astype(b.dtype)


def _solve(ordering: str, transpose: bool, matrix: list[Any], b: Any) -> Any:
    return pure_callback(
        lambda *args: _on_host(ordering, transpose, *map(onp.asarray, args)),
        shaped(b),
        *matrix,
        b,
        vmap_method="sequential",
    )


def spsolve(data: Any, indices: Any, indptr: Any, b: Any, tol: float = 1e-6, reorder: int = 1) -> Any:
    """The solution of `A x = b` for a square sparse matrix in compressed rows.

    It is computed on the host, by SciPy's SuperLU, also where other devices run the program. Derivatives in `data` and `b`
    solve with the same matrix or its transpose.

    Args:
      data, indices, indptr: the matrix, as of CSR: values, columns, and where rows begin.
      b: a vector of the same dtype.
      tol: kept for other libraries' solvers; not used.
      reorder: how columns are ordered: 0 as they are, 1 by approximate minimum degree (COLAMD), 2 by minimum degree of `A' A`, 3
        by that of `A' + A`.
    Returns:
      The vector; NaN for a singular matrix, of which SciPy warns.
    Raises:
      ValueError: shapes or dtypes do not fit.

    >>> import anima.numpy as np
    >>> from anima.experimental import sparse
    >>> m = sparse.CSR.fromdense(np.array([[2.0, 1.0], [0.0, 4.0]]))
    >>> print(sparse.linalg.spsolve(m.data, m.indices, m.indptr, np.array([3.0, 4.0])))
    [1. 1.]
    """
    data, indices, indptr, b = map(np.asarray, (data, indices, indptr, b))
    if any(x.ndim != 1 for x in (data, indices, indptr, b)):
        raise ValueError(
            f"spsolve: Arrays must be one-dimensional. Got {data.shape=} {indices.shape=} {indptr.shape=} {b.shape=}"
        )
    if indptr.size != b.size + 1 or data.shape != indices.shape:
        raise ValueError(
            f"spsolve: Invalid sizes. Got {data.shape=} {indices.shape=} {indptr.shape=} {b.shape=}"
        )
    if data.dtype != b.dtype:
        raise ValueError(
            f"spsolve: data and b must have one of the data types of floats, the same, got {data.dtype} and {b.dtype}"
        )
    if not dtypes.is_inexact(data.dtype):
        raise ValueError(f"spsolve: data must have a floating-point or complex dtype, got {data.dtype}")
    if reorder not in _ORDERINGS:
        raise ValueError(f"spsolve: {reorder=} not valid, must be one of {sorted(_ORDERINGS)}")
    ordering = _ORDERINGS[reorder]
    rows = rows_of(indptr, data.size)

    def times(vector: Any, transpose: bool) -> Any:
        into, out_of = (indices, rows) if transpose else (rows, indices)
        terms = data * vector.at[out_of].get(mode="fill", fill_value=0)
        return np.zeros(b.shape, terms.dtype).at[into].add(terms, mode="drop")

    fixed = [lax.stop_gradient(x) for x in (data, indices, indptr)]
    return lax.custom_linear_solve(
        lambda x: times(x, False),
        b,
        solve=lambda _, rhs: _solve(ordering, False, fixed, rhs),
        transpose_solve=lambda _, rhs: _solve(ordering, True, fixed, rhs),
    )
