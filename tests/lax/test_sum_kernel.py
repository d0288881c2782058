"""Sums of rows by the kernel: beside NumPy's exact ones and XLA's, and called as it must not be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax, numpy as anp
from anima.lax import lanes
from anima.lowering.module import host_kernels
from tests.lax.test_pool_kernels import called

pytestmark = pytest.mark.cpu

F32, F64 = np.float32, np.float64
random = np.random.RandomState(5)


def text(fun: Any, *xs: Any) -> str:
    return anima.jit(fun).lower(*xs).as_text()


def calls_kernel(fun: Any, *xs: Any) -> bool:
    return "anima_reduce_sum" in text(fun, *xs)


SHAPES = [
    ((4096,), (0,)),
    ((65, 64), (1,)),  # rows of one step, and of a step and less than a vector
    ((60, 71), (1,)),
    ((5, 2048), (1,)),
    ((5, 2049), (1,)),  # blocks
    ((3, 100_001), (1,)),  # pieces
    ((300_007,), (0,)),
    ((2, 3, 40, 101), (2, 3)),
    ((1, 70, 1, 64, 1), (2, 3, 4)),
    ((1, 70, 64), (0, 2)),
    ((70, 64, 1), (0, 1, 2)),
]


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
def test_every_way_to_cut_rows(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = random.randn(*shape)
    with anima.enable_x64(True):
        for dtype in (F32, F64, np.int32, np.uint32, np.int64, np.uint64):
            v = x.astype(dtype) if dtype in (F32, F64) else (x * 2.0**30).astype(np.int64).astype(dtype)
            fun = lambda x: lax.reduce_sum(x, axes)
            assert calls_kernel(fun, v)
            got = np.asarray(anima.jit(fun)(v))
            assert got.dtype == dtype
            if dtype not in (F32, F64):
                assert np.array_equal(got, v.sum(axes, dtype=dtype))
                continue
            wide = v.astype(np.longdouble)
            length = math.prod(shape[a] for a in axes)
            bound = np.finfo(dtype).eps * (min(length, 4096) / 64 + 4) * np.abs(wide).sum(axes)
            assert np.all(np.abs(got - wide.sum(axes)) <= bound)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_sums_are_more_exact_than_without_the_kernel(dtype: Any) -> None:
    with anima.enable_x64(True):
        missed: dict[bool, float] = {}
        for kernels in (True, False):
            with host_kernels(kernels):
                total = anima.jit(anp.sum)
                errors_ = []
                for i in range(20):
                    x = np.random.RandomState(i).rand(400_000).astype(dtype)
                    errors_.append(abs(float(total(x)) - math.fsum(x)))
                missed[kernels] = float(np.mean(errors_))
        assert missed[True] <= missed[False]


@pytest.mark.parametrize("dtype", [F32, F64])
def test_zeros_infinities_and_nans_as_without_the_kernel(dtype: Any) -> None:
    tiny = float(np.finfo(dtype).tiny) / 16
    x = np.zeros((14, 5000), dtype)
    x[1] = -0.0
    x[2, 7], x[3, 4999], x[4, 100] = np.inf, -np.inf, np.nan
    x[5, 0], x[5, 4000] = np.inf, -np.inf
    x[6] = tiny
    x[7, 3], x[7, 4500] = np.finfo(dtype).max, np.finfo(dtype).max
    x[8, 3], x[8, 4500] = 1, -1
    x[9, 4096] = -np.nan
    with anima.enable_x64(True):
        run = anima.jit(lambda x: lax.reduce_sum(x, (1,)))
        with host_kernels(False):
            without = np.asarray(run(x))
        got = np.asarray(run(x))
    assert np.array_equal(got, without, equal_nan=True)
    assert not np.any(np.signbit(got[got == 0]))


def test_what_stands_in_memory_goes_to_the_kernel() -> None:
    x = anp.ones((64, 128))
    assert calls_kernel(lambda x: x.sum(1), x)
    assert calls_kernel(lambda x: x.reshape(32, 256).sum(), x)
    assert calls_kernel(lambda x: lax.cumsum(x, 1).sum(1), x)
    assert calls_kernel(lambda x: lax.fori_loop(0, 3, lambda i, v: v + v.sum(1, keepdims=True), x), x)
    assert not calls_kernel(lambda x: (x * x).sum(1), x)  # computed while it is summed
    assert not calls_kernel(lambda x: x.sum(0), x)
    assert not calls_kernel(lambda x: lax.reduce_sum(x.reshape(2, 32, 128), (0, 2)), x)
    assert not calls_kernel(lambda x: x.reshape(-1, 32).sum(1), x)
    assert not calls_kernel(lambda x: x.sum(1), anp.ones((lanes.STORED // 128 - 1, 128)))
    assert not calls_kernel(lambda x: lax.reduce_sum(x, (1,)), x.astype("bfloat16"))
    assert not calls_kernel(lambda x: lax.reduce_sum(x, (1,)), x.astype("complex64"))
    with host_kernels(False):
        assert not calls_kernel(lambda x: x.sum(1), x)
    exported = anima.jit(anp.sum).trace(x).lower(lowering_platforms=("cuda",))
    assert "anima_reduce_sum" not in exported.as_text()


def test_derivatives_and_batches() -> None:
    x = random.randn(6, 40, 200).astype(F32)
    total = lambda v: anp.sum(lax.reduce_sum(v, (1,)) ** 2)
    want = 2 * x.astype(F64).sum(2, keepdims=True) * np.ones_like(x)
    np.testing.assert_allclose(anima.vmap(anima.jit(anima.grad(total)))(x), want, rtol=1e-4, atol=1e-4)
    mapped = anima.vmap(lambda v: lax.reduce_sum(v, (0,)), in_axes=1)
    np.testing.assert_allclose(mapped(x[0]), x[0].astype(F64).sum(0), rtol=1e-5, atol=1e-5)


def test_malformed_calls_raise() -> None:
    x, f32 = np.ones((3, 4), F32), np.dtype(F32)
    calls = [
        called("anima_reduce_sum", {}, ((3,), f32), 2),
        called("anima_reduce_sum", {}, ((4,), f32)),
        called("anima_reduce_sum", {}, ((3, 4, 1), f32)),
        called("anima_reduce_sum", {}, ((3,), np.dtype(np.int32))),
    ]
    for primitive in calls:
        with pytest.raises(errors.JaxRuntimeError, match="kernel"):
            np.asarray(primitive.bind(x, x))
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called("anima_reduce_sum", {}).bind(np.ones((3, 4), np.int16)))
    assert np.array_equal(called("anima_reduce_sum", {}).bind(x, x), x)  # over no dimension
    empty = called("anima_reduce_sum", {}, ((3,), f32))
    assert np.array_equal(empty.bind(np.ones((3, 0), F32)), np.zeros(3))
