"""Comparisons, bits, rounding: what is piecewise constant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.lax import compare
from tests.lax.samples import (
    C64,
    F32,
    F64,
    I32,
    INTS,
    Sample,
    booleans,
    by_element,
    corner_pairs,
    corners,
    floats,
    int_pairs,
    normal_pairs,
)

# --- comparisons ------------------------------------------------------------------------------


def total_order(x: np.ndarray) -> np.ndarray:
    """Integers in the total order of floating-point numbers."""
    if not dtypes.is_float(x.dtype):
        return x
    width = dtypes.itemsize_bits(x.dtype)
    bits = x.view(f"u{x.dtype.itemsize}").astype(object)
    if x.dtype.name == "float8_e8m0fnu":  # no sign
        return bits
    return np.where(bits >> (width - 1), -(bits & ((1 << (width - 1)) - 1)) - 1, bits)


def comparison(
    name: str, oracle: Callable[..., Any], *, complex_numbers: bool = False, total: bool = False
) -> list[Sample]:
    call = getattr(compare, name)
    pairs: list[tuple[Any, ...]] = [
        (
            floats((3, 4)),
            np.where(np.arange(12).reshape(3, 4) % 3, floats((3, 4)).T.reshape(3, 4), floats((3, 4))),
        ),
        corner_pairs(F32),
        corner_pairs(F64),
        int_pairs(I32),
        int_pairs(np.uint32),
        (booleans((9,)), booleans((9,))[::-1].copy()),
        (np.int32(3), np.int32(3)),
        (np.zeros((2, 0), F32), np.zeros((2, 0), F32)),
    ]
    if complex_numbers:
        pairs.append((np.array([1, 1j, 2, np.nan], C64), np.array([1, 1, 2 + 1j, np.nan], C64)))
    return [Sample(primitive=name, call=call, args=pair, oracle=oracle, flush=not total) for pair in pairs]


COMPARISONS = [
    *comparison("eq", np.equal, complex_numbers=True),
    *comparison("ne", np.not_equal, complex_numbers=True),
    *comparison("lt", np.less),
    *comparison("le", np.less_equal),
    *comparison("gt", np.greater),
    *comparison("ge", np.greater_equal),
    *comparison("eq_to", lambda x, y: total_order(x) == total_order(y), total=True),
    *comparison("le_to", lambda x, y: total_order(x) <= total_order(y), total=True),
    *comparison("lt_to", lambda x, y: total_order(x) < total_order(y), total=True),
    *(
        Sample(primitive="is_finite", call=lax.is_finite, args=(x,), oracle=np.isfinite)
        for x in (floats((2, 3)), corners(F32), corners(F64), np.float32(np.nan), np.zeros((0,), F32))
    ),
]

# --- bits -------------------------------------------------------------------------------------


def shifted(kind: str) -> Callable[..., int]:
    """Shifts on Python integers; those of all bits or more, and negative ones, shift everything out."""

    def shift(x: int, y: int, bits: int) -> int:
        y = y % (1 << bits)
        if kind == "left":
            return x << y if y < bits else 0
        if kind == "logical":
            return (x % (1 << bits)) >> y if y < bits else 0
        signed = x % (1 << bits)
        signed -= (1 << bits) if signed >> (bits - 1) else 0
        return signed >> min(y, bits)

    return shift


def bitwise(
    name: str,
    call: Callable[..., Any],
    oracle: Callable[..., int],
    *,
    logic: bool = False,
    shift: bool = False,
) -> list[Sample]:
    argcount = 1 if name in ("not", "population_count", "clz") else 2
    types: list[Any] = [I32, np.int8, np.uint8, np.uint32, np.int64, np.uint64]
    amounts = np.array([0, 1, 7, 8, 31, 32, 33, 63, 64, 100, -1], np.int64)
    arrays: list[tuple[Any, ...]] = []
    for dtype in types:
        x, y = int_pairs(dtype)
        if shift:
            x, y = (v.ravel() for v in np.meshgrid(np.unique(INTS.astype(dtype)), amounts.astype(dtype)))
        arrays.append((x, y))
    arrays += [(np.int32(12), np.int32(3)), (np.zeros((0, 2), I32), np.zeros((0, 2), I32))]
    if logic:
        arrays.append((booleans((9,)), booleans((9,))[::-1].copy()))
    return [
        Sample(primitive=name, call=call, args=args[:argcount], oracle=by_element(oracle)) for args in arrays
    ]


BITS = [
    *bitwise("and", lax.bitwise_and, lambda x, y: x & y, logic=True),
    *bitwise("or", lax.bitwise_or, lambda x, y: x | y, logic=True),
    *bitwise("xor", lax.bitwise_xor, lambda x, y: x ^ y, logic=True),
    *bitwise("not", lax.bitwise_not, lambda x: ~x, logic=True),
    *bitwise("population_count", lax.population_count, lambda x, bits: (x % (1 << bits)).bit_count()),
    *bitwise("clz", lax.clz, lambda x, bits: bits - (x % (1 << bits)).bit_length()),
    *bitwise("shift_left", lax.shift_left, shifted("left"), shift=True),
    *bitwise("shift_right_logical", lax.shift_right_logical, shifted("logical"), shift=True),
    *bitwise("shift_right_arithmetic", lax.shift_right_arithmetic, shifted("arithmetic"), shift=True),
]

# --- rounding ---------------------------------------------------------------------------------


def away_from_zero(x: np.ndarray) -> np.ndarray:
    whole = np.trunc(x)
    return np.copysign(np.where(np.abs(x - whole) >= 0.5, np.abs(whole) + 1, np.abs(whole)), x)


def next_after(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """NumPy's, also for the narrow types that it does not know."""
    if x.dtype in (np.float16, F32, F64):
        return np.nextafter(x, y)
    order = total_order(x)
    bits = x.view(f"u{x.dtype.itemsize}").astype(np.int64)
    up = total_order(y) > order
    moved = bits + np.where(up == (order >= 0), 1, -1)
    return np.where(x == y, bits, moved).astype(f"u{x.dtype.itemsize}").view(x.dtype)


HALVES = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997, 8388609.0, 4194304.5], F32)
ROUNDING = [
    *(
        Sample(primitive=name, call=call, args=(x,), oracle=oracle, ulps=0.5, differentiate=i == 0)
        for name, call, oracle in (
            ("floor", lax.floor, np.floor),
            ("ceil", lax.ceil, np.ceil),
            ("round", lax.round, away_from_zero),
            ("round", lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), np.rint),
        )
        for i, x in enumerate(
            (
                floats((3, 3), -2.75, 2.65),
                HALVES,
                corners(F32),
                corners(F64),
                np.float32(1.5),
                np.zeros((0,), F32),
            )
        )
    ),
    Sample(
        primitive="nextafter",
        call=lax.nextafter,
        args=(floats((5,), 0.5, 1.9), floats((5,), 0.1, 2.5)[::-1].copy()),
        oracle=next_after,
    ),
    *(
        Sample(primitive="nextafter", call=lax.nextafter, args=pair, oracle=next_after, flush=True)
        for pair in (normal_pairs(F32), normal_pairs(F64), (np.float32(1), np.float32(0)))
    ),
]


SAMPLES = [*COMPARISONS, *BITS, *ROUNDING]
