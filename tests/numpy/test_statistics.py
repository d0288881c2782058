"""Covariances and correlations."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same

rng = numpy.random.default_rng(0)
X = rng.normal(size=(3, 7)).astype("float32")
Z = (X + 1j * X[::-1]).astype("complex64")
F = numpy.array([1, 2, 0, 3, 1, 1, 2])
A = rng.random(7).astype("float32")


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"bias": True}, {"ddof": 3}, {"rowvar": False}, {"fweights": F}, {"aweights": A},
        {"fweights": F, "aweights": A}, {"fweights": F, "aweights": A, "ddof": 0},
    ],
)  # fmt: skip
def test_cov(settings) -> None:
    for m in (X, Z, X[0], numpy.round(9 * X).astype("int32")):
        if settings.get("rowvar") is False and m.ndim == 2:
            m = m.T
        dtype = "complex64" if m.dtype.kind == "c" else "float32"
        assert_same(np.cov(m, **settings), numpy.cov(m, **settings).astype(dtype), 2e-5)


def test_two_arguments_and_corners() -> None:
    assert_same(np.cov(X[0], X[1]), numpy.cov(X[0], X[1]).astype("float32"), 1e-5)
    assert_same(np.cov(X, Z), numpy.cov(X, Z).astype("complex64"), 1e-5)
    assert np.cov(X, dtype=np.float16).dtype == np.float16
    assert np.cov(np.zeros((0, 2))).shape == (0, 0)
    assert numpy.isnan(np.cov(np.zeros((2, 0)))).all()
    assert numpy.isnan(np.cov(3.0))


def test_corrcoef() -> None:
    for m in (X, Z, X[0]):
        dtype = "complex64" if m.dtype.kind == "c" else "float32"
        assert_same(np.corrcoef(m), numpy.corrcoef(m).astype(dtype), 1e-5)
    assert_same(np.corrcoef(X.T, rowvar=False), numpy.corrcoef(X).astype("float32"), 1e-5)
    assert_same(anima.jit(np.corrcoef)(X[0], X[1]), numpy.corrcoef(X[0], X[1]).astype("float32"), 1e-5)


def test_errors() -> None:
    with pytest.raises(ValueError, match="vector or a matrix"):
        np.cov(np.ones((2, 2, 2)))
    with pytest.raises(TypeError, match="fweights must be integers"):
        np.cov(X, fweights=A)
    with pytest.raises(ValueError, match="aweights must have shape"):
        np.cov(X, aweights=A[:2])
    with pytest.raises(ValueError, match="7 and 3 observations"):
        np.cov(X, X[:, :3])
    with pytest.raises(TypeError, match="list"):
        np.cov([[1, 2]])


def test_derivative() -> None:
    grad = anima.grad(lambda x: np.cov(x)[0, 1])(X)
    numpy.testing.assert_allclose(grad[0], (X[1] - X[1].mean()) / 6, rtol=1e-4, atol=1e-5)
