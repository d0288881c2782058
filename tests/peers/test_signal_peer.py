"""`scipy.signal` and `scipy.optimize` beside JAX: names, signatures, values, dtypes and weak types."""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

import jax
import numpy as np
import pytest

import anima

pytestmark = pytest.mark.peers

NAMES = {
    "signal": "convolve convolve2d correlate correlate2d csd detrend fftconvolve istft stft welch",
    "optimize": "minimize OptimizeResults",
}
RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=s).astype(np.float32) for s in ((2, 200), (2, 50)))
WAVES = X + 1j * X[::-1]


def part(lib: Any, name: str) -> Any:
    return importlib.import_module(f"{lib.__name__}.scipy.{name}")


def test_names_and_signatures() -> None:
    for module, names in NAMES.items():
        for name in names.split():
            ours, theirs = (inspect.signature(getattr(part(lib, module), name)) for lib in (anima, jax))
            shown = [[(p.name, p.kind, p.default) for p in s.parameters.values()] for s in (ours, theirs)]
            assert shown[0] == shown[1], name


CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    *[
        (name, (X[0], Y[0]), {"mode": mode, "method": method})
        for name in ("convolve", "correlate")
        for mode in ("full", "same", "valid")
        for method in ("direct", "fft")
    ],
    *[
        (name, operands, {"mode": mode})
        for name in ("convolve2d", "correlate2d")
        for mode in ("same", "valid")
        for operands in ((X[:, :9], Y[:, :4]), (WAVES[:, :5], WAVES[:, 8:20]))
    ],
    ("convolve", (X.astype(np.int8), Y.astype(np.int32)), {}),
    ("fftconvolve", (X, Y), {"axes": [1]}),
    ("detrend", (X,), {"bp": [20, 50]}),
    ("detrend", (WAVES,), {"type": "constant", "axis": 0}),
    ("welch", (X,), {}),
    ("welch", (WAVES,), {"nperseg": 32, "average": "median"}),
    ("csd", (X, Y), {"nperseg": 32, "detrend": "linear", "nfft": 50, "scaling": "spectrum"}),
    ("csd", (X, None), {"nperseg": 32, "fs": 3, "return_onesided": False}),
    ("stft", (X,), {"nperseg": 32, "window": "hamming", "boundary": "odd"}),
    ("stft", (X.T,), {"nperseg": 32, "axis": 0, "padded": False}),
    ("istft", (WAVES[0].reshape(5, 40),), {}),
    ("istft", (WAVES[0].reshape(5, 40),), {"time_axis": 0, "freq_axis": 1, "boundary": False}),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_signals(case: int) -> None:
    name, operands, settings = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got, want = (
            lib.tree_util.tree_leaves(getattr(part(lib, "signal"), name)(*operands, **settings))
            for lib in (anima, jax)
        )
    assert len(got) == len(want)
    for ours, theirs in zip(got, want):
        assert (ours.dtype, ours.shape, ours.weak_type) == (theirs.dtype, theirs.shape, theirs.weak_type)
        scale = float(np.abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("method", ["BFGS", "l-bfgs-experimental-do-not-rely-on-this"])
def test_minima(method: str) -> None:
    fun = lambda x, a: ((x - a) ** 4 + (x - 2 * a) ** 2).sum()
    run = lambda lib: lambda a: part(lib, "optimize").minimize(fun, lib.numpy.ones(2), (a,), method=method)
    ours, theirs = (run(lib)(0.5) for lib in (anima, jax))
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-3)
    assert ours._fields == theirs._fields
    assert bool(ours.success) == bool(theirs.success)
    for one, other in zip(ours, theirs):
        assert (one is None) == (other is None)
        if one is not None:
            assert (one.dtype, one.shape, one.weak_type) == (other.dtype, other.shape, other.weak_type)
    slopes = [lib.jvp(lambda a, lib=lib: run(lib)(a).x, (0.5,), (1.0,))[1] for lib in (anima, jax)]
    np.testing.assert_allclose(*slopes, rtol=1e-2)
