"""Eigenvalues, singular values and triangular forms.

Invariant: arguments may be lists and integers; what SciPy has for the sake of its memory (`overwrite_a`, `check_finite`) is taken
and has no effect.
"""

from __future__ import annotations

from typing import Any

import numpy as onp

from anima import dtypes
from anima.lax.arithmetic import abs as lax_abs
from anima.lax.complex_parts import real
from anima.lax.control.scanning import scan
from anima.lax.linalg import (
    SvdAlgorithm,
    cholesky,
    eigh as lax_eigh,
    hessenberg as lax_hessenberg,
    householder_product,
    qdwh,
    schur as lax_schur,
    svd as lax_svd,
    triangular_solve,
)
from anima.lax.linalg.eigen import eigh_tridiagonal as lax_eigh_tridiagonal
from anima.lax.linalg.matrices import ct, matmul, with_columns
from anima.lax.slicing import dynamic_slice, dynamic_update_slice
from anima.numpy.creation import asarray, zeros_like
from anima.numpy.elementary import sqrt
from anima.numpy.joining import concatenate
from anima.numpy.linalg.spectral import eigvalsh
from anima.numpy.promotion import promote_dtypes_inexact
from anima.numpy.ranges import triu
from anima.numpy.scans import cumprod
from anima.numpy.selection import where
from anima.transforms.vmap import vmap


def inexact_array(name: str, a: Any, square: bool = False) -> Any:
    """`a` as an array of inexact dtype and at least two dimensions.

    Raises:
      ValueError: it has fewer dimensions, or its matrices should be square and are not.
    """
    x = asarray(a)
    x = x.astype(dtypes.to_inexact_dtype(x.dtype))
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise ValueError(f"{name}: the argument must be a stack of {kind}, got shape {x.shape}")
    return x


def for_stack(fun: Any, *operands: Any) -> Any:
    """`fun` of matrices, for stacks of them."""
    for _ in range(operands[0].ndim - 2):
        fun = vmap(fun)
    return fun(*operands)


# --- eigh -------------------------------------------------------------------------------------


def eigh(
    a: Any,
    b: Any = None,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    turbo: bool = True,
    eigvals: None = None,
    type: int = 1,
    check_finite: bool = True,
) -> Any:
    """The eigenvalues, ascending, and eigenvectors of Hermitian matrices, or of pairs of them.

    Args:
      a: a stack of Hermitian matrices; the mean of them and their conjugate transposes is taken.
      b: positive definite matrices for a generalised problem, in shape those of `a`.
      lower: has no effect, like `overwrite_a`, `overwrite_b`, `turbo` and `check_finite`.
      eigvals_only: whether to leave out the eigenvectors.
      eigvals: None.
      type: of the generalised problem: 1 for `a v = w b v`, 2 for `a b v = w v`, 3 for `b a v = w v`.
    Returns:
      `(w, v)`, or `w`.
    Raises:
      NotImplementedError: `eigvals` is given; `lax.linalg.eigh` has `subset_by_index`.
      ValueError: matrices are not square, or `type` is none of these.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(
    ...     scipy.linalg.eigh(
    ...         np.diag(np.array([8.0, 3.0])), np.diag(np.array([4.0, 1.0])), eigvals_only=True
    ...     )
    ... )
    [2. 3.]
    """
    if eigvals is not None:
        raise NotImplementedError("eigh: eigvals must be None; lax.linalg.eigh has subset_by_index")
    if type not in (1, 2, 3):
        raise ValueError(f"eigh: type must be 1, 2 or 3, got {type!r}")
    a = inexact_array("eigh", a, square=True)
    if b is None:
        if eigvals_only:
            return eigvalsh(a)
        v, w = lax_eigh(a)
        return w, v
    a, b = promote_dtypes_inexact("eigh", a, inexact_array("eigh", b, square=True))
    a = (a + ct(a)) / 2
    factor = cholesky(b)  # b = l l^H turns each type into an ordinary problem for l^-1 a l^-H or l^H a l
    if type == 1:
        half = triangular_solve(factor, a, left_side=True, lower=True)
        whole = triangular_solve(
            factor, half, left_side=False, lower=True, transpose_a=True, conjugate_a=True
        )
    else:
        whole = matmul(ct(factor), matmul(a, factor))
    if eigvals_only:
        return eigvalsh(whole)
    v, w = lax_eigh(whole)
    if type == 3:
        return w, matmul(factor, v)
    return w, triangular_solve(factor, v, left_side=True, lower=True, transpose_a=True, conjugate_a=True)


def eigh_tridiagonal(
    d: Any,
    e: Any,
    *,
    eigvals_only: bool = False,
    select: str = "a",
    select_range: tuple[float, float] | None = None,
    tol: float | None = None,
    key: Any = None,
) -> Any:
    """The eigenvalues, ascending, and eigenvectors of real symmetric or Hermitian tridiagonal matrices.

    Args:
      d: the diagonals, of shape `(..., n)`.
      e: the diagonals above, of shape `(..., n - 1)` and the dtype of `d`.
      eigvals_only: whether to leave out the eigenvectors.
      select: "a" for all, "i" for those of the indices in `select_range`, both ends included.
      tol, key: have no effect: LAPACK's `stevd` is exact up to rounding and leaves nothing to chance.
    Returns:
      `(w, v)`, or `w`.
    Raises:
      TypeError: dtypes differ, or are not float32, float64, complex64 or complex128; or shapes do not fit.
      ValueError: `select` or `select_range` are not as above.
      NotImplementedError: `select` is "v": how many there are would depend on values.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.eigh_tridiagonal(np.array([2.0, 2.0]), np.array([1.0]), eigvals_only=True))
    [1. 3.]
    """
    d, e = asarray(d), asarray(e)
    if d.dtype != e.dtype or d.dtype.name not in ("float32", "float64", "complex64", "complex128"):
        raise TypeError(
            f"eigh_tridiagonal: d and e must have one dtype of float32, float64, complex64 and complex128, got {d.dtype} and "
            f"{e.dtype}"
        )
    if d.ndim < 1 or e.shape != (*d.shape[:-1], max(d.shape[-1] - 1, 0)):
        raise TypeError(
            f"eigh_tridiagonal: e must have one element less than d, got shapes {d.shape} and {e.shape}"
        )
    start, end = _selected(select, select_range, d.shape[-1])
    phases = None
    if dtypes.is_complex(d.dtype):
        size = lax_abs(e)
        turns = where(size == 0, 1, e.conj() / where(size == 0, 1, size))
        first = zeros_like(d[..., :1]) + 1
        phases = concatenate([first, cumprod(turns, axis=-1)], axis=-1)
        d, e = real(d), size
    if d.shape[-1] == 0:
        return d if eigvals_only else (d, zeros_like(d, shape=(*d.shape, 0)))
    outs = lax_eigh_tridiagonal(d, e, not eigvals_only)
    w = outs[-1][..., start:end]
    if eigvals_only:
        return w
    v = outs[0][..., start:end]
    return w, v if phases is None else v * phases[..., None]


def _selected(select: Any, select_range: Any, n: int) -> tuple[int, int]:
    if select not in ("a", "i", "v"):
        raise ValueError(f"eigh_tridiagonal: select must be 'a', 'i' or 'v', got {select!r}")
    if select == "a":
        return 0, n
    if select_range is None:
        raise ValueError(f"eigh_tridiagonal: select={select!r} needs select_range")
    if select == "v":
        raise NotImplementedError(
            "eigh_tridiagonal: with select='v' the shape of the result would depend on values; take all eigenvalues and choose"
        )
    first, last = int(select_range[0]), int(select_range[1])
    if not 0 <= first <= last < n:
        raise ValueError(
            f"eigh_tridiagonal: select_range must be two indices below {n} in ascending order, got {select_range}"
        )
    return first, last + 1


# --- svd and polar ----------------------------------------------------------------------------


def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
    lapack_driver: str = "gesdd",
) -> Any:
    """The singular value decomposition `a = u @ diag(s) @ vh`.

    Args:
      a: a stack of matrices, of shape `(..., m, n)`.
      full_matrices: whether `u` and `vh` are square.
      compute_uv: whether to return `u` and `vh`.
      lapack_driver: "gesdd", or "gesvd" for the slower and on some matrices more accurate iteration.
      overwrite_a, check_finite: have no effect.
    Returns:
      `(u, s, vh)`, or `s`.
    Raises:
      ValueError: `lapack_driver` is something else. TypeError: as `lax.linalg.svd`.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.svd(np.array([[0.0, 2.0], [3.0, 0.0]]), compute_uv=False))
    [3. 2.]
    """
    if lapack_driver not in ("gesdd", "gesvd"):
        raise ValueError(f"svd: lapack_driver must be 'gesdd' or 'gesvd', got {lapack_driver!r}")
    algorithm = SvdAlgorithm.QR if lapack_driver == "gesvd" else None
    x = inexact_array("svd", a)
    return lax_svd(x, full_matrices=full_matrices, compute_uv=compute_uv, algorithm=algorithm)


def polar(
    a: Any,
    side: str = "right",
    *,
    method: str = "qdwh",
    eps: float | None = None,
    max_iterations: int | None = None,
) -> tuple[Any, Any]:
    """The polar decomposition: `a = u @ p` for the right side, `a = p @ u` for the left.

    Args:
      a: a stack of matrices, of shape `(..., m, n)`.
      side: "right" or "left".
      method: "qdwh" for the iteration of `lax.linalg.qdwh`, "svd" for the singular value decomposition, which also serves
        where the iteration does not: for wide matrices on the right, tall ones on the left.
      eps, max_iterations: of the iteration.
    Returns:
      `(u, p)`: orthonormal columns (or rows, if they are fewer), and Hermitian matrices without negative eigenvalues.
    Raises:
      ValueError: `side` or `method` are something else, or `a` has fewer than two dimensions.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> u, p = scipy.linalg.polar(np.array([[0.0, 2.0], [3.0, 0.0]]), method="svd")
    >>> print(p)
    [[3. 0.]
     [0. 2.]]
    """
    if side not in ("right", "left"):
        raise ValueError(f"polar: side must be 'right' or 'left', got {side!r}")
    if method not in ("qdwh", "svd"):
        raise ValueError(f"polar: method must be 'qdwh' or 'svd', got {method!r}")
    x = inexact_array("polar", a)
    m, n = x.shape[-2:]
    if method == "qdwh" and (m >= n if side == "right" else m <= n):
        whole = x if side == "right" else ct(x)
        u, p = for_stack(lambda x: qdwh(x, eps=eps, max_iterations=max_iterations)[:2], whole)
        return (u, p) if side == "right" else (ct(u), p)
    u, s, vh = lax_svd(x, full_matrices=False)
    sizes = s.astype(x.dtype)
    p = matmul(with_columns(ct(vh), sizes), vh) if side == "right" else matmul(with_columns(u, sizes), ct(u))
    return matmul(u, vh), p


# --- triangular forms -------------------------------------------------------------------------


def schur(a: Any, output: str = "real") -> tuple[Any, Any]:
    """The Schur form `a = z @ t @ z.conj().T` of square matrices.

    Args:
      a: a stack of matrices.
      output: "complex" for a triangular `t` also for real matrices; with "real" it has blocks of two rows for those.
    Returns:
      `(t, z)`.
    Raises:
      ValueError: `output` is something else, or matrices are not square.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> t, z = scipy.linalg.schur(np.array([[1.0, 2.0], [0.0, 3.0]]))
    >>> print(t)
    [[1. 2.]
     [0. 3.]]
    """
    if output not in ("real", "complex"):
        raise ValueError(f"schur: output must be 'real' or 'complex', got {output!r}")
    x = inexact_array("schur", a, square=True)
    t, z = lax_schur(x.astype(dtypes.to_complex_dtype(x.dtype)) if output == "complex" else x)
    return t, z


def rsf2csf(T: Any, Z: Any, check_finite: bool = True) -> tuple[Any, Any]:
    """The complex Schur form from a real one.

    Args:
      T: real matrices with blocks of two rows on the diagonal, zeros below.
      Z: their Schur vectors.
      check_finite: has no effect.
    Returns:
      `(t, z)`, complex: `t` is triangular, and `z @ t @ z.conj().T` is the same matrix as before.
    Raises:
      ValueError: matrices are not square, or shapes differ.

    By rotations, from the last block to the first (Golub and Van Loan, Matrix Computations, 7.4).

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> t, z = scipy.linalg.rsf2csf(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.eye(2))
    >>> print(np.round(np.diagonal(t), 4))
    [0.+1.j 0.-1.j]
    """
    t, z = promote_dtypes_inexact(
        "rsf2csf", inexact_array("rsf2csf", T, square=True), inexact_array("rsf2csf", Z, square=True)
    )
    if t.shape != z.shape:
        raise ValueError(f"rsf2csf: T and Z must have one shape, got {t.shape} and {z.shape}")
    dtype = dtypes.to_complex_dtype(t.dtype)
    t, z = t.astype(dtype), z.astype(dtype)
    if t.shape[-1] < 2 or t.size == 0:
        return t, z
    out: tuple[Any, Any] = for_stack(_rotated, t, z)
    return out


def _rotated(t: Any, z: Any) -> tuple[Any, Any]:
    """One matrix and its vectors, with every block made triangular."""
    n = t.shape[-1]

    def step(state: Any, k: Any) -> tuple[Any, None]:
        t, z = state
        block = dynamic_slice(t, (k, k), (2, 2))
        turn = _rotation(block)
        t = _replaced(t, matmul(ct(turn), dynamic_slice(t, (k, 0), (2, n))), (k, 0))
        t = _replaced(t, matmul(dynamic_slice(t, (0, k), (n, 2)), turn), (0, k))
        z = _replaced(z, matmul(dynamic_slice(z, (0, k), (n, 2)), turn), (0, k))
        return (t, z), None

    (t, z), _ = scan(step, (t, z), onp.arange(n - 2, -1, -1, dtype=onp.int32))
    return triu(t), z


def _replaced(x: Any, part: Any, place: Any) -> Any:
    return dynamic_update_slice(x, part, place)


def _rotation(block: Any) -> Any:
    """A unitary matrix whose first column is an eigenvector of a block; the identity if the block is triangular."""
    a, b, c, d = block[0, 0], block[0, 1], block[1, 0], block[1, 1]
    flat = c == 0
    below = where(flat, 1, c)  # keeps derivatives finite
    half = (a - d) / 2
    inner = where(flat, 1, half * half + b * below)
    first = half + sqrt(inner)  # the eigenvalue minus d
    size = sqrt(real(first * first.conj()) + real(below * below.conj()))
    cosine, sine = where(flat, 1, first / size), where(flat, 0, below / size)
    rows = [concatenate([x[None], y[None]]) for x, y in ((cosine, -sine.conj()), (sine, cosine.conj()))]
    return concatenate([row[None] for row in rows])


def hessenberg(a: Any, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The Hessenberg form `a = q @ h @ q.conj().T` of square matrices: zeros left of the diagonal beside the main one.

    Args:
      a: a stack of matrices.
      calc_q: whether to return `q`, unitary.
      overwrite_a, check_finite: have no effect.
    Returns:
      `h`, or `(h, q)`.
    Raises:
      ValueError: matrices are not square.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.hessenberg(np.array([[1.0, 2.0], [3.0, 4.0]])))
    [[1. 2.]
     [3. 4.]]
    """
    x = inexact_array("hessenberg", a, square=True)
    n = x.shape[-1]
    if n == 0:
        return (x, x) if calc_q else x
    packed, taus = lax_hessenberg(x)
    h = triu(packed, -1)
    if not calc_q:
        return h
    unit = zeros_like(x) + onp.eye(n, dtype=x.dtype)
    if n == 1:
        return h, unit
    inner = householder_product(packed[..., 1:, :-1], taus)
    below = concatenate([unit[..., 1:, :1], inner], axis=-1)
    return h, concatenate([unit[..., :1, :], below], axis=-2)
