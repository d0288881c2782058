"""Reading and writing at computed places."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
X = rng.integers(-9, 9, (3, 4, 5)).astype("int32")
NAN = numpy.nan


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_take(axis) -> None:
    for places in (
        numpy.array([[0, -1], [2, 1]]),
        numpy.array([], int),
        numpy.int8(1),
        numpy.array([2, 0], "uint8"),
    ):
        check(lambda np, places=places: np.take(X, places, axis))
        assert_same(
            np.take(X, places + 100, axis, mode="wrap"),
            numpy.take(X, places + numpy.int64(100), axis, mode="wrap"),
        )
        assert_same(np.take(X, places, axis, mode="clip"), numpy.take(X, places, axis, mode="clip"))


def test_take_out_of_bounds() -> None:
    x = np.array([1.0, 2, 3])
    places = np.array([0, 5, -1, -4])
    numpy.testing.assert_array_equal(np.take(x, places), [1, NAN, 3, NAN])
    assert np.take(x, places, fill_value=7).tolist() == [1, 7, 3, 7]
    assert np.take(x, places, mode="clip").tolist() == [1, 3, 1, 1]
    assert np.take(x, places, mode="wrap").tolist() == [1, 3, 3, 3]
    assert np.take(x.astype(int), places).tolist() == [1, -(2**31), 3, -(2**31)]
    assert np.take(x.astype("uint8"), places).tolist() == [1, 255, 3, 255]
    assert np.take(x > 1, True).tolist() is True
    assert np.take(np.zeros((0, 3)), np.zeros((0,), int), axis=0).shape == (0, 3)
    with pytest.raises(IndexError, match="empty"):
        np.take(np.zeros((0, 3)), 0, axis=0)


def test_take_errors() -> None:
    with pytest.raises(ValueError, match="compiled code cannot raise"):
        np.take(X, 0, mode="raise")
    with pytest.raises(ValueError, match="mode must be"):
        np.take(X, 0, mode="guess")
    with pytest.raises(TypeError, match="must be of integers"):
        np.take(X, 1.0)
    with pytest.raises(TypeError, match="list at position 1|argument indices"):
        np.take(X, [0])
    with pytest.raises(ValueError, match="out is not supported"):
        np.take(X, 0, out=X)


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        (0, (2, 4, 5)),
        (1, (3, 2, 5)),
        (-1, (3, 4, 2)),
        (1, (1, 2, 1)),
        (0, (2, 1, 5)),
        (2, (3, 1, 7)),
        (1, (3, 0, 5)),
    ],
)
def test_along_axis(axis: int, shape: tuple[int, ...]) -> None:
    places = rng.integers(-X.shape[axis], X.shape[axis], shape)
    check(lambda np: np.take_along_axis(X, places, axis))
    narrow = X[:1, :, :1]
    wide = rng.integers(0, 4, (3, 2, 5))
    check(lambda np: np.take_along_axis(narrow, wide, 1))
    unique = numpy.argsort(
        rng.random([n if i == axis % 3 else m for i, (n, m) in enumerate(zip(X.shape, shape))]), axis
    )
    unique = numpy.take(unique, numpy.arange(min(shape[axis], X.shape[axis])), axis)
    values = rng.integers(0, 99, unique.shape).astype("int32")
    expected = X.copy()
    numpy.put_along_axis(expected, unique, values, axis)
    assert_same(np.put_along_axis(X, unique, values, axis, inplace=False), expected)


def test_along_no_axis() -> None:
    places = numpy.array([3, -1])
    check(lambda np: np.take_along_axis(X, places, None))
    expected = X.copy()
    numpy.put_along_axis(expected, places, 99, None)
    assert_same(np.put_along_axis(X, places, 99, None, inplace=False), expected)


def test_along_axis_out_of_bounds() -> None:
    x = np.array([[1, 2, 3], [4, 5, 6]])
    far = np.array([[0], [5]])
    assert np.take_along_axis(x, far, 1, fill_value=9).tolist() == [[1], [9]]
    assert np.take_along_axis(x, far, 1, mode="clip").tolist() == [[1], [6]]
    assert np.take_along_axis(x, np.array([[-1]]), 1, wrap_negative_indices=False, fill_value=9).tolist() == [
        [9],
        [9],
    ]
    assert np.put_along_axis(x, far, 9, 1, inplace=False).tolist() == [[9, 2, 3], [4, 5, 6]]
    assert np.put_along_axis(x, far, 9, 1, inplace=False, mode="clip").tolist() == [[9, 2, 3], [4, 5, 9]]


def test_along_axis_errors() -> None:
    with pytest.raises(ValueError, match="same number of dimensions"):
        np.take_along_axis(X, np.array([0]), 0)
    with pytest.raises(ValueError, match="do not broadcast"):
        np.take_along_axis(X, np.zeros((2, 2, 5), int), 0)
    with pytest.raises(ValueError, match="one-dimensional if axis is None"):
        np.take_along_axis(X, np.zeros((2, 2), int), None)
    with pytest.raises(TypeError, match="must be of integers"):
        np.take_along_axis(X, X * 1.0, 0)
    with pytest.raises(IndexError, match="is empty"):
        np.take_along_axis(np.zeros((2, 0)), np.zeros((2, 1), int), 1)
    with pytest.raises(ValueError, match="do not broadcast to"):
        np.put_along_axis(X, np.zeros((1, 4, 5), int), np.ones(3), 0, inplace=False)


def test_transformations() -> None:
    x = np.array([1.0, 2, 3])
    assert anima.grad(lambda x: np.take(x, np.array([0, 0, 9]), fill_value=5).sum())(x).tolist() == [2, 0, 0]
    rows, places = np.arange(6.0).reshape(2, 3), np.array([[0, 0], [1, 2]])
    assert anima.grad(lambda x: np.take_along_axis(x, places, 1).sum())(rows).tolist() == [
        [2, 0, 0],
        [0, 1, 1],
    ]
    for call in (np.take, lambda x, i: np.take_along_axis(x, i, 0)):
        assert anima.vmap(call)(rows, places).tolist() == [[0, 0], [4, 5]]
    put = anima.vmap(lambda x, i: np.put(x, i, -1, inplace=False))(rows, places)
    assert put.tolist() == [[-1, 1, 2], [3, -1, -1]]


def changed(name: str, x: numpy.ndarray, *arguments):
    copy = x.copy()
    getattr(numpy, name)(copy, *arguments)
    return copy


def test_put_and_place() -> None:
    for places, values in (([0, 7], 99), ([0, 7, 2], [9, 8]), ([-1, 3], [1, 2, 3])):
        arguments = (numpy.array(places), numpy.array(values, "int32"))
        assert_same(np.put(X, *arguments, inplace=False), changed("put", X, *arguments))
    assert_same(
        np.put(X, numpy.array([61, -61]), 5, "wrap", inplace=False), changed("put", X, [61, -61], 5, "wrap")
    )
    assert np.put(np.arange(3), np.array([7]), 9, inplace=False).tolist() == [0, 1, 9]
    assert_same(np.place(X, X > 3, numpy.array([7, 8]), inplace=False), changed("place", X, X > 3, [7, 8]))
    with pytest.raises(ValueError, match="same size"):
        np.place(X, X[0] > 3, 1, inplace=False)
    with pytest.raises(ValueError, match="vals must not be empty"):
        np.place(X, X > 3, np.zeros((0,)), inplace=False)


def test_fill_diagonal() -> None:
    for shape in ((3, 3), (5, 2), (2, 5), (7, 3), (2, 2, 2)):
        x = numpy.zeros(shape, "int32")
        for values in (5, numpy.array([1, 2])):
            for wrap in (False, True):
                expected = changed("fill_diagonal", x, values, wrap)
                assert_same(np.fill_diagonal(x, values, wrap, inplace=False), expected)
    with pytest.raises(ValueError, match="at least two"):
        np.fill_diagonal(np.zeros(3), 1, inplace=False)
    with pytest.raises(ValueError, match="equal size"):
        np.fill_diagonal(np.zeros((2, 2, 3)), 1, inplace=False)


def test_nothing_happens_in_place() -> None:
    for call in (
        lambda: np.put(X, 0, 1),
        lambda: np.place(X, X > 0, 1),
        lambda: np.put_along_axis(X, X, 1, 0),
    ):
        with pytest.raises(ValueError, match="Pass inplace=False"):
            call()
    with pytest.raises(NotImplementedError, match="Pass inplace=False"):
        np.fill_diagonal(X[0], 1)
