"""Derivatives of extrema whose operand XLA would compute in several loops, with other roundings in each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
import anima.nn
from anima import lax
from anima.lax.keeping import computed_once
from anima.lowering.module import host_kernels

SHAPE = (256, 300)
PLACES = np.arange(SHAPE[0] * SHAPE[1]) % 997


def operands(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(SHAPE).astype(np.float32) for _ in range(3)]


def with_product(fun: Any) -> Any:
    """The tangent of `fun(a * b + c)` along `a * b`: where the product is read itself, XLA rounds the sum in another way."""

    def tangent(a: Any, b: Any, c: Any) -> Any:
        p = a * b
        return anima.jvp(fun, (p + c,), (p,))[1]

    return tangent


def scattered(name: str, **how: Any) -> Any:
    def fun(y: Any) -> Any:
        start = lax.full((997,), 10.0 if name == "scatter_min" else -10.0)
        numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
        return getattr(lax, name)(start, PLACES[:, None], y.reshape(-1), numbers, **how)

    return fun


def of_places(find: Any) -> Any:
    """The oracle: the tangent at NumPy's place of the extremum of each row."""

    def tangent(a: Any, b: Any, c: Any) -> Any:
        p = a.astype(np.float64) * b
        at = find(p + c, axis=1)
        return p[np.arange(SHAPE[0]), at]

    return tangent


def of_running(accumulate: Any) -> Any:
    def tangent(a: Any, b: Any, c: Any) -> Any:
        p = a.astype(np.float64) * b
        y = p + c
        new = y == accumulate(y, axis=1)  # without ties, the last place that was an extremum so far
        last = np.maximum.accumulate(np.where(new, np.arange(SHAPE[1]), 0), axis=1)
        return np.take_along_axis(p, last, axis=1)

    return tangent


def of_scattered(sign: int) -> Any:
    def tangent(a: Any, b: Any, c: Any) -> Any:
        p = (a.astype(np.float64) * b).ravel()
        y = p + c.ravel()
        out = np.zeros(997)
        for place in range(997):
            mine = np.flatnonzero(place == PLACES)
            out[place] = p[mine[np.argmax(sign * y[mine])]]
        return out

    return tangent


CASES = {
    "reduce_max": (lambda y: lax.reduce_max(y, (1,)), of_places(np.argmax)),
    "reduce_min": (lambda y: lax.reduce_min(y, (1,)), of_places(np.argmin)),
    "pmax": (
        lambda y: anima.vmap(lambda r: lax.pmax(r, "i"), 1, 1, axis_name="i")(y)[:, 0],
        of_places(np.argmax),
    ),
    "pmin": (
        lambda y: anima.vmap(lambda r: lax.pmin(r, "i"), 1, 1, axis_name="i")(y)[:, 0],
        of_places(np.argmin),
    ),
    "cummax": (lambda y: lax.cummax(y, 1), of_running(np.maximum.accumulate)),
    "cummin": (lambda y: lax.cummin(y, 1), of_running(np.minimum.accumulate)),
    "scatter_max": (scattered("scatter_max"), of_scattered(1)),
    "scatter_min": (scattered("scatter_min"), of_scattered(-1)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_element_that_is_the_extremum_has_its_tangent(name: str) -> None:
    fun, oracle = CASES[name]
    args = operands()
    found, wanted = np.asarray(anima.jit(with_product(fun))(*args)), oracle(*args)
    # Where two elements are as near as roundings, either may be the extremum.
    assert np.mean(~np.isclose(found, wanted, 1e-4, 1e-5)) < 2e-4


@pytest.mark.parametrize("name", ["reduce_max", "scatter_max"])
def test_in_a_loop_that_is_differentiated(name: str) -> None:
    """A sum of extrema moves by what finite differences say."""
    fun, _ = CASES[name]
    a, b, c = operands(1)

    @anima.jit
    def tangent(s: Any) -> Any:
        def step(s: Any, _: Any) -> Any:
            p = s * a * b
            total = fun(p + c).sum() + 1e-3 * (p * p).sum()
            return s + 1e-6 * total, total

        return anima.jvp(lambda s: lax.scan(step, s, None, length=2)[1][-1], (s,), (np.float32(1),))[1]

    def value(s: Any) -> Any:
        a64, b64, c64 = (v.astype(np.float64) for v in (a, b, c))
        for _ in range(2):
            p = s * a64 * b64
            y = p + c64
            if name == "reduce_max":
                top = y.max(1).sum()
            else:
                out = np.full(997, -10.0)
                np.maximum.at(out, PLACES, y.ravel())
                top = out.sum()
            total = top + 1e-3 * (p * p).sum()
            s = s + 1e-6 * total
        return total

    step = 1e-6
    wanted = (value(1.0 + step) - value(1.0 - step)) / (2 * step)
    assert np.isclose(tangent(np.float32(1)), wanted, rtol=2e-3)


def test_ties_share_evenly() -> None:
    x = np.array([[2.0, 1.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    found = anima.jit(anima.grad(lambda x: (x * 1.5 + 0.5).max(1).sum()))(x)
    np.testing.assert_allclose(found, [[0.75, 0, 0.75], [0.5, 0.5, 0.5]], rtol=1e-6)


def lowered(fun: Any, *args: Any) -> str:
    return anima.jit(fun).lower(*args).as_text()


def test_what_stands_in_memory_is_not_kept_again() -> None:
    x = np.ones((4, 5), np.float32)
    top = anima.grad(lambda x: x.max(1).sum())
    assert "anima_keep" not in lowered(top, x)
    assert lowered(anima.grad(lambda x: (x * x).max(1).sum()), x).count("anima_keep") == 1
    assert "anima_keep" not in lowered(lambda x: (x * x).max(1).sum(), x)
    for whole in (anima.nn.softmax, anima.nn.logsumexp, anima.nn.log_softmax):
        assert "anima_keep" not in lowered(anima.grad(lambda x, whole=whole: whole(x * x).sum()), x)
    with host_kernels(False):
        assert "anima_keep" not in lowered(anima.grad(lambda x: (x * x).max(1).sum()), x)


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float4_e2m1fn", "complex64"]
)
def test_values_pass_unchanged(dtype: str) -> None:
    with anima.enable_x64():
        x = anima.numpy.arange(6).reshape(2, 3).astype(dtype)
        assert computed_once(x) is x
        for fun in (computed_once, anima.vmap(computed_once), anima.vmap(computed_once, 1, 1)):
            out = anima.jit(lambda x, fun=fun: fun(-x))(x)
            assert out.dtype == x.dtype and np.array_equal(np.asarray(out), np.asarray(-x))


def test_derivatives_pass_unchanged() -> None:
    f = lambda x: computed_once(x * x) * x
    assert anima.jit(anima.grad(f))(3.0) == 27 and anima.grad(anima.grad(f))(3.0) == 18
    assert anima.jit(anima.grad(anima.grad(f)))(3.0) == 18
