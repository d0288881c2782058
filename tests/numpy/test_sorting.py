"""Sorting, and searching in what is sorted."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
NAN = numpy.float32(numpy.nan)
I = rng.integers(-9, 9, (3, 7)).astype("int32")
X = numpy.array([3, NAN, -1, 0.5, numpy.inf, -numpy.inf, NAN, 3], "float32")
C = numpy.array([1j, 1, 1 - 1j, -2], "complex64")


def test_sort() -> None:
    for axis in (-1, 0, None):
        check(lambda np, axis=axis: np.sort(I, axis=axis))
    check(lambda np: np.sort(X))
    check(lambda np: np.sort(C))
    check(lambda np: np.sort(I > 0))
    check(lambda np: np.sort(numpy.zeros((0, 3), "float32"), axis=0))
    assert_same(np.sort(I, descending=True), numpy.sort(I)[:, ::-1])
    assert np.sort(3, axis=None).tolist() == [3]


def test_argsort() -> None:
    for axis in (-1, 0, None):
        check(lambda np, axis=axis: np.argsort(I, axis=axis, stable=True))
    check(lambda np: np.argsort(X, stable=True))
    falling = np.argsort(np.array([3, 1, 2, 1]), descending=True)
    assert falling.tolist() == [0, 2, 1, 3]  # equal elements stay in order
    assert np.argsort(I[0], descending=True, stable=False).tolist()[0] == int(numpy.argmax(I[0]))
    assert np.argsort(I[0], dtype="int8").dtype == np.int8


def test_lexsort() -> None:
    keys = rng.integers(0, 3, (3, 20)).astype("int32")
    check(lambda np: np.lexsort(keys))
    check(lambda np: np.lexsort((X, numpy.float32(keys[0][:8]))))
    check(lambda np: np.lexsort((I, I % 3), axis=0))
    with pytest.raises(TypeError, match="at least one"):
        np.lexsort(())
    with pytest.raises(ValueError, match="one shape"):
        np.lexsort((I, X))


@pytest.mark.parametrize("kth", [0, 3, -1, (1, 4)])
def test_partition(kth) -> None:
    ours, places = np.partition(I, kth), np.argpartition(I, kth)
    ordered = numpy.sort(I)
    for k in kth if isinstance(kth, tuple) else (kth,):
        k %= 7
        assert ours[:, k].tolist() == ordered[:, k].tolist()
        assert (numpy.asarray(ours)[:, :k] <= ordered[:, k : k + 1]).all()
        assert (numpy.asarray(ours)[:, k:] >= ordered[:, k : k + 1]).all()
    taken = numpy.take_along_axis(I, numpy.asarray(places), 1)
    if isinstance(kth, tuple):
        assert (taken == ordered).all() and (numpy.asarray(ours) == ordered).all()
    else:  # what is before the place rises; what is behind it falls in values, and keeps its order in places
        assert (taken[:, : k + 1] == ordered[:, : k + 1]).all() and (
            taken[:, k:].min(1) == ordered[:, k]
        ).all()
        assert (numpy.asarray(ours)[:, : k + 1] == ordered[:, : k + 1]).all()
        assert (numpy.asarray(ours)[:, k + 1 :] == ordered[:, k + 1 :][:, ::-1]).all()
        assert (numpy.diff(numpy.asarray(places)[:, k + 1 :], axis=1) > 0).all()
    with pytest.raises(ValueError, match="kth 7 is out of bounds"):
        np.partition(I, 7)


def test_sort_complex() -> None:
    assert_same(np.sort_complex(I[0]), numpy.sort_complex(I[0]).astype("complex64"))
    check(lambda np: np.sort_complex(C))


METHODS = ("scan", "scan_unrolled", "sort", "compare_all")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(method: str, side: str) -> None:
    values = numpy.concatenate([numpy.sort(X), [4, -5, 0, -0.0]]).astype("float32")
    for a in (numpy.sort(X), numpy.sort(X)[:1], numpy.sort(I.ravel()), numpy.sort(C), X[:0]):
        v = C if a.dtype == C.dtype else I if a.dtype == I.dtype else values
        for query in (v, v.ravel()[0], v[:0]):
            assert_same(
                np.searchsorted(a, query, side, method=method),
                numpy.asarray(numpy.searchsorted(a, query, side), "int32"),
            )
    grid = numpy.arange(1000, dtype="float32") % 37
    a = numpy.sort(rng.integers(0, 37, 257)).astype("float32")
    assert_same(
        np.searchsorted(a, grid, side, method=method), numpy.searchsorted(a, grid, side).astype("int32")
    )


def test_searchsorted_with_a_sorter_and_mapped() -> None:
    a = numpy.array([3, 1, 2])
    check(lambda np: np.searchsorted(a, numpy.array([2, 3]), sorter=numpy.argsort(a)).astype("int32"))
    found = anima.vmap(np.searchsorted)(np.array([[1, 2, 3], [4, 5, 6]]), np.array([2, 6]))
    assert found.tolist() == [1, 2]


@pytest.mark.parametrize("right", [False, True])
def test_digitize(right: bool) -> None:
    x = numpy.array([-1, 0, 0.5, 1, 2.5, 3, 9], "float32")
    for bins in (numpy.arange(4), numpy.arange(4)[::-1], numpy.array([1.0]), numpy.array([2.0, 2.0])):
        bins = bins.astype("float32")
        assert_same(np.digitize(x, bins, right), numpy.digitize(x, bins, right).astype("int32"))


def test_errors() -> None:
    with pytest.raises(TypeError, match="got list"):
        np.sort([3, 1])
    with pytest.raises(TypeError, match="kind"):
        np.sort(I, kind="quicksort")
    with pytest.raises(TypeError, match="order"):
        np.argsort(I, order="f")
    with pytest.raises(ValueError, match="out of bounds"):
        np.sort(I, axis=2)
    with pytest.raises(ValueError, match="side"):
        np.searchsorted(X, 1.0, "middle")
    with pytest.raises(ValueError, match="method"):
        np.searchsorted(X, 1.0, method="guess")
    with pytest.raises(ValueError, match="one-dimensional"):
        np.searchsorted(I, 1)
    with pytest.raises(TypeError, match="sorter"):
        np.searchsorted(X, 1.0, sorter=X)


def test_derivative_of_sort() -> None:
    grad = anima.grad(lambda x: (np.sort(x) * np.arange(3.0)).sum())(np.array([3.0, 1.0, 2.0]))
    assert grad.tolist() == [2, 0, 1]
