"""Choosing among values."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import check

X = numpy.array([-2.0, 0.0, 3.0, numpy.nan, numpy.inf], "float32")
I = numpy.array([-2, 0, 3], "int32")


def test_where() -> None:
    check(lambda np: np.where(X > 0, X, numpy.float32(7)))
    check(lambda np: np.where(I, I, numpy.ones((2, 1), "int32")))
    check(lambda np: np.where(numpy.bool_(True), I, I))
    assert np.where(np.array([True, False]), 1, 2.5).weak_type
    assert np.where(I > 0, np.int8(1), 2).dtype == np.int8
    with pytest.raises(ValueError, match="neither"):
        np.where(X > 0, X)
    with pytest.raises(ValueError, match="where got incompatible shapes"):
        np.where(np.ones(2), np.ones(3), 1)


def test_gradient_of_where_is_that_of_the_branch() -> None:
    grad = anima.grad(lambda x: np.where(x > 0, x * 2, x * 3).sum())(np.array([1.0, -1.0]))
    assert grad.tolist() == [2, 3]


def test_select_and_piecewise() -> None:
    check(lambda np: np.select([I < 0, I > 0], [I * 2, I * 3], 9))
    check(lambda np: np.piecewise(X[:3], [X[:3] < 0, X[:3] > 0], [-1.0, lambda x: x * 2]))
    check(lambda np: np.piecewise(X[:3], [X[:3] < 0], [lambda x: -x, 5.0]))
    check(lambda np: np.choose(numpy.array([0, 1, 0]), [I, I * 2], mode="clip"))
    check(lambda np: np.choose(numpy.array([0, 1, 0]), [I, I * 2]), traced=False)
    assert np.choose(np.array([5, -5]), [np.array([1, 2]), np.array([3, 4])], mode="clip").tolist() == [3, 2]
    assert np.choose(np.array([3, -1]), [np.array([1, 2]), np.array([3, 4])], mode="wrap").tolist() == [3, 4]
    with pytest.raises(ValueError, match="choose"):
        np.choose(np.array([5]), [np.array([1])])
    with pytest.raises(ValueError, match="condlist must not be empty"):
        np.select([], [])
    with pytest.raises(ValueError, match="funclist"):
        np.piecewise(X, [X > 0], [1, 2, 3])


def test_clip() -> None:
    check(
        lambda np: np.clip(X, -1, 2), traced=False
    )  # the compiler's own evaluation of constants loses the NaN
    assert numpy.isnan(anima.jit(lambda x: np.clip(x, -1, 2))(X)[3])
    check(lambda np: np.clip(I, None, 1))
    check(lambda np: np.clip(I, numpy.array([[0], [1]], "int32"), 2))
    assert np.clip(I).tolist() == I.tolist()
    assert np.clip(np.arange(3), min=1).tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="complex"):
        np.clip(1j, 0, 1)


def test_nan_to_num() -> None:
    check(lambda np: np.nan_to_num(X))
    check(lambda np: np.nan_to_num(X, nan=1.0, posinf=2.0, neginf=3.0))
    check(lambda np: np.nan_to_num(numpy.array([complex(numpy.nan, numpy.inf)], "complex64")))
    assert np.nan_to_num(I).tolist() == I.tolist()
