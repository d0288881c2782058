"""Convolutions by kernels: beside XLA's own operations and the definition, and called as they must not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from tests.lax.samples.convolving import convolution
from tests.lax.test_convolution import drawn

pytestmark = pytest.mark.cpu

F32, F64 = np.float32, np.float64
PLANE, FIRST = ("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW")
random = np.random.default_rng(5)


def numbers(*shape: int, dtype: Any = F32) -> Any:
    """Small integers, of which sums are exact."""
    return random.integers(-4, 5, shape).astype(dtype)


def program(fun: Callable[..., Any], *args: Any, **how: Any) -> str:
    avals = [ShapedArray(x.shape, x.dtype) for x in args]
    closed = stage_closed(lambda *xs: [fun(*xs)], avals, "f")
    return lower_module(closed, name="f", platform="cpu", **how).text


def convolved(
    strides: Any, pads: Any, base: Any = None, steps: Any = None, names: Any = PLANE, groups: int = 1
) -> Any:
    return lambda x, w: lax.conv_general_dilated(x, w, strides, pads, base, steps, names, groups)


# Operand, filters, strides, padding, dilations of both, layout, groups.
CASES = [
    ((2, 9, 8, 70), (3, 3, 70, 130), (1, 1), ((1, 1), (1, 1))),
    ((1, 23, 30, 3), (7, 7, 3, 64), (2, 2), ((3, 3), (3, 3))),
    ((2, 11, 13, 5), (3, 2, 5, 7), (2, 3), ((0, 2), (4, 1)), (1, 1), (2, 1)),
    ((2, 6, 5, 20), (3, 3, 20, 17), (1, 1), ((2, 1), (0, 3)), (2, 3), (1, 2)),
    ((1, 5, 7, 9), (4, 3, 9, 33), (3, 2), ((5, 4), (6, 6)), (4, 3), (1, 1)),
    ((2, 9, 10, 37), (3, 2, 37, 3), (2, 1), ((1, 1), (0, 2)), (1, 2), (1, 1)),
    ((3, 1, 1, 1), (1, 1, 1, 1), (1, 1), ((0, 0), (0, 0))),
    ((1, 1, 1, 300), (1, 1, 300, 2), (2, 2), ((0, 3), (1, 0))),
    ((2, 5, 6, 40), (1, 1, 40, 300), (2, 2), ((0, 0), (0, 0))),
    ((2, 40, 40, 4), (3, 3, 4, 4), (1, 1), ((1, 1), (1, 1))),
    ((3, 12, 19, 3), (5, 5, 3, 20), (1, 3), ((2, 2), (7, 9))),  # windows in padding alone
    ((2, 6, 4, 2), (3, 9, 2, 18), (1, 1), ((1, 1), (4, 4))),  # windows wider than the operand
    ((2, 8, 25, 4), (3, 4, 4, 33), (2, 2), ((0, 1), (0, 3))),
    ((2, 8, 25, 4), (3, 4, 4, 33), (1, 2), ((1, 0), (3, 0))),
    ((1, 7, 30, 5), (1, 3, 5, 16), (1, 4), ((0, 0), (0, 0))),
    ((2, 30, 40, 3), (3, 3, 3, 70), (1, 1), ((1, 1), (90, 90))),  # too much padding to be laid out
    ((2, 30, 3), (5, 3, 40), (2,), ((30, 40),), (1,), (1,), ("NWC", "WIO", "NWC")),
    ((2, 3, 7, 9), (20, 3, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), FIRST),
    ((2, 12, 11, 70), (3, 3, 1, 70), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), PLANE, 70),
    ((2, 7, 9, 19), (5, 5, 1, 19), (2, 1), ((2, 0), (1, 3)), (1, 1), (1, 2), PLANE, 19),
    ((1, 4, 6, 33), (3, 2, 1, 33), (1, 1), ((1, 2), (0, 3)), (3, 2), (1, 1), PLANE, 33),
    ((2, 5, 9, 2), (5, 1, 3, 1), (1, 1), ((0, 0), (1, 1)), (1, 1), (1, 1), ("NCHW", "OIHW", "NHWC"), 5),
    ((2, 2, 30), (30, 1, 3), (1,), ((1, 1),), (1,), (1,), ("NHC", "OIH", "NCH"), 30),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "case"), [*((F32, case) for case in CASES), *((F64, CASES[i]) for i in (2, 3, 5, 12))]
)
def test_results_and_derivatives(dtype: Any, case: Any) -> None:
    lhs, rhs, *where = case
    defaults = (None, None, None, None, PLANE, 1)
    where = [*where, *defaults[len(where) :]]
    fun = convolved(*where)
    x, w = numbers(*lhs, dtype=dtype), numbers(*rhs, dtype=dtype)
    want = convolution(x, w, *where)
    ct = numbers(*want.shape, dtype=dtype)

    def pulled(x: Any, w: Any, ct: Any) -> Any:
        y, pull = anima.vjp(fun, x, w)
        return y, *pull(ct)

    with anima.enable_x64(True):
        compiled = anima.jit(pulled).lower(x, w, ct)
        got = compiled.compile()(x, w, ct)
        with host_kernels(False):
            plain = anima.jit(lambda *args: pulled(*args)).lower(x, w, ct)
        without = plain.compile()(x, w, ct)
    assert compiled.as_text().count("anima_") >= 1
    assert "anima_" not in plain.as_text()
    np.testing.assert_array_equal(got[0], want)
    for one, other in zip(got, without):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_array_equal(one, other)


def test_drawn_convolutions_have_the_same_derivatives_without_kernels() -> None:
    cases = [(x.astype(F32), w.astype(F32), params) for x, w, params in drawn(7, 8)]

    def pulled(arrays: Any) -> Any:
        found = []
        for (x, w), (_, _, p) in zip(arrays, cases):
            y, pull = anima.vjp(lambda x, w, p=p: lax.conv_general_dilated(x, w, *p), x, w)
            found.append(pull(y + 1))
        return found

    arrays = [(x, w) for x, w, _ in cases]
    got = anima.jit(pulled)(arrays)
    with host_kernels(False):
        without = anima.jit(lambda arrays: pulled(arrays))(arrays)
    for one, other in zip(got, without):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_accuracy_is_that_of_small_sums() -> None:
    x, w = (random.standard_normal(shape, F32) for shape in ((1, 7, 7, 512), (3, 3, 512, 64)))
    ct = random.standard_normal((1, 7, 7, 64), F32)
    fun = convolved((1, 1), ((1, 1), (1, 1)))
    with anima.enable_x64(True):
        wide = [np.asarray(v) for v in anima.vjp(fun, *(v.astype(F64) for v in (x, w)))[1](ct.astype(F64))]
        wide.insert(0, np.asarray(fun(x.astype(F64), w.astype(F64))))
    got = fun(x, w), *anima.vjp(fun, x, w)[1](ct)
    for one, exact in zip(got, wide):
        assert np.max(np.abs(one - exact)) < 4e-6 * np.max(np.abs(exact))


@pytest.mark.parametrize("features", [(3, 5), (20, 70)])
def test_nans_and_infinities_reach_what_they_meet(features: tuple[int, int]) -> None:
    count, out = features
    x, w = numbers(1, 6, 7, count), numbers(3, 3, count, out)
    x[0, 2, 3, 1], w[1, 1, 0, 2] = np.nan, np.inf
    got = np.asarray(convolved((1, 1), ((1, 1), (1, 1)))(x, w))
    assert np.all(np.isnan(got[0, 1:4, 2:5]))
    rest = np.ones((6, 7), bool)
    rest[1:4, 2:5] = False
    others = [j for j in range(out) if j != 2]
    assert np.all(np.isfinite(got[0][rest][:, others]))
    centre = x[0][rest][:, 0]  # what the infinity meets
    assert np.array_equal(got[0][rest][:, 2][centre != 0], np.where(centre[centre != 0] > 0, np.inf, -np.inf))
    deep = convolved((1, 1), ((1, 1), (1, 1)), groups=count)
    w = numbers(3, 3, 1, count)
    met = np.isnan(np.asarray(deep(x, w)))
    assert met.sum() == 9 and np.all(met[0, 1:4, 2:5, 1])


FUN = convolved((2, 1), ((1, 0), (1, 1)))
LOSS: Callable[[Any, Any], Any] = lambda x, w: anima.numpy.sum(anima.numpy.sin(FUN(x, w)))
X, W = numbers(3, 2, 6, 5, 4), numbers(3, 3, 3, 4, 6)
TRANSFORMED: list[tuple[Callable[..., Any], Any, Any]] = [
    (anima.vmap(FUN), X, W),
    (anima.vmap(FUN, (0, None)), X, W[0]),
    (anima.vmap(FUN, (None, 0)), X[0], W),
    (anima.vmap(anima.grad(LOSS, (0, 1))), X, W),
    (anima.vmap(anima.grad(LOSS, (0, 1)), (0, None)), X, W[0]),
    (anima.grad(lambda x, w: lax.scan(lambda c, v: (c + LOSS(v, w), 0), 0.0, x)[0], (0, 1)), X, W[0]),
    (lambda x, w: anima.jvp(anima.grad(LOSS), (x[0], w[0]), (x[1], w[1]))[1], X, W),
    (lambda x, w: lax.cond(x[0, 0, 0, 0] > -9, anima.grad(LOSS, 1), lambda x, w: w, x, w), X[0], W[0]),
    (lambda x, w: anima.hessian(LOSS, 1)(x, w), X[0, :1, :3, :3, :2], W[0, :, :, :2, :2]),
]


@pytest.mark.parametrize(("fun", "x", "w"), TRANSFORMED)
def test_transformations_as_without_kernels(fun: Callable[..., Any], x: Any, w: Any) -> None:
    got = anima.jit(fun)(x, w)
    with host_kernels(False):
        without = anima.jit(lambda x, w: fun(x, w))(x, w)
    for one, other in zip(anima.tree.leaves(got), anima.tree.leaves(without)):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-4)


def test_which_programs_call_kernels() -> None:
    x, w = numbers(2, 6, 7, 4), numbers(3, 3, 4, 8)
    fun = convolved((1, 1), ((1, 1), (1, 1)))
    assert "anima_convolution" in program(fun, x, w)
    for how in ({"exported": True}, {"partitions": 2}):
        assert "anima_" not in program(fun, x, w, **how)
    assert "anima_" not in program(fun, x.astype(np.int32), w.astype(np.int32))
    assert "anima_" not in program(convolved((1, 1), "SAME", groups=2), x, numbers(3, 3, 2, 8))
    assert "anima_" not in program(convolved((1, 2**25), "SAME"), x, w)
    space = ("NDHWC", "DHWIO", "NDHWC")
    assert "anima_" not in program(convolved((1,) * 3, "SAME", names=space), x[None], w[None])
    by_images = lambda x, w: anima.vjp(lambda x: fun(x, w), x)[1](numbers(2, 6, 7, 8))[0]
    by_filters = lambda x, w: anima.vjp(lambda w: fun(x, w), w)[1](numbers(2, 6, 7, 8))[0]
    assert (
        "reversed = true, step0 = 1 : i64, step1 = 1 : i64, stride0 = 1 : i64, stride1 = 1 : i64, turned = true"
        in program(by_images, x, w)
    )
    assert "anima_convolution_filters" in program(by_filters, x, w)


def test_a_reversed_kernel_is_read_backwards_only_along_all_dimensions() -> None:
    x, w = numbers(2, 6, 7, 4), numbers(3, 2, 4, 8)
    for dimensions in ((0, 1), (0,), (1,), (0, 1, 2), (0, 1, 3), (3,)):
        got = anima.jit(lambda x, w, d=dimensions: convolved((1, 1), "SAME")(x, lax.rev(w, d)))(x, w)
        flipped = np.flip(w, dimensions)
        np.testing.assert_array_equal(
            got, convolution(x, flipped, (1, 1), ((1, 1), (0, 1)), None, None, PLANE)
        )


# ---- malformed calls ------------------------------------------------------------------------------------------------

NONE = Missing("it is only run")
LIE = {"stride": 1, "low": 0, "base": 1, "step": 1}
PLAIN = {f"{name}{d}": value for name, value in LIE.items() for d in range(2)}


def called(kernel: str, attributes: dict[str, Any], out: Any, operands: int = 2) -> Primitive:
    """An operation whose program calls a kernel as it is said here."""

    def lower(ctx: Any, *xs: Any) -> Any:
        return call_kernel(ctx, kernel, xs[:operands], ctx.out_avals, attributes)[0]

    aval = ShapedArray(out, np.dtype(F32))
    return declare(
        f"malformed_{kernel}",
        shape=lambda *_: aval,
        lower=lower,
        jvp=NONE,
        transpose=NONE,
        batch=NONE,
        dtypes=ANY,
    )


@pytest.mark.parametrize(
    ("kernel", "more", "lhs", "rhs", "out"),
    [
        ("anima_convolution", {"turned": False, "reversed": False}, (2, 5, 5, 3), (3, 3, 3, 4), (2, 3, 3, 4)),
        ("anima_convolution_filters", {}, (2, 5, 5, 3), (2, 3, 3, 4), (3, 3, 3, 4)),
        ("anima_depthwise", {}, (2, 5, 5, 3), (3, 3, 1, 3), (2, 3, 3, 3)),
        ("anima_depthwise_filters", {}, (2, 5, 5, 3), (2, 3, 3, 3), (3, 3, 1, 3)),
    ],
)
def test_malformed_calls_raise(kernel: str, more: dict[str, Any], lhs: Any, rhs: Any, out: Any) -> None:
    x, w = np.ones(lhs, F32), np.ones(rhs, F32)
    attributes = PLAIN | more
    assert np.all(np.isfinite(called(kernel, attributes, out).bind(x, w)))
    calls = [
        (called(kernel, attributes, out, 1), x, w),
        (called(kernel, attributes, out[1:]), x, w),
        (called(kernel, {"stride0": 1}, out), x, w),
        (called(kernel, attributes, out), x[..., :2], w),
        (called(kernel, attributes, out), x, w[..., :2]),
        (called(kernel, attributes, out), x[0], w),
        (called(kernel, attributes, (*out[:3], 9)), x, w),
        (called(kernel, attributes, out), x.astype(np.int32), w),
        (called(kernel, attributes, out), x, w.astype(np.int32)),
        *(
            (called(kernel, attributes | {key: value}, out), x, w)
            for key, value in (
                ("stride0", 0),
                ("stride1", 2**60),
                ("low0", -1),
                ("low1", 2**60),
                ("base1", 0),
                ("step0", -1),
                ("step1", True),
            )
        ),
    ]
    if "filters" in kernel:
        calls.append((called(kernel, attributes | {"base0": 2}, out), x, w))
    for primitive, *args in calls:
        with pytest.raises(errors.JaxRuntimeError, match=r"kernel|convolution|buffer|element"):
            np.asarray(primitive.bind(*args))


def test_results_of_any_size_stay_within_the_operands() -> None:
    far = PLAIN | {"stride1": 1000, "low0": 7, "turned": False, "reversed": False}
    x, w = np.ones((2, 5, 5, 3), F32), np.ones((3, 3, 3, 4), F32)
    got = np.asarray(called("anima_convolution", far, (2, 30, 40, 4)).bind(x, w))
    assert np.array_equal(got.max(axis=(0, 1, 3)) > 0, np.arange(40) == 0)
    deep = {key: far[key] for key in PLAIN}
    got = np.asarray(called("anima_depthwise", deep, (2, 30, 40, 3)).bind(x, np.ones((3, 3, 1, 3), F32)))
    assert np.array_equal(got.max(axis=(0, 1, 3)) > 0, np.arange(40) == 0)
    for name, shape in (
        ("anima_convolution_filters", (30, 40, 3, 3)),
        ("anima_depthwise_filters", (30, 40, 1, 3)),
    ):
        got = np.asarray(called(name, deep, shape).bind(x, np.ones((2, 4, 4, 3), F32)))
        assert np.array_equal(got.max(axis=(0, 2, 3)) > 0, np.arange(40) == 0)
