"""`scipy.ndimage`, `interpolate`, `integrate` and `cluster.vq` against SciPy; their dtypes, derivatives and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.cluster.vq
import scipy.integrate
import scipy.interpolate
import scipy.ndimage

import anima
import anima.numpy as anp
from anima.scipy import integrate, interpolate, ndimage
from anima.scipy.cluster import vq

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("mode", ["constant", "nearest", "wrap", "mirror", "reflect"])
@pytest.mark.parametrize("order", [0, 1])
def test_values_between_elements(mode: str, order: int) -> None:
    image, places = RNG.normal(size=(4, 5)), RNG.uniform(-6, 10, size=(2, 40))
    theirs = {"wrap": "grid-wrap", "constant": "grid-constant"}.get(mode, mode)
    with anima.enable_x64(True):
        got = ndimage.map_coordinates(image, list(places), order, mode=mode, cval=0.5)
        want = scipy.ndimage.map_coordinates(image, places, order=order, mode=theirs, cval=0.5)
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_dtypes_derivatives_and_errors_of_map_coordinates() -> None:
    image = anp.arange(12).reshape(3, 4)
    places = [anp.array([0.5, -1.0]), anp.array([1.0, 1.5])]
    found = ndimage.map_coordinates(image, places, 1)
    assert found.dtype == np.int32 and found.tolist() == [3, 0]
    assert ndimage.map_coordinates(image.astype(np.float16), places, 1).dtype == np.float16
    assert ndimage.map_coordinates(image > 3, places, 1).dtype == np.bool_
    value = lambda x: ndimage.map_coordinates(image * 1.0, [x, anp.float32(1.25)], 1)
    assert anima.grad(value)(0.5) == 4
    with pytest.raises(NotImplementedError, match="order"):
        ndimage.map_coordinates(image, places, 3)
    with pytest.raises(NotImplementedError, match="mode"):
        ndimage.map_coordinates(image, places, 1, mode="other")
    with pytest.raises(ValueError, match="each dimension"):
        ndimage.map_coordinates(image, places[:1], 1)


@pytest.mark.parametrize("method", ["linear", "nearest"])
@pytest.mark.parametrize("fill", [np.nan, None, 7.0])
def test_functions_on_a_grid(method: Any, fill: Any) -> None:
    grid = (np.sort(RNG.normal(size=4)), np.sort(RNG.normal(size=6))[::-1].copy())
    values, places = RNG.normal(size=(4, 6, 2)), RNG.normal(size=(5, 9, 2))
    with anima.enable_x64(True):
        got = interpolate.RegularGridInterpolator(grid, values, method, False, fill)(places)
        want = scipy.interpolate.RegularGridInterpolator(grid, values, method, False, fill)(places)
        np.testing.assert_allclose(got, want, atol=1e-12)


def test_derivatives_and_errors_on_a_grid() -> None:
    axis = anp.array([0.0, 1.0, 3.0])
    f = interpolate.RegularGridInterpolator((axis,), axis**2)
    assert anima.jit(anima.grad(lambda x: f(x[None, None])[0]))(2.0) == 4
    make = interpolate.RegularGridInterpolator
    for wrong, match in (
        (lambda: make((axis, axis), axis), "dimensions"),
        (lambda: make((axis[:2],), axis), "vector of 3"),
        (lambda: make((anp.array([0.0, 2.0, 1.0]),), axis), "throughout"),
        (lambda: make((axis,), axis, "cubic"), "method"),
        (lambda: make((axis,), axis, fill_value=1j), "complex"),
        (lambda: f(anp.ones((2, 2))), "last axis"),
        (lambda: f(anp.ones((2, 1)), "other"), "method"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()
    with pytest.raises(NotImplementedError, match="bounds_error"):
        make((axis,), axis, bounds_error=True)


def test_the_nearest_of_some_points() -> None:
    points, codes = RNG.normal(size=(20, 3)), RNG.normal(size=(5, 3))
    with anima.enable_x64(True):
        for a, b in ((points, codes), (points[:, 0], codes[:, 0])):
            for got, want in zip(vq.vq(a, b), scipy.cluster.vq.vq(a, b)):
                np.testing.assert_allclose(got, want, atol=1e-12)
    with pytest.raises(ValueError, match="one rank"):
        vq.vq(np.ones((4, 2)), np.ones(3))
    with pytest.raises(ValueError, match="vectors or matrices"):
        vq.vq(np.ones((4, 2, 1)), np.ones((3, 2, 1)))
    with pytest.raises(TypeError, match="one length"):
        vq.vq(np.ones((4, 2)), np.ones((3, 3)))


def test_trapezoids() -> None:
    y, x = RNG.normal(size=(3, 6)), np.sort(RNG.normal(size=6))
    np.testing.assert_allclose(integrate.trapezoid(y, x), scipy.integrate.trapezoid(y, x), rtol=1e-4)
