"""Eigenvalues of real symmetric matrices that are divided and conquered: accurate as LAPACK's, whatever the spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy as jnp
from anima import lax

pytestmark = pytest.mark.cpu


def matrices(n: int) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Spectra that deflate in every way, and matrices whose squares a float cannot hold."""
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, n))
    q = np.linalg.qr(a)[0]
    beside = np.diag(np.ones(n - 1), 1)
    yield "random", a + a.T
    yield "identity", np.eye(n)
    yield "zeros", np.zeros((n, n))
    yield "ones", np.ones((n, n))
    yield "diagonal", np.diag(rng.standard_normal(n))
    yield "clusters", (q * np.resize([1, 2, 3, 1 + 1e-6], n)) @ q.T
    yield "graded", (q * np.logspace(0, -12, n)) @ q.T
    yield "few", a[:, :3] @ a[:, :3].T
    yield "second differences", 2 * np.eye(n) - beside - beside.T
    yield "Wilkinson", np.diag(np.abs(np.arange(n) - (n - 1) / 2)) + beside + beside.T
    yield "two equal blocks", np.kron(np.eye(2), (a + a.T)[: n // 2, : n // 2]) if n % 2 == 0 else -np.eye(n)
    yield "large", (a + a.T) * 1e36
    yield "small", (a + a.T) * 1e-30


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [32, 33, 49, 64, 100, 150])
def test_eigenpairs(n: int, dtype: Any) -> None:
    eps = np.finfo(dtype).eps
    for name, matrix in matrices(n):
        a = ((matrix + matrix.T) / 2).astype(dtype)
        with anima.enable_x64(True):
            w, v = (np.asarray(x, np.float64) for x in jnp.linalg.eigh(a))
        exact = np.linalg.eigvalsh(a.astype(np.float64))
        size = max(np.abs(exact).max(), np.finfo(dtype).tiny)
        assert (np.diff(w) >= 0).all(), name
        assert np.abs(w - exact).max() < 40 * eps * size, name
        assert np.abs(a @ v - v * w).max() < 30 * eps * size, name
        assert np.abs(v.T @ v - np.eye(n)).max() < 40 * eps, name


def test_triangles() -> None:
    a = np.random.default_rng(0).standard_normal((70, 70)).astype(np.float32)
    for lower in (True, False):
        counted = np.tril(a) + np.tril(a, -1).T if lower else np.triu(a) + np.triu(a, 1).T
        v, w = lax.linalg.eigh(a, lower=lower, symmetrize_input=False)
        assert np.allclose(w, np.linalg.eigvalsh(counted), atol=1e-4)
        assert np.allclose(counted @ v, v * w, atol=2e-4)


def test_matrices_that_are_not_finite_have_nan_for_results() -> None:
    a = np.random.default_rng(0).standard_normal((3, 64, 64)).astype(np.float32)
    a[1, 5, 5] = np.nan
    a[2, 5, 5] = np.inf
    w, v = map(np.asarray, jnp.linalg.eigh(a))
    assert np.isfinite(w[0]).all() and np.isfinite(v[0]).all()
    assert np.isnan(w[1:]).all() and np.isnan(v[1:]).all()


def test_stacks_and_transformations() -> None:
    a = np.random.default_rng(0).standard_normal((9, 40, 40)).astype(np.float32)
    a += a.swapaxes(1, 2)
    w, v = map(np.asarray, jnp.linalg.eigh(a))
    for i in range(9):
        alone = jnp.linalg.eigh(a[i])
        assert np.array_equal(w[i], alone[0]) and np.array_equal(v[i], alone[1])
    mapped = anima.vmap(anima.jit(jnp.linalg.eigh))(a)
    assert np.array_equal(mapped[0], w)
    gradient = anima.grad(lambda x: jnp.linalg.eigh(x)[0][0])(a[0])
    assert np.allclose(gradient, np.outer(v[0, :, 0], v[0, :, 0]), atol=1e-5)
    _, found = lax.scan(lambda carry, x: (carry, jnp.linalg.eigh(x)[0]), 0, a)
    assert np.allclose(found, w, atol=1e-4)  # without the vectors
