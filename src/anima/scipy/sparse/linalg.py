"""Iterative solvers of linear equations: conjugate gradients, stabilised biconjugate gradients, generalised minimal residuals.

Invariant: a solver works on one vector; pytrees are made vectors first. Derivatives are those of the solution, by
`custom_linear_solve`, and cost one more solution, of the transposed equation backwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import anima.numpy as np
from anima import dtypes, lax
from anima.flatten_util import ravel_pytree
from anima.transforms.linear import linear_transpose
from anima.transforms.shapes import eval_shape
from anima.tree_util import tree_leaves, tree_structure

Map = Callable[[Any], Any]
_HIGHEST = lax.Precision.HIGHEST


class _Problem(NamedTuple):
    """What a method needs: all of it in vectors."""

    start: Any
    bound: Any  # the norm of the residual that is small enough
    limit: int
    precondition: Map


def _dot(x: Any, y: Any) -> Any:
    return np.vdot(x, y, precision=_HIGHEST)


def _norm(x: Any) -> Any:
    return np.sqrt(_dot(x, x).real)


# --- the methods ------------------------------------------------------------------------------


def _cg(matvec: Map, b: Any, problem: _Problem) -> Any:
    """M. R. Hestenes and E. Stiefel, "Methods of conjugate gradients for solving linear systems", 1952."""
    residual = b - matvec(problem.start)
    direction = image = problem.precondition(residual)
    slope = _dot(residual, image)

    def going(state: Any) -> Any:
        _, residual, _, _, k = state
        return (_norm(residual) > problem.bound) & (k < problem.limit)

    def step(state: Any) -> Any:
        x, residual, direction, slope, k = state
        forward = matvec(direction)
        length = slope / _dot(direction, forward)
        x, residual = x + length * direction, residual - length * forward
        image = problem.precondition(residual)
        new = _dot(residual, image)
        return x, residual, image + new / slope * direction, new, k + 1

    return lax.while_loop(going, step, (problem.start, residual, direction, slope, 0))[0]


def _bicgstab(matvec: Map, b: Any, problem: _Problem) -> Any:
    """H. A. van der Vorst, "Bi-CGSTAB", SIAM J. Sci. Stat. Comput. 13, 1992."""
    shadow = residual = b - matvec(problem.start)
    one, zero = np.ones((), b.dtype), np.zeros_like(b)

    def going(state: Any) -> Any:
        residual, k = state[1], state[-1]
        return (_norm(residual) > problem.bound) & (k < problem.limit)

    def step(state: Any) -> Any:
        x, residual, direction, forward, rho, alpha, omega, k = state
        new = _dot(shadow, residual)
        # A breakdown, where the shadow has lost the residual, stops the loop.
        lost = (new == 0) | (omega == 0)
        beta = np.where(lost, 0, new / np.where(lost, 1, rho * omega) * alpha)
        direction = residual + beta * (direction - omega * forward)
        image = problem.precondition(direction)
        forward = matvec(image)
        alpha = _ratio(new, _dot(shadow, forward))
        half = residual - alpha * forward
        second = problem.precondition(half)
        turned = matvec(second)
        omega = _ratio(_dot(turned, half), _dot(turned, turned))
        x = x + alpha * image + omega * second
        k = np.where(lost, problem.limit, k + 1)
        return x, half - omega * turned, direction, forward, new, alpha, omega, k

    start = (problem.start, residual, zero, zero, one, one, one, np.zeros((), np.int32))
    return lax.while_loop(going, step, start)[0]


def _ratio(x: Any, y: Any) -> Any:
    """`x / y`, and 0 where `y` is 0: no step in a direction in which nothing is left."""
    return np.where(y == 0, 0, x / np.where(y == 0, 1, y))


def _rotation(x: Any, y: Any) -> tuple[Any, Any]:
    """The cosine, real, and the sine of the rotation that takes `(x, y)` to `(r, 0)`."""
    length = np.sqrt(np.abs(x) ** 2 + np.abs(y) ** 2)
    safe = np.where(length == 0, 1, length)
    size = np.abs(x)
    phase = np.where(size == 0, 1, x / np.where(size == 0, 1, size))
    return np.where(length == 0, 1, size / safe).astype(x.dtype), phase * np.conj(y) / safe


def _cycle(matvec: Map, x: Any, residual: Any, problem: _Problem, restart: int, early: bool) -> Any:
    """The next iterate: the best correction in a Krylov space, by Arnoldi's process and Givens rotations."""
    size, dtype = residual.shape[0], residual.dtype
    image = problem.precondition(residual)
    length = _norm(image)
    # The bound is one of the residual; that of its preconditioned image is in proportion.
    bound = problem.bound * _ratio(length, _norm(residual))
    basis = np.zeros((restart + 1, size), dtype).at[0].set(image * _ratio(1, length))
    right = np.zeros(restart + 1, dtype).at[0].set(length)
    rotations = np.zeros((restart, 2), dtype).at[:, 0].set(1)
    triangle = np.eye(restart, dtype=dtype)

    def going(state: Any) -> Any:
        k, error, scale = state[0], state[5], state[6]
        more = (k < restart) & (error > scale * dtypes.finfo(dtype).eps)
        return more & (error > bound) if early else more

    def step(state: Any) -> Any:
        k, basis, triangle, rotations, right, _, scale = state
        vector = problem.precondition(matvec(basis[k]))
        before = _norm(vector)
        column = np.zeros(restart + 1, dtype)
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            part = np.matmul(np.conj(basis), vector, precision=_HIGHEST)
            column, vector = column + part, vector - np.matmul(part, basis, precision=_HIGHEST)
        rest = _norm(vector)
        rest = np.where(rest <= before * dtypes.finfo(dtype).eps, 0, rest)
        basis = basis.at[k + 1].set(vector * _ratio(1, rest))
        column = column.at[k + 1].set(rest)

        def turn(i: Any, column: Any) -> Any:
            c, s = rotations[i, 0], rotations[i, 1]
            upper, lower = column[i], column[i + 1]
            return column.at[i].set(c * upper + s * lower).at[i + 1].set(c * lower - np.conj(s) * upper)

        column = lax.fori_loop(0, k, turn, column)
        c, s = _rotation(column[k], column[k + 1])
        diagonal = c * column[k] + s * column[k + 1]
        column = column.at[k].set(diagonal).at[k + 1].set(0)
        triangle = triangle.at[:, k].set(np.where(diagonal == 0, triangle[:, k], column[:restart]))
        lower = -np.conj(s) * right[k]
        right = right.at[k].set(np.where(diagonal == 0, 0, c * right[k])).at[k + 1].set(lower)
        return k + 1, basis, triangle, rotations.at[k].set(np.stack([c, s])), right, np.abs(lower), scale

    state = (np.zeros((), np.int32), basis, triangle, rotations, right, length, length)
    k, basis, triangle, _, right, _, _ = lax.while_loop(going, step, state)
    used = np.where(np.arange(restart) < k, right[:restart], 0)
    weights = lax.linalg.triangular_solve(triangle, used[:, None], left_side=True, lower=False)[:, 0]
    return x + np.matmul(weights, basis[:restart], precision=_HIGHEST)


def _gmres(matvec: Map, b: Any, problem: _Problem, restart: int, early: bool) -> Any:
    """Y. Saad and M. H. Schultz, "GMRES", SIAM J. Sci. Stat. Comput. 7, 1986."""

    def going(state: Any) -> Any:
        _, residual, k = state
        return (k < problem.limit) & (_norm(residual) > problem.bound)

    def step(state: Any) -> Any:
        x, residual, k = state
        x = _cycle(matvec, x, residual, problem, restart, early)
        return x, b - matvec(x), k + 1

    start = (problem.start, b - matvec(problem.start), np.zeros((), np.int32))
    return lax.while_loop(going, step, start)[0]


# --- what they have in common -----------------------------------------------------------------


def _linear_map(name: str, what: str, given: Any) -> Map:
    """The function of a matrix or of a function."""
    if callable(given):
        return given
    if not isinstance(given, np.ndarray) and not hasattr(given, "__array__"):
        raise TypeError(f"{name}: {what} must be a function or a matrix, got {type(given).__name__}")
    matrix = np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name}: {what} must be a square matrix, got shape {matrix.shape}")
    return lambda x: np.matmul(matrix, x, precision=_HIGHEST)


def _shapes(tree: Any) -> list[Any]:
    return [np.shape(leaf) for leaf in tree_leaves(tree)]


def _solve(
    name: str,
    method: Callable[..., Any],
    A: Any,
    b: Any,
    x0: Any,
    tol: Any,
    atol: Any,
    maxiter: int | None,
    M: Any,
    hermitian: bool,
) -> Any:
    matvec = _linear_map(name, "A", A)
    precondition = None if M is None else _linear_map(name, "M", M)
    if any(isinstance(leaf, (int, float, complex)) for leaf in tree_leaves(b)):
        raise TypeError(
            f"{name}: b must be an array or a pytree of arrays, got {b!r}; convert numbers with numpy.asarray"
        )
    if x0 is not None and (tree_structure(x0) != tree_structure(b) or _shapes(x0) != _shapes(b)):
        raise ValueError(
            f"{name}: x0 and b must be built alike, of matching shapes, got {_shapes(x0)} and {_shapes(b)}"
        )
    flat, unravel = ravel_pytree(b)
    dtype = dtypes.to_inexact_dtype(flat.dtype)
    found = eval_shape(matvec, unravel(flat) if flat.dtype == dtype else b)
    if tree_structure(found) != tree_structure(b) or _shapes(found) != _shapes(b):
        raise ValueError(
            f"{name}: A must map b to what is built as b is, got shapes {_shapes(found)} for {_shapes(b)}"
        )
    dtype = dtypes.promote_types(dtype, dtypes.result_type(*tree_leaves(found)))
    flat = flat.astype(dtype)
    shaped = _reshaper(b)
    in_vectors = lambda fun: lambda v: ravel_pytree(fun(shaped(v)))[0].astype(dtype)
    mapped = in_vectors(matvec)
    conditioned = (lambda v: v) if precondition is None else in_vectors(precondition)
    start = np.zeros_like(flat) if x0 is None else ravel_pytree(x0)[0].astype(dtype)
    limit = 10 * flat.shape[0] if maxiter is None else maxiter

    def solver(start: Any, precondition: Map) -> Callable[[Map, Any], Any]:
        def solve(matvec: Map, b: Any) -> Any:
            bound = np.maximum(tol * _norm(b), atol)
            return method(matvec, b, _Problem(lax.stop_gradient(start), bound, limit, precondition))

        return solve

    symmetric = hermitian and not dtypes.is_complex(dtype)
    backwards = conditioned
    if precondition is not None and not hermitian:
        backwards = lambda v: linear_transpose(conditioned, v)(v)[0]
    solution = lax.custom_linear_solve(
        mapped, flat, solver(start, conditioned), solver(np.zeros_like(flat), backwards), symmetric
    )
    return shaped(solution)


def _reshaper(like: Any) -> Callable[[Any], Any]:
    """From a vector, of any dtype, to arrays built as some are."""
    leaves, tree = tree_leaves(like), tree_structure(like)
    shapes = [np.shape(leaf) for leaf in leaves]
    sizes = [math.prod(s) for s in shapes]

    def shaped(vector: Any) -> Any:
        parts, place = [], 0
        for shape, size in zip(shapes, sizes):
            parts.append(vector[place : place + size].reshape(shape))
            place += size
        return tree.unflatten(parts)

    return shaped


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """The solution of `A x = b` by conjugate gradients.

    Args:
      A: hermitian and positive definite: a matrix, or a function from what is built as `b` is to the same.
      b: the right-hand side, an array or a pytree of arrays.
      x0: where to start; by default at zeros. It has no derivative.
      tol, atol: the norm of the residual is at most `max(tol * norm(b), atol)` in the end.
      maxiter: how many steps at most; by default 10 times the number of unknowns.
      M: a preconditioner, in the same forms as `A`: an approximation of its inverse.
    Returns:
      the solution, built as `b` is, and None in the place of SciPy's report.
    Raises:
      TypeError: `A` or `M` is no function or matrix. ValueError: a matrix is not square, or shapes do not fit.

    >>> import anima.numpy as np
    >>> from anima.scipy.sparse import linalg
    >>> x, _ = linalg.cg(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]))
    >>> print(x.round(4))
    [0.0909 0.6364]
    """
    return _solve("cg", _cg, A, b, x0, tol, atol, maxiter, M, True), None


def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    maxiter: int | None = None,
    M: Any = None,
) -> tuple[Any, None]:
    """The solution of `A x = b` by stabilised biconjugate gradients.

    Args:
      A: any invertible linear map: a matrix, or a function from what is built as `b` is to the same.
      b, x0, tol, atol, maxiter, M: as in `cg`.
    Returns:
      the solution, built as `b` is, and None in the place of SciPy's report.
    Raises:
      TypeError: `A` or `M` is no function or matrix. ValueError: a matrix is not square, or shapes do not fit.

    >>> import anima.numpy as np
    >>> from anima.scipy.sparse import linalg
    >>> x, _ = linalg.bicgstab(np.array([[4.0, 1.0], [2.0, 3.0]]), np.array([1.0, 2.0]))
    >>> print(x.round(4))
    [0.1 0.6]
    """
    return _solve("bicgstab", _bicgstab, A, b, x0, tol, atol, maxiter, M, False), None


def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    tol: Any = 1e-5,
    atol: Any = 0.0,
    restart: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    solve_method: str = "batched",
) -> tuple[Any, Any]:
    """The solution of `A x = b` by generalised minimal residuals.

    Args:
      A: any invertible linear map: a matrix, or a function from what is built as `b` is to the same.
      b, x0, tol, atol, M: as in `cg`.
      restart: the dimension of the Krylov space of one cycle.
      maxiter: how many cycles at most; by default 10 times the number of unknowns.
      solve_method: "batched": every cycle takes its full dimension; "incremental": one ends when the residual is small.
    Returns:
      the solution, built as `b` is, and 0, or 1 if it has NaNs.
    Raises:
      TypeError: `A` or `M` is no function or matrix. ValueError: a matrix is not square, shapes do not fit, or there is no such
        method.

    >>> import anima.numpy as np
    >>> from anima.scipy.sparse import linalg
    >>> x, _ = linalg.gmres(np.array([[4.0, 1.0], [2.0, 3.0]]), np.array([1.0, 2.0]))
    >>> print(x.round(4))
    [0.1 0.6]
    """
    if solve_method not in ("incremental", "batched"):
        raise ValueError(f"gmres: solve_method must be 'incremental' or 'batched', got {solve_method!r}")
    size = sum(int(np.size(leaf)) for leaf in tree_leaves(b))
    space = min(restart, size)
    method = lambda matvec, b, problem: _gmres(matvec, b, problem, space, solve_method == "incremental")
    x = _solve("gmres", method, A, b, x0, tol, atol, maxiter, M, False)
    failed = sum((np.any(np.isnan(leaf)) for leaf in tree_leaves(x)), np.zeros((), bool))
    return x, np.where(failed, 1, 0)
