"""Fourier transforms along chosen axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from tests.lax.derivatives import check_derivatives
from tests.lax.samples import complexes, floats
from tests.numpy.support import assert_same

REAL = floats((3, 4, 5))
COMPLEX = complexes((3, 4, 5))
NORMS = (None, "backward", "ortho", "forward")
SIGNALS = {"rfft": REAL, "ihfft": REAL, "rfft2": REAL, "rfftn": REAL}  # the others take complex numbers


def check_cases(name: str, x: numpy.ndarray, cases: Sequence[tuple[Any, ...]], tolerance: float) -> None:
    """The transform of `x` with each of the arguments, all in one program."""
    found = anima.jit(lambda x: [getattr(np.fft, name)(x, *case) for case in cases])(x)
    for result, case in zip(found, cases):
        assert_same(result, getattr(numpy.fft, name)(x, *case), tolerance)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_along_one_axis(name: str) -> None:
    x = SIGNALS.get(name, COMPLEX)
    sizes = [(n, 1) for n in (None, 1, 2, 3, 4, 7, 8)]
    check_cases(name, x, [*sizes, *[(n, 1, norm) for norm in NORMS for n in (None, 7)]], 1e-5)
    assert_same(getattr(np.fft, name)(x), getattr(numpy.fft, name)(x), 1e-5)
    for shape in ((0, 4), (4, 0, 3)):
        nothing = numpy.zeros(shape, x.dtype)
        assert_same(getattr(np.fft, name)(nothing), getattr(numpy.fft, name)(nothing))


SEVERAL = ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]


@pytest.mark.parametrize("name", SEVERAL)
def test_along_several_axes(name: str) -> None:
    x = SIGNALS.get(name, COMPLEX)
    cases: list[tuple[Any, ...]] = [(), *[((2, 7), (0, -1), norm) for norm in NORMS]]
    check_cases(name, x, [*cases, ((6, 3), (2, 1)), (None, (-1, 0)), ([4, 4], [1, 2])], 2e-5)
    assert_same(getattr(np.fft, name)(x, axes=[0, 1]), getattr(numpy.fft, name)(x, axes=[0, 1]), 2e-5)


@pytest.mark.parametrize("name", SEVERAL[4:])
def test_of_many_dimensions(name: str) -> None:
    x = (floats if name == "rfftn" else complexes)((2, 3, 2, 3, 4))
    cases = [(), (None, (3, 0, 4, 1)), ((3, 2, 3, 2), (0, 1, 2, 3), "ortho")]
    check_cases(name, x, cases, 1e-4)
    assert_same(getattr(np.fft, name)(x, s=(3, 2)), getattr(numpy.fft, name)(x, (3, 2), (-2, -1)), 1e-4)


def test_of_no_dimension() -> None:
    assert np.fft.fftn(2.0).dtype == numpy.complex64
    assert np.fft.rfftn(numpy.float32(2)).dtype == numpy.float32
    assert_same(np.fft.fftn(REAL, axes=()), REAL.astype("complex64"))


def test_an_inverse_of_one_element() -> None:
    assert np.fft.irfft(numpy.zeros(1, "complex64")).shape == (0,)
    assert np.fft.irfft(numpy.zeros(0, "complex64")).shape == (0,)
    assert_same(np.fft.irfft(numpy.ones(1, "complex64"), n=1), numpy.ones(1, "float32"))


@pytest.mark.parametrize(
    ("dtype", "spectrum"),
    [("bool", "complex64"), ("int8", "complex64"), ("int64", "complex128"), ("float64", "complex128")],
)
def test_dtypes(dtype: str, spectrum: str) -> None:
    with anima.enable_x64(True):
        x = numpy.array([1, 0, 1, 1]).astype(dtype)
        for name in ("fft", "rfft"):
            found = getattr(np.fft, name)(x)
            assert found.dtype == spectrum
            numpy.testing.assert_allclose(found, getattr(numpy.fft, name)(x), atol=1e-6)
        assert np.fft.hfft(x).dtype == numpy.dtype(spectrum).type(0).real.dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype: str) -> None:
    x = np.array([1, 2, 3], dtype)
    assert_same(np.fft.fft(x), numpy.fft.fft([1, 2, 3]), 1e-6)
    with pytest.raises(ValueError, match="RFFT takes float32 or float64"):
        np.fft.rfft(x)


def test_frequencies() -> None:
    for n in (1, 2, 5, 8):
        assert_same(np.fft.fftfreq(n, 0.1), numpy.fft.fftfreq(n, 0.1))
        assert_same(np.fft.rfftfreq(n, 3), numpy.fft.rfftfreq(n, 3))
    assert np.fft.rfftfreq(0).shape == (1,)
    assert np.fft.fftfreq(-2).shape == (0,)
    assert np.fft.fftfreq(4, dtype="float16").dtype == numpy.float16
    assert np.fft.rfftfreq(4, device=anima.devices()[0]).committed
    numpy.testing.assert_array_equal(np.fft.fftfreq(4, 0), [numpy.nan, numpy.inf, -numpy.inf, -numpy.inf])
    slope = anima.jacfwd(lambda d: np.fft.fftfreq(4, d))(2.0)
    numpy.testing.assert_allclose(slope, [0, -1 / 16, 1 / 8, 1 / 16])
    with pytest.raises(ValueError, match="n must be an integer"):
        np.fft.fftfreq(4.5)
    with pytest.raises(ValueError, match="d must be one number"):
        np.fft.rfftfreq(4, [1.0])


def test_shifts() -> None:
    x = numpy.arange(20).reshape(4, 5).astype("int32")
    for axes in (None, -1, (0, 1), [0], (0, 0), ()):
        assert_same(np.fft.fftshift(x, axes), numpy.fft.fftshift(x, axes))
        assert_same(np.fft.ifftshift(x, axes), numpy.fft.ifftshift(x, axes))
    assert np.fft.fftshift(numpy.int8(3)) == 3
    with pytest.raises(ValueError, match=r"fftshift.*axes 5"):
        np.fft.fftshift(x, 5)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_derivatives(name: str) -> None:
    """With padding and cutting, to second order."""
    x = SIGNALS.get(name, COMPLEX)[0]
    with anima.enable_x64(True):
        wide = x.astype("float64" if x.dtype == "float32" else "complex128")
        transform = getattr(np.fft, name)
        check_derivatives(lambda x: (transform(x, 3, 0, "ortho"), transform(x, 6, 0)), (wide,), (0,))


def test_under_transformations() -> None:
    x = floats((2, 3, 4))

    def power(x: Any) -> Any:
        return (np.abs(np.fft.rfft2(x)) ** 2).sum()

    # By Parseval's theorem a mean of squares, with half of the spectrum left out.
    slope = anima.grad(lambda x: (np.abs(np.fft.fft2(x)) ** 2).sum())(x[0])
    numpy.testing.assert_allclose(slope, 2 * math.prod(x[0].shape) * x[0], rtol=1e-5)
    each = numpy.stack([anima.grad(power)(v) for v in x])
    numpy.testing.assert_allclose(anima.vmap(anima.grad(power))(x), each, rtol=1e-5)
    numpy.testing.assert_allclose(anima.jit(anima.vmap(anima.grad(power)))(x), each, rtol=1e-5)
    nested = anima.vmap(anima.vmap(np.fft.fft, in_axes=1), in_axes=2)(x)
    numpy.testing.assert_allclose(nested, numpy.fft.fft(x.transpose(2, 1, 0)), atol=1e-5)
    second = anima.hessian(power)(x[0][:2, :2])
    assert numpy.abs(second).max() > 1

    def body(carry: Any, _: Any) -> tuple[Any, Any]:
        return np.fft.irfft(np.fft.rfft(carry) * 2, 4), None

    out, _ = anima.lax.scan(body, x[0], None, length=3)
    numpy.testing.assert_allclose(out, 8 * x[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: np.fft.fft([1, 2]), TypeError, "fft requires ndarray"),
        (lambda: np.fft.fft(REAL, n=0), ValueError, "fft.fft: sizes of a transform must be positive, got 0"),
        (lambda: np.fft.fft(REAL, axis=3), ValueError, "axes 3"),
        (lambda: np.fft.fft(REAL, axis=(0,)), ValueError, "axis must be one integer.*fftn"),
        (lambda: np.fft.fft(REAL, norm="no"), ValueError, "norm must be 'backward', 'ortho' or 'forward'"),
        (lambda: np.fft.hfft(REAL, norm="no"), ValueError, "fft.hfft: norm"),
        (lambda: np.fft.fft(1.0), ValueError, "axes -1"),
        (lambda: np.fft.rfft(COMPLEX), ValueError, "RFFT takes real numbers"),
        (lambda: np.fft.rfftn(COMPLEX, axes=()), ValueError, "RFFT takes real numbers"),
        (lambda: np.fft.fft2(REAL, axes=(0,)), ValueError, "fft2: axes must be two"),
        (lambda: np.fft.fftn(REAL, axes=(0, -3)), ValueError, "axes must be distinct"),
        (lambda: np.fft.fftn(REAL, s=(3,), axes=(0, 1)), ValueError, "s and axes must have equal lengths"),
        (lambda: np.fft.irfftn(REAL, s=(3, 4, 5, 6)), ValueError, "s has 4 sizes"),
    ],
)
def test_refuses(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
