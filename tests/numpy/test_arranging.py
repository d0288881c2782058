"""Elements repeated, inserted, removed."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima import _native
from anima.errors import ConcretizationTypeError
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
X = rng.integers(-9, 9, (2, 3, 4)).astype("int32")
V = numpy.arange(5, dtype="int32")


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_repeat(axis) -> None:
    n = X.size if axis is None else X.shape[axis]
    for repeats in (2, 0, numpy.array([3]), rng.integers(0, 3, n)):
        check(lambda np, r=repeats: np.repeat(X, r, axis))
    check(lambda np: np.repeat(V[:0], V[:0]))
    check(lambda np: np.repeat(X[:, :0], 3, 1))


def test_repeat_to_a_fixed_size() -> None:
    for counts in ([1, 0, 2], [1, 0, 0], [0, 0, 3], [0, 0, 0]):
        for total in (0, 1, 2, 5):
            whole = numpy.repeat(numpy.array([7, 8, 9]), counts)[:total]
            expected = [*whole.tolist(), *[9] * (total - len(whole))]
            for call in (np.repeat, anima.jit(np.repeat, static_argnames="total_repeat_length")):
                found = call(np.array([7, 8, 9]), np.array(counts), total_repeat_length=total)
                assert found.tolist() == expected
    with pytest.raises(ConcretizationTypeError) as error:
        anima.jit(np.repeat)(V, V)
    assert "total_repeat_length" in str(error.value.__notes__)
    with pytest.raises(ValueError, match="2 repeats do not fit"):
        np.repeat(V, np.array([1, 2]))
    with pytest.raises(ValueError, match="negative"):
        np.repeat(V, -1)
    with pytest.raises(TypeError, match="integers"):
        np.repeat(V, 1.5)


def test_resize() -> None:
    for shape in (3, (3, 4), (2, 0), (30,), ()):
        check(lambda np, shape=shape: np.resize(X, shape))
    check(lambda np: np.resize(V[:0], 2))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_insert(axis) -> None:
    n = X.size if axis is None else X.shape[axis]
    for obj in (
        0,
        1,
        -1,
        n,
        numpy.array([1]),
        numpy.array([n, 0, 1, 1, -1]),
        slice(0, 2),
        numpy.array([], int),
    ):
        check(lambda np, obj=obj: np.insert(X, obj, 99, axis))
    mask = numpy.arange(n) % 2 == 0
    check(lambda np: np.insert(X, mask, 99, axis))


def test_insert_values() -> None:
    m = X[0]
    check(lambda np: np.insert(V, 1, numpy.array([9, 8])))
    check(lambda np: np.insert(V, numpy.array([1]), numpy.array([9, 8])))
    check(lambda np: np.insert(V, numpy.array([3, 0]), numpy.array([9, 8])))
    check(lambda np: np.insert(V, 1, 9.7))
    check(lambda np: np.insert(m, 1, numpy.array([9, 8, 7]), axis=1))
    check(lambda np: np.insert(m, numpy.array([1]), numpy.array([[9], [8], [7]]), axis=1))
    check(lambda np: np.insert(m, numpy.array([0, 2]), numpy.array([[9, 8]]), axis=1))
    check(lambda np: np.insert(m, 1, numpy.ones((2, 4)), axis=0))
    with pytest.raises(ValueError, match="do(es)? not broadcast"):
        np.insert(m, np.array([0, 2]), np.array([1, 2, 3]), axis=1)
    with pytest.raises(IndexError, match="out of bounds"):
        np.insert(V, 6, 1)


def test_insert_traced() -> None:
    traced = anima.jit(lambda i: np.insert(V, i, np.array([7, 8])))
    assert traced(np.array([4, 1])).tolist() == numpy.insert(V, [4, 1], [7, 8]).tolist()
    assert anima.jit(lambda i: np.insert(V, i, 9))(-1).tolist() == [0, 1, 2, 3, 9, 4]
    assert anima.jit(lambda i: np.insert(V, i, 9))(99).tolist() == [0, 1, 2, 3, 4, 9]
    with pytest.raises(ConcretizationTypeError):
        anima.jit(lambda m: np.insert(V, m, 9))(V > 2)


def test_other_places_need_no_other_program() -> None:
    np.insert(V, 1, 9), np.delete(V, 1)
    before = _native.compile_count()
    assert np.insert(V, 3, 9).tolist() == [0, 1, 2, 9, 3, 4]
    assert np.delete(V, 3).tolist() == [0, 1, 2, 4]
    assert _native.compile_count() == before


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_delete(axis) -> None:
    n = X.size if axis is None else X.shape[axis]
    for obj in (
        0,
        -1,
        numpy.array([1, 0]),
        numpy.array([0, 0]),
        slice(None, None, 2),
        slice(0, 9),
        numpy.array([], int),
    ):
        check(lambda np, obj=obj: np.delete(X, obj, axis))
    mask = numpy.arange(n) % 2 == 0
    check(lambda np: np.delete(X, mask, axis))


def test_delete_traced() -> None:
    unique = anima.jit(lambda i: np.delete(V, i, assume_unique_indices=True))
    assert unique(np.array([3, -5])).tolist() == [1, 2, 4]
    assert anima.jit(lambda i: np.delete(V, i))(2).tolist() == [0, 1, 3, 4]
    with pytest.raises(ConcretizationTypeError):
        anima.jit(np.delete)(V, V[:2])
    with pytest.raises(IndexError, match="out of bounds"):
        np.delete(V, 5)
    with pytest.raises(ValueError, match="mask"):
        np.delete(V, np.array([True, False]))
    with pytest.raises(TypeError, match="integers or booleans"):
        np.delete(V, 1.0)


def test_trim_zeros() -> None:
    for row in ([0, 0, 1, 0, 2, 0], [0, 0], [1, 2], []):
        for trim in ("f", "b", "fb"):
            check(lambda np, row=row, trim=trim: np.trim_zeros(numpy.array(row, "float32"), trim))
    block = numpy.zeros((3, 4, 5), "int32")
    block[1, 1:3, 2] = 1
    assert np.trim_zeros(block).shape == (1, 2, 1)
    assert np.trim_zeros(block, axis=1).shape == (3, 2, 5)
    assert np.trim_zeros(block, "f", (0, -1)).shape == (2, 4, 3)
    assert np.trim_zeros(block[:1]).shape == (0, 0, 0)
    with pytest.raises(ConcretizationTypeError):
        anima.jit(np.trim_zeros)(V)
    with pytest.raises(ValueError, match="trim must be"):
        np.trim_zeros(V, "x")


def test_derivatives() -> None:
    x = np.arange(3.0)
    assert anima.grad(lambda x: np.repeat(x, np.array([1, 0, 2])).sum())(x).tolist() == [1, 0, 2]
    assert anima.grad(lambda x: (np.insert(x, 1, x[0]) * np.arange(4.0)).sum())(x).tolist() == [1, 2, 3]
    assert anima.grad(lambda x: np.delete(x, 1).sum())(x).tolist() == [1, 0, 1]
    assert_same(anima.grad(lambda x: np.resize(x, 7).sum())(x), numpy.float32([3, 2, 2]))
