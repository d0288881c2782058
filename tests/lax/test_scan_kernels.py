"""Running reductions by kernels: beside XLA's own operations, against exact sums, and called as they must not be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import anima
from anima import dtypes, errors, lax
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive
from anima.interpreters.jvp import stage_closed
from anima.lax.declare import ANY, declare
from anima.lowering.module import host_kernels, lower_module
from anima.runtime.kernels import call_kernel

pytestmark = pytest.mark.cpu

F32, F64 = np.float32, np.float64
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cumsum": lax.cumsum,
    "cumprod": lax.cumprod,
    "cummax": lax.cummax,
    "cummin": lax.cummin,
    "cumlogsumexp": lax.cumlogsumexp,
}
NUMPY = {
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
    "cumlogsumexp": np.logaddexp.accumulate,
}
random = np.random.RandomState(7)


def both(name: str, x: Any, axis: int = 0, reverse: bool = False) -> tuple[Any, Any]:
    """The results with the kernel and with XLA's operations."""
    run = anima.jit(lambda x: FUNCTIONS[name](x, axis, reverse))
    with host_kernels(False):
        without = np.asarray(run(x))
    return np.asarray(run(x)), without


def oracle(name: str, x: Any, axis: int, reverse: bool) -> Any:
    """By NumPy, in the widest dtype."""
    if x.dtype == F32 or x.dtype == F64:
        x = x.astype(np.longdouble)
    turned = np.flip(x, axis) if reverse else x
    out = NUMPY[name](turned, axis=axis, **({"dtype": x.dtype} if name in ("cumsum", "cumprod") else {}))
    return np.flip(out, axis) if reverse else out


# ---- every way to cut an array --------------------------------------------------------------------------------------

SHAPES = [
    ((1,), 0),
    ((5,), 0),
    ((2, 0), 0),
    ((6, 3), 1),  # rows beside rows, and two of them left over
    ((3, 4, 2), 1),  # columns beside columns
    ((30, 300), 0),  # blocks of columns
    ((8191,), 0),
    ((8192,), 0),  # chunks
    ((3, 33_001), 1),  # the last of them shorter
    ((2, 9_001, 3), 1),
    ((33, 8_200), 1),  # rows enough without chunks
]


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_shape_both_ways(name: str, shape: tuple[int, ...], axis: int) -> None:
    x = random.randn(*shape).astype(F32)
    if name == "cumprod":
        x = (1 + x / 100).astype(F32)
    with anima.enable_x64(True):
        for reverse, dtype in itertools.product((False, True), (F32, F64)):
            v = x.astype(dtype)
            got = np.asarray(FUNCTIONS[name](v, axis, reverse))
            want = oracle(name, v, axis, reverse)
            assert got.dtype == dtype and got.shape == shape
            if name in ("cummax", "cummin"):
                assert np.array_equal(got, want)
            else:
                eps = float(np.finfo(dtype).eps)
                scale = np.abs(want) if name != "cumlogsumexp" else 1 + np.abs(want)
                room = 1e-13 if name == "cumlogsumexp" else 1e-17
                assert np.all(np.abs(got - want) <= 0.6 * eps * scale + room)


INTEGERS = ("int2", "int4", "int8", "int16", "int32", "int64", "uint2", "uint4", "uint8", "uint16", "uint32", "uint64")  # fmt: skip


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap(dtype: str) -> None:
    dtype_ = np.dtype(getattr(ml_dtypes, dtype, dtype))
    info = dtypes.iinfo(dtype_)
    with anima.enable_x64(True):
        x = random.randint(max(int(info.min), -(2**31)), min(int(info.max), 2**31 - 1) + 1, (7, 5))
        for name in ("cumsum", "cumprod", "cummax", "cummin"):
            for axis, reverse in ((0, False), (1, True)):
                got = np.asarray(FUNCTIONS[name](x.astype(dtype_), axis, reverse))
                assert got.dtype == dtype_
                exact = oracle(name, x.astype(object), axis, reverse)
                width = dtypes.itemsize_bits(dtype_)
                want = [
                    (int(v) - int(info.min)) % 2**width + int(info.min) for v in np.asarray(exact).ravel()
                ]
                assert [int(v) for v in got.ravel()] == want


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_complex_numbers(name: str, dtype: str) -> None:
    with anima.enable_x64(True):
        x = (random.randn(6, 5) + 1j * random.randn(6, 5)).astype(dtype)
        for axis, reverse in ((0, True), (1, False)):
            got, without = both(name, x, axis, reverse)
            assert got.dtype == x.dtype
            assert np.allclose(got, without, rtol=1e-5 if dtype == "complex64" else 1e-12)
            if name in ("cumsum", "cumprod"):
                assert np.allclose(got, oracle(name, x, axis, reverse), rtol=1e-5)
        if name == "cumsum":
            long = np.tile(x.ravel(), 400)
            assert np.allclose(FUNCTIONS[name](long), np.cumsum(long), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "dtype", ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "bfloat16", "float16", "float4_e2m1fn"]
)
def test_narrow_numbers_are_rounded_once(dtype: str) -> None:
    narrow = np.dtype(getattr(ml_dtypes, dtype, dtype))
    x = np.array([1, 2, 1, 0.5, 2, 4, 1], F32).astype(narrow)
    for name in FUNCTIONS:
        got = np.asarray(FUNCTIONS[name](x))
        want = oracle(name, x.astype(F64), 0, False).astype(F32).astype(narrow)
        assert got.dtype == narrow
        assert np.array_equal(got.astype(F32), want.astype(F32)), name


# ---- the same as XLA ------------------------------------------------------------------------------------------------

ODD = np.array([0.0, -0.0, 0.0, 3, np.nan, 1, -np.inf, np.inf, 5, -np.nan, 1e-40, -1e-40], F32)
ORDERS = [[0, 1], [1, 0, 1], [1, 1], [6, 6, 3], [3, 4, 8], [7, 8, 6], [6, 7], [3, 9, 8], [10, 11], [11, 1], [1, 11, 10, 0]]  # fmt: skip


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_zeros_infinities_and_nans_as_without_kernels(name: str, dtype: Any) -> None:
    """Each order by itself, a column of one array, and in the middle of a long one."""
    tiny = float(np.finfo(dtype).tiny) / 16
    odd = np.where(np.abs(ODD) == np.abs(ODD[10]), np.sign(ODD) * tiny, ODD.astype(dtype))
    with anima.enable_x64(True):
        columns = np.stack([np.resize(odd[order], 4) for order in ORDERS], 1)
        for axis, x in ((0, columns), (1, np.ascontiguousarray(columns.T))):
            for reverse in (False, True):
                got, without = both(name, x, axis, reverse)
                if name == "cumprod":  # 0 times a subnormal number is 0 of either sign
                    assert np.array_equal(got, without, equal_nan=True)
                    continue
                assert np.allclose(got, without, rtol=1e-6, atol=0, equal_nan=True)
                assert np.array_equal(np.signbit(got[got == 0]), np.signbit(without[got == 0]))
        long = np.zeros(20_000, dtype)
        long[9_000], long[9_001], long[15_000] = 1, 7, np.nan
        long[9_100], long[3] = np.inf, -np.inf
        got, without = both(name, long)
        assert np.array_equal(np.isnan(got), np.isnan(without))
        assert np.allclose(got, without, rtol=1e-6, atol=0, equal_nan=True)


def test_derivatives_as_without_kernels() -> None:
    x = random.randn(5, 40).astype(F32)
    for name in FUNCTIONS:
        gradient = anima.jit(
            anima.grad(lambda x, run=FUNCTIONS[name]: anima.numpy.sum(anima.numpy.sin(run(x, 1))))
        )
        with host_kernels(False):
            without = np.asarray(gradient(x))
        assert np.allclose(gradient(x), without, rtol=1e-4, atol=1e-5)
        mapped = anima.vmap(lambda x, run=FUNCTIONS[name]: run(x), 1, 1)(x)
        assert np.allclose(mapped, oracle(name, x, 0, False), rtol=1e-4, atol=1e-5)


def test_what_is_exported_calls_no_kernel() -> None:
    closed = stage_closed(lambda x: [lax.cumsum(x)], [ShapedArray((100,), np.dtype(F32))], "f")
    text = lambda **how: lower_module(closed, name="f", platform="cpu", **how).text
    assert "anima_cumsum" in text()
    for how in ({"exported": True}, {"partitions": 2}):
        assert "custom_call" not in text(**how)


# ---- accuracy -------------------------------------------------------------------------------------------------------

MILLION = 1_000_000


def adversaries() -> dict[str, Any]:
    x = random.randn(MILLION)
    cancelling = np.repeat(10 ** random.uniform(-3, 6, MILLION // 2), 2) * np.tile([1, -1], MILLION // 2)
    return {
        "random": x,
        "one sign": np.abs(x) + 0.1,
        "a large one first": np.r_[2.0**24, np.ones(MILLION - 1)],
        "cancelling": cancelling + 1e-3 * x,
        "growing": np.exp(np.linspace(-20, 20, MILLION)),
    }


@pytest.mark.parametrize("kind", adversaries())
def test_float32_sums_are_rounded_once(kind: str) -> None:
    x = adversaries()[kind].astype(F32)
    want = np.cumsum(x.astype(np.longdouble))
    for reverse in (False, True):
        got = np.asarray(lax.cumsum(x[::-1].copy() if reverse else x, 0, reverse))
        got = got[::-1] if reverse else got
        # half a unit in the last place, and what double precision leaves of the largest elements and sums
        bound = 0.501 * np.spacing(np.abs(want).astype(F32)) + 1e-13 * np.max(np.abs([x, want]))
        missed = np.abs(got.astype(np.longdouble) - want)
        assert np.all(missed <= bound)
    with host_kernels(False):
        without = np.asarray(lax.cumsum(x[::-1].copy(), 0, True))[::-1]
    assert np.max(missed) <= np.max(np.abs(without - want))
    assert np.mean(missed) <= np.mean(np.abs(without - want))


def test_float64_sums_are_exact_but_for_one_rounding() -> None:
    large = [int(v) for v in random.randint(-(2**62), 2**62, 30_000)]
    values = np.array([v for pair in zip(large, [-v for v in large]) for v in pair], F64)
    values[::2] += random.randint(-5, 5, 30_000)
    exact = list(itertools.accumulate(int(v) for v in values))
    with anima.enable_x64(True):
        got = np.asarray(lax.cumsum(values))
    want = np.array([float(v) for v in exact])
    assert np.all(np.abs(got - want) <= np.spacing(np.abs(want)))


def test_products_of_many_factors() -> None:
    x = np.exp(random.randn(MILLION) * 0.01)
    with anima.enable_x64(True):
        for dtype in (F32, F64):
            factors = x.astype(dtype)
            want = np.cumprod(factors.astype(np.longdouble))
            got = np.asarray(lax.cumprod(factors)).astype(np.longdouble)
            # half a unit in the last place, and what the oracle's own roundings come to
            assert np.all(np.abs(got - want) <= np.finfo(dtype).eps * np.abs(want) + np.finfo(dtype).tiny)


@pytest.mark.parametrize("length", [7, 8, 40, 4001])
def test_products_of_eight_factors_at_a_time(length: int) -> None:
    """As one after the other in double precision, from huge and tiny factors to NaNs, in both directions."""
    sizes = random.choice([1e38, 1e-37, 3.0, -0.7], (3, length)).astype(F32)
    x = np.ones((3, length), F32)
    for row, factors in zip(x, sizes):
        total = 1.0
        for i, factor in enumerate(factors):  # within double precision, beyond single
            row[i] = factor if 1e-250 < abs(total * float(factor)) < 1e250 else 1 / F32(np.sign(total) * 2.0)
            total *= float(row[i])
    x[1, length // 2] = 0
    x[2, length // 3], x[2, length // 2] = np.inf, -0.0
    for v in x:
        with np.errstate(over="ignore", invalid="ignore"):
            want = np.cumprod(v.astype(F64))
            narrow = want.astype(F32)
        clear = ~(np.abs(want) < np.finfo(F32).tiny * 2)  # what is subnormal may become zero
        for reverse in (False, True):
            got = np.asarray(lax.cumprod(v[::-1].copy() if reverse else v, 0, reverse))
            got = got[::-1] if reverse else got
            np.testing.assert_allclose(got[clear], narrow[clear], rtol=1.2e-7)
            assert np.all(np.abs(got[~clear]) < 1e-37)


# ---- malformed calls ------------------------------------------------------------------------------------------------


NONE = Missing("it is only run")
GOOD = {"axis": 0, "reverse": False}


def called(
    kernel: str, operands: int = 1, out: Any = None, attributes: dict[str, Any] | None = None
) -> Primitive:
    """An operation whose program calls a kernel as it is said here."""

    def shape(*avals: ShapedArray) -> ShapedArray:
        return ShapedArray(*out) if out else avals[0]

    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, kernel, xs[:operands], ctx.out_avals, attributes)[0]

    return declare(
        f"malformed_{kernel}", shape=shape, lower=lower, jvp=NONE, transpose=NONE, batch=NONE, dtypes=ANY
    )


@pytest.mark.parametrize("name", [*FUNCTIONS, "linear_recurrence"])
def test_malformed_calls_raise(name: str) -> None:
    kernel, x, f32 = f"anima_{name}", np.ones((3, 4), F32), np.dtype(F32)
    count = 2 if name == "linear_recurrence" else 1
    calls = [
        called(kernel, 3 - count, None, GOOD),
        called(kernel, count, ((4, 3), f32), GOOD),
        called(kernel, count, ((3,), f32), GOOD),
        called(kernel, count, ((3, 4), np.dtype(np.int32)), GOOD),
        called(kernel, count, None, {"axis": 2, "reverse": False}),
        called(kernel, count, None, {"axis": -1, "reverse": False}),
        called(kernel, count, None, {"reverse": False}),
        called(kernel, count, None, {"axis": 0}),
        called(kernel, count, None, {"axis": False, "reverse": 0}),
        called(kernel, count, None, None),
    ]
    for primitive in calls:
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|buffer|running reduction"):
            np.asarray(primitive.bind(x, x))
    with pytest.raises(errors.JaxRuntimeError, match="element type"):
        np.asarray(called(kernel, count, None, GOOD).bind(np.ones(3, bool), np.ones(3, bool)))
