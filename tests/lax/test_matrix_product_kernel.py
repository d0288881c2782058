"""Products of float32 and float64 by the kernel: where it is called, beside NumPy, beside XLA, and as it must not be called."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax import matrix_products
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel

pytestmark = pytest.mark.cpu

F32 = np.dtype(np.float32)
KERNEL = "anima_matrix_product"
random = np.random.default_rng(5)


def numbers(*shape: int, dtype: Any = F32) -> np.ndarray:
    """Normally distributed; of float64 thousands, rounded, whose sums of products are exact."""
    drawn = random.standard_normal(shape)
    return drawn.astype(F32) if dtype == F32 else np.round(1000 * drawn)


def text(fun: Any, *shapes: tuple[int, ...], dtype: Any = F32, **how: Any) -> str:
    closed = stage_closed(lambda *xs: [fun(*xs)], [ShapedArray(s, np.dtype(dtype)) for s in shapes], "f")
    return lower_module(closed, name="f", platform="cpu", **how).text


def check(got: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Whether a stack of products is right to the error of sums in parts of 256 terms."""
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    want, size, depth = wide_x @ wide_y, abs(wide_x) @ abs(wide_y), x.shape[-1]
    bound = size * np.finfo(F32).eps * (min(depth, 256) ** 0.5 + depth / 256) if x.dtype == F32 else 0
    assert got.dtype == x.dtype and got.shape == want.shape
    assert (abs(np.asarray(got) - want) <= bound).all()


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes every product that it can."""
    monkeypatch.setattr(matrix_products, "_worth", lambda *_: True)


turned = lambda v: np.ascontiguousarray(v.swapaxes(-1, -2))

SHAPES = [
    (1, 1, 1, 1),
    (1, 2, 3, 5),
    (1, 1, 300, 70),
    (3, 13, 33, 77),
    (1, 7, 1, 64),
    (1, 61, 31, 1),
    (1, 130, 257, 48),
    (1, 5, 1031, 17),
    (2, 67, 513, 131),
    (1, 97, 64, 1100),
    (1, 3, 20011, 2),
    (17, 11, 16, 9),
    (1, 300, 20, 33),
    (2, 1003, 32, 32),
    (1, 517, 300, 16),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("always")
def test_stacks_of_matrices_however_they_lie(dtype: Any) -> None:
    with anima.enable_x64(True):
        for batch, rows, depth, columns in SHAPES:
            x, y = numbers(batch, rows, depth, dtype=dtype), numbers(batch, depth, columns, dtype=dtype)
            for (a, left), (b, right) in itertools.product(
                ((x, 2), (turned(x), 1)), ((y, 1), (turned(y), 2))
            ):
                dims = (((left,), (right,)), ((0,), (0,)))
                fun = lambda p, q, dims=dims: lax.dot_general(p, q, dims)
                assert KERNEL in text(fun, a.shape, b.shape, dtype=dtype)
                check(anima.jit(fun)(a, b), x, y)


@pytest.mark.usefixtures("always")
def test_other_orders_of_dimensions_are_walked_along_by_strides() -> None:
    for equation, left, right, by_kernel in (
        ("bqhd,bkhd->bhqk", (2, 9, 3, 8), (2, 7, 3, 8), True),
        ("bhqk,bkhd->bhqd", (2, 3, 9, 7), (2, 7, 3, 8), True),
        ("btn,btk->nk", (4, 6, 10), (4, 6, 12), True),
        ("abcd,cbe->abde", (3, 2, 5, 4), (5, 2, 6), False),  # the rows are in two dimensions
        ("abij,jk->abik", (3, 2, 5, 4), (4, 6), True),
        ("iabj,jk->iabk", (3, 2, 5, 4), (4, 6), True),
        ("ij,abjk->iabk", (3, 4), (2, 5, 4, 6), False),  # the columns are in three dimensions
        ("abcd,ecda->be", (3, 2, 5, 4), (6, 5, 4, 3), False),  # what is summed over is not in one
        ("qdb,kdb->bqk", (5, 6, 3), (7, 6, 3), False),  # neither rows nor columns lie together
        ("abcdefghij,abcdefghjk->abcdefghik", (1, 2) * 5, (1, 2) * 4 + (2, 3), True),
        ("aibjc,ajbkc->abcik", (2, 3, 2, 5, 1), (2, 5, 2, 4, 1), True),
    ):
        x, y = numbers(*left), numbers(*right)
        fun = lambda x, y, equation=equation: anima.numpy.einsum(equation, x, y)
        assert (KERNEL in text(fun, left, right)) == by_kernel, equation
        want = np.einsum(equation, x.astype(np.float64), y.astype(np.float64))
        np.testing.assert_allclose(anima.jit(fun)(x, y), want, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("always")
def test_transposed_operands_are_taken_from_before() -> None:
    x, y = numbers(40, 60), numbers(60, 50)
    for fun, a, b in (
        (lambda x, y: x @ y.T, x, turned(y)),
        (lambda x, y: x.T @ y, turned(x), y),
        (lambda x, y: x.T @ y.T, turned(x), turned(y)),
    ):
        call = next(line for line in text(fun, a.shape, b.shape).splitlines() if KERNEL in line)
        assert f"{a.shape[0]}x{a.shape[1]}" in call and f"{b.shape[0]}x{b.shape[1]}" in call
        check(anima.jit(fun)(a, b), x, y)
    looped = anima.jit(  # a transpose from outside of the loop
        lambda x, y: lax.fori_loop(0, 3, lambda i, s, z=y.T: s + x @ z, anima.numpy.zeros((40, 50)))
    )
    np.testing.assert_allclose(looped(x, turned(y)), 3 * (x @ y), rtol=1e-4, atol=1e-4)


def test_slopes_by_either_operand_move_nothing() -> None:
    """A weight's slope is computed in the order of the weight's dimensions."""
    for dims, left, right in (
        ((((1,), (0,)), ((), ())), (40, 60), (60, 50)),
        ((((0,), (0,)), ((), ())), (60, 40), (60, 50)),
        ((((1,), (1,)), ((), ())), (40, 60), (50, 60)),
        ((((0,), (1,)), ((), ())), (60, 40), (50, 60)),
        ((((2,), (1,)), ((0,), (0,))), (3, 40, 60), (3, 60, 50)),
        ((((2,), (0,)), ((), ())), (3, 40, 60), (60, 50)),
    ):
        x, y = numbers(*left), numbers(*right)
        fun = lambda x, y, dims=dims: lax.dot_general(x, y, dims)
        weight = numbers(*anima.eval_shape(fun, x, y).shape)
        slopes = anima.grad(lambda x, y, fun=fun, weight=weight: (fun(x, y) * weight).sum(), (0, 1))
        for i in range(2):
            written = text(lambda x, y, i=i: slopes(x, y)[i], left, right)
            assert KERNEL in written and "transpose" not in written
        got, step = anima.jit(slopes)(x, y), numbers(*left)
        f64 = lambda v: v.astype(np.float64)
        expected = lambda x: (np.asarray(fun(x.astype(np.float32), y), np.float64) * weight).sum()
        near = (expected(x + step) - expected(x - step)) / 2
        np.testing.assert_allclose((f64(np.asarray(got[0])) * step).sum(), near, rtol=1e-3, atol=0.05)
        total = (f64(np.asarray(got[1])) * f64(y)).sum()  # linear in y: its slope along y is its value
        np.testing.assert_allclose(total, expected(x), rtol=1e-3, atol=0.05)


def test_under_transformations() -> None:
    """A layer in a loop, mapped, and to the second order."""
    w, x = numbers(40, 64), numbers(5, 32, 40)

    def loss(x: Any, w: Any) -> Any:
        total, _ = lax.scan(lambda c, row: (c + (anima.numpy.tanh(row @ w) ** 2).sum(), None), F32.type(0), x)
        return total

    def wanted(x: Any) -> Any:
        y = np.tanh(x.astype(np.float64) @ w.astype(np.float64))
        return (2 * y * (1 - y * y)) @ w.T.astype(np.float64)

    assert KERNEL in anima.jit(anima.grad(loss)).lower(x, w).as_text()
    np.testing.assert_allclose(anima.jit(anima.grad(loss))(x, w), wanted(x), rtol=1e-3, atol=1e-3)
    mapped = anima.vmap(anima.grad(loss), (0, None))(np.stack([x, 2 * x]), w)
    np.testing.assert_allclose(mapped, [wanted(x), wanted(2 * x)], rtol=1e-3, atol=1e-3)
    step = np.float32(1e-2) * np.ones_like(x)
    _, second = anima.jvp(anima.grad(lambda x: loss(x, w)), (x,), (step,))
    near = (wanted(x + step / 8) - wanted(x - step / 8)) * 4
    np.testing.assert_allclose(second, near, rtol=0.05, atol=0.05)
    stacks, others = numbers(3, 32, 48), numbers(3, 48, 40)
    check(anima.jit(anima.vmap(lax.dot))(stacks, others), stacks, others)
    check(anima.jit(anima.vmap(lax.dot, (0, None)))(stacks, others[0]), stacks, np.stack([others[0]] * 3))
    found = anima.jit(anima.vmap(lax.dot, (None, 2), 1))(stacks[0], others.transpose(1, 2, 0))
    check(np.asarray(found).swapaxes(0, 1), np.stack([stacks[0]] * 3), others)


def test_which_products_call_the_kernel() -> None:
    dot = lambda x, y: lax.dot(x, y)
    assert KERNEL in text(dot, (64, 64), (64, 64))
    assert KERNEL in text(dot, (2, 400), (400, 400))
    assert KERNEL in text(lax.batch_matmul, (512, 4, 4), (512, 4, 4))
    assert KERNEL in text(lambda x, y: lax.dot(x, y, precision="highest"), (64, 64), (64, 64))
    with anima.enable_x64(True):
        assert KERNEL in text(dot, (64, 64), (64, 64), dtype=np.float64)
    for left, right in (
        ((16, 16), (16, 16)),  # small
        ((1, 400), (400, 400)),  # one row
        ((400, 400), (400, 1)),  # one column
        ((400, 1), (1, 400)),  # one term, which XLA fuses
        ((4, 9000), (9000, 8)),  # long sums for few columns
        ((0, 400), (400, 400)),
        ((400, 0), (0, 400)),
    ):
        assert KERNEL not in text(dot, left, right)
    assert KERNEL not in text(lax.batch_matmul, (5000, 3, 3), (5000, 3, 3))
    for dtype in (np.float16, np.complex64, np.int32):
        assert KERNEL not in text(dot, (64, 64), (64, 64), dtype=dtype)
    with anima.enable_x64(True):
        wider = lambda x, y: lax.dot(x, y, preferred_element_type=np.float64)
        assert KERNEL not in text(wider, (64, 64), (64, 64))
    named = lambda x, y: lax.dot(x, y, precision="BF16_BF16_F32")
    assert KERNEL not in text(named, (64, 64), (64, 64))
    for how in ({"exported": True}, {"partitions": 2}):
        assert KERNEL not in text(dot, (64, 64), (64, 64), **how)
    with host_kernels(False):
        assert KERNEL not in text(dot, (64, 64), (64, 64))


def both_roads(fun: Callable[..., Any], *args: Any) -> tuple[np.ndarray, np.ndarray]:
    with host_kernels(False):
        plain = np.asarray(anima.jit(lambda *args: fun(*args))(*args))
    return np.asarray(anima.jit(fun)(*args)), plain


def test_sums_are_as_exact_as_those_of_xla() -> None:
    for rows, depth, columns in ((50, 3001, 70), (20, 50000, 40)):
        x, y = numbers(rows, depth), numbers(depth, columns)
        want = x.astype(np.float64) @ y.astype(np.float64)
        ours, plain = (abs(v - want).mean() for v in both_roads(lax.dot, x, y))
        assert ours <= plain * 1.1


def test_infinities_nans_and_small_numbers() -> None:
    x, y = numbers(40, 40), numbers(40, 50)
    x[3, 5], x[4, 6], x[7, 1] = np.inf, np.nan, 0
    y[1, 2], y[8, 9], y[8, 10] = np.inf, -np.inf, np.nan
    x[20], y[:, 30] = 1e-40, 1e-39  # denormal: 0 to the processor's threads and to the kernel
    for fun, a, b in ((lax.dot, x, y), (lambda a, b: a.T @ b.T, turned(x), turned(y))):
        ours, plain = both_roads(fun, a, b)
        assert np.array_equal(np.isnan(ours), np.isnan(plain))
        assert np.isnan(ours[7, 2]) and np.isnan(ours[:, 10]).all() and np.isnan(ours[4]).all()
        finite = np.isfinite(plain)
        np.testing.assert_allclose(ours[finite], plain[finite], rtol=1e-4, atol=1e-5)
        infinite = np.isinf(plain)
        assert np.array_equal(ours[infinite], plain[infinite])
    large = np.full((64, 64), 3e38, F32)
    assert np.isinf(np.asarray(anima.jit(lax.dot)(large, large))).all()


_DIGEST = """
import hashlib, os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import numpy as np
import anima
from anima import lax
random = np.random.default_rng(0)
found = hashlib.sha256()
for rows, depth, columns in ((130, 600, 200), (16, 40000, 24), (1000, 70, 33)):
    x, y = (random.standard_normal(s).astype(np.float32) for s in ((rows, depth), (depth, columns)))
    found.update(np.asarray(anima.jit(lax.dot)(x, y)).tobytes())
print(found.hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads(run_python: Any) -> None:
    alone = run_python(_DIGEST).stdout
    several = run_python("\n".join(line for line in _DIGEST.splitlines() if "affinity" not in line)).stdout
    assert alone == several and len(alone.strip()) == 64


NONE = Missing("it is only run")
GOOD = {
    "rows": 3,
    "columns": 5,
    "depth": 4,
    "left_row": 4,
    "left_column": 1,
    "right_row": 5,
    "right_column": 1,
    "batches": 1,
    "size0": 2,
    "left0": 12,
    "right0": 20,
}


def called(attributes: dict[str, int], out: Any) -> Primitive:
    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, KERNEL, xs, ctx.out_avals, attributes)[0]

    shape = lambda *avals: ShapedArray(*out)
    return declare(
        "malformed_product", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


def test_malformed_calls_raise() -> None:
    x, y, out = numbers(2, 3, 4), numbers(2, 4, 5), ((2, 3, 5), F32)
    for attributes, result, operands in (
        (GOOD, out, (x,)),
        ({}, out, (x, y)),
        ({k: v for k, v in GOOD.items() if k != "left0"}, out, (x, y)),
        (GOOD | {"rows": 4}, out, (x, y)),
        (GOOD | {"rows": 0}, out, (x, y)),
        (GOOD | {"columns": -5}, out, (x, y)),
        (GOOD | {"depth": -1}, out, (x, y)),
        (GOOD | {"depth": 5}, out, (x, y)),
        (GOOD | {"depth": 2**62}, out, (x, y)),
        (GOOD | {"batches": -1}, out, (x, y)),
        (GOOD | {"batches": 9}, out, (x, y)),
        (GOOD | {"size0": 1}, out, (x, y)),
        (GOOD | {"size0": 2**62}, out, (x, y)),
        (GOOD | {"left_row": 2**62}, out, (x, y)),
        (GOOD | {"left_column": 0}, out, (x, y)),
        (GOOD | {"right_row": -5}, out, (x, y)),
        (GOOD | {"right_column": 2}, out, (x, y)),
        (GOOD | {"left0": 13}, out, (x, y)),
        (GOOD | {"right0": 21}, out, (x, y)),
        (GOOD, ((2, 3, 6), F32), (x, y)),
        (GOOD, ((3, 5), F32), (x, y)),
        (GOOD, ((2, 3, 5), np.dtype(np.int32)), (x, y)),
        (GOOD, out, (x[:1], y)),
        (GOOD, out, (x, y[:0])),
        (GOOD, out, (x.astype(np.int32), y)),
        (GOOD, out, (x, y.astype(np.float16))),
    ):
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|product|buffer|attribute"):
            np.asarray(called(attributes, result).bind(*operands))
    check(called(GOOD, out).bind(x, y), x, y)
    nothing = np.asarray(called(GOOD | {"depth": 0}, out).bind(x[:, :, :0], y[:, :0]))
    assert nothing.shape == (2, 3, 5) and not nothing.any()
    assert called(GOOD, ((2, 0, 5), F32)).bind(x[:, :0], y).shape == (2, 0, 5)
