"""Checks of the rows of `docs/differences.md` on eigenvalues, singular values and functions of matrices."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima

SPECTRAL_CHECKS: dict[str, Callable[..., None]] = {}

A = np.array([[2.0, 1.0, 0.5], [0.0, -1.0, 1.5], [0.25, 0.5, 0.5]], np.float32)
H = A + A.T


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        SPECTRAL_CHECKS[name] = check
        return check

    return declare


def linalg(lib: Any, where: str) -> Any:
    return importlib.import_module(f"{lib.__name__}.{where}.linalg")


def same(a: Any, b: Any) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-4)


@difference("spectral-subsets")
def subsets(run_python: Any, tmp_path: Any) -> None:
    for call, want in (
        (lambda lib: lib.lax.linalg.eigh(H, subset_by_index=(1, 3))[1], np.linalg.eigvalsh(H)[1:]),
        (
            lambda lib: lib.lax.linalg.svd(A, full_matrices=False, subset_by_index=(0, 2))[1],
            np.linalg.svd(A, compute_uv=False)[:2],
        ),
    ):
        with pytest.raises(NotImplementedError):
            call(jax)
        same(call(anima), want)


@difference("schur-order")
def schur_order(run_python: Any, tmp_path: Any) -> None:
    x = np.diag([1.0, -2.0, 3.0]).astype(np.float32)
    call = lambda lib: lib.lax.linalg.schur(x, sort_eig_vals=True, select_callable=lambda w: w.real > 2)[0]
    with pytest.raises(NotImplementedError):
        call(jax)
    assert np.asarray(call(anima))[0, 0] == 3


@difference("eigvals-curvature")
def curvature(run_python: Any, tmp_path: Any) -> None:
    second = lambda lib: lib.jvp(
        lib.grad(lambda x: (lib.numpy.linalg.eigvals(x) ** 2).sum().real), (A,), (H,)
    )[1]
    with pytest.raises(NotImplementedError):
        second(jax)
    same(second(anima), 2 * H.T)


@difference("rank-rtol")
def rank_rtol(run_python: Any, tmp_path: Any) -> None:
    x = np.diag([10.0, 2.0]).astype(np.float32)
    assert np.linalg.matrix_rank(x, rtol=0.5) == 1
    assert [int(lib.numpy.linalg.matrix_rank(x, 0.5)) for lib in (jax, anima)] == [2, 1]


@difference("eigh-pairs")
def pairs(run_python: Any, tmp_path: Any) -> None:
    b = H @ H + np.eye(3, dtype=np.float32)
    with pytest.raises(NotImplementedError):
        linalg(jax, "scipy").eigh(H, b)
    w, v = (np.asarray(x) for x in linalg(anima, "scipy").eigh(H, b))
    same(H @ v, b @ v * w)


@difference("tridiagonal-slopes")
def tridiagonal_slopes(run_python: Any, tmp_path: Any) -> None:
    d, e, ones = H[0], H[1, :2], np.ones(3, np.float32)

    def values(lib: Any) -> Any:
        return lambda d: linalg(lib, "scipy").eigh_tridiagonal(d, e, eigvals_only=True)

    # All eigenvalues move with a multiple of the identity.
    assert np.abs(np.asarray(jax.jvp(values(jax), (d,), (ones * d,))[1]) - _slope(d, e, d)).max() > 0.01
    same(anima.jvp(values(anima), (d,), (ones * d,))[1], _slope(d, e, d))
    with pytest.raises(ValueError):
        jax.grad(lambda d: values(jax)(d).sum())(d)
    same(anima.grad(lambda d: values(anima)(d).sum())(d), ones)


def _slope(d: Any, e: Any, t: Any) -> Any:
    d, e, t = (x.astype(np.float64) for x in (d, e, t))
    dense = lambda d: np.linalg.eigvalsh(np.diag(d) + np.diag(e, 1) + np.diag(e, -1))
    return (dense(d + 1e-4 * t) - dense(d - 1e-4 * t)) / 2e-4


@difference("matrix-functions")
def matrix_functions(run_python: Any, tmp_path: Any) -> None:
    b = H @ H + np.eye(3, dtype=np.float32)
    for call in (
        lambda lib: lib.grad(lambda x: abs(linalg(lib, "scipy").sqrtm(x)).sum())(b),
        lambda lib: lib.grad(lambda x: linalg(lib, "scipy").solve_sylvester(x, x, H).sum())(b),
        lambda lib: lib.grad(lambda x: linalg(lib, "scipy").polar(x)[0].sum())(A),
        lambda lib: linalg(lib, "scipy").sqrtm(np.stack([b, b])),
        lambda lib: linalg(lib, "scipy").polar(A[:2])[1],
    ):
        with pytest.raises((NotImplementedError, ValueError)):
            call(jax)
        assert np.isfinite(np.asarray(call(anima))).all()


@difference("schur-integers")
def schur_integers(run_python: Any, tmp_path: Any) -> None:
    x = np.array([[2, 1], [0, 1]], np.int32)
    for name, more in (
        ("schur", ()),
        ("hessenberg", ()),
        ("polar", ()),
        ("funm", (abs,)),
        ("expm_frechet", (x,)),
    ):
        with pytest.raises((TypeError, ValueError)):
            getattr(linalg(jax, "scipy"), name)(x, *more)
        getattr(linalg(anima, "scipy"), name)(x, *more)
