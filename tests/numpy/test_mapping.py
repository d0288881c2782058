"""Functions applied to parts of arrays."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import check

X = numpy.arange(24, dtype="float32").reshape(2, 3, 4)


def test_apply_along_axis() -> None:
    for axis in (0, 1, -1):
        check(lambda np, axis=axis: np.apply_along_axis(lambda v: v.sum(), axis, X))
        check(lambda np, axis=axis: np.apply_along_axis(lambda v: v[::2], axis, X))
    outer = np.apply_along_axis(lambda v: v[:, None] * v, 1, X)
    assert outer.shape == (2, 3, 3, 4)
    pair = np.apply_along_axis(lambda v, k, m: (v.sum() * k, v + m), 0, X, 2, m=1)
    assert [p.shape for p in pair] == [(3, 4), (2, 3, 4)]
    with pytest.raises(ValueError, match="out of bounds"):
        np.apply_along_axis(np.sum, 3, X)


def test_apply_over_axes() -> None:
    check(lambda np: np.apply_over_axes(np.sum, X, (0, -1)))
    check(lambda np: np.apply_over_axes(np.sum, X, 1))
    with pytest.raises(ValueError, match="func returned"):
        np.apply_over_axes(lambda x, axis: x[0, 0], X, (0, 1))


def test_vectorize_scalars() -> None:
    multiply = np.vectorize(lambda a, b: a * b)
    assert multiply(np.arange(3), np.array([[1], [2]])).tolist() == [[0, 1, 2], [0, 2, 4]]
    assert multiply([1, 2], 3).tolist() == [3, 6]
    assert multiply(2, 3).weak_type
    assert np.vectorize(lambda a, k: a * k)(np.arange(2), k=np.array([3, 4])).tolist() == [0, 4]
    assert [r.tolist() for r in np.vectorize(lambda a, b: (a, a + b))(np.arange(2), 1)] == [[0, 1], [1, 2]]
    assert np.vectorize(lambda a: a * 2)(np.zeros((0, 3))).shape == (0, 3)


def test_vectorize_with_signature() -> None:
    product = np.vectorize(lambda a, b: a @ b, signature="(n,m),(m)->(n)")
    a, b = X[:, :2], X[:1, :1]
    assert product(a, b).tolist() == (a @ b[0, 0])[None].tolist()
    assert product(np.ones((4, 2, 3)), np.ones((5, 1, 3))).shape == (5, 4, 2)
    assert product(np.ones((1, 2, 3)), np.ones((1, 1, 3))).shape == (1, 1, 2)
    split = np.vectorize(lambda a: (a.sum(), a), signature=" (n) -> (), (n) ")
    assert [r.shape for r in split(X)] == [(2, 3), (2, 3, 4)]


def test_vectorize_excluded() -> None:
    scaled = np.vectorize(lambda a, k: a * k[0], excluded={1}, signature="()->()")
    assert scaled(np.arange(3), (2, "unused")).tolist() == [0, 2, 4]
    named = np.vectorize(lambda a, k: a * k[0], excluded={"k"})
    assert named(np.arange(3), k=(2,)).tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match="negative"):
        np.vectorize(abs, excluded={-1})
    with pytest.raises(TypeError, match="numbers and names"):
        np.vectorize(abs, excluded={1.5})


def test_vectorize_transformed() -> None:
    multiply = np.vectorize(lambda a, b: a * b)
    assert anima.jit(multiply)(np.arange(2.0), 3.0).tolist() == [0, 3]
    grad = anima.grad(lambda x: multiply(x, np.array([2.0, 3.0])).sum())(np.array([[1.0], [2.0]]))
    assert grad.tolist() == [[5], [5]]


@pytest.mark.parametrize("signature", ["n->()", "(n", "(n)", "(n)->", "(n;m)->()"])
def test_bad_signatures(signature: str) -> None:
    with pytest.raises(ValueError, match="signature must be like"):
        np.vectorize(abs, signature=signature)


def test_what_does_not_fit_a_signature() -> None:
    with pytest.raises(ValueError, match="size 2 in core dimension 'm', not 3"):
        np.vectorize(lambda a, b: a @ b, signature="(n,m),(m)->(n)")(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="too few dimensions"):
        np.vectorize(lambda a: a, signature="(n,m)->()")(np.ones(2))
    with pytest.raises(ValueError, match="result 0"):
        np.vectorize(lambda a: a.sum(), signature="(n)->(n)")(np.ones(2))
    with pytest.raises(TypeError, match="returned 2 results"):
        np.vectorize(lambda a: (a, a), signature="(n)->(n)")(np.ones(2))
    with pytest.raises(TypeError, match="takes 2 positional"):
        np.vectorize(lambda a: a, signature="(n),(n)->()")(np.ones(2))
    with pytest.raises(TypeError, match="callable"):
        np.vectorize(3)
