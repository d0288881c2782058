"""Discrete cosine transforms, against SciPy's."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import scipy.fft

import anima
import anima.numpy as np
from anima.scipy import fft
from tests.lax.derivatives import check_derivatives
from tests.lax.samples import complexes, floats
from tests.numpy.support import assert_same

NORMS = (None, "backward", "ortho", "forward")


@pytest.mark.parametrize("type", [1, 2, 3, 4])
def test_types_and_norms(type: int) -> None:
    one = [
        (name, floats((3, n)), (None, -1, norm))
        for name in ("dct", "idct")
        for n in (1, 2, 5, 6)
        for norm in NORMS
    ]
    several = [
        (name, complexes((3, 4, 5)), ((6, 3), (2, 0), norm)) for name in ("dctn", "idctn") for norm in NORMS
    ]
    cases = [case for case in [*one, *several] if case[1].shape[-1] > 1 or type > 1]
    found = anima.jit(
        lambda xs: [getattr(fft, name)(x, type, *more) for x, (name, _, more) in zip(xs, cases)]
    )([x for _, x, _ in cases])
    for result, (name, x, more) in zip(found, cases):
        assert_same(result, getattr(scipy.fft, name)(x, type, *more), 2e-5)


def test_axes_and_sizes() -> None:
    x = floats((3, 4, 5))
    for s, axes in ((None, None), ((2,), None), (None, (0, -1)), (None, ()), ([4, 4], [1, 2]), (3, 1)):
        assert_same(fft.dctn(x, s=s, axes=axes), scipy.fft.dctn(x, s=s, axes=axes), 1e-5)
    for n in (2, 9):
        assert_same(fft.dct(x, n=n, axis=1), scipy.fft.dct(x, n=n, axis=1), 1e-5)
    assert_same(fft.dct(floats((0, 4))), numpy.zeros((0, 4), "float32"))
    assert fft.dctn(1.5) == 1.5


def test_dtypes() -> None:
    with anima.enable_x64(True):
        for given, wanted in (("int32", "float32"), ("int64", "float64"), ("complex128", "complex128")):
            x = numpy.array([1, 2, 4]).astype(given)
            found = fft.dct(x)
            assert found.dtype == wanted
            numpy.testing.assert_allclose(
                found, scipy.fft.dct(x), rtol=1e-6 if wanted == "float32" else 1e-14
            )
    for given in ("float16", "bfloat16", "bool"):
        found = fft.idct(np.array([1, 0, 4], given))
        assert found.dtype == numpy.float32
        numpy.testing.assert_allclose(
            found, scipy.fft.idct(numpy.array([1, 0, 1 if given == "bool" else 4], "float32")), rtol=1e-6
        )


@pytest.mark.parametrize("type", [1, 2, 3, 4])
def test_derivatives(type: int) -> None:
    with anima.enable_x64(True):
        x = floats((2, 5), dtype=float)
        check_derivatives(lambda x: (fft.dctn(x, type, norm="ortho"), fft.idct(x, type, n=4)), (x,), (0,))


def test_under_transformations() -> None:
    x = floats((3, 4, 5))
    expected = scipy.fft.dct(x, axis=1)
    numpy.testing.assert_allclose(anima.vmap(lambda x: fft.dct(x, axis=0))(x), expected, atol=1e-5)
    numpy.testing.assert_allclose(anima.jit(lambda x: fft.dct(x, axis=1))(x), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: fft.dct([1.0]), TypeError, "dct requires ndarray"),
        (lambda x: fft.dct(x, 5), ValueError, "type must be 1, 2, 3 or 4, got 5"),
        (lambda x: fft.dct(x, norm="no"), ValueError, "norm must be"),
        (lambda x: fft.idct(x, n=0), ValueError, "idct: sizes of a transform must be positive"),
        (lambda x: fft.dct(x[:, :0]), ValueError, "needs at least 1 elements, got 0 along axis 1"),
        (lambda x: fft.dct(x[:, :1], 1), ValueError, "needs at least 2 elements, got 1 along axis 1"),
        (lambda x: fft.dct(x, axis=2), ValueError, "axes 2"),
        (lambda x: fft.dctn(x, axes=(0, -2)), ValueError, "axes must be distinct"),
        (lambda x: fft.dctn(x, s=(3,), axes=(0, 1)), ValueError, "s and axes must have equal lengths"),
    ],
)
def test_refuses(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(floats((2, 3)))
