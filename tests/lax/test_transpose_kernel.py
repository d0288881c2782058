"""Transposes by the kernel: where it is called, beside NumPy, and as it must not be called."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax import turning
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel

pytestmark = pytest.mark.cpu

F32 = np.float32
random = np.random.RandomState(5)


def text(fun: Any, shape: tuple[int, ...], dtype: Any = F32, **how: Any) -> str:
    closed = stage_closed(lambda x: [fun(x)], [ShapedArray(shape, np.dtype(dtype))], "f")
    return lower_module(closed, name="f", platform="cpu", **how).text


@pytest.mark.parametrize(
    "shape",
    [
        (256, 64),
        (65, 131),
        (3, 1000),
        (1000, 3),
        (2, 700),
        (700, 4),
        (601, 17),
        (3, 40, 24),
        (2, 9, 7, 40),
        (2, 13, 11, 80),
        (5, 1, 300),
        (4, 520, 2),
        (70, 3, 5),
        (2, 3, 4, 3, 2),
        (1024, 40),
        (40, 128, 33),
    ],
)
def test_every_order_of_dimensions(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turning, "_TRANSPOSE_BYTES", 1)
    monkeypatch.setattr(turning, "_LONG_BLOCK", 1)
    monkeypatch.setattr(turning, "_MATRIX", 1)
    orders = [p for p in itertools.permutations(range(len(shape))) if p != tuple(range(len(shape)))]
    if len(orders) > 6:
        orders = [orders[i] for i in random.choice(len(orders), 6, replace=False)]
    kinds = F32, np.float64, np.int8, ml_dtypes.bfloat16, np.complex128, bool, ml_dtypes.float8_e5m2
    with anima.enable_x64(True):
        for order, dtype in itertools.product(orders, kinds if len(orders) == 1 else kinds[:4]):
            fun = lambda x, order=order: lax.transpose(x, order)
            if [p for p in order if shape[p] != 1] != [d for d, n in enumerate(shape) if n != 1]:
                assert "anima_transpose" in text(fun, shape, dtype)
            x = random.randint(-9, 9, shape).astype(dtype)
            got = np.asarray(fun(x))
            assert got.dtype == x.dtype and np.array_equal(got, x.transpose(order))


@pytest.mark.parametrize("shape", [(2048, 1024), (1024, 2048), (1025, 2048), (2, 1100, 1024)])
def test_large_results_that_go_past_the_caches(shape: tuple[int, ...]) -> None:
    order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    for dtype in (F32, np.int64):
        with anima.enable_x64(True):
            x = random.randint(-99, 99, shape).astype(dtype)
            assert np.array_equal(lax.transpose(x, order), x.transpose(order))


def test_only_large_transposes_alone_call_the_kernel() -> None:
    turn, shape = lambda x: lax.transpose(x, (1, 0)), (256, 64)
    assert "anima_transpose" in text(turn, shape)
    assert "anima_transpose" not in text(turn, (255, 64))
    assert "anima_transpose" not in text(turn, (0, 64))
    assert "anima_transpose" in text(turn, (257, 129))
    assert "anima_transpose" not in text(lambda x: turn(x) + 1, shape)
    assert "anima_transpose" not in text(anima.jit(lambda x: turn(x) + 1), shape)
    for how in ({"exported": True}, {"partitions": 2}):
        assert "anima_transpose" not in text(turn, shape, **how)
    with host_kernels(False):
        assert "anima_transpose" not in text(turn, shape)
    # Neither what moves nothing, nor short blocks that are no element's size.
    assert "anima_transpose" not in text(lambda x: lax.transpose(x, (1, 0)), (1, 1 << 16))
    blocks = lambda x: lax.transpose(x, (1, 0, 2))
    # Nor many small matrices.
    small = lambda x: lax.transpose(x, (0, 2, 1))
    assert "anima_transpose" in text(small, (100, 32, 32))
    assert "anima_transpose" not in text(small, (100, 31, 32))
    assert "anima_transpose" in text(blocks, (64, 256, 4))
    assert "anima_transpose" not in text(blocks, (64, 256, 5))
    assert "anima_transpose" in text(blocks, (64, 256, 40))


def test_the_size_of_the_matrices_that_are_transposed() -> None:
    assert turning._matrix((2, 3, 4), (2, 1, 0)) == 8
    assert turning._matrix((2, 3, 4), (2, 0, 1)) == 24
    assert turning._matrix((2, 3, 4), (0, 2, 1)) == 12
    assert turning._matrix((2, 3, 4, 5), (2, 3, 1, 0)) == 40
    assert turning._matrix((2, 3, 4, 5), (3, 1, 2, 0)) == 10
    assert turning._matrix((2, 3, 4, 5), (1, 2, 3, 0)) == 120


NONE = Missing("it is only run")


def called(attributes: dict[str, int], out: Any, operands: int = 1) -> Primitive:
    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, "anima_transpose", xs[:operands], ctx.out_avals, attributes)[0]

    shape = lambda *avals: ShapedArray(*out)
    return declare(
        "malformed_transpose", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


def test_malformed_calls_raise() -> None:
    x, f32 = np.ones((6, 4), F32), np.dtype(F32)
    good = {"from0": 1, "from1": 0}
    for primitive in (
        called(good, ((4, 6), f32), 2),
        called(good, ((4, 5), f32)),
        called(good, ((4, 6, 1), f32)),
        called(good, ((24,), f32)),
        called(good, ((4, 6), np.dtype(np.int32))),
        called({"from0": 1}, ((4, 6), f32)),
        *(called(good | {"from1": p}, ((4, 6), f32)) for p in (1, 2, -1, 2**62)),
        called({"from0": 0, "from1": 1}, ((4, 6), f32)),
    ):
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|transpose"):
            np.asarray(primitive.bind(x, x))
    four_bits = np.ones((6, 4), ml_dtypes.int4)
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called(good, ((4, 6), np.dtype(ml_dtypes.int4))).bind(four_bits, four_bits))
    assert np.array_equal(called(good, ((4, 6), f32)).bind(x, x), x.T)
    empty = np.ones((6, 0), F32)
    assert called(good, ((0, 6), f32)).bind(empty, empty).shape == (0, 6)
    scalar = np.float32(3)
    assert called({}, ((), f32)).bind(scalar, scalar) == 3
