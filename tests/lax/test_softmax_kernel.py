"""Softmax of rows by the kernel: beside exact quotients and XLA's operations, and called as it must not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax, nn, numpy as anp
from anima.lax.softmax import softmax
from anima.lowering.module import host_kernels
from tests.lax.test_pool_kernels import called

pytestmark = pytest.mark.cpu

F32, F64 = np.float32, np.float64
random = np.random.RandomState(5)


def calls_kernel(fun: Any, *xs: Any) -> bool:
    return "anima_softmax" in anima.jit(fun).lower(*xs).as_text()


def missed(x: Any, got: Any) -> Any:
    """How many units in the last place elements are off that are not nearly subnormal."""
    powers = np.exp((x - x.max(-1, keepdims=True)).astype(F64))  # the difference is rounded in any case
    want = powers / powers.sum(-1, keepdims=True)
    large = want > 1e-37
    return (np.abs(got - want) / np.spacing(want.astype(F32)))[large]


SHAPES = [
    (3, 16),
    (3, 17),
    (2, 3, 31),
    (5, 32),
    (5, 33),
    (4, 100),
    (9, 255),
    (9, 256),
    (8, 1000),
    (2, 20_001),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.1, 3, 60])
def test_rows_of_every_length(shape: tuple[int, ...], scale: float) -> None:
    x = (random.randn(*shape) * scale).astype(F32)
    run = anima.jit(nn.softmax)
    assert calls_kernel(nn.softmax, x)
    got = np.asarray(run(x))
    with host_kernels(False):
        without = np.asarray(anima.jit(nn.softmax)(x))
    assert got.dtype == F32
    assert np.max(missed(x, got)) <= 4
    if x.size >= 2000:
        assert np.mean(missed(x, got)) <= np.mean(missed(x, without))
    np.testing.assert_allclose(got, without, rtol=2e-6, atol=1e-37)
    np.testing.assert_allclose(got.sum(-1, dtype=F64), 1, rtol=1e-6)


@pytest.mark.parametrize("length", [16, 40, 300])
def test_odd_elements_as_without_the_kernel(length: int) -> None:
    x = np.zeros((12, length), F32)
    x[1, 3], x[2, length - 1], x[3, 5] = np.nan, np.inf, -np.inf
    x[4] = -np.inf
    x[5, 2], x[5, 9] = np.inf, -np.inf
    x[6, 0] = 3e38
    x[7] = -3e38
    x[8] = np.linspace(-100, 0, length)
    x[9] = np.nan
    x[10, 1] = 1e-40
    x[11, length - 1] = -np.nan
    got = np.asarray(anima.jit(nn.softmax)(x))
    with host_kernels(False):
        without = np.asarray(anima.jit(nn.softmax)(x))
    assert np.array_equal(np.isnan(got), np.isnan(without))
    np.testing.assert_allclose(got, without, rtol=1e-6, atol=1.2e-38)


def test_which_programs_call_the_kernel() -> None:
    x = anp.ones((8, 64))
    along = lambda *axes: lambda v: softmax(v, axes)
    assert calls_kernel(along(1), x)
    assert calls_kernel(along(1, 2), x.reshape(8, 8, 8))
    assert calls_kernel(along(0, 1), x)
    assert calls_kernel(along(1), x.reshape(8, 64, 1))
    assert not calls_kernel(along(0), x)
    assert not calls_kernel(along(0, 2), x.reshape(8, 8, 8))
    assert not calls_kernel(along(1), x[:, :15])
    assert not calls_kernel(along(1), anp.ones((7, 2**15 + 1)))
    assert not calls_kernel(lambda v: softmax(v / 8, (1,)), x)  # computed where it is read
    assert np.asarray(softmax(anp.ones((0, 64)), (1,))).shape == (0, 64)
    assert not calls_kernel(nn.softmax, x.astype("bfloat16"))
    with anima.enable_x64(True):
        assert not calls_kernel(along(1), np.ones((8, 64)))
    with host_kernels(False):
        assert not calls_kernel(along(1), x)
    exported = anima.jit(nn.softmax).trace(x).lower(lowering_platforms=("cuda",))
    assert "custom_call" not in exported.as_text()


def test_dimensions_in_any_place() -> None:
    x = random.randn(3, 4, 5).astype(F32)
    for axis in (0, 1, (0, 2), (2, 1), -3):
        axes = axis if isinstance(axis, tuple) else (axis,)
        powers = np.exp(x.astype(F64))
        want = powers / powers.sum(axes, keepdims=True)
        np.testing.assert_allclose(nn.softmax(x, axis), want, rtol=1e-6)
    assert not nn.softmax(anp.full((3,), 1.0), 0).weak_type
    with pytest.raises(ValueError, match="softmax"):
        nn.softmax(x, 3)
    with pytest.raises(TypeError, match="softmax"):
        softmax(np.ones(3, np.int32), (0,))


def test_derivatives_as_without_the_kernel() -> None:
    x = random.randn(4, 6, 40).astype(F32)
    weights = random.randn(40).astype(F32)
    loss = lambda v: anp.sum(anp.sin(nn.softmax(v) * weights))
    for fun in (
        anima.grad(loss),
        lambda v: anima.jvp(anima.grad(loss), (v,), (anp.cos(v),))[1],
        anima.vmap(anima.vmap(anima.grad(loss))),
        anima.vmap(anima.grad(loss), 1, 1),
        lambda v: lax.scan(lambda c, row: (c, anima.grad(loss)(row)), 0, v)[1],
    ):
        with host_kernels(False):
            without = np.asarray(anima.jit(fun)(x))
        np.testing.assert_allclose(anima.jit(fun)(x), without, rtol=1e-4, atol=1e-6)


def test_malformed_calls_raise() -> None:
    x, f32 = np.ones((3, 4), F32), np.dtype(F32)
    for primitive in (
        called("anima_softmax", {}, None, 2),
        called("anima_softmax", {}, ((4, 3), f32)),
        called("anima_softmax", {}, ((3, 4), np.dtype(np.int32))),
    ):
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|buffer"):
            np.asarray(primitive.bind(x, x))
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called("anima_softmax", {}).bind(np.ones((3, 4), np.int32)))
    with pytest.raises(errors.JaxRuntimeError, match="dimensions"):
        np.asarray(called("anima_softmax", {}).bind(F32(1)))
    assert np.asarray(called("anima_softmax", {}).bind(np.ones((3, 0), F32))).shape == (3, 0)
    np.testing.assert_allclose(
        called("anima_softmax", {}).bind(x), x / 4, rtol=1e-7
    )  # rows of less than a vector
