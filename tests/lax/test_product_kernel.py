"""Products of bfloat16 by the kernel: where it is called, beside NumPy, beside XLA, and as it must not be called."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import anima
from anima import _native, errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax import pair_products
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(
        not _native.has_bfloat16_products(),
        reason="the processor has no instructions for products of bfloat16",
    ),
]

BF16, F32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)
random = np.random.default_rng(3)


def numbers(*shape: int) -> np.ndarray:
    return random.standard_normal(shape, np.float32).astype(BF16)


def text(fun: Any, *avals: ShapedArray, **how: Any) -> str:
    closed = stage_closed(lambda *xs: [fun(*xs)], list(avals), "f")
    return lower_module(closed, name="f", platform="cpu", **how).text


def check(got: Any, x: np.ndarray, y: np.ndarray, depth: int) -> None:
    """Whether a stack of products is right, to half a unit of its dtype and the error of sums of float32."""
    x, y, got_ = x.astype(np.float64), y.astype(np.float64), np.asarray(got)
    want, size = x @ y, abs(x) @ abs(y)
    bound = size * depth**0.5 * 2e-7 + (abs(want) * 2.0**-8 if got_.dtype == BF16 else 0)
    assert got_.shape == want.shape and (abs(got_.astype(np.float64) - want) <= bound).all()


@pytest.mark.parametrize(
    ("batch", "rows", "depth", "columns"),
    [
        (1, 1, 1, 70),
        (1, 12, 32, 96),
        (3, 13, 33, 77),
        (2, 50, 7, 16),
        (1, 5, 2048, 17),
        (1, 7, 1205, 33),
        (2, 61, 31, 130),
        (1, 3, 130, 600),
        (1, 200, 1, 1),
        (17, 11, 16, 9),
    ],
)
def test_stacks_of_matrices_however_they_lie(
    batch: int, rows: int, depth: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_products, "_ENOUGH", 1)
    monkeypatch.setattr(pair_products, "_FEW", 1)
    x, y = numbers(batch, rows, depth), numbers(batch, depth, columns)
    turned = lambda v: np.ascontiguousarray(v.swapaxes(1, 2))
    for a, left in ((x, 2), (turned(x), 1)):
        for b, right in ((y, 1), (turned(y), 2)):
            for out in (BF16, F32):
                fun = lambda p, q, left=left, right=right, out=out: lax.dot_general(
                    p, q, (((left,), (right,)), ((0,), (0,))), preferred_element_type=out
                )
                assert "anima_product" in text(fun, ShapedArray(a.shape, BF16), ShapedArray(b.shape, BF16))
                got = anima.jit(fun)(a, b)
                assert got.dtype == out
                check(got, x, y, depth)


def test_other_orders_of_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_products, "_ENOUGH", 1)
    monkeypatch.setattr(pair_products, "_FEW", 1)
    for equation, left, right in (
        ("bqhd,bkhd->bhqk", (2, 9, 3, 8), (2, 7, 3, 8)),
        ("abcd,cbe->abde", (3, 2, 5, 4), (5, 2, 6)),
        ("abcd,ecda->be", (3, 2, 5, 4), (6, 5, 4, 3)),
        ("i,i->", (90,), (90,)),
        ("bij,bj->bi", (2, 5, 9), (2, 9)),
    ):
        x, y = numbers(*left), numbers(*right)
        fun = lambda x, y, equation=equation: anima.numpy.einsum(equation, x, y, preferred_element_type=F32)
        assert "anima_product" in text(fun, ShapedArray(left, BF16), ShapedArray(right, BF16))
        want = np.einsum(equation, x.astype(F32), y.astype(F32))
        np.testing.assert_allclose(anima.jit(fun)(x, y), want, rtol=1e-5, atol=1e-5)


def test_transposed_operands_are_taken_from_before() -> None:
    x, y = numbers(40, 60), numbers(50, 60)
    square = lambda n, m: ShapedArray((n, m), BF16)
    for fun, a, b in (
        (lambda x, y: x @ y.T, x, y),
        (lambda x, y: x.T @ y, x.T.copy(), y.T.copy()),
        (lambda x, y: x.T @ y.T, x.T.copy(), y),
    ):
        written = text(fun, square(*a.shape), square(*b.shape))
        assert "anima_product" in written and " turned" not in written
        call = next(line for line in written.splitlines() if "anima_product" in line)
        assert "40x60" in call.replace("60x40", "40x60") and "50x60" in call.replace("60x50", "50x60")
        check(anima.jit(fun)(a, b)[None], x[None], y.T[None], 60)
    # One that is used otherwise, too, and one from outside of a loop.
    both = anima.jit(lambda x, y: (y.T + 0, x @ y.T))
    assert np.array_equal(both(x, y)[0], y.T)
    looped = anima.jit(
        lambda x, y: lax.fori_loop(0, 3, lambda i, s, z=y.T: s + x @ z, anima.numpy.zeros((40, 50), BF16))
    )
    want = 3 * (x.astype(F32) @ y.T.astype(F32))
    np.testing.assert_allclose(looped(x, y).astype(F32), want, rtol=0.03, atol=0.3)


def test_derivatives_and_batches_take_the_kernel() -> None:
    x, w = numbers(64, 48), numbers(48, 80)
    loss = lambda w, x: (x @ w).astype(np.float32).sum()
    slope = anima.grad(loss)
    assert "anima_product" in text(slope, ShapedArray(w.shape, BF16), ShapedArray(x.shape, BF16))
    want = np.broadcast_to(x.astype(np.float64).sum(0)[:, None], w.shape)
    np.testing.assert_allclose(
        np.asarray(anima.jit(slope)(w, x)).astype(np.float64), want, rtol=2.0**-7, atol=0.1
    )
    stack = numbers(3, 64, 48)
    check(anima.jit(anima.vmap(lambda x: x @ w))(stack), stack, np.stack([w] * 3), 48)


def test_only_large_products_of_bfloat16_call_the_kernel() -> None:
    fun = lambda x, y: lax.dot(x, y)
    square = lambda n, dtype=BF16: ShapedArray((n, n), np.dtype(dtype))
    assert "anima_product" in text(fun, square(64), square(64))
    assert "anima_product" not in text(fun, square(8), square(8))
    assert "anima_product" not in text(fun, square(64, F32), square(64, F32))
    assert "anima_product" not in text(fun, square(64), square(64, np.float16))
    assert "anima_product" not in text(fun, ShapedArray((1, 9000), BF16), ShapedArray((9000, 1), BF16))
    empty = ShapedArray((0, 64), BF16)
    assert "anima_product" not in text(fun, empty, square(64))
    named = lambda x, y: lax.dot_general(x, y, (((1,), (0,)), ((), ())), "BF16_BF16_F32")
    assert "anima_product" not in text(named, square(64), square(64))
    for how in ({"exported": True}, {"partitions": 2}):
        assert "anima_product" not in text(fun, square(64), square(64), **how)
    with host_kernels(False):
        assert "anima_product" not in text(fun, square(64), square(64))


def test_processors_without_the_instructions_take_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_native, "has_bfloat16_products", lambda: False)
    x, y = numbers(64, 64), numbers(64, 64)
    fun = lambda x, y: lax.dot(x, y, preferred_element_type=F32)
    assert "anima_product" not in text(fun, ShapedArray(x.shape, BF16), ShapedArray(y.shape, BF16))
    check(anima.jit(fun)(x, y)[None], x[None], y[None], 64)


def both_roads(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fun = lambda x, y: lax.dot(x, y, preferred_element_type=F32)
    with host_kernels(False):
        plain = np.asarray(anima.jit(lambda x, y: fun(x, y))(x, y))
    return np.asarray(anima.jit(fun)(x, y)), plain


def test_sums_are_as_exact_as_those_of_xla() -> None:
    x, y = numbers(50, 3001), numbers(3001, 70)
    want = x.astype(np.float64) @ y.astype(np.float64)
    ours, plain = (abs(v - want).mean() for v in both_roads(x, y))
    assert ours <= plain * 1.1


def test_infinities_nans_and_the_least_numbers() -> None:
    x, y = numbers(40, 40), numbers(40, 40)
    x[3, 5], x[4, 6], x[7, 1] = np.inf, np.nan, 0
    y[1, 2], y[8, 9], y[8, 10] = np.inf, -np.inf, np.nan
    x[20], y[:, 30] = 1e-40, 1e-39  # denormal: 0 to the processor's threads and to the kernel
    ours, plain = both_roads(x, y)
    assert np.array_equal(np.isnan(ours), np.isnan(plain)) and np.array_equal(np.isinf(ours), np.isinf(plain))
    assert np.isnan(ours[7, 2]) and np.isnan(ours[:, 10]).all() and np.isnan(ours[4]).all()
    finite = np.isfinite(plain)
    np.testing.assert_allclose(ours[finite], plain[finite], rtol=1e-4, atol=1e-5)
    infinite = np.isinf(plain)
    assert np.array_equal(ours[infinite], plain[infinite])
    large = np.full((64, 64), 3e38).astype(BF16)
    assert np.isinf(np.asarray(anima.jit(lax.dot)(large, np.ones((64, 64), BF16)))).all()


NONE = Missing("it is only run")


def called(attributes: dict[str, bool], out: Any, operands: int = 2) -> Primitive:
    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, "anima_product", xs[:operands], ctx.out_avals, attributes)[0]

    shape = lambda *avals: ShapedArray(*out)
    return declare(
        "malformed_product", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


def test_malformed_calls_raise() -> None:
    x, y = numbers(2, 3, 4), numbers(2, 4, 5)
    good = {"left_turned": False, "right_turned": False}
    out = ((2, 3, 5), BF16)
    for primitive, operands in (
        (called(good, out, 1), (x, y)),
        (called({"left_turned": False}, out), (x, y)),
        (called(good | {"left_turned": True}, out), (x, y)),
        (called(good | {"right_turned": True}, out), (x, y)),
        (called(good, ((2, 3, 6), BF16)), (x, y)),
        (called(good, ((1, 3, 5), BF16)), (x, y)),
        (called(good, ((3, 5), BF16)), (x, y)),
        (called(good, ((2, 3, 5), np.dtype(np.float16))), (x, y)),
        (called(good, out), (x[0], y)),
        (called(good, out), (x[:1], y)),
        (called(good, out), (x.astype(F32), y)),
        (called(good, out), (x, y.astype(np.float16))),
    ):
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|product"):
            np.asarray(primitive.bind(*operands))
    check(called(good, out).bind(x, y), x, y, 4)
    nothing = np.asarray(called(good, out).bind(x[:, :, :0], y[:, :0]))
    assert nothing.shape == (2, 3, 5) and not nothing.any()
    assert called(good, ((2, 0, 5), BF16)).bind(x[:, :0], y).shape == (2, 0, 5)
