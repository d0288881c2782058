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
    ("shape", "order"),
    [
        ((256, 64), (1, 0)),
        ((65, 131), (1, 0)),
        ((3, 1000), (1, 0)),
        ((1000, 3), (1, 0)),
        ((3, 40, 24), (0, 2, 1)),
        ((2, 9, 7, 40), (0, 3, 1, 2)),
        ((2, 40, 9, 7), (0, 2, 3, 1)),
        ((2, 13, 11, 80), (0, 2, 1, 3)),
        ((13, 1, 300), (2, 1, 0)),
    ],
)
def test_groups_of_dimensions_change_places(
    shape: tuple[int, ...], order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turning, "_TRANSPOSE_BYTES", 1)
    monkeypatch.setattr(turning, "_TRANSPOSE_APART", 1)
    fun = lambda x: lax.transpose(x, order)
    with anima.enable_x64(True):
        for dtype in (
            F32,
            np.float64,
            np.int8,
            ml_dtypes.bfloat16,
            np.complex128,
            bool,
            ml_dtypes.float8_e5m2,
        ):
            x = random.randint(-9, 9, shape).astype(dtype)
            if shape[-1] != 80 or np.dtype(dtype).itemsize >= 2:
                assert "anima_transpose" in text(fun, shape, dtype)
            got = np.asarray(fun(x))
            assert got.dtype == x.dtype and np.array_equal(got, x.transpose(order))


def test_only_large_transposes_alone_call_the_kernel() -> None:
    turn, shape = lambda x: lax.transpose(x, (1, 0)), (256, 64)
    assert "anima_transpose" in text(turn, shape)
    assert "anima_transpose" not in text(turn, (255, 64))
    assert "anima_transpose" not in text(turn, (0, 64))
    assert "anima_transpose" not in text(turn, (257, 129))
    assert "anima_transpose" in text(turn, (129, 256))
    assert "anima_transpose" not in text(lambda x: turn(x) + 1, shape)
    assert "anima_transpose" not in text(anima.jit(lambda x: turn(x) + 1), shape)
    for how in ({"exported": True}, {"partitions": 2}):
        assert "anima_transpose" not in text(turn, shape, **how)
    with host_kernels(False):
        assert "anima_transpose" not in text(turn, shape)
    # Neither two swaps at once, nor single bytes between the groups.
    for order in ((3, 2, 1, 0), (1, 0, 3, 2), (2, 1, 0, 3)):
        assert "anima_transpose" not in text(lambda x, order=order: lax.transpose(x, order), (16, 16, 16, 16))
    assert "anima_transpose" not in text(lambda x: lax.transpose(x, (1, 0, 2)), (64, 256, 4), np.int8)


def test_swapped_groups_are_found_where_they_are() -> None:
    shape = (2, 3, 1, 5)
    x = np.arange(30).reshape(shape)
    for order in itertools.permutations(range(4)):
        groups = turning._swapped_groups(shape, order)
        if groups is not None:
            outer, a, b, inner = groups
            want = x.reshape(outer, a, b, inner).transpose(0, 2, 1, 3)
            assert np.array_equal(want.ravel(), x.transpose(order).ravel())
    assert turning._swapped_groups((2, 3, 4), (2, 0, 1)) == (1, 6, 4, 1)
    assert turning._swapped_groups((2, 3, 4), (2, 1, 0)) is None
    assert turning._swapped_groups((2, 3), (0, 1)) is None
    assert turning._swapped_groups((2, 1, 3), (1, 0, 2)) is None  # nothing moves


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
    good = {"outer": 1, "a": 6, "b": 4, "inner": 1}
    for primitive in (
        called(good, ((4, 6), f32), 2),
        called(good, ((4, 5), f32)),
        called(good, ((4, 6), np.dtype(np.int32))),
        called({"outer": 1, "a": 6, "b": 4}, ((4, 6), f32)),
        *(
            called(good | {name: n}, ((4, 6), f32))
            for name, n in (("a", 3), ("a", 12), ("b", 0), ("outer", -1), ("inner", 5), ("a", 2**62))
        ),
    ):
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|transpose"):
            np.asarray(primitive.bind(x, x))
    four_bits = np.ones((6, 4), ml_dtypes.int4)
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called(good, ((4, 6), np.dtype(ml_dtypes.int4))).bind(four_bits, four_bits))
    assert np.array_equal(called(good, ((4, 6), f32)).bind(x, x), x.T)
