"""Reductions of long rows and columns: the same results as NumPy's, whatever the layout that they are computed in."""

from __future__ import annotations

import numpy as np
import pytest

import anima
from anima import lax, numpy as anp
from anima.lax import lanes

SHAPES = [
    ((70_000,), (0,)),
    ((256, 256), (0, 1)),
    ((256, 256), (1,)),
    ((700, 100), (1,)),
    ((66, 1000), (1,)),
    ((2, 3, 40, 401), (0, 2, 3)),
    ((1030, 64), (1,)),
    ((65_537,), (0,)),
    ((1, 66_000, 1), (0, 1, 2)),
    ((300, 300), (0,)),
    ((140, 500), (0,)),
    ((3, 601, 4, 16), (0, 1)),
    ((2, 20, 25, 70), (1, 2)),
]
REDUCTIONS = {
    "sum": (lax.reduce_sum, np.sum),
    "max": (lax.reduce_max, np.max),
    "min": (lax.reduce_min, np.min),
}


def _drawn(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    numbers = rng.standard_normal(shape) * 9
    return np.asarray(anp.asarray(numbers).astype(dtype))


def _computed(x: anima.Array) -> anima.Array:
    """The same, but not as it stands in memory, from where a kernel would add it up."""
    return lax.neg(lax.neg(x))


def _laid_out(fun: object, x: object) -> bool:
    return "optimization_barrier" in anima.jit(fun).lower(x).as_text()


CASES = [
    *[(shape, axes, name, "float32") for shape, axes in SHAPES for name in ("sum", "max")],
    *[(*SHAPES[i], name, d) for i in (4, 10) for name in REDUCTIONS for d in ("bfloat16", "float16", "int32", "uint8")],
]  # fmt: skip


@pytest.mark.cpu
@pytest.mark.parametrize("shape, axes, name, dtype", CASES)
def test_long_rows_and_columns(shape: tuple[int, ...], axes: tuple[int, ...], name: str, dtype: str) -> None:
    ours, oracle = REDUCTIONS[name]
    x = _drawn(shape, dtype)
    if name == "sum":
        x = np.abs(x) if x.dtype.kind == "i" else x
        if dtype in ("bfloat16", "float16"):
            x = np.sign(x.astype(np.float32)).astype(
                x.dtype
            )  # small whole numbers add up exactly in any order
            x = np.where(np.arange(x.size).reshape(shape) % 64 == 0, x, x * 0)
    y = anp.asarray(x)
    in_program = lambda v: ours(_computed(v), axes)
    assert _laid_out(in_program, y)
    wide = x.astype(np.float64) if x.dtype.kind in "fV" else x
    expected = oracle(wide, axis=axes) if name != "sum" else oracle(wide, axis=axes, dtype=wide.dtype)
    for got in (ours(y, axes), anima.jit(in_program)(y)):
        assert got.dtype == y.dtype
        exact = name != "sum" or dtype != "float32"
        np.testing.assert_allclose(
            np.asarray(got).astype(np.float64), expected.astype(np.float64),
            rtol=0 if exact else 1e-6, atol=0 if exact else 1e-2,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("place", [0, 69_999])
def test_a_nan_of_either_sign_stays(dtype: str, sign: float, place: int) -> None:
    with anima.enable_x64(dtype == "float64"):
        x = np.array(_drawn((70_000,), dtype))
        x[place] = np.copysign(np.nan, sign)
        for extreme in (lax.reduce_max, lax.reduce_min):
            assert np.isnan(np.asarray(extreme(anp.asarray(x), (0,))).astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_infinities_and_zeros_of_both_signs(dtype: str) -> None:
    with anima.enable_x64(dtype == "float64"):
        x = np.zeros((70_000,), np.float64)
        x[5], x[6] = np.inf, -np.inf
        y = anp.asarray(x).astype(dtype)
        assert lax.reduce_max(y, (0,)) == np.inf
        assert lax.reduce_min(y, (0,)) == -np.inf
        assert np.isnan(np.asarray(lax.reduce_sum(y, (0,))).astype(np.float32))
        assert lax.reduce_max(-anp.abs(y), (0,)) == 0


def test_logical_ones_and_products() -> None:
    x = np.ones((300, 300), bool)
    assert lax.reduce_and(anp.asarray(x), (0, 1))
    x[299, 299] = False
    y = anp.asarray(x)
    assert not lax.reduce_and(y, (0, 1))
    assert lax.reduce_or(y, (0, 1))
    assert bool(lax.reduce_xor(y, (0, 1))) == bool(np.logical_xor.reduce(x.ravel()))
    ones = np.ones((70_001,), np.float32)
    ones[[3, 70_000]] = 3.0, 5.0
    assert lax.reduce_prod(anp.asarray(ones), (0,)) == 15.0


def test_sums_are_as_exact_as_by_pairs() -> None:
    x = np.random.default_rng(1).random(3_000_001, np.float32)
    for total in (
        lax.reduce_sum,
        anima.jit(lambda v, axes: lax.reduce_sum(_computed(v), axes), static_argnums=1),
    ):
        got = float(total(anp.asarray(x), (0,)))
        assert abs(got - x.sum(dtype=np.float64)) <= 3e-7 * got


def test_derivatives_and_batches() -> None:
    x = anp.asarray(_drawn((3, 66_000), "float32"))
    gradient = anima.grad(lambda v: (v * v).sum())(x)
    np.testing.assert_array_equal(np.asarray(gradient), 2 * np.asarray(x))
    largest = anima.vmap(anima.grad(anp.max))(x)
    assert (np.argmax(np.asarray(largest), 1) == np.argmax(np.asarray(x), 1)).all()
    np.testing.assert_allclose(
        np.asarray(anima.vmap(anp.sum)(x)), np.asarray([anp.sum(v) for v in x]), rtol=1e-6
    )


@pytest.mark.cpu
def test_short_ones_small_arrays_and_programs_for_other_platforms_stay() -> None:
    for shape, axes in [((70_000, 10), (1,)), ((70_000, 10), (0,)), ((100, 700), (0,)), ((100, 100), (1,))]:
        x = anp.zeros(shape)
        assert not _laid_out(lambda v, axes=axes: lax.reduce_sum(v, axes), x)
    assert not _laid_out(lambda v: lax.reduce_sum(v, (0,)), anp.zeros((70_000,), "complex64"))
    exported = anima.jit(anp.sum).trace(anp.zeros(lanes.ENOUGH)).lower(lowering_platforms=("cuda",))
    assert "optimization_barrier" not in exported.as_text()
