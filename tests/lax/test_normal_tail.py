"""The normal distribution's tails in float32: errors in units in the last place beside mpmath, and the ends of the range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest
from scipy import special

import anima
from anima import lax, nn
from anima.core.aval import ShapedArray
from anima.interpreters.jvp import stage_closed
from anima.lax.gelu import gelu, gelu_p, gelu_slope_p
from anima.lowering.module import lower_module

pytestmark = pytest.mark.cpu

F32 = np.float32


def _tail(x: Any) -> Any:
    return mpmath.erfc(x / mpmath.sqrt(2)) / 2


ORACLES: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: x * _tail(-x),
    "slope": lambda x: _tail(-x) + x * mpmath.npdf(x),
    "erfc": mpmath.erfc,
}
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": gelu_p.bind,
    "slope": gelu_slope_p.bind,
    "erfc": lax.erfc,
}


# XLA's own formulas are off by up to 240, 71 (of 2**-24 in [-1, 0]) and 190 units. Where the slope is nearly 0, its unit is that of 0.25.
@pytest.mark.parametrize(
    ("name", "low", "high", "ulps", "unit"),
    [
        ("gelu", -12.9, -1, 6.5, 0),
        ("gelu", -1, 12, 3.5, 0),
        ("slope", -12.9, -1, 6, 0),
        ("slope", -1, 0, 4, 0.25),
        ("slope", 0, 12, 2.5, 0),
        ("erfc", -6, 1, 4, 0),
        ("erfc", 1, 9.1, 6, 0),
    ],
)
def test_errors_in_units_in_the_last_place(
    name: str, low: float, high: float, ulps: float, unit: float
) -> None:
    x = np.random.default_rng(2).uniform(low, high, 400).astype(F32)
    want = np.array([float(ORACLES[name](mpmath.mpf(float(v)))) for v in x])
    got = np.asarray(anima.jit(FUNCTIONS[name])(x)).astype(np.float64)
    spacing = np.spacing(np.maximum(abs(want), unit).astype(F32)).astype(np.float64)
    assert (abs(got - want) / spacing).max() <= ulps


@pytest.mark.parametrize(
    ("name", "low", "high", "bound"),
    [
        ("gelu", -12.9, -6, 5e-7),
        ("gelu", -6, 6, 4e-7),
        ("slope", -12.9, -2, 4e-7),
        ("slope", 0, 12, 3e-7),
        ("erfc", -4, 9.1, 4.2e-7),
    ],
)
def test_relative_errors_all_over_the_range(name: str, low: float, high: float, bound: float) -> None:
    x = np.linspace(low, high, 400_001, dtype=F32)
    wide = x.astype(np.float64)
    below = special.erfc(-wide / np.sqrt(2)) / 2
    density = np.exp(-(wide**2) / 2) / np.sqrt(2 * np.pi)
    want = {"gelu": wide * below, "slope": below + wide * density, "erfc": special.erfc(wide)}[name]
    got = np.asarray(anima.jit(FUNCTIONS[name])(x)).astype(np.float64)
    known = want != 0
    assert (abs(got - want)[known] / abs(want[known])).max() <= bound
    assert not got[~known].any()


def test_the_ends_of_the_range() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([inf, -inf, nan, 0, -0.0, 3e38, -3e38, 1e-30, -1e-30, -13.3, -13.5, 14, -14], F32)
    value = np.asarray(anima.jit(gelu)(x))
    want = np.array([inf, 0, nan, 0, 0, 3e38, 0, 5e-31, -5e-31, 0, 0, 14, 0], F32)
    np.testing.assert_allclose(value, want, rtol=1e-6, atol=1e-37)
    slope = np.asarray(anima.jit(gelu_slope_p.bind)(x))
    np.testing.assert_allclose(
        slope, [1, 0, nan, 0.5, 0.5, 1, 0, 0.5, 0.5, 0, 0, 1, 0], rtol=1e-6, atol=1e-37
    )
    tail = np.asarray(anima.jit(lax.erfc)(x))
    np.testing.assert_allclose(tail, [0, 2, nan, 1, 1, 0, 2, 1, 1, 2, 2, 0, 2], rtol=1e-6)
    # Where powers of two become denormal, nothing jumps.
    x = np.linspace(-13.6, -12.5, 2000, dtype=F32)
    value = np.asarray(gelu(x)).astype(np.float64)
    assert (value <= 0).all() and (np.diff(value) <= 1e-37).all()


def test_the_values_at_zero_are_exact() -> None:
    zeros = np.array([0.0, -0.0], np.float32)
    assert np.asarray(lax.erfc(zeros)).tolist() == [1, 1]
    assert np.asarray(nn.gelu(zeros, approximate=False)).tolist() == [0, 0]
    slope = anima.vmap(anima.grad(lambda x: nn.gelu(x, approximate=False)))
    assert np.asarray(slope(zeros)).tolist() == [0.5, 0.5]


def test_derivatives_through_loops_and_batches() -> None:
    with anima.enable_x64(True):
        x = np.linspace(-3, 3, 7)
        second = anima.vmap(anima.grad(anima.grad(gelu)))(x)
        np.testing.assert_allclose(second, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (2 - x**2), rtol=1e-12)
        step = 1e-5
        slopes = anima.vmap(anima.grad(lambda x: nn.gelu(x, approximate=False)))(x)
        np.testing.assert_allclose(
            slopes, (np.asarray(gelu(x + step)) - gelu(x - step)) / (2 * step), rtol=1e-8
        )
    looped = anima.grad(lambda x: lax.fori_loop(0, 2, lambda i, y: nn.gelu(y, approximate=False), x))
    once = anima.grad(lambda x: nn.gelu(x, approximate=False))
    np.testing.assert_allclose(looped(1.5), once(1.5) * once(float(gelu(F32(1.5)))), rtol=1e-5)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_narrow_dtypes_are_rounded_once(dtype: Any) -> None:
    x = np.linspace(-6, 6, 301).astype(dtype)
    want = np.asarray(gelu(x.astype(F32))).astype(dtype)
    got = np.asarray(nn.gelu(x, approximate=False))
    assert got.dtype == want.dtype and np.array_equal(got, want)


def test_other_platforms_take_the_formula() -> None:
    def text(platform: str, dtype: Any = F32) -> str:
        closed = stage_closed(lambda x: [gelu_p.bind(x)], [ShapedArray((8,), np.dtype(dtype))], "f")
        return lower_module(closed, name="f", platform=platform).text

    assert "erfc" not in text("cpu")
    assert "erfc" in text("cuda")
    assert "erfc" in text("cpu", np.float64)


def test_other_dtypes_are_refused() -> None:
    for x in (np.arange(3), np.ones(3, bool), np.ones(3, np.complex64)):
        with pytest.raises(TypeError, match="gelu"):
            gelu(x)
