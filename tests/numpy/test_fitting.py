"""Roots of polynomials and polynomials that fit points."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima.errors import ConcretizationTypeError


def in_order(values) -> numpy.ndarray:
    return numpy.sort_complex(numpy.asarray(values).astype("complex64").round(3))


@pytest.mark.parametrize(
    "p",
    [
        [1.0, -3, 2], [1, -6, 11, -6], [2, 0, 0], [0, 0, 1, -3, 2, 0, 0], [1, 0, 4], [1j, 2, 1], [5], [], [0, 0], [0, 3, 6],
        [3, 4],
    ],
    ids=str,
)  # fmt: skip
class TestRoots:
    def test_against_numpy(self, p: list[complex]) -> None:
        wanted, found = numpy.roots(p), np.roots(np.array(p))
        assert found.dtype == "complex64" and found.shape == wanted.shape
        numpy.testing.assert_allclose(in_order(found), in_order(wanted), atol=2e-3)

    def test_of_a_fixed_size(self, p: list[complex]) -> None:
        wanted = numpy.roots(p)
        found = anima.jit(lambda p: np.roots(p, strip_zeros=False))(np.array(p))
        assert found.shape == (max(len(p) - 1, 0),)
        numpy.testing.assert_allclose(in_order(found[: len(wanted)]), in_order(wanted), atol=2e-3)
        assert np.isnan(found[len(wanted) :]).all()


def test_roots_of_several_and_their_derivatives() -> None:
    ps = np.array([[1.0, -3, 2], [0, 2, 4], [1, 2, 0]])
    found = anima.vmap(lambda p: np.roots(p, strip_zeros=False))(ps)
    numpy.testing.assert_allclose(in_order(found[0]), [1, 2], atol=1e-3)
    assert found[1][0] == -2 and np.isnan(found[1][1])
    assert found[2].tolist() == [-2, 0]
    # The larger root of x**2 - b x + 2 grows by 2 for each 1 that b = 3 grows by.
    slope = anima.grad(lambda b: np.roots(np.array([1.0, 0, 2]).at[1].set(-b), strip_zeros=False).real.max())(
        3.0
    )
    numpy.testing.assert_allclose(slope, 2.0, rtol=1e-4)


def test_roots_refuse() -> None:
    with pytest.raises(ValueError, match="must be a vector"):
        np.roots(np.ones((2, 2)))
    with pytest.raises(TypeError, match="got list"):
        np.roots([1, 2])
    with pytest.raises(ConcretizationTypeError, match="strip_zeros=False"):
        anima.jit(np.roots)(np.ones(3))
    assert np.roots(3.0).shape == (0,)


class TestPolyfit:
    x = numpy.linspace(-1, 2, 9, dtype="float32")
    y = numpy.random.default_rng(0).normal(size=(9, 2)).astype("float32")
    w = numpy.linspace(0.5, 1.5, 9, dtype="float32")

    @pytest.mark.parametrize("deg", [0, 1, 3])
    def test_coefficients(self, deg: int) -> None:
        for y in (self.y, self.y[:, 0]):
            for w in (None, self.w):
                wanted = numpy.polyfit(self.x, y, deg, w=w)
                numpy.testing.assert_allclose(np.polyfit(self.x, y, deg, w=w), wanted, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("cov", [True, "unscaled"])
    def test_covariance(self, cov: bool | str) -> None:
        for y in (self.y, self.y[:, 0]):
            wanted = numpy.polyfit(self.x, y, 2, w=self.w, cov=cov)
            found = np.polyfit(self.x, y, 2, w=self.w, cov=cov)
            for one, other in zip(found, wanted, strict=True):
                assert one.shape == other.shape
                numpy.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-4)

    def test_everything(self) -> None:
        wanted = numpy.polyfit(self.x, self.y, 2, full=True, rcond=1e-5)
        found = np.polyfit(self.x, self.y, 2, full=True, rcond=1e-5)
        for one, other in zip(found, wanted, strict=True):
            numpy.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)

    def test_dtypes(self) -> None:
        assert np.polyfit(np.arange(4), np.arange(4) * 2, 1).dtype == np.float32
        assert np.polyfit(np.arange(4.0) * 1j, np.arange(4), 1).dtype == np.complex64
        numpy.testing.assert_allclose(np.polyfit(np.arange(4.0) * 1j, np.arange(4.0), 1), [-1j, 0], atol=1e-5)
        assert np.polyfit(np.arange(4, dtype="bfloat16"), np.arange(4.0), 1).dtype == np.float32

    def test_transformed(self) -> None:
        fit = anima.jit(lambda y: np.polyfit(self.x, y, 1))
        columns = anima.vmap(fit, in_axes=1, out_axes=1)(self.y)
        numpy.testing.assert_allclose(columns, np.polyfit(self.x, self.y, 1), rtol=1e-4, atol=1e-5)
        slope = anima.jacobian(fit)(self.y[:, 0])  # the fit is linear in the values
        numpy.testing.assert_allclose(slope @ self.y[:, 0], fit(self.y[:, 0]), rtol=1e-3, atol=1e-4)

    def test_bad_arguments(self) -> None:
        x, y = np.arange(4.0), np.ones(4)
        for arguments in [(x[None], y), (x[:0], y[:0]), (x, y[:2]), (x, y[:, None, None])]:
            with pytest.raises(TypeError, match="must be a vector"):
                np.polyfit(*arguments, 1)
        for w in (x[:2], x[None]):
            with pytest.raises(TypeError, match="w must be a vector like x"):
                np.polyfit(x, y, 1, w=w)
        with pytest.raises(TypeError, match="got list"):
            np.polyfit([1, 2], [3, 4], 1)
        with pytest.raises(ValueError, match="deg must not be negative"):
            np.polyfit(x, y, -1)
        with pytest.raises(ValueError, match="unscaled"):
            np.polyfit(x, y, 3, cov=True)
        assert np.polyfit(x, y, 3, cov="unscaled")[1].shape == (4, 4)
