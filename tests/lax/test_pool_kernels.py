"""Reductions of windows by kernels: beside XLA's own operations and NumPy, and called as they must not be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import anima
from anima import errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax import windows
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel
from tests.lax.samples.windows import places

pytestmark = pytest.mark.cpu

F32, F64, BF16 = np.float32, np.float64, np.dtype(ml_dtypes.bfloat16)
OPERATIONS: dict[str, tuple[float, Callable[..., Any], Callable[..., Any]]] = {
    "max": (-np.inf, lax.max, np.maximum.reduce),
    "min": (np.inf, lax.min, np.minimum.reduce),
    "add": (0.0, lax.add, np.add.reduce),
}
random = np.random.RandomState(3)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are called also where slices would be quicker."""
    monkeypatch.setattr(windows, "_gains", lambda shape, windows: True)


def reduced(name: str, lie: Any) -> Callable[[Any], Any]:
    init, fun, _ = OPERATIONS[name]
    return lambda x: lax.reduce_window(x, x.dtype.type(init), fun, *lie)


def oracle(name: str, x: Any, lie: Any) -> Any:
    """Window by window, in double precision."""
    init, _, reduce = OPERATIONS[name]
    at = places(x, lie)
    values = np.where(at >= 0, x.astype(F64).ravel()[at] if x.size else init, init)
    return reduce(values, axis=-1)


def calls_kernel(fun: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any, **how: Any) -> bool:
    closed = stage_closed(lambda x: [fun(x)], [ShapedArray(shape, np.dtype(dtype))], "f")
    return "anima_reduce_window" in lower_module(closed, name="f", platform="cpu", **how).text


def lie(sizes: Any, strides: Any = None, pads: Any = None, base: Any = None, steps: Any = None) -> Any:
    rank = len(sizes)
    ones = (1,) * rank
    return sizes, strides or ones, pads or ((0, 0),) * rank, base or ones, steps or ones


LIES = [
    ((40,), lie((3,))),
    ((41,), lie((4,), (2,), ((3, 2),))),
    ((2, 37, 3), lie((1, 3, 1), (1, 2, 1), ((0, 0), (1, 1), (0, 0)))),
    ((2, 23, 40, 5), lie((1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0)))),
    ((2, 5, 23, 40), lie((1, 1, 3, 3), (1, 1, 2, 2), ((0, 0), (0, 0), (1, 1), (1, 1)))),
    ((2, 5, 23, 40), lie((1, 1, 2, 2))),
    ((2, 9, 8, 20, 2), lie((1, 2, 3, 4, 1), (1, 2, 1, 3, 1), ((0, 0), (1, 0), (0, 0), (2, 1), (0, 0)))),
    ((9, 3, 30), lie((4, 1, 5), (3, 1, 1))),  # a dimension between that has none
    ((6, 7, 33), lie((2, 3, 4), (2, 1, 3), ((1, 2), (-1, 0), (4, 6)))),  # some in padding alone
    ((5, 30, 9), lie((2, 3, 1), (1, 2, 1), ((1, 1), (2, 0), (0, 0)), (2, 3, 1), (1, 2, 1))),
    ((4, 64), lie((3, 9), None, ((0, 0), (4, 4)), (2, 1), (1, 3))),
    ((2, 600, 2), lie((1, 32, 2), (1, 1, 1))),
    ((3, 700), lie((2, 6), (1, 4), ((0, 0), (5, 5)))),
    ((40, 33), lie((3, 3), (2, 2), ((5, 4), (1, 1)))),  # rows of padding alone among others
    ((2, 31, 20, 16), lie((1, 3, 3, 1), (1, 3, 3, 1), ((0, 0), (2, 1), (2, 2), (0, 0)))),
    ((3, 0), lie((1, 2), None, ((0, 0), (2, 1)))),
]  # fmt: skip


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("shape", "where"), LIES)
def test_every_kind_of_window(shape: tuple[int, ...], where: Any) -> None:
    x = random.randn(*shape)
    with anima.enable_x64(True):
        for name, dtype in itertools.product(OPERATIONS, (F32, F64, BF16)):
            fun, v = reduced(name, where), x.astype(dtype)
            assert calls_kernel(fun, shape, dtype)
            got = np.asarray(fun(v))
            want = oracle(name, v, where)
            assert got.dtype == dtype and got.shape == want.shape
            if name == "add":
                eps = float(ml_dtypes.finfo(dtype).eps)
                total = oracle(name, np.abs(v), where)
                assert np.all(np.abs(got.astype(F64) - want) <= (1 if dtype == BF16 else 8) * eps * total)
            else:
                assert np.array_equal(got, want.astype(dtype))


# ---- sums times a number --------------------------------------------------------------------------------------------

# What a program makes of sums, by which number that multiplies them, and whether only the product is wanted.
SCALED: dict[str, tuple[Callable[[Any], Any], float]] = {
    "quotient": (lambda s: s / 9, 1 / 9),
    "product": (lambda s: s * 0.3, 0.3),
    "product from the left": (lambda s: -2 * s, -2.0),
    "quotient of nothing": (lambda s: s / np.inf, 0.0),
}


def calls(fun: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any) -> list[int]:
    """The numbers of operands of calls of the kernel for sums, in order."""
    closed = stage_closed(lambda x: [fun(x)], [ShapedArray(shape, np.dtype(dtype))], "f")
    lines = lower_module(closed, name="f", platform="cpu").text.splitlines()
    return [
        line.split("(")[1].split(")")[0].count("%") for line in lines if "anima_reduce_window_add" in line
    ]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("shape", "where"), LIES)
def test_sums_times_a_number_are_one_call(shape: tuple[int, ...], where: Any) -> None:
    x = random.randn(*shape)
    pool = reduced("add", where)
    with anima.enable_x64(True):
        for (make, factor), dtype in itertools.product(SCALED.values(), (F32, F64, BF16)):
            v, fun = x.astype(dtype), lambda x, make=make: make(pool(x))
            assert calls(fun, shape, dtype)[-1] == 2
            got = np.asarray(anima.jit(fun)(v))
            want, size = oracle("add", v, where) * factor, oracle("add", np.abs(v), where) * abs(factor)
            eps = float(ml_dtypes.finfo(dtype).eps)
            assert got.dtype == dtype and got.shape == want.shape
            assert np.all(np.abs(got.astype(F64) - want) <= (2 if dtype == BF16 else 9) * eps * size)
            if dtype != BF16:  # as by a pass over the sums, bit by bit
                inverse = dtype(1) / dtype(9) if make is SCALED["quotient"][0] else dtype(factor)
                assert np.array_equal(got, np.asarray(pool(v)) * inverse)


@pytest.mark.parametrize("dtype", [F32, F64])
def test_quotients_of_odd_sums_as_without_kernels(dtype: Any) -> None:
    tiny, huge = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
    odd = np.array([0.0, 5.0, np.inf, -np.inf, np.nan, tiny / 4, -tiny, huge / 16, 1.0, -3.0]).astype(dtype)
    x = odd[random.randint(0, 10, (40, 40))]
    where = lie((2, 1))  # of two numbers there is only one sum
    with anima.enable_x64(True):
        for by in (0.0, -0.0, np.inf, np.nan, 3.0, -7.0, huge, tiny):
            run = anima.jit(lambda x, by=by: reduced("add", where)(x) / dtype(by))
            with host_kernels(False):
                without = np.asarray(run(x))
            assert 2 in calls(lambda x, by=by: reduced("add", where)(x) / dtype(by), x.shape, dtype)
            got = np.asarray(run(x))
            assert np.array_equal(got, without, equal_nan=True)
            numbers = ~np.isnan(got)
            assert np.array_equal(np.signbit(got[numbers]), np.signbit(without[numbers]))


def test_sums_that_something_else_reads_are_not_made_twice() -> None:
    pool, shape = reduced("add", lie((3, 3), (2, 2))), (40, 40)
    x = random.randn(*shape).astype(F32)

    def in_a_loop(x: Any) -> Any:
        sums = pool(x)
        return lax.fori_loop(0, 3, lambda i, y: y + sums / 9, anima.numpy.zeros_like(sums))

    def divided_again(x: Any) -> Any:
        return pool(x) / 9 / 3

    for fun, wanted in (
        (lambda x: (lambda s: s + s / 9)(pool(x)), [1]),
        (lambda x: (lambda s: s / 9 + s / 4)(pool(x)), [1]),
        (lambda x: pool(x) / anima.numpy.sum(x), [1]),  # no constant
        (in_a_loop, [1]),
        (divided_again, [1, 2]),
    ):
        assert calls(fun, shape, F32) == wanted
        run = anima.jit(fun)
        with host_kernels(False):
            without = np.asarray(run(x))
        np.testing.assert_allclose(run(x), without, rtol=2e-5, atol=1e-5)


@pytest.mark.usefixtures("always")
def test_derivatives_of_means() -> None:
    where = lie((1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (0, 1), (0, 0)))
    x = random.randn(2, 9, 10, 9).astype(F32)
    loss = lambda x: anima.numpy.sum(anima.numpy.sin(reduced("add", where)(x) / 9))
    for fun in (anima.grad(loss), anima.vmap(anima.grad(lambda row: loss(row[None])), 0, 0)):
        run = anima.jit(fun)
        with host_kernels(False):
            without = np.asarray(run(x))
        assert np.allclose(run(x), without, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("shape", "where"), LIES)
def test_elements_of_windows_are_counted_before_the_program_runs(shape: tuple[int, ...], where: Any) -> None:
    pool = reduced("add", where)
    with anima.enable_x64(True):
        for number, dtype in ((1.0, F32), (0.3, F32), (0.3, F64), (1.0, BF16), (1.0, np.float16)):
            fun = lambda x, number=number: pool(anima.numpy.full_like(x, number))
            closed = stage_closed(lambda x, fun=fun: [fun(x)], [ShapedArray(shape, np.dtype(dtype))], "f")
            text = lower_module(closed, name="f", platform="cpu").text
            assert "anima_" not in text and "reduce_window" not in text
            x = np.full(shape, number, dtype)
            got, want = np.asarray(anima.jit(fun)(x)), oracle("add", x, where)
            assert got.dtype == dtype and got.shape == want.shape
            assert np.all(np.abs(got.astype(F64) - want) <= 3 * float(ml_dtypes.finfo(dtype).eps) * want)
            if number == 1.0 and dtype in (F32, F64):
                assert np.array_equal(got, want)


def test_what_is_not_counted() -> None:
    full = anima.numpy.full
    pool, x = reduced("add", lie((3, 1), None, ((4, 4), (0, 0)))), np.zeros((40, 40), F32)
    for value in (np.inf, np.nan):  # some windows have no elements
        got = np.asarray(anima.jit(lambda x, value=value: pool(full(x.shape, value, F32)))(x))
        assert np.array_equal(
            got, oracle("add", np.full((40, 40), value), lie((3, 1), None, ((4, 4), (0, 0)))), equal_nan=True
        )
    long = reduced("add", lie((3000,), None, ((2999, 0),)))
    got = anima.jit(lambda x: long(full(x.shape, 1, F32)))(np.zeros(3000, F32))
    assert np.array_equal(got, np.arange(1, 3001))
    integers = anima.jit(
        lambda x: lax.reduce_window(full(x.shape, 100, np.int8), np.int8(0), lax.add, (2, 2))
    )(x)
    assert np.all(np.asarray(integers) == np.int8(400 - 512))


# ---- odd numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", [F32, F64, BF16])
@pytest.mark.parametrize("name", OPERATIONS)
def test_zeros_infinities_and_nans_as_without_kernels(name: str, dtype: Any) -> None:
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1, -1, 1e-40, -1e-40])
    values = odd.astype(dtype)
    if dtype == F64:
        values = np.where(np.abs(odd) == 1e-40, np.sign(odd) * 1e-310, odd)
    with anima.enable_x64(True):
        x = values[random.randint(0, 10, (40, 40))]
        for where in (lie((2, 1)), lie((1, 2)), lie((3, 3), (2, 2), ((1, 1), (1, 1))), lie((1, 4), (1, 3))):
            run = anima.jit(reduced(name, where))
            with host_kernels(False):
                without = np.asarray(run(x)).astype(F64)
            got = np.asarray(run(x)).astype(F64)
            assert np.array_equal(got, without, equal_nan=True)
            zeros = got == 0
            if name != "add":
                assert np.array_equal(np.signbit(got[zeros]), np.signbit(without[zeros]))
            else:
                assert not np.any(np.signbit(got[zeros]))


@pytest.mark.parametrize("dtype", [F32, F64, BF16])
@pytest.mark.parametrize("name", ["max", "min"])
def test_a_few_nans_and_infinities_among_numbers(name: str, dtype: Any) -> None:
    """Rows without NaNs are folded in fewer steps, each row for itself."""
    x = random.randn(2, 40, 50)
    x[0, 9, 11], x[0, 23, 49], x[1, 0, 0] = np.nan, -np.nan, np.nan
    x[0, 30:32, 5], x[0, 32, 5], x[1, 20, 3:5], x[1, 20, 5] = np.inf, -np.inf, -np.inf, np.inf
    x[1, 30:34, 20:30] = np.where(random.rand(4, 10) < 0.5, 0.0, -0.0)
    v = x.astype(dtype)
    with anima.enable_x64(True):
        for where in (
            lie((1, 3, 3), (1, 2, 2), ((0, 0), (1, 1), (1, 1))),
            lie((1, 2, 3)),
            lie((1, 1, 3), (1, 1, 2)),
            lie((1, 5, 1)),
            lie((2, 3, 3)),
        ):
            run = anima.jit(reduced(name, where))
            with host_kernels(False):
                without = np.asarray(run(v)).astype(F64)
            got = np.asarray(run(v)).astype(F64)
            assert np.isnan(got).any() and np.array_equal(got, without, equal_nan=True)
            assert np.array_equal(np.signbit(got[got == 0]), np.signbit(without[got == 0]))


def test_which_programs_call_kernels() -> None:
    pool, shape = reduced("max", lie((3, 3), (2, 2))), (40, 40)
    assert calls_kernel(pool, shape, F32)
    for how in ({"exported": True}, {"partitions": 2}):
        assert not calls_kernel(pool, shape, F32, **how)
    assert not calls_kernel(reduced("add", lie((3, 3))), shape, np.int32)
    assert calls_kernel(reduced("add", lie((3, 3))), shape, np.float16)  # in float32
    for small in (20, 20), (0, 40):
        assert not calls_kernel(pool, small, F32)
    for where in (
        lie((33, 1)), lie((1, 1)), lie((2, 2), (2, 2)), lie((3, 2), None, None, (1, 2)), lie((41, 1)),
        lie((3, 1), (2**25, 1)), lie((3, 1), None, ((2**25, 0), (0, 0))),
    ):  # fmt: skip
        assert not calls_kernel(reduced("max", where), shape, F32)
    assert not calls_kernel(reduced("max", lie((3, 3, 1))), (40, 40, 3), F32)
    assert calls_kernel(reduced("max", lie((3, 3, 1), None, None, (1, 2, 1))), (40, 40, 8), F32)
    assert not calls_kernel(reduced("max", lie((2,) * 9)), (4,) * 9, F32)
    with host_kernels(False):
        assert not calls_kernel(pool, shape, F32)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_as_without_kernels(name: str) -> None:
    where = lie((1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (0, 1), (0, 0)))
    x = random.randint(0, 4, (2, 9, 10, 9)).astype(F32)  # with ties
    loss = lambda x: anima.numpy.sum(anima.numpy.sin(reduced(name, where)(x)))
    for fun in (
        anima.grad(loss),
        lambda x: anima.jvp(anima.grad(loss), (x,), (anima.numpy.cos(x),))[1],
        anima.vmap(anima.grad(lambda row: loss(row[None])), 0, 0),
    ):
        run = anima.jit(fun)
        with host_kernels(False):
            without = np.asarray(run(x))
        assert np.allclose(run(x), without, rtol=1e-5, atol=1e-5)


# ---- malformed calls ------------------------------------------------------------------------------------------------

NONE = Missing("it is only run")
PLAIN = {f"{name}{d}": value for name, value in (("size", 1), ("stride", 1), ("low", 0), ("base", 1), ("step", 1)) for d in range(2)}  # fmt: skip


def called(kernel: str, attributes: dict[str, Any], out: Any = None, operands: int = 1) -> Primitive:
    """An operation whose program calls a kernel as it is said here."""

    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, kernel, xs[:operands], ctx.out_avals, attributes)[0]

    def shape(*avals: ShapedArray) -> ShapedArray:
        return ShapedArray(*out) if out else avals[0]

    return declare(
        f"malformed_{kernel}", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_malformed_calls_raise(name: str) -> None:
    kernel, x, f32 = f"anima_reduce_window_{name}", np.ones((3, 4), F32), np.dtype(F32)
    malformed = [
        called(kernel, PLAIN, None, 2),
        called(kernel, PLAIN, ((3,), f32)),
        called(kernel, PLAIN, ((4, 3), f32)),
        called(kernel, PLAIN, ((3, 4), np.dtype(F64))),
        called(kernel, {"size0": 1}),
        *(
            called(kernel, PLAIN | {f"{key}1": value})
            for key, value in (
                ("size", 0), ("size", 33), ("stride", 0), ("stride", 2**60), ("low", 2**60), ("low", -(2**60)),
                ("base", 0), ("step", -1), ("size", True),
            )
        ),
    ]  # fmt: skip
    for primitive in malformed:
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|windows"):
            np.asarray(primitive.bind(x, x))
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called(kernel, PLAIN).bind(np.ones((3, 4), np.int32), x))
    # Results of any shape stay within the array: what no window reaches has no elements.
    far = called(kernel, PLAIN | {"size1": 3, "stride1": 100, "low1": -2}, ((3, 500), f32))
    want = np.full((3, 500), OPERATIONS[name][0])
    want[:, 0] = OPERATIONS[name][2](x[:, 2:], axis=1)
    assert np.array_equal(far.bind(x, x), want)
