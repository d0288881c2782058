"""`scipy.sparse.linalg`: solutions and derivatives against direct solvers, preconditioners, pytrees, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as anp
from anima.scipy.sparse import linalg

RNG = np.random.default_rng(0)
N = 12
GENERAL = RNG.normal(size=(N, N)) + 6 * np.eye(N)
DEFINITE = GENERAL @ GENERAL.T
B = RNG.normal(size=N)
TURNED = GENERAL + 1j * RNG.normal(size=(N, N))
SOLVERS: list[tuple[Any, Any, Any]] = [
    (linalg.cg, DEFINITE, TURNED @ TURNED.conj().T),
    (linalg.bicgstab, GENERAL, TURNED),
    (linalg.gmres, GENERAL, TURNED),
]


@pytest.mark.parametrize(("solver", "matrix", "complex_matrix"), SOLVERS)
def test_solutions_and_derivatives(solver: Any, matrix: Any, complex_matrix: Any) -> None:
    with anima.enable_x64(True):
        solve = lambda A, b, **options: solver(A, b, tol=1e-12, **options)[0]
        want = np.linalg.solve(matrix, B)
        np.testing.assert_allclose(solve(matrix, anp.asarray(B)), want, rtol=1e-9)
        near = anp.diag(1 / np.diag(matrix)) + 0.001 * np.arange(N)[:, None] * (
            0 if solver is linalg.cg else 1
        )
        np.testing.assert_allclose(solve(matrix, anp.asarray(B), M=near), want, rtol=1e-9)
        np.testing.assert_allclose(solve(matrix, anp.asarray(B), x0=anp.ones(N)), want, rtol=1e-9)
        right = B + 1j * B[::-1]
        np.testing.assert_allclose(
            solve(complex_matrix, anp.asarray(right)), np.linalg.solve(complex_matrix, right), rtol=1e-9
        )
        loss = lambda A, b: (solve(A, b, M=near) ** 2).sum()
        by_matrix, by_right = anima.grad(loss, (0, 1))(anp.asarray(matrix), anp.asarray(B))
        adjoint = np.linalg.solve(matrix.T, 2 * want)
        np.testing.assert_allclose(by_right, adjoint, rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(by_matrix, -np.outer(adjoint, want), rtol=1e-8, atol=1e-12)
        stack = anima.vmap(lambda b: solve(matrix, b))(anp.stack([B, 2 * B, 0 * B]))
        np.testing.assert_allclose(stack, [want, 2 * want, 0 * want], rtol=1e-9)
        curvature = anima.jit(anima.hessian(lambda b: (solve(matrix, b) ** 2).sum()))(anp.asarray(B))
        inverse = np.linalg.inv(matrix)
        np.testing.assert_allclose(curvature, 2 * inverse.T @ inverse, rtol=1e-7, atol=1e-11)


def test_cycles_of_minimal_residuals() -> None:
    with anima.enable_x64(True):
        for method in ("batched", "incremental"):
            x, info = linalg.gmres(GENERAL, anp.asarray(B), tol=1e-12, restart=4, solve_method=method)
            np.testing.assert_allclose(x, np.linalg.solve(GENERAL, B), rtol=1e-9)
            assert info == 0
        # The Krylov space of the identity has one dimension: the process ends before the cycle does.
        np.testing.assert_allclose(linalg.gmres(np.eye(N), anp.asarray(B))[0], B)


@pytest.mark.parametrize("solver", [s[0] for s in SOLVERS])
def test_pytrees_dtypes_and_limits(solver: Any) -> None:
    double = lambda t: {"a": 2 * t["a"], "b": 4 * t["b"]}
    x, _ = solver(double, {"a": anp.ones(2), "b": anp.ones((2, 2))})
    np.testing.assert_allclose(x["a"], 0.5 * np.ones(2), rtol=1e-5)
    np.testing.assert_allclose(x["b"], 0.25 * np.ones((2, 2)), rtol=1e-5)
    x, _ = solver(anp.eye(2), anp.array([1, 2]))
    assert x.dtype == np.float32 and np.allclose(x, [1, 2])
    assert not solver(anp.eye(2), anp.zeros(2))[0].any()
    np.testing.assert_array_equal(solver(2 * np.eye(2), anp.ones(2), maxiter=0)[0], np.zeros(2))


@pytest.mark.parametrize("solver", [s[0] for s in SOLVERS])
def test_errors(solver: Any) -> None:
    with pytest.raises(ValueError, match="square"):
        solver(np.ones((2, 3)), anp.ones(2))
    with pytest.raises(TypeError, match="function or a matrix"):
        solver(3, anp.ones(2))
    with pytest.raises(ValueError, match="x0"):
        solver(np.eye(2), anp.ones(2), x0=anp.ones(3))
    with pytest.raises(TypeError, match="numpy.asarray"):
        solver(np.eye(2), [1.0, 2.0])
    with pytest.raises(ValueError, match="solve_method"):
        linalg.gmres(np.eye(2), anp.ones(2), solve_method="other")
