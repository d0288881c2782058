"""Rows added by the kernel: the bits of a loop over the updates, where it is called, and as it must not be called."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax, numpy as anp
from anima.lax import row_updates
from anima.lowering.module import host_kernels
from tests.lax.test_pool_kernels import called

pytestmark = pytest.mark.cpu

F32 = np.float32
random = np.random.RandomState(7)
NUMBERS = lax.ScatterDimensionNumbers((1,), (0,), (0,))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is called also where a loop would be as good."""
    monkeypatch.setattr(row_updates, "_ENOUGH", 1)
    monkeypatch.setattr(row_updates, "_ROW_BYTES", 1)
    monkeypatch.setattr(row_updates, "_LARGE", 1)


def calls_kernel(fun: Any, *xs: Any, **how: Any) -> bool:
    return "anima_scatter_add" in anima.jit(fun, **how).lower(*xs).as_text()


def numbers(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    x = random.randn(*shape)
    if np.dtype(dtype).kind == "c":
        return (x + 1j * random.randn(*shape)).astype(dtype)
    return x.astype(dtype) if np.dtype(dtype).kind == "f" else (x * 2.0**29).astype(np.int64).astype(dtype)


def one_by_one(x: np.ndarray, at: np.ndarray, updates: np.ndarray) -> np.ndarray:
    out = x.copy()
    with np.errstate(over="ignore"):
        for place, row in zip(at, updates):
            out[tuple(place)] += row
    return out


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "complex64", "complex128", "int32", "int64", "uint32", "uint64"]
)
def test_every_dtype_as_one_after_the_other(dtype: str) -> None:
    with anima.enable_x64(True):
        for shape, depth, count in (
            ((7, 65), 1, 300),
            ((300, 2), 1, 40),
            ((3, 5, 9, 4), 2, 1000),
            ((50, 700), 1, 200),
        ):
            x, updates = numbers(shape, dtype), numbers((count, *shape[depth:]), dtype)
            at = np.stack([random.randint(0, n, count) for n in shape[:depth]], 1).astype(np.int32)
            add = lambda x, at, u: x.at[tuple(at[:, d] for d in range(depth))].add(u)
            assert calls_kernel(add, x, at, updates)
            got = anima.jit(add)(x, at, updates)
            assert got.dtype == dtype
            assert np.array_equal(got, one_by_one(x, at, updates))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint32", "int64"])
@pytest.mark.parametrize("mode", ["clip", "drop"])
def test_places_out_of_bounds(mode: str, kind: str) -> None:
    with anima.enable_x64(True):
        x, updates = np.zeros((6, 3), F32), np.ones((5, 3), F32)
        far = {"int64": 2**40, "uint32": 2**32 - 1}.get(kind, 100)
        low = np.array(-1).astype(kind) if kind[0] == "i" else far
        at = np.array([[2], [far], [low], [5], [6]]).astype(kind)
        add = lambda x, at, u: lax.scatter_add(x, at, u, NUMBERS, mode=mode)
        assert calls_kernel(add, x, at, updates)
        got = anima.jit(add)(x, at, updates)
        want = np.zeros((6, 3))
        want[2], want[5] = 1, 1
        if mode == "clip":
            want[0 if kind[0] == "i" else 5] += 1
            want[5] += 2
        assert np.array_equal(got, want)
        with host_kernels(False):
            assert np.array_equal(anima.jit(add)(x, at, updates), want)


@pytest.mark.usefixtures("always")
def test_dimension_numbers_batches_and_derivatives_as_without_the_kernel() -> None:
    x, updates = numbers((4, 6, 5), F32), numbers((4, 9, 5), F32)
    at = random.randint(0, 6, (4, 9, 1)).astype(np.int32)
    rows = lambda x, at, u: lax.scatter_add(x, at, u, NUMBERS)
    turned = lambda x, at, u: lax.scatter_add(
        x, anp.concatenate([at, at % 4], 1), u, lax.ScatterDimensionNumbers((1,), (0, 1), (1, 0))
    )
    loss = lambda x, at, u: anp.sum(anp.sin(rows(x, at, u)))
    programs = [
        (anima.vmap(rows), (x, at, updates), True),
        (anima.vmap(rows, (None, 0, 0)), (x[0], at, updates), True),
        (anima.vmap(rows, (0, None, 0)), (x, at[0], updates), False),  # more columns, which do not come last
        (turned, (x, at[0], updates[0]), True),
        (anima.grad(loss, (0, 2)), (x[0], at[0], updates[0]), True),
        (
            lambda x, at, u: anima.jvp(anima.grad(lambda x: loss(x, at, u)), (x,), (x,))[1],
            (x[0], at[0], updates[0]),
            True,
        ),
        (lambda x, at, u: anima.grad(lambda x: anp.sum(x[at[:, 0]] * u))(x), (x[0], at[0], updates[0]), True),
        (
            lambda x, at, u: lax.scan(lambda c, v: (rows(c, *v), None), x, (at, u))[0],
            (x[0], at, updates),
            True,
        ),
    ]
    for fun, args, called_ in programs:
        assert calls_kernel(fun, *args) == called_
        with host_kernels(False):
            without = anima.jit(fun)(*args)
        for got, want in zip(*map(anima.tree.leaves, (anima.jit(fun)(*args), without))):
            np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.usefixtures("always")
def test_odd_numbers_as_without_the_kernel() -> None:
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38], F32)
    x, updates = odd[random.randint(0, 8, (9, 40))], odd[random.randint(0, 8, (30, 40))]
    at = random.randint(0, 9, (30, 1)).astype(np.int32)
    add = lambda: anima.jit(lambda x, at, u: lax.scatter_add(x, at, u, NUMBERS))
    with host_kernels(False):
        without = np.asarray(add()(x, at, updates))
    got = np.asarray(add()(x, at, updates))
    assert np.array_equal(got, without, equal_nan=True)
    assert np.array_equal(np.signbit(got[got == 0]), np.signbit(without[got == 0]))


def test_large_updates_on_several_threads() -> None:
    for width in (64, 100, 1031):
        x, updates = numbers((5000, width), F32), numbers((3000, width), F32)
        at = random.randint(-5000, 5000, 3000).astype(np.int32) // 7
        got = anima.jit(lambda x, at, u: x.at[at].add(u))(x, at, updates)
        assert np.array_equal(got, one_by_one(x, at[:, None], updates))


def test_which_programs_call_the_kernel() -> None:
    x, at, updates = anp.zeros((5000, 64)), anp.zeros((2000, 1), "int32"), anp.ones((2000, 64))
    add = lambda x, at, u: lax.scatter_add(x, at, u, NUMBERS)
    assert calls_kernel(add, x, at, updates)
    assert not calls_kernel(lambda *xs: lax.scatter_max(*xs, NUMBERS), x, at, updates)
    assert not calls_kernel(add, x, at[:1000], updates[:1000])
    narrow = anp.zeros((9000, 1), "int32"), anp.ones((9000, 32))
    assert not calls_kernel(add, anp.zeros((10_000, 32)), *narrow)
    assert not calls_kernel(add, x[:4000], at, updates)
    assert not calls_kernel(add, x.astype("bfloat16"), at, updates.astype("bfloat16"))
    windows = lax.ScatterDimensionNumbers((1, 2), (), (0,))
    assert not calls_kernel(lambda *xs: lax.scatter_add(*xs, windows), x, at, updates[:, None])
    part = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    assert not calls_kernel(lambda *xs: lax.scatter_add(*xs, part), anp.zeros((5000, 70)), at, updates)
    with host_kernels(False):
        assert not calls_kernel(add, x, at, updates)
    exported = anima.jit(add).trace(x, at, updates).lower(lowering_platforms=("cuda",))
    assert "custom_call" not in exported.as_text()


@pytest.mark.usefixtures("always")
def test_memory_is_written_in_place_where_it_may_be() -> None:
    x, at, updates = anp.zeros((100, 64)), anp.zeros((2000,), "int32"), anp.ones((2000, 64))
    add = lambda x, at, u: x.at[at].add(u)
    aliased = lambda fun, **how: re.search(
        r"anima_scatter_add.*output_operand_aliases = \[#",
        anima.jit(fun, **how).lower(x, at, updates).as_text(),
    )
    assert not aliased(add)  # an argument, which stays as it is: the kernel copies it
    assert aliased(add, donate_argnums=0)
    assert aliased(lambda x, at, u: add(anp.sin(x), at, u))
    kept = anima.jit(add)(x, at, updates)
    assert not np.any(np.asarray(x)) and np.all(np.asarray(kept)[0] == 2000)
    assert np.array_equal(anima.jit(add, donate_argnums=0)(x, at, updates), kept)
    with pytest.raises(RuntimeError, match="donated"):
        np.asarray(x)


def test_malformed_calls_raise() -> None:
    f32, good = np.dtype(F32), {"clamp": False}
    x, at, u = np.ones((3, 4), F32), np.zeros((2, 1), np.int32), np.ones((2, 4), F32)
    call = lambda *how, **more: called("anima_scatter_add", *how, **more)
    cases = [
        (call(good, None, 2), (x, at, u)),
        (call({}, None, 3), (x, at, u)),
        (call({"clamp": 1}, None, 3), (x, at, u)),
        (call(good, ((4, 3), f32), 3), (x, at, u)),
        (call(good, ((3, 4), np.dtype(np.int32)), 3), (x, at, u)),
        (call(good, None, 3), (x, at, u.astype(np.int32))),
        (call(good, None, 3), (x, at[:1], u)),
        (call(good, None, 3), (x, at, u[:, :3])),
        (call(good, None, 3), (x, at[:, 0], u)),
        (call(good, None, 3), (x, np.zeros((2, 0), np.int32), np.ones((2, 3, 4), F32))),
        (call(good, None, 3), (x, np.zeros((2, 3), np.int32), u)),
        (call(good, None, 3), (x, at.astype(np.int16), u)),
        (call(good, None, 3), (x.astype(np.int16), at, u.astype(np.int16))),
    ]
    for primitive, args in cases:
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|buffer|scatter"):
            np.asarray(primitive.bind(*args))
    empty = call(good, None, 3).bind(np.ones((0, 4), F32), at, u)
    assert np.asarray(empty).shape == (0, 4)
    assert np.array_equal(call(good, None, 3).bind(x, at[:0], u[:0]), x)
