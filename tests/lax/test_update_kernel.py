"""Updates of narrow floats by the kernel: beside NumPy, in place, where it is called, and as it must not be called."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel

pytestmark = pytest.mark.cpu

BF16 = np.dtype(ml_dtypes.bfloat16)
NARROW = [BF16, *(np.dtype(getattr(ml_dtypes, f"float8_{name}")) for name in ("e4m3fn", "e5m2", "e3m4"))]
random = np.random.RandomState(3)


def array(shape: tuple[int, ...], dtype: Any = BF16) -> np.ndarray:
    return random.randint(1, 8, shape).astype(dtype)


def text(fun: Any, *args: np.ndarray, **how: Any) -> str:
    closed = stage_closed(lambda *xs: [fun(*xs)], [ShapedArray(x.shape, x.dtype) for x in args], "f")
    return lower_module(closed, name="f", platform="cpu", **how).text


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_slices(dtype: Any, compiled: bool) -> None:
    """A start below zero counts from the end; then it is moved to where the window fits. Of any integer dtype."""
    fun = anima.jit(lax.dynamic_update_slice) if compiled else lax.dynamic_update_slice
    for shape, window in (
        ((7,), (3,)),
        ((5, 6), (2, 6)),
        ((5, 6), (5, 2)),
        ((4, 3, 5), (2, 2, 2)),
        ((3, 4), (3, 4)),
    ):
        x, update = array(shape, dtype), array(window, dtype)
        for kind in ("int8", "uint8", "int32", "uint32"):
            for start in (0, 1, 3, 100) + ((-2,) if kind[0] == "i" else ()):
                want = x.copy()
                place = [min(max(start + n * (start < 0), 0), n - w) for n, w in zip(shape, window)]
                want[tuple(slice(a, a + w) for a, w in zip(place, window))] = update
                starts = [np.asarray(start).astype(kind)] * len(shape)
                out = np.asarray(fun(x, update, starts))
                assert out.dtype == dtype and np.array_equal(out, want)
    with anima.enable_x64():
        x, update = array((6, 3), dtype), array((2, 3), dtype)
        for kind in (np.int64, np.uint64):
            out = fun(x, update, (kind(2**62), kind(0)))
            assert np.array_equal(out[4:], update) and np.array_equal(out[:4], x[:4])


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("mode", ["drop", "clip", "promise_in_bounds"])
def test_scatters(dtype: Any, mode: str) -> None:
    shape, window = (4, 5, 6), (2, 3, 2)
    for index_map in ((0,), (2,), (0, 2), (2, 0), (1, 2, 0)):
        x, updates = array(shape, dtype), array((3, *window), dtype)
        rows = np.array([[0, 1, 2], [2, 0, 3], [1, 2, 4]])  # places that do not meet where they are in bounds
        if mode != "promise_in_bounds":
            rows[1] += 4
        places = rows[:, list(index_map)]
        numbers = lax.ScatterDimensionNumbers((1, 2, 3), (), index_map)
        want = x.copy()
        for place, update in zip(places, updates):
            start, most = np.zeros(3, int), np.subtract(shape, window)
            start[list(index_map)] = place
            if mode == "clip":
                start = np.clip(start, 0, most)
            elif (start > most).any():
                continue
            want[tuple(slice(a, a + n) for a, n in zip(start, window))] = update
        put = lambda x, i, u: lax.scatter(x, i, u, numbers, mode=mode)
        assert np.array_equal(put(x, places, updates), want)
        pairs = [np.stack([x, x[::-1]]), np.stack([places, places]), np.stack([updates, updates])]
        got = anima.jit(anima.vmap(put))(*pairs)
        assert np.array_equal(got[0], want) and np.array_equal(got[1], put(x[::-1], places, updates))
        last = anima.vmap(put, (3, None, 3), 3)(np.stack([x, x], 3), places, np.stack([updates, updates], 3))
        assert np.array_equal(last[..., 1], want)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_indices_of_arrays(dtype: Any) -> None:
    x = array((6, 7), dtype)
    for index in (
        np.s_[np.array([0, 3])],
        np.s_[:, np.array([1, -1])],
        np.s_[np.array([0, 3]), np.array([1, -1])],
        np.s_[1:4, np.array([[0], [2]])],
        np.s_[np.arange(6) % 2 == 0],
        np.s_[::2, ::-3],
    ):
        want = x.copy()
        update = array(want[index].shape, dtype)
        want[index] = update
        assert np.array_equal(anima.numpy.asarray(x).at[index].set(update), want)
        assert np.array_equal(anima.jit(lambda x, u, index=index: x.at[index].set(u))(x, update), want)


def test_derivatives() -> None:
    x, u = array((5, 4)).astype(BF16), array((2,)).astype(BF16)
    weights = array((5, 4)).astype(BF16)
    put = lambda x, u: (x.at[np.array([1, 4]), 2].set(u) * weights).astype(np.float32).sum()
    by_x, by_u = anima.jit(anima.grad(put, (0, 1)))(x, u)
    want = weights.copy()
    want[[1, 4], 2] = 0
    assert np.array_equal(by_x, want) and np.array_equal(by_u, weights[[1, 4], 2])


def put_row(x: Any, i: Any) -> Any:
    return x.at[i].set(2)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize(
    "fun",
    [
        put_row,
        lambda x, i: lax.dynamic_update_slice(x, lax.full((3, 4), 2, x.dtype), (i, i)),
        lambda x, i: lax.fori_loop(0, 5, lambda k, x: put_row(x, k + i), x),
        lambda x, i: lax.cond(i > 0, put_row, lambda x, i: x, x, i),
        lambda x, i: lax.scan(lambda x, k: (put_row(x, k), None), x, np.arange(9))[0],
    ],
)
def test_in_place(fun: Any, dtype: Any) -> None:
    host = array((64, 64), dtype)
    x = anima.block_until_ready(anima.jit(lambda x: -x)(host))
    want = np.asarray(fun(x, 3))
    kept = anima.jit(lambda x, i: (fun(x, i), x + 0))(x, 3)  # here the old one is needed still
    assert np.array_equal(kept[0], want) and np.array_equal(kept[1], -host)
    f = anima.jit(fun, donate_argnums=0)
    shown = f.lower(x, 3).compile().as_text()
    assert not re.findall(r"\[64,64\]\S* (copy|convert)\(", shown), shown
    place = x.unsafe_buffer_pointer()
    out = f(x, 3)
    assert out.unsafe_buffer_pointer() == place and np.array_equal(out, want)


def test_stacked_results_of_a_scan_are_written_once() -> None:
    """Not all of them in each iteration, which took a time that grew with the square of their number."""
    f = anima.jit(lambda c, xs: lax.scan(lambda c, x: (c * x, c + x), c, xs)[1])
    args = np.ones(256, BF16), np.ones((8000, 256), BF16)
    lowered = f.lower(*args)
    assert lowered.as_text().count('"anima_update"') == 1
    assert not re.findall(r"bf16\[8000,256\]\S* (copy|convert)\(", lowered.compile().as_text())
    assert np.array_equal(f(*args), np.full((8000, 256), 2, BF16))


def test_where_it_is_called() -> None:
    x, i = array((5, 6)), np.asarray(3)
    assert text(put_row, x, i).count("anima_update") == 1
    for how in ({"exported": True}, {"partitions": 2}):
        assert "anima_update" not in text(put_row, x, i, **how)
    with host_kernels(False):
        assert "anima_update" not in text(put_row, x, i)
    for dtype in (np.float32, np.float16, np.int8, np.complex64, ml_dtypes.int4):
        assert "anima_update" not in text(put_row, array((5, 6), dtype), i)
    with host_kernels(False):
        plain = [np.asarray(anima.jit(put_row)(x, k)) for k in (-9, -2, 3, 5)]
    assert all(np.array_equal(anima.jit(put_row)(x, k), out) for k, out in zip((-9, -2, 3, 5), plain))


# --- calls as they must not be ------------------------------------------------------------------

NONE = Missing("it is only run")


def called(out: Any, **attributes: Any) -> Primitive:
    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, "anima_update", xs, ctx.out_avals, attributes)[0]

    shape = lambda *avals: out
    return declare(
        "malformed_update", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


def test_malformed_calls_raise() -> None:
    x, starts, updates = array((6, 4)), np.array([[1, 1]], np.int32), array((1, 2, 2))
    good, like = ShapedArray((6, 4), BF16), lambda *shape: ShapedArray(shape, BF16)
    cases: list[tuple[Any, dict[str, Any], tuple[Any, ...]]] = [
        (good, {}, (x, starts, updates)),
        (good, {"clamp": 1}, (x, starts, updates)),
        (good, {"clamp": True}, (x, starts)),
        (good, {"clamp": True}, (x, starts, updates, updates)),
        (like(4, 6), {"clamp": True}, (x, starts, updates)),
        (ShapedArray((6, 4), np.dtype(np.int16)), {"clamp": True}, (x, starts, updates)),
        (good, {"clamp": True}, (x, starts, updates.astype(np.float16))),
        (good, {"clamp": True}, (x, starts.astype(np.float32), updates)),
        (good, {"clamp": True}, (x, starts.astype(np.int8), updates)),
        (good, {"clamp": True}, (x, starts[0], updates)),
        (good, {"clamp": True}, (x, np.concatenate([starts, starts]), updates)),
        (good, {"clamp": True}, (x, np.ones((1, 3), np.int32), updates)),
        (good, {"clamp": True}, (x, starts, array((1, 2, 5)))),
        (good, {"clamp": True}, (x, starts, array((2, 2)))),
    ]
    for out, attributes, args in cases:
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|update|buffer"):
            np.asarray(called(out, **attributes).bind(*args))
    want = x.copy()
    want[1:3, 1:3] = updates[0]
    assert np.array_equal(called(good, clamp=True).bind(x, starts, updates), want)  # also without the alias
    for far in (-(2**31), 2**31 - 1):
        kept = called(good, clamp=False).bind(x, np.full((1, 2), far, np.int32), updates)
        assert np.array_equal(kept, x)
    bits = array((6, 4), ml_dtypes.int4), starts, array((1, 2, 2), ml_dtypes.int4)
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called(ShapedArray((6, 4), bits[0].dtype), clamp=True).bind(*bits))
