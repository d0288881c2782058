"""Order statistics."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
X = rng.normal(size=(4, 5, 3)).astype("float32")
HOLED = numpy.where(rng.random(X.shape) < 0.3, numpy.float32(numpy.nan), X)
Q = numpy.array([0.0, 0.1, 0.25, 0.5, 0.77, 1.0], "float32")
METHODS = (
    "linear", "lower", "higher", "midpoint", "inverted_cdf", "averaged_inverted_cdf", "closest_observation",
    "interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased", "normal_unbiased",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_methods(method: str) -> None:
    for n in (1, 2, 7, 10):
        row = X.ravel()[:n]
        check(lambda np, row=row: np.quantile(row, Q, method=method), tolerance=1e-5)


def test_nearest_takes_the_lower_of_two() -> None:
    found = np.quantile(np.array([1, 2, 3, 4, 5]), np.array([0.3, 0.375, 0.4, 0.625]), method="nearest")
    assert found.tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 1), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes(axis, keepdims: bool) -> None:
    settings = {"axis": axis, "keepdims": keepdims}
    check(lambda np: np.quantile(X, numpy.float32(0.3), **settings), tolerance=1e-5)
    check(lambda np: np.quantile(X, Q, **settings), tolerance=1e-5)
    check(lambda np: np.percentile(X, 100 * Q[:4].reshape(2, 2), **settings), tolerance=1e-5)
    check(lambda np: np.nanquantile(HOLED, Q, **settings), tolerance=1e-5)
    check(lambda np: np.nanpercentile(HOLED, 100 * Q, **settings), tolerance=1e-5)
    check(lambda np: np.median(X, **settings))
    check(lambda np: np.nanmedian(HOLED, **settings))
    check(lambda np: np.median(HOLED, **settings))


def test_dtypes() -> None:
    ints = numpy.array([3, 1, 2, 4])
    assert_same(np.median(ints), numpy.float32(2.5))
    assert_same(np.quantile(ints > 2, 0.3), numpy.float32(0))
    assert np.quantile(ints, 1) == 4
    assert np.quantile(np.array(ints, np.bfloat16), np.array(0.3)).dtype == np.bfloat16
    assert np.median(np.array(ints, np.float16)).dtype == np.float16


def test_missing_and_infinite_elements() -> None:
    assert numpy.isnan(np.median(np.array([1.0, np.nan])))
    assert numpy.isnan(np.nanmedian(np.array([np.nan, np.nan])))
    assert numpy.isnan(np.median(np.zeros((0,))))
    assert np.quantile(np.zeros((0, 3)), 0.5, axis=1).shape == (0,)
    inf = np.inf
    assert np.quantile(np.array([inf, 1, 2]), np.array([0.5, 0.7])).tolist() == [2, inf]
    assert np.quantile(np.array([inf, inf, 2]), 0.7) == inf
    assert np.median(np.array([inf, inf, inf])) == inf


def test_weights() -> None:
    x, w = X[:, :, 0], numpy.array([1, 0, 3, 0.5, 2], "float32")
    q = numpy.array([0.0, 0.2, 0.5, 0.9, 1.0])
    for weights in (w, numpy.broadcast_to(w, x.shape), rng.integers(0, 4, x.shape).astype("float32") + 1):
        theirs = numpy.quantile(x.astype("float64"), q, 1, method="inverted_cdf", weights=weights)
        assert_same(np.quantile(x, q, 1, method="inverted_cdf", weights=weights), theirs.astype("float32"))
    holed = numpy.array([3, numpy.nan, 2, 4], "float32")
    found = np.nanquantile(
        holed, np.array([0.1, 0.5, 0.9]), method="inverted_cdf", weights=np.array([1, 1, 2, 1.0])
    )
    assert found.tolist() == [2, 2, 4]
    with pytest.raises(ValueError, match="takes weights"):
        np.quantile(x, 0.5, weights=w, axis=1)
    with pytest.raises(ValueError, match="axis is None"):
        np.quantile(x, 0.5, weights=w, method="inverted_cdf")
    with pytest.raises(ValueError, match="do not fit"):
        np.quantile(x, 0.5, weights=w, method="inverted_cdf", axis=0)


def test_transformations() -> None:
    x = np.array([3.0, 1.0, 2.0, 4.0])
    assert anima.grad(np.median)(x).tolist() == [0.5, 0, 0.5, 0]
    numpy.testing.assert_allclose(anima.grad(lambda x: np.quantile(x, 0.3))(x), [0, 0.1, 0.9, 0], rtol=1e-5)
    numpy.testing.assert_allclose(anima.grad(lambda q: np.quantile(x, q))(0.3), 3, rtol=1e-5)
    mapped = anima.vmap(lambda row, q: np.quantile(row, q))(X[:, :, 0], Q[:4])
    theirs = [numpy.quantile(row, q) for row, q in zip(X[:, :, 0], Q)]
    numpy.testing.assert_allclose(mapped, theirs, rtol=1e-5)


def test_errors() -> None:
    with pytest.raises(ValueError, match="method must be one of"):
        np.quantile(X, 0.5, method="guess")
    with pytest.raises(ValueError, match="complex"):
        np.median(X * 1j)
    with pytest.raises(TypeError, match="list"):
        np.quantile(X, [0.5])
    with pytest.raises(ValueError, match="out is not supported"):
        np.median(X, out=X)
    with pytest.raises(ValueError, match="overwrite_input"):
        np.percentile(X, 5, overwrite_input=True)
    with pytest.raises(ValueError, match="out of bounds"):
        np.median(X, axis=3)
