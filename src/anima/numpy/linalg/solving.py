"""Systems of equations, inverses and Cholesky and QR factors.

Invariant: arguments of any dtype are converted to an inexact one that they share; stacks of matrices broadcast together.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from anima.core.aval import ShapedArray
from anima.errors import ArgumentError
from anima.lax.linalg import cholesky as lax_cholesky, qr as lax_qr
from anima.lax.linalg.matrices import ct, eye, mt
from anima.lax.linalg.qr import geqrf
from anima.lax.linalg.solving import solve as lax_solve
from anima.numpy import shapes
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import (
    aval,
    common_shape,
    promote_dtypes_inexact,
    shape_of,
    stretch,
    strong_inexact,
)
from anima.numpy.ranges import triu


def square(name: str, argument: str, known: ShapedArray) -> None:
    """Raise ValueError unless `known` is the aval of a stack of square matrices."""
    if known.ndim < 2 or known.shape[-1] != known.shape[-2]:
        raise ArgumentError(f"{name}: {argument} must be a stack of square matrices, got shape {known.shape}")


# --- equations --------------------------------------------------------------------------------


def broadcast_stacks(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Two stacks of matrices with one shape of the stacks."""
    a_shape, b_shape = shape_of(a), shape_of(b)
    stack = common_shape(name, [a_shape[:-2], b_shape[:-2]])
    return (
        stretch(a, a_shape, (*stack, *a_shape[-2:])),
        stretch(b, b_shape, (*stack, *b_shape[-2:])),
    )


def solve_stacks(name: str, a: Any, b: Any, solver: Any) -> Any:
    """`solver(a, b)` for matrices `a` and vectors or matrices `b`, broadcast together.

    One vector is a right-hand side of each matrix of a stack. For one matrix the right-hand sides stand side by side.
    """
    a_shape, b_shape = shape_of(a), shape_of(b)
    n = a_shape[-1]
    if len(b_shape) == 0 or b_shape[-2 if len(b_shape) > 1 else 0] != n:
        raise ValueError(f"{name}: b must have as many rows as a, got shapes {a_shape} and {b_shape}")
    if len(b_shape) == 1:
        b = shapes.reshape(b, (n, 1))
        return shapes.squeeze(solver(*broadcast_stacks(name, a, b)), -1)
    if len(a_shape) == 2 and len(b_shape) > 2:
        moved = shapes.moveaxis(b, -2, 0)
        x = solver(a, shapes.reshape(moved, (n, math.prod(b_shape[:-2]) * b_shape[-1])))
        return shapes.moveaxis(shapes.reshape(x, moved.shape), 0, -2)
    return solver(*broadcast_stacks(name, a, b))


@function
def solve(a: Any, b: Any) -> Any:
    """The solution `x` of `a @ x == b`.

    Args:
      a: square matrices.
      b: a vector, or a stack of matrices; a stack of vectors needs a last dimension of size 1.
    Returns:
      An array of the shape of `b`, with the stacks of both. Where a matrix is singular, it has infinities or NaN.
    Raises:
      ValueError: the matrices are not square, or the sizes do not fit. TypeError: the stacks do not broadcast.

    Computed by LU factors with partial pivoting; differentiated by the equation itself.

    >>> import anima.numpy as np
    >>> print(np.linalg.solve(np.array([[2.0, 0.0], [1.0, 4.0]]), np.array([2.0, 9.0])))
    [1. 2.]
    """
    a, b = promote_dtypes_inexact("solve", a, b)
    square("solve", "a", aval("solve", a)[1])
    if 1 < len(shape_of(b)) == len(shape_of(a)) - 1 and shape_of(b)[-2] != shape_of(a)[-1]:
        raise ValueError(
            f"solve: b of shape {shape_of(b)} is a stack of matrices that do not fit a of shape {shape_of(a)}; for a stack of "
            "vectors use solve(a, b[..., None])[..., 0]"
        )
    return solve_stacks("solve", a, b, lax_solve)


def inverse(name: str, a: Any) -> Any:
    """The inverses of square matrices, for the function `name`."""
    a = strong_inexact(name, a)
    known = aval(name, a)[1]
    square(name, "a", known)
    return lax_solve(a, eye(a, *known.shape[-2:]))


@function
def inv(a: Any) -> Any:
    """The inverse of square matrices; infinities or NaN where one is singular.

    To solve equations, `solve` is quicker and more exact.

    Raises:
      ValueError: the matrices are not square.

    >>> import anima.numpy as np
    >>> print(np.linalg.inv(np.array([[2.0, 0.0], [0.0, 4.0]])))
    [[0.5  0.  ]
     [0.   0.25]]
    """
    return inverse("inv", a)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse for `tensordot(..., axes=ind)`: that of the matrix whose rows are the first `ind` dimensions.

    Args:
      a: an array of which the first `ind` dimensions have as many elements as the others.
      ind: a positive number of dimensions.
    Returns:
      An array with the last dimensions of `a` first, then its first `ind` ones.
    Raises:
      ValueError: `ind` is not positive, or the sizes do not fit.

    >>> import anima.numpy as np
    >>> np.linalg.tensorinv(np.eye(6).reshape(6, 2, 3), 1).shape
    (2, 3, 6)
    """
    a = asarray(a)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind must be a positive integer, got {ind}")
    rows, columns = a.shape[:ind], a.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise ValueError(
            f"tensorinv: the first {ind} dimensions of a must have as many elements as the others, got shape {a.shape}"
        )
    return inv(a.reshape(math.prod(rows), math.prod(columns))).reshape(*columns, *rows)


def tensorsolve(a: Any, b: Any, axes: tuple[int, ...] | None = None) -> Any:
    """The solution `x` of `tensordot(a, x, x.ndim) == b`.

    Args:
      a: an array whose first dimensions are those of `b`, and the others, with as many elements, those of `x`.
      b: an array.
      axes: dimensions of `a` to move to its end first.
    Raises:
      ValueError: the sizes do not fit.

    >>> import anima.numpy as np
    >>> np.linalg.tensorsolve(np.eye(6).reshape(2, 3, 6), np.ones((2, 3))).shape
    (6,)
    """
    a, b = asarray(a), asarray(b)
    if axes is not None:
        a = shapes.moveaxis(a, axes, tuple(range(a.ndim - len(axes), a.ndim)))
    columns = a.shape[b.ndim :]
    if a.size != math.prod(columns) ** 2 or b.size != math.prod(columns):
        raise ValueError(
            f"tensorsolve: the first {b.ndim} dimensions of a must have as many elements as the others, and as b, got shapes "
            f"{a.shape} and {b.shape}"
        )
    return solve(a.reshape(b.size, b.size), b.ravel()).reshape(columns)


# --- factors ----------------------------------------------------------------------------------


@function(static=("upper", "symmetrize_input"))
def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The lower triangular `l` with `l @ l^H == a`, for Hermitian positive definite `a`.

    Args:
      a: square matrices.
      upper: return the upper triangular adjoint of `l`.
      symmetrize_input: factor the mean of `a` and its adjoint; otherwise one triangle is not read.
    Returns:
      An array of the shape of `a`, with NaN where a matrix is not positive definite.
    Raises:
      ValueError: the matrices are not square.

    >>> import anima.numpy as np
    >>> print(np.linalg.cholesky(np.array([[4.0, 2.0], [2.0, 5.0]]), upper=True))
    [[2. 1.]
     [0. 2.]]
    """
    a = strong_inexact("cholesky", a)
    square("cholesky", "a", aval("cholesky", a)[1])
    factor = lax_cholesky(a, symmetrize_input=symmetrize_input)
    return ct(factor) if upper else factor


class QRResult(NamedTuple):
    """The factors of a QR factorisation."""

    Q: Any
    R: Any


@function(static=("mode",), name="qr")
def _qr(a: Any, mode: str) -> Any:
    a = strong_inexact("qr", a)
    if len(shape_of(a)) < 2:
        raise ArgumentError(f"qr: a must have at least 2 dimensions, got shape {shape_of(a)}")
    if mode == "raw":
        packed, taus = geqrf(a)
        return mt(packed), taus
    if mode == "r":
        packed, _ = geqrf(a)
        rows = min(packed.shape[-2:])
        return triu(packed[..., :rows, :])
    return lax_qr(a, full_matrices=mode == "complete")


def qr(a: Any, mode: str = "reduced") -> Any:
    """The factors of `a == q @ r` with orthonormal columns of `q` and upper triangular `r`.

    Args:
      a: matrices of m rows and n columns.
      mode: "reduced" ("full" means the same): `q` has as many columns as the smaller of m and n; "complete": `q` is square;
        "r": only `r` of the first; "raw": the transposed array of Householder reflectors, and their factors.
    Returns:
      A pair named `Q` and `R`, or an array for "r".
    Raises:
      ValueError: there is no such mode, or `a` has less than two dimensions.

    >>> import anima.numpy as np
    >>> q, r = np.linalg.qr(np.array([[3.0, 1.0], [4.0, 2.0]]))
    >>> print(r.round(1))
    [[-5.  -2.2]
     [ 0.   0.4]]
    """
    if mode not in ("reduced", "complete", "r", "raw", "full"):
        raise ValueError(f"qr: mode must be 'reduced', 'complete', 'r', 'raw' or 'full', got {mode!r}")
    found = _qr(a, mode)
    return found if mode == "r" else QRResult(*found)
