"""Resampling against loops over the formulas of the kernels, PyTorch, overlaps of areas and difference quotients."""

from __future__ import annotations

import ml_dtypes
import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import image
from anima.config import enable_x64
from anima.image import ResizeMethod


def kernel(name: str, x: float) -> float:
    x = abs(x)
    if name == "linear":
        return max(0.0, 1 - x)
    if name == "cubic":
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
    radius = int(name[-1])
    return float(onp.sinc(x) * onp.sinc(x / radius)) if x < radius else 0.0


def resampled(x, outputs: int, scale: float, shift: float, name: str, antialias: bool):
    """One dimension, by loops."""
    result = onp.zeros(outputs)
    width = max(1 / scale, 1) if antialias else 1
    for i in range(outputs):
        place = (i + 0.5 - shift) / scale - 0.5
        weights = [kernel(name, (place - j) / width) for j in range(len(x))]
        if -0.5 <= place <= len(x) - 0.5:
            result[i] = onp.dot(weights, x) / sum(weights)
    return result


ROW = onp.array([1.0, 5.0, 2.0, 8.0, 3.0, 0.0, 7.0])


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("name", ["linear", "cubic", "lanczos3", "lanczos5"])
def test_kernels(name: str, antialias: bool) -> None:
    with enable_x64(True):
        for outputs in (1, 3, 7, 11):
            if outputs == len(ROW):
                continue
            got = image.resize(ROW, (outputs,), name, antialias)
            onp.testing.assert_allclose(
                got, resampled(ROW, outputs, outputs / len(ROW), 0, name, antialias), atol=1e-12
            )
        for scale, shift in ((1.3, -1.0), (0.4, 0.7), (2.5, 3.0)):
            got = image.scale_and_translate(
                ROW, (5,), (0,), onp.array([scale]), onp.array([shift]), name, antialias
            )
            onp.testing.assert_allclose(got, resampled(ROW, 5, scale, shift, name, antialias), atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_borders_of_the_bicubic_of_pytorch_repeat(size: int) -> None:
    def keys(x: float) -> float:  # Keys' cubic with a slope of -0.75
        if x < 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    pixels = ROW[:size]
    repeated = onp.pad(pixels, 2, mode="edge")
    for shift in (9.0, 9.25, 9.6):
        want = onp.zeros(24)
        for i in range(24):
            weights = onp.array([keys(abs(i - shift - j)) for j in range(-2, size + 2)])
            if abs(weights.sum()) > 1e-4:
                want[i] = weights @ repeated / weights.sum()
        got = image.scale_and_translate(
            pixels, (24,), (0,), onp.ones(1), onp.array([shift]), "cubic-pytorch", False
        )
        onp.testing.assert_allclose(got, want, atol=2e-5)


def test_dimensions_are_resampled_one_after_the_other() -> None:
    x = onp.random.RandomState(0).randn(4, 2, 6)
    with enable_x64(True):
        got = image.resize(x, (3, 2, 9), "cubic")
        want = onp.apply_along_axis(resampled, 0, x, 3, 3 / 4, 0, "cubic", True)
        want = onp.apply_along_axis(resampled, 2, want, 9, 9 / 6, 0, "cubic", True)
        onp.testing.assert_allclose(got, want, atol=1e-12)
        batched = anima.vmap(lambda x: image.resize(x, (3, 9), "cubic"), 1, 1)(x)
        onp.testing.assert_allclose(batched, want, atol=1e-12)
        jitted = anima.jit(lambda x: image.resize(x, (3, 2, 9), "cubic"))(x)
        onp.testing.assert_allclose(jitted, want, atol=1e-12)


def test_areas() -> None:
    onp.testing.assert_allclose(image.resize(ROW[:6], (3,), "area"), [3, 5, 1.5], rtol=1e-6)
    want = [
        (1 + 5 + 2 / 3) / (7 / 3),
        (2 / 3 + 0) * 0 + (2 * 2 / 3 + 8 + 3 * 2 / 3) / (7 / 3),
        (1 + 0 + 7) / (7 / 3),
    ]
    onp.testing.assert_allclose(image.resize(ROW, (3,), "area"), want, rtol=2e-6)


def test_nearest() -> None:
    for outputs in (1, 3, 7, 9, 20):
        places = onp.floor((onp.arange(outputs) + 0.5) * 7 / outputs).astype(int)
        onp.testing.assert_array_equal(image.resize(ROW, (outputs,), "nearest"), ROW[places])
    assert image.resize(onp.array([True, False]), (4,), "nearest").tolist() == [True, True, False, False]
    slope = anima.grad(lambda x: image.resize(x, (5,), "nearest")[1])(np.arange(3.0))
    assert slope.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "float32", "complex64"])
def test_dtypes(dtype: str) -> None:
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else onp.dtype(dtype)
    x = ROW.astype(kind)
    got = image.resize(x, (3,), "linear")
    assert got.dtype == (onp.float32 if onp.dtype(kind).kind in "biu" else kind)
    want = resampled(x.astype(complex).real, 3, 3 / 7, 0, "linear", True)
    exact = want.astype(got.dtype) if dtype in ("float16", "bfloat16") else want
    onp.testing.assert_allclose(onp.asarray(got).astype(complex).real, exact.astype(complex).real, rtol=1e-6)
    assert image.resize(x, (3,), "nearest").dtype == kind


def test_derivatives() -> None:
    with enable_x64(True):

        def value(x, scale, shift):
            return (image.scale_and_translate(x, (5,), (0,), scale[None], shift[None], "cubic") ** 2).sum()

        at = (np.asarray(ROW), np.array(0.8), np.array(0.3))
        for position in (1, 2):
            moved = lambda h: value(*[a + h if i == position else a for i, a in enumerate(at)])
            quotient = (moved(1e-6) - moved(-1e-6)) / 2e-6
            onp.testing.assert_allclose(anima.grad(value, position)(*at), quotient, rtol=1e-5)
        row = anima.grad(value)(*at)
        step = onp.random.RandomState(2).randn(7)
        quotient = (value(ROW + 1e-6 * step, *at[1:]) - value(ROW - 1e-6 * step, *at[1:])) / 2e-6
        onp.testing.assert_allclose(row @ step, quotient, rtol=1e-6)


def test_sizes_of_zero() -> None:
    for method in ("nearest", "linear", "area"):
        assert image.resize(ROW, (0,), method).shape == (0,)
        assert image.resize(onp.zeros((0, 4)), (0, 3), method).shape == (0, 3)
        assert float(image.resize(1.0, (), method)) == 1.0


def test_names() -> None:
    for name, method in {
        "bilinear": "LINEAR",
        "triangle": "LINEAR",
        "bicubic": "CUBIC",
        "tricubic": "CUBIC",
        "cubic-pytorch": "CUBIC_PYTORCH",
    }.items():
        assert ResizeMethod.from_string(name) is ResizeMethod[method]
    assert [m.value for m in ResizeMethod] == list(range(7))


def test_refusals() -> None:
    one = onp.ones(1)
    for call, message in (
        (lambda: image.resize(ROW, (3, 3), "linear"), "one size for each dimension"),
        (lambda: image.resize(ROW, (-1,), "linear"), "negative"),
        (lambda: image.resize(ROW[:0], (3,), "linear"), "empty image"),
        (lambda: image.resize(ROW, (3,), "sharp"), "Unknown resize method"),
        (lambda: image.resize(ROW, (3,), 3), "method must be"),
        (lambda: image.scale_and_translate(ROW, (3,), (0,), one, one, "nearest"), "Nearest neighbor"),
        (lambda: image.scale_and_translate(ROW, (3,), (1,), one, one, "linear"), "out of bounds"),
        (
            lambda: image.scale_and_translate(ROW, (3,), (0,), onp.ones(2), one, "linear"),
            "scale must have shape",
        ),
        (
            lambda: image.scale_and_translate(ROW, (3,), (), onp.ones(0), onp.ones(0), "linear"),
            "spatial_dims",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="resize"):
        image.resize("picture", (3,), "linear")
