"""Arrays as sets."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima.errors import ConcretizationTypeError
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
I = rng.integers(0, 30, (6, 8)).astype("int32")
J = rng.integers(20, 60, 70).astype("int32")
X = numpy.array([2, numpy.nan, 0.0, -0.0, numpy.nan, 2, -1], "float32")
EVERYTHING: dict[str, Any] = {"return_index": True, "return_inverse": True, "return_counts": True}


def test_unique() -> None:
    check(lambda np: np.unique(I))
    check(lambda np: np.unique(I, **EVERYTHING))
    check(lambda np: np.unique(X, **EVERYTHING))
    check(lambda np: np.unique(X, equal_nan=False, return_counts=True))
    check(lambda np: np.unique(I[:0], **EVERYTHING))
    check(lambda np: np.unique(I > 9, return_index=True))
    check(lambda np: np.unique(X.astype("complex64"), return_counts=True))


@pytest.mark.parametrize("width", [0, 1, 3, 8, 9, 70])
def test_unique_rows(width: int) -> None:
    rows = rng.integers(0, 2, (40, max(width, 1))).astype("int32")[:, :width]
    check(lambda np: np.unique(rows, axis=0, **EVERYTHING))
    check(lambda np: np.unique(rows.T, axis=-1, **EVERYTHING))


def test_unique_of_fixed_size() -> None:
    x = np.array([3, 1, 1, 2])
    assert np.unique(x, size=5).tolist() == [1, 2, 3, 1, 1]
    assert np.unique(x, size=5, fill_value=0).tolist() == [1, 2, 3, 0, 0]
    assert [a.tolist() for a in np.unique(x, size=2, **EVERYTHING)] == [[1, 2], [1, 3], [2, 0, 0, 1], [2, 1]]
    values, index, inverse, counts = anima.jit(lambda x: np.unique(x, size=5, **EVERYTHING))(x)
    assert (index.tolist(), inverse.tolist(), counts.tolist()) == (
        [1, 3, 0, 1, 1],
        [2, 0, 0, 1],
        [2, 1, 1, 0, 0],
    )
    mapped = anima.vmap(lambda x: np.unique(x, size=3))(np.array([[2, 1], [1, 1]]))
    assert mapped.tolist() == [[1, 2, 1], [1, 1, 1]]
    assert np.unique(np.zeros((0,)), size=2, fill_value=3).tolist() == [3, 3]
    with pytest.raises(ValueError, match="fill_value"):
        np.unique(np.zeros((0,)), size=2)
    with pytest.raises(ValueError, match="must not be negative"):
        np.unique(x, size=-1)


def test_named_results() -> None:
    everything = np.unique_all(X)
    assert everything.values.shape == (5,)  # every NaN counts
    assert everything.inverse_indices.shape == X.shape
    assert np.unique_counts(I).counts.sum() == I.size
    assert_same(np.unique_values(I), numpy.unique(I))
    assert np.unique_inverse(I).values[np.unique_inverse(I).inverse_indices].tolist() == I.tolist()


@pytest.mark.parametrize("method", ["auto", "compare_all", "binary_search", "sort"])
def test_isin(method: str) -> None:
    for test in (J, J[:3], J[:0], numpy.concatenate([J] * 3)):
        assert_same(np.isin(I, test, method=method), numpy.isin(I, test))
        assert_same(np.isin(I, test, invert=True, method=method), numpy.isin(I, test, invert=True))
    assert_same(np.isin(X, X[:4], method=method), numpy.isin(X, X[:4]))
    with pytest.raises(ValueError, match="method"):
        np.isin(I, J, method="guess")


def test_two_sets() -> None:
    check(lambda np: np.union1d(I, J), traced=False)
    check(lambda np: np.intersect1d(I, J), traced=False)
    check(lambda np: np.intersect1d(I, J, return_indices=True), traced=False)
    check(lambda np: np.setdiff1d(I, J), traced=False)
    check(lambda np: np.setdiff1d(J, I), traced=False)
    check(lambda np: np.setxor1d(I, J), traced=False)
    check(lambda np: np.union1d(I, X[2:4]), traced=False)
    for one, other in ((I, I[:0]), (I[:0], I), (I[:0], I[:0])):
        check(lambda np, a=one, b=other: np.union1d(a, b), traced=False)
        check(lambda np, a=one, b=other: np.intersect1d(a, b, return_indices=True), traced=False)
        check(lambda np, a=one, b=other: np.setdiff1d(a, b), traced=False)
        check(lambda np, a=one, b=other: np.setxor1d(a, b), traced=False)
    assert np.setdiff1d(np.array([3, 1, 3, 2]), np.array([2]), assume_unique=True).tolist() == [3, 1, 3]


def test_two_sets_of_fixed_size() -> None:
    a, b = np.array([1, 3, 4, 3]), np.array([3, 1, 2, 1, 5, 6])
    assert anima.jit(lambda a, b: np.union1d(a, b, size=8))(a, b).tolist() == [1, 2, 3, 4, 5, 6, 1, 1]
    common = anima.jit(lambda a, b: np.intersect1d(a, b, size=3, return_indices=True))(a, b)
    assert [c.tolist() for c in common] == [[1, 3, 1], [0, 1, 4], [1, 0, 6]]
    assert np.setdiff1d(a, b, size=2).tolist() == [4, 0]
    assert np.setxor1d(a, b, size=6, fill_value=-1).tolist() == [2, 4, 5, 6, -1, -1]
    assert np.setxor1d(a, b, size=2).tolist() == [2, 4]
    assert np.intersect1d(a, np.array([9]), size=2).tolist() == [0, 0]
    mapped = anima.vmap(lambda a, b: np.intersect1d(a, b, size=2))(
        np.array([[1, 2], [3, 4]]), np.array([[2, 5], [3, 4]])
    )
    assert mapped.tolist() == [[2, 2], [3, 4]]


def test_sizes_that_depend_on_traced_values() -> None:
    for call in (np.unique, np.unique_all, lambda x: np.setdiff1d(x, x), lambda x: np.union1d(x, x)):
        with pytest.raises(ConcretizationTypeError) as error:
            anima.jit(call)(I)
        assert "size=n" in str(error.value.__notes__)


def test_derivative() -> None:
    x = np.array([3.0, 1.0, 2.0, 1.0])
    for size in (None, 3):
        grad = anima.grad(lambda x, size=size: (np.unique(x, size=size) * np.arange(1.0, 4.0)).sum())(x)
        assert grad.tolist() == [3, 1, 2, 0]


def test_lists_are_refused() -> None:
    for call in (np.unique, lambda x: np.isin(x, J), lambda x: np.union1d(J, x)):
        with pytest.raises(TypeError, match="list"):
            call([1, 2])
