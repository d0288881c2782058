"""Products of few rows by rows: where the kernel is called, beside NumPy, and as it must not be called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax import contraction
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel

pytestmark = pytest.mark.cpu

F32 = np.float32
random = np.random.RandomState(7)
LAST = (((1,), (1,)), ((), ()))


def product(a: Any, b: Any, numbers: Any = LAST) -> Any:
    return lax.dot_general(a, b, numbers)


def called_in(
    left: tuple[int, ...], right: tuple[int, ...], numbers: Any = LAST, dtype: Any = F32, **how: Any
) -> bool:
    avals = [ShapedArray(shape, np.dtype(dtype)) for shape in (left, right)]
    closed = stage_closed(lambda a, b: [product(a, b, numbers)], avals, "f")
    return "anima_product_of_rows" in lower_module(closed, name="f", platform="cpu", **how).text


def test_few_long_rows_call_the_kernel() -> None:
    assert called_in((8, 256), (64, 256))
    assert called_in((4, 2, 256), (64, 256), (((2,), (1,)), ((), ())))
    assert called_in((8, 4, 64), (64, 4, 64), (((1, 2), (1, 2)), ((), ())))
    assert not called_in((8, 4, 64), (64, 64, 4), (((1, 2), (2, 1)), ((), ())))
    assert not called_in((8, 256), (256, 64), (((1,), (0,)), ((), ())))
    assert not called_in((256, 8), (64, 256), (((0,), (1,)), ((), ())))
    assert not called_in((2, 8, 256), (2, 64, 256), (((2,), (2,)), ((0,), (0,))))
    assert not called_in((128, 256), (64, 256))
    assert not called_in((8, 64), (64, 64))
    assert not called_in((2, 256), (64, 256))
    assert not called_in((0, 256), (64, 256))
    assert not called_in((8, 0), (64, 0))
    assert not called_in((8, 256), (64, 256), dtype=np.float16)
    for how in ({"exported": True}, {"partitions": 2}):
        assert not called_in((8, 256), (64, 256), **how)
    with host_kernels(False):
        assert not called_in((8, 256), (64, 256))


@pytest.mark.parametrize("dtype", [F32, np.float64])
@pytest.mark.parametrize(
    ("rows", "columns", "length"),
    [(1, 1, 1), (4, 4, 16), (5, 7, 37), (3, 66, 128), (64, 33, 129), (0, 4, 8), (4, 0, 8)],
)
def test_beside_numpy(
    rows: int, columns: int, length: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contraction, "_suit_kernel", lambda *_: True)
    with anima.enable_x64(True):
        a, b = (random.standard_normal((n, length)).astype(dtype) for n in (rows, columns))
        got = np.asarray(anima.jit(product)(a, b))
    want = a.astype(np.float64) @ b.T.astype(np.float64)
    assert got.dtype == dtype and got.shape == (rows, columns)
    np.testing.assert_allclose(got, want, rtol=0, atol=length * np.finfo(dtype).eps * 8)


def test_both_roads_agree_and_numbers_out_of_range_stay() -> None:
    a, b = (random.standard_normal((n, 300)).astype(F32) for n in (10, 50))
    a[3, 5], b[7, 200], b[8, 1] = np.inf, np.nan, -np.inf
    with host_kernels(False):
        want = np.asarray(anima.jit(product)(a, b))
    got = np.asarray(anima.jit(lambda a, b: product(a, b))(a, b))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert np.isnan(got[:, 7]).all() and np.isinf(got[0, 8]) and np.isinf(got[3, 0])


def test_under_transformations() -> None:
    """The pullback of a product by weights is such a product; in a loop, mapped, and to the second order."""
    w, x = random.standard_normal((40, 160)).astype(F32), random.standard_normal((5, 8, 40)).astype(F32)

    def loss(x: Any, w: Any) -> Any:
        total, _ = lax.scan(lambda c, row: (c + (anima.numpy.tanh(row @ w) ** 2).sum(), None), F32(0), x)
        return total

    def wanted(x: Any) -> Any:
        y = np.tanh(x.astype(np.float64) @ w.astype(np.float64))
        return (2 * y * (1 - y * y)) @ w.T.astype(np.float64)

    assert "anima_product_of_rows" in anima.jit(anima.grad(loss)).lower(x, w).as_text()
    np.testing.assert_allclose(anima.jit(anima.grad(loss))(x, w), wanted(x), rtol=1e-3, atol=1e-3)
    mapped = anima.vmap(anima.grad(loss), (0, None))(np.stack([x, 2 * x]), w)
    np.testing.assert_allclose(mapped, [wanted(x), wanted(2 * x)], rtol=1e-3, atol=1e-3)
    step = F32(1e-2) * np.ones_like(x)
    _, second = anima.jvp(anima.grad(lambda x: loss(x, w)), (x,), (step,))
    near = (wanted(x + step / 8) - wanted(x - step / 8)) * 4
    np.testing.assert_allclose(second, near, rtol=0.05, atol=0.05)


NONE = Missing("it is only run")


def called(attributes: dict[str, int], out: Any) -> Primitive:
    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, "anima_product_of_rows", xs, ctx.out_avals, attributes)[0]

    shape = lambda *avals: ShapedArray(*out)
    return declare(
        "malformed_product", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


def test_malformed_calls_raise() -> None:
    a, b, f32 = np.ones((6, 4), F32), np.ones((3, 4), F32), np.dtype(F32)
    for attributes, out, operands in (
        ({}, ((6, 3), f32), (a, b)),
        ({"summed": 0}, ((6, 3), f32), (a, b)),
        ({"summed": -4}, ((6, 3), f32), (a, b)),
        ({"summed": 5}, ((6, 3), f32), (a, b)),
        ({"summed": 2**62}, ((6, 3), f32), (a, b)),
        ({"summed": 2}, ((6, 3), f32), (a, b)),
        ({"summed": 4}, ((6, 2), f32), (a, b)),
        ({"summed": 4}, ((6, 3), np.dtype(np.int32)), (a, b)),
        ({"summed": 4}, ((6, 3), f32), (a, b.astype(np.int32))),
        ({"summed": 4}, ((6, 3), f32), (a.astype(np.int32), b)),
        ({"summed": 4}, ((6, 3), f32), (a,)),
    ):
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|product|buffer|attribute"):
            np.asarray(called(attributes, out).bind(*operands))
    assert np.array_equal(called({"summed": 4}, ((6, 3), f32)).bind(a, b), a @ b.T)
