"""Places of extrema of compiled programs against NumPy: every dtype, ties, NaNs, zeros of both signs, and large arrays."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as onp
import pytest

import anima
from anima import lax
from anima.config import enable_x64

DTYPES = [
    onp.bool_, onp.int8, onp.int16, onp.int32, onp.int64, onp.uint8, onp.uint16, onp.uint32, onp.uint64, onp.float16,
    ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e8m0fnu, ml_dtypes.int4, onp.float32,
    onp.float64,
]  # fmt: skip


def place(x: Any, axis: int, largest: bool, index: Any = "int32") -> Any:
    # Through `jit` with another operation, so that NumPy does not answer.
    operation = lax.argmax if largest else lax.argmin
    return onp.asarray(anima.jit(lambda x: operation(lax.rev(x, ()), axis, index))(x))


def expected(x: onp.ndarray, axis: int, largest: bool) -> Any:
    """By hand: NumPy knows no NaNs of the small floats."""
    wide = x.astype(onp.float64) if x.dtype.kind not in "iub" else x
    return (onp.argmax if largest else onp.argmin)(wide, axis)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: onp.dtype(d).name)
def test_every_dtype(dtype: Any, largest: bool) -> None:
    dtype = onp.dtype(dtype)
    rng = onp.random.default_rng(0)
    with enable_x64(True):
        if dtype.kind in "iub" or dtype.name == "int4":
            low, high = (
                (0, 2)
                if dtype.kind == "b"
                else (-8, 8)
                if dtype.name == "int4"
                else (onp.iinfo(dtype).min, onp.iinfo(dtype).max)
            )
            x = rng.integers(low, high, (7, 33), onp.uint64 if dtype == onp.uint64 else onp.int64).astype(
                dtype
            )
            if dtype.itemsize > 1:
                x[2, 5], x[2, 9], x[3, 1], x[3, 2] = high, high, low, low
        else:
            x = rng.normal(size=(7, 33)).astype(dtype)
        for axis in (0, 1):
            wanted = expected(x.astype(onp.int64) if dtype.name == "int4" else x, axis, largest)
            assert (place(x, axis, largest) == wanted).all()


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize(
    "dtype", [onp.float32, onp.float16, ml_dtypes.bfloat16, onp.float64], ids=lambda d: onp.dtype(d).name
)
def test_special_values(dtype: Any, largest: bool) -> None:
    inf, nan = onp.inf, onp.nan
    rows = [
        [0.0, -0.0, 0.0], [-0.0, 0.0, -0.0], [1.0, 0.0, -0.0], [-1.0, -0.0, 0.0], [inf, -inf, inf], [-inf, inf, -inf], [1.0, nan, -inf],
        [inf, -nan, nan], [nan, inf, nan], [2.0, 2.0, 2.0], [-2.0, -3.0, -3.0], [inf, inf, inf], [-inf, -inf, -inf],
    ]  # fmt: skip
    with enable_x64(True):
        x = onp.array(rows).astype(dtype)
        assert (place(x, 1, largest) == expected(x, 1, largest)).all()
        assert (place(x.T.copy(), 0, largest) == expected(x, 1, largest)).all()


@pytest.mark.parametrize("shape, axis", [((300_000,), 0), ((1000, 100), 1), ((100, 1000), 0), ((5, 70, 300), 1), ((4, 1), 1), ((0, 3), 1)])  # fmt: skip
def test_shapes(shape: tuple[int, ...], axis: int) -> None:
    x = onp.random.default_rng(1).integers(0, 50, shape).astype(onp.float32)
    for largest in (False, True):
        assert (place(x, axis, largest) == expected(x, axis, largest)).all()


@pytest.mark.parametrize("index", ["int8", "uint8", "int16", "int64"])
def test_dtypes_of_places(index: str) -> None:
    x = onp.arange(90.0, dtype=onp.float32).reshape(3, 30)
    with enable_x64(True):
        result = place(x, 1, True, index)
    assert result.dtype == index and result.tolist() == [29] * 3


def test_what_computes_the_values_is_joined_to_the_reduction() -> None:
    text = (
        anima.jit(lambda x: lax.argmin(lax.sin(x) * 2, 1, "int32"))
        .lower(onp.ones((50, 60), onp.float32))
        .as_text()
    )
    assert text.count('"stablehlo.reduce"') == 1 and "tensor<50x60xi64>" in text
