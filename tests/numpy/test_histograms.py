"""Counting into bins."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima.errors import ConcretizationTypeError
from tests.numpy.support import assert_same

rng = numpy.random.default_rng(0)
I = rng.integers(0, 12, 50).astype("int32")
X = rng.integers(0, 64, (5, 10)).astype("float32") / 8
W = rng.integers(0, 5, X.shape).astype("float32")


def assert_histogram(ours, theirs) -> None:
    """Counts and edges agree; NumPy's are of other dtypes."""
    flat = lambda r: [p for part in r for p in (part if isinstance(part, (tuple, list)) else [part])]
    for one, other in zip(flat(ours), flat(theirs), strict=True):
        assert one.shape == numpy.shape(other)
        numpy.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_bincount() -> None:
    for x in (I, I[:0], I.astype("uint8"), I > 3):
        assert_same(np.bincount(x), numpy.bincount(x).astype("int32"))
        assert_same(np.bincount(x, minlength=20), numpy.bincount(x, minlength=20).astype("int32"))
    weights = rng.normal(size=I.size).astype("float32")
    assert_same(np.bincount(I, weights), numpy.bincount(I, weights).astype("float32"), 1e-5)
    assert np.bincount(I, I).dtype == np.int32
    assert np.bincount(np.array([-1, 1])).tolist() == [1, 1]
    assert np.bincount(I, length=3).tolist() == numpy.bincount(I)[:3].tolist()
    assert (
        anima.jit(lambda x: np.bincount(x, length=14))(I).tolist() == numpy.bincount(I, minlength=14).tolist()
    )
    assert np.bincount(I, length=0).shape == (0,)
    half = np.bincount(np.zeros(3000, int), np.ones(3000, np.bfloat16))
    assert half.tolist() == [3008]  # 3000 to that precision: it was summed in a wider one


def test_bincount_errors() -> None:
    with pytest.raises(ConcretizationTypeError):
        anima.jit(np.bincount)(I)
    with pytest.raises(TypeError, match="integers"):
        np.bincount(X)
    with pytest.raises(ValueError, match="one-dimensional"):
        np.bincount(I.reshape(5, 10))
    with pytest.raises(ValueError, match="weights"):
        np.bincount(I, np.ones(3))


@pytest.mark.parametrize("bins", [1, 7, numpy.array([0.0, 1, 1.5, 4, 8]), numpy.array([2.0, 3])])
@pytest.mark.parametrize("weights", [None, W])
@pytest.mark.parametrize("density", [False, True])
def test_histogram(bins, weights, density: bool) -> None:
    settings = {"bins": bins, "weights": weights, "density": density}
    assert_histogram(np.histogram(X, **settings), numpy.histogram(X, **settings))
    traced = anima.jit(lambda x: np.histogram(x, **settings))(X)
    assert_histogram(traced, numpy.histogram(X, **settings))


def test_histogram_ranges() -> None:
    for limits in ((1, 5), (0.0, 7.5), numpy.array([2, 3])):
        theirs = numpy.histogram(X, bins=4, range=tuple(limits))
        assert_histogram(np.histogram(X, bins=4, range=limits), theirs)
    assert_histogram(np.histogram(np.array([2, 2]), bins=3), numpy.histogram([2, 2], bins=3))
    assert_histogram(np.histogram(np.zeros((0,)), bins=3), numpy.histogram([], bins=3))
    counts, _ = np.histogram(np.array([np.nan, 2, -1, 9]), bins=np.array([0.0, 1, 3]))
    assert counts.tolist() == [0, 1]
    for name in ("auto", "sqrt", "fd"):
        assert_histogram(np.histogram(X, name), numpy.histogram(X, name))


def test_histogram_errors() -> None:
    with pytest.raises(ValueError, match="weights must have the shape"):
        np.histogram(X, weights=np.ones(3))
    with pytest.raises(ValueError, match="bins must be positive"):
        np.histogram(X, 0)
    with pytest.raises(ValueError, match="vector of edges"):
        np.histogram(X, np.ones((2, 2)))
    with pytest.raises(ValueError, match="end of the range"):
        np.histogram(X, range=(4, 0))
    with pytest.raises(ConcretizationTypeError):
        anima.jit(lambda x: np.histogram(x, "auto"))(X)
    with pytest.raises(TypeError, match="list"):
        np.histogram([1, 2])


def test_edges() -> None:
    for bins in (3, numpy.array([1.0, 2]), "sturges"):
        numpy.testing.assert_allclose(
            np.histogram_bin_edges(X, bins), numpy.histogram_bin_edges(X, bins), rtol=1e-5, atol=1e-6
        )


def test_several_dimensions() -> None:
    x, y = X.ravel(), W.ravel()
    edges = numpy.array([0.0, 2, 5, 8])
    for bins in (4, (2, 3), [2, edges], edges):
        assert_histogram(np.histogram2d(x, y, bins), numpy.histogram2d(x, y, bins))
    limits = ((0, 4), (1, 3))
    assert_histogram(
        np.histogram2d(x, y, 3, limits, density=True), numpy.histogram2d(x, y, 3, limits, density=True)
    )
    points = numpy.stack([x, y, x * y], 1)
    for settings in (
        {"bins": 3},
        {"bins": (2, 3, 4)},
        {"bins": 2, "weights": y},
        {"bins": 3, "density": True},
    ):
        assert_histogram(np.histogramdd(points, **settings), numpy.histogramdd(points, **settings))
    assert np.histogramdd(points, 2)[0].dtype == np.int32
    with pytest.raises(ValueError, match="each of the 3 dimensions"):
        np.histogramdd(points, (2, 2))
    with pytest.raises(ValueError, match="matrix"):
        np.histogramdd(x, 2)
    with pytest.raises(ValueError, match="vectors of equal size"):
        np.histogram2d(x, y[:3])


def test_transformations() -> None:
    mapped = anima.vmap(lambda row: np.histogram(row, bins=3, range=(0, 8))[0])(X)
    assert mapped.tolist() == [numpy.histogram(row, bins=3, range=(0, 8))[0].tolist() for row in X]
    grad = anima.grad(lambda w: np.histogram(X, bins=2, weights=w)[0][0])(W)
    assert grad.tolist() == ((X.min() + X.max()) / 2 > X).astype(float).tolist()
