"""Arithmetic, and complex parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import lax
from anima.lax.arithmetic import add_any_p
from tests.lax.samples import (
    C64,
    F32,
    F64,
    I32,
    INTS,
    Sample,
    booleans,
    by_element,
    complexes,
    corner_pairs,
    corners,
    floats,
    int_pairs,
    integers,
    numeric,
)


def truncated(x: int, y: int) -> int:
    """The quotient rounded towards zero, all bits set if `y` is zero."""
    return -1 if y == 0 else (abs(x) // abs(y)) * (1 if (x < 0) == (y < 0) else -1)


def remainder(x: int, y: int) -> int:
    return x - truncated(x, y) * y if y else x


# --- arithmetic -------------------------------------------------------------------------------


def exact(real: float = 0.5, complex_: float = 4.0) -> dict[str, float]:
    """Half a unit for correctly rounded operations; complex ones are made of several."""
    return {"": real, "complex64": complex_, "complex128": complex_}


def binary_arithmetic(
    name: str,
    on_floats: Callable[..., Any],
    on_integers: Callable[..., int],
    *,
    complex_numbers: bool = True,
    ulps: Any = None,
) -> list[Sample]:
    call = getattr(lax, name)
    oracle = numeric(on_floats, on_integers)
    x, y = floats((3, 4)) + F32(0.01), floats((3, 4), 0.5, 3.0)[::-1].copy()
    bound = exact() if ulps is None else ulps
    pairs: list[tuple[Any, ...]] = [
        (x, y),
        corner_pairs(F32),
        corner_pairs(F64),
        int_pairs(I32),
        int_pairs(np.int64),
        (integers((7,), 0, 256, np.uint8), integers((7,), 0, 256, np.uint8)[::-1].copy()),
        (np.float32(1.25), np.float32(0.75)),
        (np.zeros((0, 3), F32), np.ones((0, 3), F32)),
    ]
    if complex_numbers:
        pairs.append((complexes((6,)), complexes((6,), 1.5)[::-1].copy()))
    return [
        Sample(
            primitive=name,
            call=call,
            args=pair,
            oracle=oracle,
            ulps=bound,
            differentiate=i == 0 or np.asarray(pair[0]).dtype == C64,
        )
        for i, pair in enumerate(pairs)
    ]


def extremum(numpys: Callable[..., Any], logic: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's, but of two zeros of different signs the larger or smaller one."""

    def oracle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if x.dtype == bool or x.dtype.kind == "c":
            return numpys(x, y)
        negative = logic(np.signbit(x), np.signbit(y))
        return np.where(
            (x == 0) & (y == 0), np.where(negative, -x.dtype.type(0), x.dtype.type(0)), numpys(x, y)
        )

    return oracle


ARITHMETIC = [
    *binary_arithmetic("add", np.add, lambda x, y: x + y),
    *binary_arithmetic("sub", np.subtract, lambda x, y: x - y),
    *binary_arithmetic("mul", np.multiply, lambda x, y: x * y),
    *binary_arithmetic("div", np.divide, truncated),
    *binary_arithmetic("rem", np.fmod, remainder, complex_numbers=False),
    *binary_arithmetic("max", extremum(np.maximum, np.logical_and), max),
    *binary_arithmetic("min", extremum(np.minimum, np.logical_or), min),
    Sample(
        primitive="max",
        call=lax.max,
        args=(booleans((8,)), booleans((8,))[::-1].copy()),
        oracle=np.logical_or,
    ),
    Sample(
        primitive="min",
        call=lax.min,
        args=(booleans((8,)), booleans((8,))[::-1].copy()),
        oracle=np.logical_and,
    ),
    Sample(
        primitive="add_any",
        call=add_any_p.bind,
        args=(floats((3, 2)), floats((3, 2), 1, 3)),
        oracle=np.add,
        ulps=0.5,
    ),
    Sample(
        primitive="mulhi",
        call=lax.mulhi,
        args=int_pairs(I32),
        oracle=by_element(lambda x, y, bits: (x * y) >> bits),
    ),
    *(
        Sample(
            primitive="mulhi",
            call=lax.mulhi,
            args=int_pairs(dtype),
            oracle=by_element(lambda x, y, bits: (x * y) >> bits),
        )
        for dtype in (np.int8, np.uint16, np.uint32, np.int64, np.uint64)
    ),
    Sample(
        primitive="mul",
        call=lambda x, y: lax.mul(x, y, out_dtype="int32"),
        args=(integers((5,), -128, 128, np.int8), integers((5,), -128, 128, np.int8)[::-1].copy()),
        oracle=lambda x, y: x.astype(I32) * y.astype(I32),
    ),
    Sample(
        primitive="add",
        call=lambda x: lax.add(x, 1.5),
        args=(floats((2, 3)),),
        oracle=lambda x: x + 1.5,
        ulps=0.5,
    ),
]


def unary_arithmetic(
    name: str, on_floats: Callable[..., Any], on_integers: Callable[..., int], *args: Any
) -> list[Sample]:
    call = getattr(lax, name)
    arrays = [floats((3, 4)), corners(F32), corners(F64), *args, np.float32(-0.75), np.zeros((0,), F32)]
    return [
        Sample(
            primitive=name,
            call=call,
            args=(array,),
            oracle=numeric(on_floats, on_integers),
            differentiate=i == 0 or np.asarray(array).dtype == C64,
            ulps=exact(0.5 if np.asarray(array).dtype != C64 else 2.0, 2.0),
        )
        for i, array in enumerate(arrays)
    ]


def complex_sign(x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.where(x == 0, 0, x / np.abs(x)) if x.dtype.kind == "c" else np.where(np.isnan(x) | (x == 0), x, np.sign(x))  # fmt: skip


SIGNED_INTS = INTS.astype(I32)
UNSIGNED_INTS = INTS.astype(np.uint8)
COMPLEX = complexes((7,))

ARITHMETIC += [
    *unary_arithmetic("neg", np.negative, lambda x: -x, SIGNED_INTS, UNSIGNED_INTS, COMPLEX),
    *unary_arithmetic("abs", np.abs, abs, SIGNED_INTS, COMPLEX),
    *unary_arithmetic("sign", complex_sign, lambda x: (x > 0) - (x < 0), SIGNED_INTS, UNSIGNED_INTS, COMPLEX),
    *unary_arithmetic("square", np.square, lambda x: x * x, SIGNED_INTS, UNSIGNED_INTS, COMPLEX),
]


# --- complex parts ----------------------------------------------------------------------------

COMPLEX_PARTS = [
    *(
        Sample(primitive=name, call=getattr(lax, name), args=(x,), oracle=oracle, differentiate=x.size > 0)
        for name, oracle in (
            ("real", np.real),
            ("imag", np.imag),
            ("conj", lambda x: np.conj(x).astype(np.result_type(x, C64))),
        )
        for x in (
            complexes((2, 3)),
            complexes((4,), dtype=np.complex128),
            np.complex64(1 - 2j),
            np.zeros((0, 2), C64),
        )
    ),
    Sample(
        primitive="conj",
        call=lax.conj,
        args=(floats((4,)),),
        oracle=lambda x: np.conj(x).astype(np.result_type(x, C64)),
    ),
    Sample(
        primitive="complex",
        call=lax.complex,
        args=(floats((2, 3)), floats((2, 3), 0, 1)),
        oracle=lambda x, y: (x + 1j * y).astype(np.result_type(x, C64)),
    ),
    Sample(
        primitive="complex",
        call=lambda x: lax.complex(x, 2.0),
        args=(floats((2,)),),
        oracle=lambda x: (x + 2j).astype(np.result_type(x, C64)),
    ),
]


SAMPLES = [*ARITHMETIC, *COMPLEX_PARTS]
