"""Functions of matrices, and Sylvester's equation.

Invariant: arguments may be lists and integers; matrices are the last two dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as onp

from anima import dtypes
from anima.lax.control.branching import cond
from anima.lax.control.scanning import scan
from anima.lax.linalg import eig, schur as lax_schur, triangular_solve
from anima.lax.linalg.eigen import diagonal
from anima.lax.linalg.functions import parlett, sqrtm as lax_sqrtm, sylvester
from anima.lax.linalg.matrices import ct, eye, matmul
from anima.lax.linalg.solving import solve
from anima.numpy import reductions
from anima.numpy.arithmetic import abs as np_abs, real
from anima.numpy.elementary import exp2, log2
from anima.numpy.promotion import promote_dtypes_inexact
from anima.numpy.rounding import ceil
from anima.numpy.selection import where
from anima.scipy.linalg.spectral import inexact_array
from anima.transforms.autodiff import jvp

# --- exponentials -----------------------------------------------------------------------------

# The coefficients of the numerators of Pade approximants, from the constant one on, and up to which norm of a matrix they are
# exact to rounding (Higham, The scaling and squaring method for the matrix exponential revisited, 2005).
_SINGLE = (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1), 3.925724783138660
_DOUBLE = (
    (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
     670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1),
    5.371920351148152,
)  # fmt: skip


def expm(A: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The exponentials of square matrices.

    Args:
      A: a stack of matrices.
      upper_triangular: whether they are upper triangular, which is quicker.
      max_squarings: how often the approximant is squared at most; matrices that need more have NaN.
    Raises:
      ValueError: matrices are not square. TypeError: the dtype is a float of less than 32 bits.

    By a Pade approximant of a scaled matrix, squared repeatedly (Higham, 2005). Derivatives of any order exist.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.expm(np.array([[0.0, 1.0], [0.0, 0.0]])))
    [[1. 1.]
     [0. 1.]]
    """
    x = inexact_array("expm", A, square=True)
    if x.dtype.name not in ("float32", "float64", "complex64", "complex128"):
        raise TypeError(f"expm: dtype {x.dtype} is not supported; convert to float32")
    if x.size == 0:
        return x
    coefficients, limit = _SINGLE if x.dtype.name in ("float32", "complex64") else _DOUBLE
    norm = reductions.max(reductions.sum(np_abs(x), axis=-2), axis=-1)
    # Infinite and NaN norms need no squaring, and spoil the result by themselves.
    count = where(norm > limit, ceil(log2(where(norm > limit, norm, limit) / limit)), 0)
    scaled = x * exp2(-count)[..., None, None].astype(x.dtype)
    u, v = _approximant(scaled, coefficients)
    if upper_triangular:
        result = triangular_solve(v - u, v + u, left_side=True)
    else:
        result = solve(v - u, v + u)
    result = _squared(result, count, max_squarings)
    return where((count > max_squarings)[..., None, None], math.nan, result)


def _approximant(x: Any, coefficients: tuple[int, ...]) -> tuple[Any, Any]:
    """The odd and the even part of the numerator."""
    unit = onp.eye(x.shape[-1], dtype=x.dtype)
    square = matmul(x, x)
    odd, even = [unit * float(coefficients[i]) for i in (1, 0)]
    power, powers = None, []
    for _ in range(3):
        power = square if power is None else matmul(power, square)
        powers.append(power)
    last = len(coefficients) - 1
    parts = []
    for start, total in ((1, odd), (0, even)):
        low = total
        for k, p in enumerate(powers):
            low = low + p * float(coefficients[start + 2 * (k + 1)]) if start + 2 * (k + 1) <= last else low
        if last > 7:
            high = None
            for k, p in enumerate(powers):
                place = start + 6 + 2 * (k + 1)
                if place <= last:
                    term = p * float(coefficients[place])
                    high = term if high is None else high + term
            low = low + matmul(powers[2], high)
        parts.append(low)
    return matmul(x, parts[0]), parts[1]


def _squared(x: Any, count: Any, most: int) -> Any:
    """The matrices squared so often; as long as one of a stack needs it, all are, and the others stay as they are."""
    if most <= 0:
        return x
    total = reductions.max(count)

    def step(x: Any, index: Any) -> tuple[Any, None]:
        def once(x: Any) -> Any:
            return where((index < count)[..., None, None], matmul(x, x), x)

        return cond(index < total, once, lambda x: x, x), None

    result, _ = scan(step, x, onp.arange(most).astype(count.dtype))
    return result


def expm_frechet(A: Any, E: Any, *, method: str | None = None, compute_expm: bool = True) -> Any:
    """The derivative of the exponential at `A` in the direction `E`.

    Args:
      A, E: stacks of square matrices of one shape.
      method: has no effect.
      compute_expm: whether to return the exponential, too.
    Returns:
      `(expm(A), derivative)`, or the derivative.
    Raises:
      ValueError: matrices are not square, or shapes differ.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.expm_frechet(np.zeros((2, 2)), np.ones((2, 2)), compute_expm=False))
    [[1. 1.]
     [1. 1.]]
    """
    a, e = promote_dtypes_inexact(
        "expm_frechet",
        inexact_array("expm_frechet", A, square=True),
        inexact_array("expm_frechet", E, square=True),
    )
    if a.shape != e.shape:
        raise ValueError(f"expm_frechet: A and E must have one shape, got {a.shape} and {e.shape}")
    value, slope = jvp(expm, (a,), (e,))
    return (value, slope) if compute_expm else slope


# --- other functions --------------------------------------------------------------------------


def sqrtm(A: Any, blocksize: int = 1) -> Any:
    """The principal square roots of square matrices, complex also for real ones.

    Args:
      A: a stack of matrices.
      blocksize: has no effect.
    Raises:
      ValueError: matrices are not square.

    Derivatives of any order exist where roots do. CPU devices only.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.sqrtm(np.array([[4.0, 0.0], [0.0, 9.0]])))
    [[2.+0.j 0.+0.j]
     [0.+0.j 3.+0.j]]
    """
    x = inexact_array("sqrtm", A, square=True)
    return lax_sqrtm(x.astype(dtypes.to_complex_dtype(x.dtype)))


def funm(A: Any, func: Callable[[Any], Any], disp: bool = True) -> Any:
    """A function of a square matrix, from a function of numbers.

    Args:
      A: one matrix.
      func: takes an array of eigenvalues, complex, and returns one of their values.
      disp: False to return an estimate of the relative error, too.
    Returns:
      The function of the matrix, complex, or that and the estimate.
    Raises:
      ValueError: `A` is not one square matrix.

    By Parlett's recurrence, which loses accuracy where eigenvalues are close. CPU devices only; there are no derivatives.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.funm(np.array([[1.0, 1.0], [0.0, 2.0]]), lambda w: w * w).real)
    [[1. 3.]
     [0. 4.]]
    """
    x = inexact_array("funm", A, square=True)
    if x.ndim != 2:
        raise ValueError(f"funm: A must be one square matrix, got shape {x.shape}")
    x = x.astype(dtypes.to_complex_dtype(x.dtype))
    if x.size == 0:
        return x if disp else (x, real(x.sum()))
    t, z = lax_schur(x)
    values = diagonal(t)
    f, least = parlett(t, func(values).astype(x.dtype))
    result = matmul(matmul(z, f), ct(z))
    if disp:
        return result
    eps = float(dtypes.finfo(x.dtype).eps)
    above = reductions.max(reductions.sum(np_abs(t - where(onp.eye(x.shape[-1], dtype=bool), t, 0)), axis=0))
    gap = where(least == 0, eps, least)
    error = where(least < math.inf, where(above == 0, eps, above * eps / gap), eps)
    error = where(error < eps, eps, where(error > 1, 1, error))
    finite = reductions.all(np_abs(f) < math.inf)
    return result, where(finite, error, math.inf)


def solve_sylvester(A: Any, B: Any, C: Any, *, method: str = "schur", tol: float = 1e-8) -> Any:
    """The solution `X` of `A @ X + X @ B = C`.

    Args:
      A, B: square matrices, or stacks of them.
      C: matrices with the rows of `A` and the columns of `B`.
      method: "schur", or "eigen" for the way by eigenvalues, which is less accurate.
      tol: with "eigen": sums of eigenvalues of `A` and `B` up to this are zero, and there is no solution.
    Returns:
      The solutions, NaN where there is none or more than one.
    Raises:
      ValueError: shapes do not fit, or `method` is something else.

    Derivatives of any order exist for "schur". CPU devices only.

    >>> import anima.numpy as np
    >>> from anima import scipy
    >>> print(scipy.linalg.solve_sylvester(np.array([[1.0]]), np.array([[3.0]]), np.array([[8.0]])))
    [[2.]]
    """
    if method not in ("schur", "eigen"):
        raise ValueError(f"solve_sylvester: method must be 'schur' or 'eigen', got {method!r}")
    name = "solve_sylvester"
    a, b, c = promote_dtypes_inexact(
        name, inexact_array(name, A, square=True), inexact_array(name, B, square=True), inexact_array(name, C)
    )
    if c.shape != (*a.shape[:-1], b.shape[-1]) or b.shape[:-2] != a.shape[:-2]:
        raise ValueError(
            f"{name}: C must have the rows of A and the columns of B, got shapes {a.shape}, {b.shape} and {c.shape}"
        )
    return sylvester(a, b, c) if method == "schur" else _by_eigenvalues(a, b, c, tol)


def _by_eigenvalues(a: Any, b: Any, c: Any, tol: float) -> Any:
    dtype = dtypes.to_complex_dtype(c.dtype)
    w, v = eig(a, compute_left_eigenvectors=False)
    r, u = eig(b, compute_left_eigenvectors=False)
    sums = w[..., :, None] + r[..., None, :]
    inner = solve(v, matmul(c.astype(dtype), u)) / sums
    x = matmul(matmul(v, inner), solve(u, eye(u, *u.shape[-2:])))
    solvable = reductions.all(np_abs(sums) > tol, axis=(-2, -1), keepdims=True)
    x = where(solvable, x, math.nan)
    return x if dtypes.is_complex(c.dtype) else real(x)
