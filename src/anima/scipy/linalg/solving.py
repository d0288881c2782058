"""Systems of equations, inverses, determinants and factors as SciPy has them.

Invariant: `overwrite_...` and `check_finite` have no effect: arrays are never overwritten, and elements that are not finite give
results that are not.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes, lax
from anima.lax.control.linear_solve import custom_linear_solve
from anima.lax.linalg.householder import ormqr
from anima.lax.linalg.matrices import conjugated, ct, matmul, permuted_rows, triangle
from anima.lax.linalg.qr import geqp3, geqrf
from anima.lax.linalg.solving import solve as lax_solve
from anima.numpy import shapes
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.linalg.determinants import determinant
from anima.numpy.linalg.solving import inverse, solve_stacks, square
from anima.numpy.promotion import aval, promote_dtypes_inexact, shape_of, strong_inexact
from anima.numpy.ranges import tri, triu


def _matrix(name: str, a: Any, argument: str = "a") -> Any:
    """An argument that must be a stack of matrices, inexact and not weakly typed."""
    a = asarray(strong_inexact(name, a))
    if a.ndim < 2:
        raise ValueError(f"{name}: {argument} must have at least 2 dimensions, got shape {a.shape}")
    return a


def _solved(name: str, a: Any, b: Any, solver: Any) -> Any:
    """`solver(a, b)` with stacks broadcast; as many vectors as there are matrices are one right-hand side for each."""
    if 1 < len(shape_of(b)) == len(shape_of(a)) - 1 and shape_of(b) == shape_of(a)[:-1]:
        return shapes.squeeze(solve_stacks(name, a, shapes.expand_dims(b, -1), solver), -1)
    return solve_stacks(name, a, b, solver)


# --- Cholesky ---------------------------------------------------------------------------------


def _cholesky(name: str, a: Any, lower: bool) -> Any:
    a = _matrix(name, a)
    square(name, "a", a.aval)
    if lower:
        return lax.linalg.cholesky(a, symmetrize_input=False)
    return ct(lax.linalg.cholesky(ct(a), symmetrize_input=False))


@function(static=("lower", "overwrite_a", "check_finite"))
def cholesky(a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The upper triangular `u` with `u^H @ u == a`, or the lower `l` with `l @ l^H == a`.

    Args:
      a: Hermitian positive definite matrices, of which one triangle is read.
      lower: factor from the lower triangle, to a lower one.
    Returns:
      An array of the shape of `a`, with NaN where a matrix is not positive definite.
    Raises:
      ValueError: the matrices are not square.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.cholesky(np.array([[4.0, 2.0], [2.0, 5.0]])))
    [[2. 1.]
     [0. 2.]]
    """
    return _cholesky("cholesky", a, lower)


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, bool]:
    """`cholesky(a, lower)` with `lower`: what `cho_solve` takes.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> factor = scipy.linalg.cho_factor(np.array([[4.0, 2.0], [2.0, 5.0]]))
    >>> print(scipy.linalg.cho_solve(factor, np.array([6.0, 7.0])))
    [1. 1.]
    """
    return cholesky(a, lower=lower), lower


def _cho_solved(c: Any, b: Any, lower: bool) -> Any:
    first = {"left_side": True, "lower": lower, "transpose_a": not lower, "conjugate_a": not lower}
    second = {"left_side": True, "lower": lower, "transpose_a": lower, "conjugate_a": lower}
    return lax.linalg.triangular_solve(c, lax.linalg.triangular_solve(c, b, **first), **second)


@function(static=("lower",), name="cho_solve")
def _cho_solve(c: Any, b: Any, lower: bool) -> Any:
    c, b = promote_dtypes_inexact("cho_solve", c, b)
    square("cho_solve", "the factor", aval("cho_solve", c)[1])
    return _solved("cho_solve", c, b, lambda c, b: _cho_solved(c, b, lower))


def cho_solve(
    c_and_lower: tuple[Any, bool], b: Any, overwrite_b: bool = False, check_finite: bool = True
) -> Any:
    """The solution `x` of `a @ x == b`, from `cho_factor(a)`.

    Args:
      c_and_lower: what `cho_factor` returned.
      b: a vector or matrices.
    Raises:
      ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.cho_solve((np.array([[2.0, 0.0], [1.0, 1.0]]), True), np.array([4.0, 4.0])))
    [0. 2.]
    """
    c, lower = c_and_lower
    return _cho_solve(c, b, bool(lower))


# --- LU ---------------------------------------------------------------------------------------


@function(static=("overwrite_a", "check_finite"))
def lu_factor(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """LU factors with partial pivoting, packed in one array, and the exchanges of rows: what `lu_solve` takes.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> factors, pivots = scipy.linalg.lu_factor(np.array([[1.0, 2.0], [2.0, 6.0]]))
    >>> print(factors, pivots)
    [[ 2.   6. ]
     [ 0.5 -1. ]] [1 1]
    """
    factors, pivots, _ = lax.linalg.lu(_matrix("lu_factor", a))
    return factors, pivots


def _lu_solved(factors: Any, pivots: Any, b: Any, trans: int) -> Any:
    order = lax.linalg.lu_pivots_to_permutation(pivots, pivots.shape[-1])
    order = lax.broadcast_in_dim(order, b.shape[:-1], tuple(range(b.ndim - 1 - order.ndim, b.ndim - 1)))
    solve = lax.linalg.triangular_solve
    unit = {"left_side": True, "lower": True, "unit_diagonal": True}
    if trans == 0:
        return solve(factors, solve(factors, permuted_rows(b, order), **unit), left_side=True)
    turned = {"transpose_a": True, "conjugate_a": trans == 2}
    x = solve(factors, solve(factors, b, left_side=True, **turned), **unit, **turned)
    places = lax.broadcasted_iota("int32", order.shape, order.ndim - 1)
    return permuted_rows(x, lax.sort_key_val(order, places)[1])


@function(static=("trans",), name="lu_solve")
def _lu_solve(factors: Any, pivots: Any, b: Any, trans: int) -> Any:
    factors, b = promote_dtypes_inexact("lu_solve", factors, b)
    square("lu_solve", "the factors", aval("lu_solve", factors)[1])
    return _solved("lu_solve", factors, b, lambda f, b: _lu_solved(f, pivots, b, trans))


def lu_solve(
    lu_and_piv: tuple[Any, Any],
    b: Any,
    trans: int = 0,
    overwrite_b: bool = False,
    check_finite: bool = True,
) -> Any:
    """The solution `x` of `a @ x == b`, from `lu_factor(a)`.

    Args:
      lu_and_piv: what `lu_factor` returned, for square `a`.
      b: a vector or matrices.
      trans: 1 for the transpose of `a`, 2 for its conjugate transpose.
    Raises:
      ValueError: the sizes do not fit, or `trans` is none of these.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> factored = scipy.linalg.lu_factor(np.array([[1.0, 2.0], [2.0, 6.0]]))
    >>> print(scipy.linalg.lu_solve(factored, np.array([3.0, 8.0])))
    [1. 1.]
    """
    if trans not in (0, 1, 2):
        raise ValueError(f"lu_solve: trans must be 0, 1 or 2, got {trans!r}")
    return _lu_solve(*lu_and_piv, b, int(trans))


@function(static=("permute_l", "overwrite_a", "check_finite"))
def lu(
    a: Any, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True
) -> tuple[Any, ...]:
    """The factors of `a == p @ l @ u`: a permutation, a lower triangle with a diagonal of ones, an upper triangle.

    Args:
      a: matrices, square or not.
      permute_l: return `p @ l` and `u`.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> p, l, u = scipy.linalg.lu(np.array([[1.0, 2.0], [2.0, 6.0]]))
    >>> print(u)
    [[ 2.  6.]
     [ 0. -1.]]
    """
    a = _matrix("lu", a)
    factors, _, order = lax.linalg.lu(a)
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    lower = triangle(factors[..., :k], lower=True, offset=-1)
    lower = lower + tri(rows, k, dtype=a.dtype) - tri(rows, k, -1, dtype=a.dtype)
    upper = triu(factors[..., :k, :])
    places = lax.broadcasted_iota("int32", (*a.shape[:-2], rows, rows), a.ndim - 2)
    p = (places == order[..., None, :]).astype(dtypes.to_real_dtype(a.dtype))
    return (matmul(p.astype(a.dtype), lower), upper) if permute_l else (p, lower, upper)


# --- QR ---------------------------------------------------------------------------------------


@function(static=("mode", "pivoting"), name="qr")
def _qr(a: Any, mode: str, pivoting: bool) -> tuple[Any, ...]:
    a = _matrix("qr", a)
    if mode == "r":
        packed, *places, _ = (geqp3 if pivoting else geqrf)(a)
        return (triu(packed), *places)
    return lax.linalg.qr(a, full_matrices=mode == "full", pivoting=pivoting)


def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple[Any, ...]:
    """The factors of `a == q @ r` with orthonormal columns of `q` and upper triangular `r`.

    Args:
      a: matrices of m rows and n columns.
      lwork: has no effect.
      mode: "full": `q` is square; "economic": it has as many columns as the smaller of m and n; "r": only the first's `r`.
      pivoting: exchange columns, so that the diagonal of `r` falls in magnitude; then `a[:, p] == q @ r`.
    Returns:
      `q` unless the mode is "r", `r`, and with `pivoting` the permutation `p`.
    Raises:
      ValueError: there is no such mode.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> (r,) = scipy.linalg.qr(np.array([[3.0, 1.0], [4.0, 2.0]]), mode="r")
    >>> print(r.round(1))
    [[-5.  -2.2]
     [ 0.   0.4]]
    """
    if mode not in ("full", "economic", "r"):
        raise ValueError(f"qr: mode must be 'full', 'economic' or 'r', got {mode!r}")
    return _qr(a, mode, bool(pivoting))


@function(static=("mode", "pivoting", "conjugate"), name="qr_multiply")
def _qr_multiply(a: Any, c: Any, mode: str, pivoting: bool, conjugate: bool) -> tuple[Any, ...]:
    a, c = (asarray(x) for x in promote_dtypes_inexact("qr_multiply", a, c))
    _matrix("qr_multiply", a)
    rows, columns = a.shape[-2:]
    k = min(rows, columns)
    left = mode == "left"
    flat = c.ndim == 1
    if flat:
        c = c[:, None] if left else c[None, :]
    wanted, which = (k, "rows") if left else (rows, "columns")
    if c.ndim < 2 or c.shape[-2 if left else -1] != wanted:
        raise ValueError(
            f"qr_multiply: with mode={mode!r}, c must have {wanted} {which} for a of shape {a.shape}, got shape {c.shape}"
        )
    packed, *places, taus = (geqp3 if pivoting else geqrf)(a)
    c = conjugated(c) if conjugate else c
    if left:
        c = lax.pad(c, c.dtype.type(0), [*[(0, 0, 0)] * (c.ndim - 2), (0, rows - k, 0), (0, 0, 0)])
    product = ormqr(packed, taus, c, left=left)
    product = conjugated(product) if conjugate else product
    if not left:
        product = product[..., :k]
    if flat:
        product = product[..., 0] if left else product[..., 0, :]
    return (product, triu(packed[..., :k, :]), *places)


def qr_multiply(
    a: Any,
    c: Any,
    mode: str = "right",
    pivoting: bool = False,
    conjugate: bool = False,
    overwrite_a: bool = False,
    overwrite_c: bool = False,
) -> tuple[Any, ...]:
    """The product of `c` with the factor `q` of `a == q @ r`, without making `q`; and `r`.

    Args:
      a: matrices of m rows and n columns; `q` has as many columns as the smaller of m and n.
      c: matrices, or a vector.
      mode: "right" for `c @ q`, "left" for `q @ c`.
      pivoting: exchange columns of `a` first, as `qr` does.
      conjugate: multiply by the complex conjugate of `q`.
    Returns:
      The product, `r`, and with `pivoting` the permutation of columns.
    Raises:
      ValueError: there is no such mode, or the sizes do not fit.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> product, r = scipy.linalg.qr_multiply(np.array([[3.0, 1.0], [4.0, 2.0]]), np.array([5.0, 0.0]))
    >>> print(product)
    [-3. -4.]
    """
    if mode not in ("right", "left"):
        raise ValueError(f"qr_multiply: mode must be 'right' or 'left', got {mode!r}")
    return _qr_multiply(a, c, mode, bool(pivoting), bool(conjugate))


# --- equations --------------------------------------------------------------------------------


def _solve_positive(a: Any, b: Any, lower: bool) -> Any:
    """Through a Cholesky factor, which is a constant for derivatives: they follow from the equation."""
    factor = _cholesky("solve", lax.stop_gradient(a), lower)
    solver = lambda _, b: _cho_solved(factor, b, lower)
    # The transpose of a Hermitian matrix is its conjugate.
    transposed = lambda _, b: conjugated(_cho_solved(factor, conjugated(b), lower))
    return custom_linear_solve(lambda x: matmul(a, x), b, solve=solver, transpose_solve=transposed)


@function(static=("lower", "assume_a"), name="solve")
def _solve(a: Any, b: Any, lower: bool, assume_a: str) -> Any:
    a, b = promote_dtypes_inexact("solve", a, b)
    square("solve", "a", aval("solve", a)[1])
    if assume_a == "pos":
        return solve_stacks("solve", a, b, lambda a, b: _solve_positive(a, b, lower))
    return solve_stacks("solve", a, b, lax_solve)


def solve(
    a: Any,
    b: Any,
    lower: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    debug: bool = False,
    check_finite: bool = True,
    assume_a: str = "gen",
) -> Any:
    """The solution `x` of `a @ x == b`.

    Args:
      a: square matrices.
      b: a vector, or a stack of matrices.
      lower: with `assume_a="pos"`, read the lower triangle of `a`.
      debug: has no effect.
      assume_a: "gen", "sym", "her" or "pos": what is known of `a`. Positive definite matrices are solved by Cholesky factors,
        all others by LU factors.
    Raises:
      ValueError: the matrices are not square, the sizes do not fit, or there is no such `assume_a`.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> a = np.array([[4.0, 2.0], [2.0, 5.0]])
    >>> print(scipy.linalg.solve(a, np.array([6.0, 7.0]), assume_a="pos"))
    [1. 1.]
    """
    if assume_a not in ("gen", "sym", "her", "pos"):
        raise ValueError(f"solve: assume_a must be 'gen', 'sym', 'her' or 'pos', got {assume_a!r}")
    return _solve(a, b, bool(lower), assume_a)


_TRANS = {0: 0, "N": 0, 1: 1, "T": 1, 2: 2, "C": 2}


@function(static=("trans", "lower", "unit_diagonal"), name="solve_triangular")
def _solve_triangular(a: Any, b: Any, trans: int, lower: bool, unit_diagonal: bool) -> Any:
    a, b = promote_dtypes_inexact("solve_triangular", a, b)
    square("solve_triangular", "a", aval("solve_triangular", a)[1])

    def solver(a: Any, b: Any) -> Any:
        return lax.linalg.triangular_solve(
            a,
            b,
            left_side=True,
            lower=lower,
            transpose_a=trans > 0,
            conjugate_a=trans == 2,
            unit_diagonal=unit_diagonal,
        )

    return _solved("solve_triangular", a, b, solver)


def solve_triangular(
    a: Any,
    b: Any,
    trans: int | str = 0,
    lower: bool = False,
    unit_diagonal: bool = False,
    overwrite_b: bool = False,
    debug: Any = None,
    check_finite: bool = True,
) -> Any:
    """The solution `x` of `a @ x == b` for triangular `a`.

    Args:
      a: square matrices, of which one triangle is read.
      b: a vector or matrices.
      trans: 0 or "N"; 1 or "T" for the transpose of `a`; 2 or "C" for its conjugate transpose.
      lower: the lower triangle is read, not the upper one.
      unit_diagonal: the diagonal is taken for ones.
      debug: has no effect.
    Raises:
      ValueError: the matrices are not square, the sizes do not fit, or `trans` is none of these.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.solve_triangular(np.array([[2.0, 1.0], [0.0, 4.0]]), np.array([3.0, 4.0])))
    [1. 1.]
    """
    if trans not in _TRANS:
        raise ValueError(f"solve_triangular: trans must be 0, 1, 2, 'N', 'T' or 'C', got {trans!r}")
    return _solve_triangular(a, b, _TRANS[trans], bool(lower), bool(unit_diagonal))


@function(static=("overwrite_a", "check_finite"))
def inv(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The inverse of square matrices; infinities or NaN where one is singular.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.inv(np.array([[2.0, 0.0], [0.0, 4.0]])))
    [[0.5  0.  ]
     [0.   0.25]]
    """
    return inverse("inv", a)


@function(static=("overwrite_a", "check_finite"))
def det(a: Any, overwrite_a: bool = False, check_finite: bool = True) -> Any:
    """The determinant of square matrices.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.det(np.array([[1.0, 2.0], [3.0, 4.0]])))
    -2.0
    """
    return determinant("det", a)
