"""Polynomials."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima.errors import ConcretizationTypeError
from tests.numpy.support import assert_same

rng = numpy.random.default_rng(0)


def coefficients(n: int) -> numpy.ndarray:
    return rng.integers(-3, 4, n).astype("float32")


def single(value):
    return numpy.asarray(value).astype("complex64" if numpy.iscomplexobj(value) else "float32")


@pytest.mark.parametrize("n", [0, 1, 4, 40])
def test_polyval(n: int) -> None:
    p, x = coefficients(n), numpy.array([[-1, 0.5], [0.25, 1]], "float32")
    for unroll in (1, 16):
        assert_same(np.polyval(p, x, unroll=unroll), single(numpy.polyval(p, x)), 1e-5)
    assert_same(np.polyval(p, 0.5), single(numpy.polyval(p, 0.5)), 1e-5)


def test_polyval_of_several() -> None:
    p = np.array([[1, 2], [3, 4]])
    assert np.polyval(p, np.array([1, 2])).tolist() == [4, 8]
    assert np.polyval(np.array([1, 2, 3]), 2).dtype == np.int32
    assert anima.grad(lambda x: np.polyval(np.array([1.0, 0, 0]), x))(3.0) == 6
    with pytest.raises(ValueError, match="at least one dimension"):
        np.polyval(1, 2)


def test_sums_and_products() -> None:
    a, b = coefficients(5), coefficients(3)
    for x, y in ((a, b), (b, a), (a, a), (a[:1], b)):
        assert_same(np.polyadd(x, y), numpy.polyadd(x, y))
        assert_same(np.polysub(x, y), numpy.polysub(x, y))
        assert_same(np.polymul(x, y), numpy.convolve(x, y))
    assert np.polymul(np.zeros((0,)), np.ones(1)).tolist() == [0]
    leading = np.array([0, 0, 1, 2])
    assert np.polymul(leading, leading).shape == (7,)
    assert np.polymul(leading, leading, trim_leading_zeros=True).tolist() == [1, 4, 4]
    with pytest.raises(ConcretizationTypeError):
        anima.jit(lambda a: np.polymul(a, a, trim_leading_zeros=True))(leading)
    with pytest.raises(ValueError, match="must be a vector"):
        np.polyadd(a, 3)


@pytest.mark.parametrize(("n", "m"), [(5, 2), (3, 3), (2, 4), (4, 1), (40, 3)])
def test_polydiv(n: int, m: int) -> None:
    u, v = coefficients(n), coefficients(m)
    v[0], v[1:] = (
        8,
        v[1:] / 8,
    )  # roots inside the unit circle: otherwise the quotient grows, and rounding with it
    u[0] = 1
    quotient, remainder = np.polydiv(u, v)
    assert remainder.shape == (n,)
    again = np.polyadd(np.polymul(quotient, v), remainder)
    numpy.testing.assert_allclose(again[-n:], u, rtol=1e-5, atol=1e-5)
    assert not again[:-n].any()
    if n < 10:
        theirs = numpy.polydiv(u, v)
        assert_same(quotient, single(theirs[0]), 1e-4)
        assert_same(
            np.polydiv(np.array(u), v, trim_leading_zeros=False)[1][n - len(theirs[1]) :],
            single(theirs[1]),
            1e-4,
        )
    exact = np.polydiv(np.array([1.0, 2, 1]), np.array([1.0, 1]), trim_leading_zeros=True)
    assert exact[1].shape == (0,)
    with pytest.raises(ValueError, match="empty"):
        np.polydiv(u, np.zeros((0,)))


@pytest.mark.parametrize("m", [0, 1, 2, 3, 7])
def test_derivatives_and_integrals(m: int) -> None:
    p = coefficients(5)
    expected = numpy.polyder(p, m)
    assert_same(np.polyder(p, m), single(expected if m < 5 else numpy.zeros(0)))
    assert_same(np.polyint(p, m), single(numpy.polyint(p, m)), 1e-5)
    if m:
        k = numpy.arange(1, m + 1)
        assert_same(np.polyint(p, m, k), single(numpy.polyint(p, m, k)), 1e-5)
        assert_same(np.polyint(p, m, 2), single(numpy.polyint(p, m, [2] * m)), 1e-5)


def test_order_errors() -> None:
    p = coefficients(3)
    for call in (np.polyder, np.polyint):
        with pytest.raises(ValueError, match="m must not be negative"):
            call(p, -1)
    with pytest.raises(ValueError, match="k must be a number or 2"):
        np.polyint(p, 2, np.ones(3))


@pytest.mark.parametrize("n", [0, 1, 3, 20])
def test_poly(n: int) -> None:
    roots = rng.normal(size=n).astype("float32")
    assert_same(np.poly(roots), single(numpy.poly(roots)), 1e-3)
    assert np.poly(np.array([1j, -1j])).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="vector"):
        np.poly(np.ones((2, 3)))


def test_vander() -> None:
    for x in (numpy.array([1, 2, 3]), numpy.array([0.5, -2], "float32")):
        for n in (None, 0, 2, 4):
            for increasing in (False, True):
                assert_same(np.vander(x, n, increasing), numpy.vander(x, n, increasing))
    with pytest.raises(ValueError, match="vector"):
        np.vander(np.ones((2, 2)))
    with pytest.raises(ValueError, match="negative"):
        np.vander(np.ones(2), -1)
