"""Interpolation, convolution, cross products."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
XP = numpy.array([-1, 0, 0.5, 2, 5], "float32")
FP = numpy.array([1, 3, -2, 0, 4], "float32")
X = numpy.array([[-3, -1, -0.5, 0], [0.25, 3, 5, 9]], "float32")


def test_interp() -> None:
    check(lambda np: np.interp(X, XP, FP).astype("float32"), tolerance=1e-5)
    check(lambda np: np.interp(X, XP, FP, left=7, right=-7).astype("float32"), tolerance=1e-5)
    check(lambda np: np.interp(X, XP, FP * 1j).astype("complex64"), tolerance=1e-5)
    check(lambda np: np.interp(X, XP[::-1], FP, period=4).astype("float32"), tolerance=1e-5)
    check(lambda np: np.interp(X, XP[:1], FP[:1], left=7).astype("float32"))
    assert_same(
        np.interp(numpy.array([1, 2]), numpy.array([0, 4]), numpy.array([1, 3])), numpy.float32([1.5, 2])
    )
    assert np.interp(numpy.float32(numpy.nan), XP, FP) != 0


def test_interp_beyond_the_points() -> None:
    found = np.interp(np.array([-2.0, 6.0]), XP, FP, left="extrapolate", right="extrapolate")
    numpy.testing.assert_allclose(found, [-1, 4 + 4 / 3], rtol=1e-6)
    with pytest.raises(ValueError, match="left must be"):
        np.interp(X, XP, FP, left="guess")


def test_interp_derivatives() -> None:
    assert anima.grad(lambda x: np.interp(x, XP, FP))(1.0) == pytest.approx(2 / 1.5)
    weights = anima.grad(lambda fp: np.interp(1.25, XP, fp))(FP)
    numpy.testing.assert_allclose(weights, [0, 0, 0.5, 0.5, 0])
    doubled = np.array([0.0, 1, 1, 2])
    for argument in (0, 1, 2):
        grad = anima.grad(lambda *a: np.interp(*a).sum(), argument)(np.array([1.0]), doubled, np.arange(4.0))
        assert numpy.isfinite(grad).all()


def test_interp_errors() -> None:
    with pytest.raises(ValueError, match="vectors of one size"):
        np.interp(X, XP, FP[:2])
    with pytest.raises(ValueError, match="empty"):
        np.interp(X, XP[:0], FP[:0])
    with pytest.raises(ValueError, match="period"):
        np.interp(X, XP, FP, period=0)
    with pytest.raises(TypeError, match="list"):
        np.interp([1.0], XP, FP)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(
    "sizes", [(1, 1), (5, 1), (5, 2), (2, 5), (3, 3), (7, 4), (90, 33), (40, 200), (300, 70)]
)
def test_convolution(mode: str, sizes: tuple[int, int]) -> None:
    a, v = (rng.integers(-3, 4, n).astype("float32") for n in sizes)
    check(lambda np: np.convolve(a, v, mode))
    check(lambda np: np.correlate(a, v, mode))
    z, w = (a + 1j * a[::-1]).astype("complex64"), (v - 2j * v[::-1]).astype("complex64")
    check(lambda np: np.convolve(z, w, mode), tolerance=1e-5)
    check(lambda np: np.correlate(z, w, mode), tolerance=1e-5)


def test_convolution_dtypes() -> None:
    assert np.convolve(np.array([1, 2]), np.array([1, 2])).dtype == np.float32
    half = np.ones(600, np.bfloat16)
    assert np.convolve(half, half, "same").max() == 600
    assert np.convolve(half, half, preferred_element_type=np.float32).dtype == np.float32


def test_infinities_stay_where_they_are() -> None:
    a = numpy.zeros(100, "float32")
    a[50] = numpy.inf
    found = np.convolve(a, numpy.ones(35, "float32"))
    assert numpy.isinf(found).sum() == 35
    assert not numpy.isnan(found).any()


def test_convolution_derivative() -> None:
    for n in (3, 50):
        v = rng.normal(size=n).astype("float32")
        grad = anima.grad(lambda a, v=v: np.convolve(a, v).sum())(np.ones(60))
        numpy.testing.assert_allclose(grad, numpy.full(60, v.sum()), rtol=1e-4)


def test_convolution_errors() -> None:
    with pytest.raises(ValueError, match="one-dimensional"):
        np.convolve(X, XP)
    with pytest.raises(ValueError, match="empty"):
        np.correlate(XP, XP[:0])
    with pytest.raises(ValueError, match="mode"):
        np.convolve(XP, FP, "most")
    with pytest.raises(ValueError):
        np.convolve(XP, FP, precision="guess")


def test_cross() -> None:
    a, b = (rng.integers(-5, 6, (2, 4, 3)).astype("int32") for _ in range(2))
    check(lambda np: np.cross(a, b))
    check(lambda np: np.cross(a, b[0, 0]))
    check(lambda np: np.cross(a, b, axisc=0))
    check(lambda np: np.cross(a.transpose(2, 0, 1), b.transpose(0, 2, 1), axisa=0, axisb=1))
    check(lambda np: np.cross(a.swapaxes(0, 2), b.swapaxes(0, 2), axis=0))
    flat = np.cross(a[..., :2], b[..., :2])
    assert flat.tolist() == numpy.cross(a * [1, 1, 0], b * [1, 1, 0])[..., 2].tolist()
    assert np.cross(a[..., :2], b).tolist() == numpy.cross(a * [1, 1, 0], b).tolist()
    with pytest.raises(ValueError, match="two or three"):
        np.cross(np.ones(4), np.ones(4))
