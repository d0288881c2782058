"""Checks of the rows of `docs/differences.md` on linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.scipy.linalg
import numpy as np
import pytest

import anima
import anima.scipy.linalg

LINALG_CHECKS: dict[str, Callable[..., None]] = {}

F32 = np.float32
SQUARE, TALL = np.array([[4, 1, 0], [1, 3, 1], [0, 1, 2]], F32), np.array([[3, 1], [4, 2], [1, 5]], F32)
TAUS = np.ones(2, F32)


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        LINALG_CHECKS[name] = check
        return check

    return declare


def gradient(lib: Any, call: Callable[..., Any], *args: Any) -> np.ndarray:
    return np.asarray(lib.grad(lambda *xs: call(lib.lax.linalg, *xs).sum())(*args))


@difference("linalg-halves")
def half_precision(run_python: Any, tmp_path: Any) -> None:
    x = SQUARE.astype(np.float16)
    for name in ("cholesky", "inv", "qr"):
        with pytest.raises(NotImplementedError):
            getattr(jax.numpy.linalg, name)(x)
        found = getattr(anima.numpy.linalg, name)(x)
        assert (found[0] if isinstance(found, tuple) else found).dtype == np.float16
    assert anima.numpy.linalg.slogdet(x)[0] == 1


@difference("linalg-derivatives")
def derivatives(run_python: Any, tmp_path: Any) -> None:
    for call, args in (
        (lambda linalg, *xs: linalg.cholesky_update(*xs), (np.triu(SQUARE), SQUARE[0])),
        (lambda linalg, *xs: linalg.symmetric_product(*xs), (TALL, SQUARE)),
        (lambda linalg, *xs: linalg.householder_product(*xs), (TALL, TAUS)),
        (lambda linalg, *xs: linalg.ormqr(*xs, TALL), (TALL, TAUS)),
    ):
        with pytest.raises(NotImplementedError):
            gradient(jax, call, *args)
        assert np.isfinite(gradient(anima, call, *args)).all()


@difference("linalg-stacks")
def stacks(run_python: Any, tmp_path: Any) -> None:
    two = np.stack([SQUARE, SQUARE])
    with pytest.raises(TypeError):
        jax.lax.linalg.cholesky_update(two, two[:, 0])
    assert anima.lax.linalg.cholesky_update(two, two[:, 0]).shape == (2, 3, 3)
    with pytest.raises(ValueError):
        jax.scipy.linalg.lu(two)
    assert anima.scipy.linalg.lu(two)[0].shape == (2, 3, 3)


@difference("det-gradient")
def gradient_of_singular_determinants(run_python: Any, tmp_path: Any) -> None:
    x = np.diag([1.0, 0.0, 1.0, 2.0]).astype(F32) + np.eye(4, k=1, dtype=F32)
    x[:, 1] = x[:, 0]
    minor = lambda i, j: np.delete(np.delete(x, i, 0), j, 1)
    cofactors = [[(-1) ** (i + j) * np.linalg.det(minor(i, j)) for j in range(4)] for i in range(4)]
    close = lambda lib: np.allclose(lib.grad(lib.numpy.linalg.det)(x), cofactors, atol=1e-4)
    assert close(anima) and not close(jax)


@difference("pascal")
def exact_integers(run_python: Any, tmp_path: Any) -> None:
    assert np.asarray(anima.scipy.linalg.pascal(3)).tolist() == [[1, 1, 1], [1, 2, 3], [1, 3, 6]]
    assert np.asarray(jax.scipy.linalg.pascal(3)).tolist() != [[1, 1, 1], [1, 2, 3], [1, 3, 6]]
