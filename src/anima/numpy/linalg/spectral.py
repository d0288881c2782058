"""Eigenvalues, singular values, and what follows from them.

Invariant: matrices are the last two dimensions of an array, whose other dimensions are a stack of them; integers are taken for
floats.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.lax.linalg import eig as lax_eig, eigh as lax_eigh, svd as lax_svd
from anima.lax.linalg.eigen import eigvalsh as lax_eigvalsh
from anima.lax.linalg.matrices import ct, matmul, with_columns
from anima.numpy import reductions
from anima.numpy.arithmetic import abs as np_abs
from anima.numpy.calls import function, plain
from anima.numpy.creation import asarray
from anima.numpy.flipping import flip
from anima.numpy.linalg.products import norm
from anima.numpy.linalg.solving import inverse
from anima.numpy.promotion import aval, strong_inexact
from anima.numpy.selection import where
from anima.numpy.shapes import expand_dims
from anima.numpy.sorting import argsort, sort
from anima.numpy.taking import take_along_axis
from anima.transforms.custom_jvp import custom_jvp


class EigResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """The factors and singular values of `U @ diag(S) @ Vh`."""

    U: Any
    S: Any
    Vh: Any


def _matrices(name: str, x: Any) -> tuple[Any, ShapedArray]:
    """Inexact matrices and their aval.

    Raises:
      ValueError: there are fewer than two dimensions.
    """
    x = strong_inexact(name, x)
    known = aval(name, x)[1]
    if known.ndim < 2:
        raise ValueError(f"{name}: the argument must have at least 2 dimensions, got shape {known.shape}")
    return x, known


# --- eigenvalues ------------------------------------------------------------------------------


@function
def eig(a: Any) -> EigResult:
    """The eigenvalues and right eigenvectors of square matrices.

    Args:
      a: a stack of matrices, of shape `(..., n, n)`.
    Returns:
      Eigenvalues and eigenvectors (as columns), complex also for real matrices.
    Raises:
      TypeError, ValueError: as `lax.linalg.eig`. MissingRuleError: on differentiation; `lax.linalg.eig` explains.

    >>> import anima.numpy as np
    >>> w, v = np.linalg.eig(np.array([[2.0, 0.0], [0.0, 1.0]]))
    >>> print(w)
    [2.+0.j 1.+0.j]
    """
    w, v = lax_eig(strong_inexact("eig", a), compute_left_eigenvectors=False)
    return EigResult(w, v)


@function
def eigvals(a: Any) -> Any:
    """The eigenvalues of square matrices, complex.

    Raises:
      TypeError, ValueError: as `lax.linalg.eig`.

    >>> import anima.numpy as np
    >>> print(np.linalg.eigvals(np.array([[0.0, 1.0], [-1.0, 0.0]])))
    [0.+1.j 0.-1.j]
    """
    x = strong_inexact("eigvals", a)
    return lax_eig(x, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


def _is_lower(name: str, triangle: Any) -> bool:
    if triangle not in (None, "L", "U"):
        raise ValueError(f"{name}: UPLO must be 'L', 'U' or None, got {triangle!r}")
    return triangle != "U"


@function(static=("UPLO", "symmetrize_input"))
def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """The eigenvalues, ascending, and eigenvectors of Hermitian matrices.

    Args:
      a: a stack of real symmetric or complex Hermitian matrices, of shape `(..., n, n)`.
      UPLO: "L" or "U" for the triangle that counts, if `symmetrize_input` is False; None is "L".
      symmetrize_input: whether to take the mean of `a` and its conjugate transpose first.
    Returns:
      Eigenvalues, real, and eigenvectors (as columns).
    Raises:
      ValueError: `UPLO` is something else. TypeError, ValueError: as `lax.linalg.eigh`.

    >>> import anima.numpy as np
    >>> w, v = np.linalg.eigh(np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(w)
    [1. 3.]
    """
    lower = _is_lower("eigh", UPLO)
    v, w = lax_eigh(strong_inexact("eigh", a), lower=lower, symmetrize_input=symmetrize_input)
    return EighResult(w, v)


@function(static=("UPLO", "symmetrize_input"))
def eigvalsh(a: Any, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Any:
    """The eigenvalues of Hermitian matrices, real and ascending; arguments are those of `eigh`.

    Raises:
      ValueError: `UPLO` is none of "L", "U" and None. TypeError, ValueError: as `lax.linalg.eigh`.

    >>> import anima.numpy as np
    >>> print(np.linalg.eigvalsh(np.array([[2.0, 1.0], [1.0, 2.0]])))
    [1. 3.]
    """
    return lax_eigvalsh(strong_inexact("eigvalsh", a), _is_lower("eigvalsh", UPLO), symmetrize_input)


# --- singular values --------------------------------------------------------------------------


@function(static=("full_matrices", "compute_uv", "hermitian", "subset_by_index"))
def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """The singular value decomposition `a = U @ diag(S) @ Vh`.

    Args:
      a: a stack of matrices, of shape `(..., m, n)`.
      full_matrices: whether `U` and `Vh` are square.
      compute_uv: whether to return `U` and `Vh`.
      hermitian: whether matrices are Hermitian: their eigenvalues are found then, which is quicker.
      subset_by_index: `(start, end)` for the singular values of these indices alone.
    Returns:
      Factors and singular values, descending, or those alone.
    Raises:
      ValueError: `hermitian` and `subset_by_index` are both given. TypeError, ValueError: as `lax.linalg.svd` and, for
        Hermitian matrices, `lax.linalg.eigh`.

    >>> import anima.numpy as np
    >>> u, s, vh = np.linalg.svd(np.array([[0.0, 2.0], [3.0, 0.0]]))
    >>> print(s)
    [3. 2.]
    """
    x = strong_inexact("svd", a)
    if not hermitian:
        outs = lax_svd(x, full_matrices=full_matrices, compute_uv=compute_uv, subset_by_index=subset_by_index)
        return SVDResult(*outs) if compute_uv else outs
    if subset_by_index is not None:
        raise ValueError("svd: subset_by_index is for hermitian=False only")
    if not compute_uv:
        return flip(sort(np_abs(lax_eigvalsh(x))), -1)
    v, w = lax_eigh(x)
    order = flip(argsort(np_abs(w)), -1)
    w = take_along_axis(w, order, -1)
    v = take_along_axis(v, expand_dims(order, -2), -1)
    signs = where(w < 0, -1, 1).astype(v.dtype)
    return SVDResult(v, np_abs(w), ct(with_columns(v, signs)))


@function
def svdvals(x: Any, /) -> Any:
    """The singular values of matrices, descending.

    >>> import anima.numpy as np
    >>> print(np.linalg.svdvals(np.array([[0.0, 2.0], [3.0, 0.0]])))
    [3. 2.]
    """
    return lax_svd(strong_inexact("svdvals", x), compute_uv=False)


def _values(x: Any, hermitian: bool = False) -> Any:
    return plain(svd)(x, compute_uv=False, hermitian=hermitian)


# --- pseudo-inverses --------------------------------------------------------------------------


def _pseudo_inverse(a: Any, rtol: Any, hermitian: bool) -> Any:
    u, s, vh = plain(svd)(a, full_matrices=False, hermitian=hermitian)
    keep = s > expand_dims(rtol, -1) * s[..., :1]
    weights = where(keep, 1 / where(keep, s, 1), 0).astype(u.dtype)
    return matmul(with_columns(ct(vh), weights), ct(u))


def _pseudo_inverse_jvp(hermitian: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """The derivative at matrices near which the rank stays the same (Golub and Pereyra, 1973)."""
    (a, rtol), da = primals, tangents[0]
    p = _differentiable(a, rtol, hermitian)
    by_rows = da - matmul(a, matmul(p, da))  # what leaves the space of the columns
    by_columns = da - matmul(matmul(da, p), a)  # what leaves the space of the rows
    change = matmul(matmul(p, ct(p)), ct(by_rows)) + matmul(ct(by_columns), matmul(ct(p), p))
    return p, change - matmul(p, matmul(da, p))


_differentiable = custom_jvp(_pseudo_inverse, nondiff_argnums=(2,))
_differentiable.defjvp(_pseudo_inverse_jvp)


@function(static=("hermitian",))
def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """The pseudo-inverse of matrices, by their singular values.

    Args:
      a: a stack of matrices, of shape `(..., m, n)`.
      rtol: singular values up to this times the largest count as zero; a number or one for each matrix. Default: 10 times the
        larger side times the distance of 1 to the next number.
      hermitian: whether matrices are Hermitian, which is quicker.
      rcond: another name of `rtol`.
    Returns:
      Matrices of shape `(..., n, m)`.
    Raises:
      ValueError: both `rtol` and `rcond` are given, or `a` has fewer than two dimensions.

    >>> import anima.numpy as np
    >>> print(np.linalg.pinv(np.array([[2.0, 0.0], [0.0, 0.0]])))
    [[0.5 0. ]
     [0.  0. ]]
    """
    if rtol is not None and rcond is not None:
        raise ValueError("pinv: pass only one of rtol and rcond")
    x, known = _matrices("pinv", a)
    m, n = known.shape[-2:]
    if known.size == 0:
        return ct(x)
    rtol = rcond if rtol is None else rtol
    if rtol is None:
        rtol = 10.0 * max(m, n) * float(dtypes.finfo(known.dtype).eps)
    limit = asarray(rtol, dtypes.to_real_dtype(known.dtype))
    return _differentiable(x, limit, hermitian)


# --- ranks and conditions ---------------------------------------------------------------------


@function(static=("hermitian",))
def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Any:
    """How many singular values of matrices count as nonzero.

    Args:
      M: a stack of matrices; of a vector or a number it is 1, or 0 if all is zero.
      rtol: those up to this times the largest do not; a number or one for each matrix. Default: the larger side times the
        distance of 1 to the next number.
      hermitian: whether matrices are Hermitian, which is quicker.
      tol: those up to this do not, in place of `rtol`.
    Raises:
      ValueError: both `rtol` and `tol` are given, or matrices have no elements.

    >>> import anima.numpy as np
    >>> print(np.linalg.matrix_rank(np.ones((3, 3))))
    1
    """
    if rtol is not None and tol is not None:
        raise ValueError("matrix_rank: pass only one of rtol and tol")
    x = strong_inexact("matrix_rank", M)
    known = aval("matrix_rank", x)[1]
    if known.ndim < 2:
        return reductions.any(x != 0).astype(dtypes.int32)
    if known.size == 0:
        raise ValueError(f"matrix_rank: matrices must have elements, got shape {known.shape}")
    s = _values(x, hermitian)
    if tol is None:
        if rtol is None:
            rtol = max(known.shape[-2:]) * float(dtypes.finfo(known.dtype).eps)
        tol = reductions.max(s, axis=-1) * asarray(rtol, s.dtype)
    return reductions.sum(s > expand_dims(asarray(tol), -1), axis=-1)


@function(static=("p",))
def cond(x: Any, p: Any = None) -> Any:
    """The condition numbers of matrices: how much they enlarge relative errors.

    Args:
      x: a stack of matrices, square unless `p` is None, 2 or -2.
      p: the matrix norm: None or 2 for the largest singular value over the smallest, -2 for its reciprocal, else as in
        `norm`, the product of those of the matrix and of its inverse.
    Raises:
      ValueError: matrices have fewer than two dimensions or no elements, or are not square, or there is no such norm.

    >>> import anima.numpy as np
    >>> print(np.linalg.cond(np.array([[4.0, 0.0], [0.0, 2.0]])))
    2.0
    """
    x, known = _matrices("cond", x)
    if known.size == 0:
        raise ValueError(f"cond: matrices must have elements, got shape {known.shape}")
    if p in (None, 2, -2):
        s = _values(x)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    if known.shape[-1] != known.shape[-2]:
        raise ValueError(f"cond: matrices must be square for p={p!r}, got shape {known.shape}")
    size = plain(norm)
    return size(x, ord=p, axis=(-2, -1)) * size(inverse("cond", x), ord=p, axis=(-2, -1))
