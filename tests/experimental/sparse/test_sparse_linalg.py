"""Eigenvectors and linear systems against NumPy and finite differences."""

from __future__ import annotations

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima.experimental import sparse
from anima.experimental.sparse.linalg import lobpcg_standard, spsolve

RNG = onp.random.RandomState(0)


@pytest.mark.parametrize("given", ["dense", "sparse", "function"])
def test_largest_eigenvalues(given: str) -> None:
    with anima.enable_x64(True):
        b = RNG.randn(30, 30)
        a = b + b.T
        start = RNG.randn(30, 3)
        A = {"dense": a, "sparse": sparse.BCOO.fromdense(a), "function": lambda x: a @ x}[given]
        theta, U, steps = lobpcg_standard(A, start, m=200)
        onp.testing.assert_allclose(theta, onp.linalg.eigvalsh(a)[::-1][:3], rtol=1e-9)
        onp.testing.assert_allclose(a @ onp.asarray(U), U * theta, atol=1e-6)
        onp.testing.assert_allclose(onp.asarray(U).T @ onp.asarray(U), onp.eye(3), atol=1e-10)
        assert 0 < steps < 200


def test_bad_eigenproblems() -> None:
    a = np.eye(20)
    for x, match in (
        (np.ones(20), "shape"),
        (np.ones((20, 5)), "search dim"),
        (np.ones((20, 2), int), "floating"),
        (np.ones((20, 0)), "column"),
    ):
        with pytest.raises(ValueError, match=match):
            lobpcg_standard(a, x)
    with pytest.raises(ValueError, match="A must"):
        lobpcg_standard(np.eye(19), np.ones((20, 2)))


def system(size: int = 6):
    a = onp.diag(onp.arange(2.0, 2 + size)) + onp.eye(size, k=1) + 0.5 * onp.eye(size, k=-2)
    return a, sparse.CSR.fromdense(a)


@pytest.mark.parametrize("reorder", range(4))
def test_solutions(reorder: int) -> None:
    with anima.enable_x64(True):
        a, m = system()
        b = RNG.randn(6)
        solve = lambda d, b: spsolve(d, m.indices, m.indptr, b, reorder=reorder)
        expected = onp.linalg.solve(a, b)
        onp.testing.assert_allclose(solve(m.data, b), expected)
        onp.testing.assert_allclose(anima.jit(solve)(m.data, b), expected)
        rows = anima.vmap(solve, (None, 0))(m.data, onp.stack([b, 2 * b]))
        onp.testing.assert_allclose(rows, [expected, 2 * expected])


def test_derivatives_of_solutions() -> None:
    with anima.enable_x64(True):
        _, m = system()
        solve = lambda d, b: spsolve(d, m.indices, m.indptr, b)
        anima.test_util.check_grads(solve, (m.data, np.asarray(RNG.randn(6))), order=2)


def test_bad_systems() -> None:
    _, m = system()
    b = np.ones(6, m.dtype)
    with pytest.raises(ValueError, match="one-dimensional"):
        spsolve(m.data, m.indices, m.indptr, np.ones((6, 2), m.dtype))
    with pytest.raises(ValueError, match="data types"):
        spsolve(m.data, m.indices, m.indptr, b.astype(int))
    with pytest.raises(ValueError, match="sizes"):
        spsolve(m.data, m.indices, m.indptr, b[:3])
    with pytest.raises(ValueError, match="reorder"):
        spsolve(m.data, m.indices, m.indptr, b, reorder=7)
