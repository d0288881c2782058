"""Checks of the rows of `docs/differences.md` on signals and minima."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import scipy.signal

import anima

SIGNAL_CHECKS: dict[str, Callable[..., None]] = {}

X = np.arange(12.0, dtype=np.float32).reshape(4, 3)
Y = np.arange(8.0, dtype=np.float32).reshape(2, 4)


def difference(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the check of a row."""

    def declare(check: Callable[..., None]) -> Callable[..., None]:
        SIGNAL_CHECKS[name] = check
        return check

    return declare


def signal(lib: Any) -> Any:
    return importlib.import_module(f"{lib.__name__}.scipy.signal")


def minimize(lib: Any) -> Any:
    return importlib.import_module(f"{lib.__name__}.scipy.optimize").minimize


@difference("signal-domains")
def domains(run_python: Any, tmp_path: Any) -> None:
    half = np.arange(6, dtype=np.float16)
    for call in (
        lambda s: s.convolve(X, Y),
        lambda s: s.convolve2d(X, X, boundary="wrap"),
        lambda s: s.correlate2d(X, X, fillvalue=1),
    ):
        with pytest.raises((ValueError, NotImplementedError)):
            call(signal(jax))
        np.testing.assert_allclose(call(signal(anima)), call(scipy.signal), rtol=1e-5)
    for call in (lambda s: s.fftconvolve(half, half), lambda s: s.detrend(half), lambda s: s.welch(half)[1]):
        with pytest.raises((ValueError, NotImplementedError)):
            call(signal(jax))
        assert np.isfinite(np.asarray(call(signal(anima)))).all()


@difference("istft-overlap")
def overlap(run_python: Any, tmp_path: Any) -> None:
    z = np.ones((3, 5), np.complex64)
    sizes = [
        s.istft(z, window="boxcar", noverlap=0)[1].size for s in (signal(jax), signal(anima), scipy.signal)
    ]
    assert sizes == [8, 16, 16]


@difference("istft-times")
def times(run_python: Any, tmp_path: Any) -> None:
    z = np.ones((2, 3, 5), np.complex64)
    assert [signal(lib).istft(z)[0].size for lib in (jax, anima)] == [2, 8]


@difference("minimize-search")
def line_search(run_python: Any, tmp_path: Any) -> None:
    fun = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    theirs, ours = (minimize(lib)(fun, np.zeros(3, np.float32), method="BFGS") for lib in (jax, anima))
    assert theirs.status == 3 and np.abs(theirs.jac).max() > 1
    assert ours.success and np.abs(np.asarray(ours.x) - 1).max() < 1e-3


@difference("minimize-tol")
def tolerance(run_python: Any, tmp_path: Any) -> None:
    fun = lambda x: (x**4).sum() + 2 * x[0] ** 4
    run = lambda lib, **settings: int(
        minimize(lib)(fun, np.ones(2, np.float32), method="BFGS", **settings).nit
    )
    assert run(jax, tol=1.0) == run(jax)
    assert run(anima, tol=1.0) < run(anima)
