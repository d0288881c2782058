"""Arithmetic, comparisons, bits, rounding, selection, complex parts, conversions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.lax import compare
from anima.lax.arithmetic import add_any_p
from anima.lax.identity import copy
from tests.lax.samples import Sample, booleans, by_element, complexes, floats, integers

F32, F64, C64, I32 = np.float32, np.float64, np.complex64, np.int32

# Numbers at which floating-point functions have their corners.
CORNERS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 2.0, -3.0, 1e30, -1e30, np.inf, -np.inf, np.nan]


def corners(dtype: Any = F32) -> np.ndarray:
    """Numbers at which floating-point functions have their corners, with the ends of the range of `dtype`."""
    info = dtypes.finfo(dtype)
    ends = [info.smallest_normal, -info.smallest_normal, info.smallest_subnormal, -info.smallest_subnormal * 2, info.max, -info.max]
    return np.array([*CORNERS, *map(float, ends)], dtype)


def corner_pairs(dtype: Any = F32) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corners."""
    values = corners(dtype)
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


def normal_pairs(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of corners without subnormal numbers."""
    x, y = corner_pairs(dtype)
    normal = ~((np.abs(x) < dtypes.finfo(dtype).smallest_normal) & (x != 0))
    return x[normal], y[normal]


# Integers at which operations have their corners.
INTS = np.array([0, 1, -1, 2, -3, 5, 31, 32, 33, 2**31 - 1, -(2**31), 1 << 30, -100], np.int64)


def int_pairs(dtype: Any = I32) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corners."""
    values = np.unique(INTS.astype(dtype))
    x, y = np.meshgrid(values, values)
    return x.ravel(), y.ravel()


def numeric(on_floats: Callable[..., Any], on_integers: Callable[..., int]) -> Callable[..., np.ndarray]:
    """An oracle with one function for Python integers and one for floating-point and complex arrays."""
    exact = by_element(on_integers)
    return lambda *arrays: exact(*arrays) if dtypes.is_int(arrays[0].dtype) else on_floats(*arrays)


def truncated(x: int, y: int) -> int:
    """The quotient rounded towards zero, all bits set if `y` is zero."""
    return -1 if y == 0 else (abs(x) // abs(y)) * (1 if (x < 0) == (y < 0) else -1)


def remainder(x: int, y: int) -> int:
    return x - truncated(x, y) * y if y else x


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
        return np.where((x == 0) & (y == 0), np.where(negative, -x.dtype.type(0), x.dtype.type(0)), numpys(x, y))

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


def comparison(name: str, oracle: Callable[..., Any], *, complex_numbers: bool = False, total: bool = False) -> list[Sample]:
    call = getattr(compare, name)
    pairs: list[tuple[Any, ...]] = [
        (floats((3, 4)), np.where(np.arange(12).reshape(3, 4) % 3, floats((3, 4)).T.reshape(3, 4), floats((3, 4)))),
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


def bitwise(name: str, call: Callable[..., Any], oracle: Callable[..., int], *, logic: bool = False, shift: bool = False) -> list[Sample]:
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
    return [Sample(primitive=name, call=call, args=args[:argcount], oracle=by_element(oracle)) for args in arrays]


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
            (floats((3, 3), -2.75, 2.65), HALVES, corners(F32), corners(F64), np.float32(1.5), np.zeros((0,), F32))
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

# --- selection --------------------------------------------------------------------------------


def selected(which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
    index = np.clip(np.broadcast_to(which, cases[0].shape).astype(np.int64), 0, len(cases) - 1)
    out = cases[0].copy()
    for i, case in enumerate(cases):
        out[...] = np.where(index == i, case, out)
    return out


def clamped(low: np.ndarray, x: np.ndarray, high: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.minimum(np.maximum(x, low), high).astype(x.dtype)


_CASES = tuple(floats((3, 4), -k, 2 * k) for k in (1, 2, 3, 4, 5))
SELECTION = [
    Sample(
        primitive="select_n",
        call=lax.select_n,
        args=(booleans((3, 4)), *_CASES[:2]),
        oracle=selected,
        typed=(1, 2),
    ),
    Sample(primitive="select_n", call=lax.select_n, args=(np.bool_(True), *_CASES[:2]), oracle=selected),
    Sample(primitive="select_n", call=lax.select_n, args=(integers((3, 4), -1, 6), *_CASES), oracle=selected),
    Sample(primitive="select_n", call=lax.select_n, args=(np.int32(3), *_CASES[:4]), oracle=selected),
    Sample(primitive="select_n", call=lax.select_n, args=(integers((3, 4), 0, 2, np.uint8), *_CASES[:2]), oracle=selected),
    Sample(primitive="select_n", call=lax.select_n, args=(booleans((3, 4)), _CASES[0]), oracle=selected),
    Sample(
        primitive="select_n",
        call=lambda p, x, y: lax.select(p, x, y),
        args=(booleans((5,)), complexes((5,)), complexes((5,), 3.0)),
        oracle=lambda p, x, y: np.where(p, x, y),
    ),
    Sample(
        primitive="select_n",
        call=lax.select_n,
        args=(booleans((21,)), corners(F32), -corners(F32)),
        oracle=selected,
        differentiate=False,
    ),
    Sample(primitive="select_n", call=lax.select_n, args=(np.zeros((0,), bool), np.zeros((0,), F32), np.zeros((0,), F32)), oracle=selected),
    Sample(
        primitive="clamp",
        call=lax.clamp,
        args=(np.float32(-0.75), floats((3, 4)), np.float32(0.9)),
        oracle=clamped,
        flush=True,
    ),
    Sample(
        primitive="clamp",
        call=lax.clamp,
        args=(floats((3, 4), -1.5, 0.4), floats((3, 4))[::-1].copy(), floats((3, 4), 0.6, 1.4).T.reshape(3, 4)),
        oracle=clamped,
        flush=True,
    ),
    Sample(primitive="clamp", call=lax.clamp, args=(np.float32(-1.0), floats((5,)), floats((5,), 0.0, 1.0)), oracle=clamped),
    Sample(primitive="clamp", call=lax.clamp, args=(np.int32(-3), integers((9,)), np.int32(4)), oracle=clamped),
    Sample(primitive="clamp", call=lax.clamp, args=(np.float32(-1), corners(F32), np.float32(1)), oracle=clamped, flush=True, differentiate=False),
    Sample(primitive="clamp", call=lax.clamp, args=(np.float32(1), floats((4,)), np.float32(-1)), oracle=clamped, differentiate=False),
    Sample(primitive="clamp", call=lax.clamp, args=(np.float32(0), np.float32(7), np.float32(1)), oracle=clamped),
]

# --- complex parts ----------------------------------------------------------------------------

COMPLEX_PARTS = [
    *(
        Sample(primitive=name, call=getattr(lax, name), args=(x,), oracle=oracle, differentiate=x.size > 0)
        for name, oracle in (("real", np.real), ("imag", np.imag), ("conj", lambda x: np.conj(x).astype(np.result_type(x, C64))))
        for x in (complexes((2, 3)), complexes((4,), dtype=np.complex128), np.complex64(1 - 2j), np.zeros((0, 2), C64))
    ),
    Sample(primitive="conj", call=lax.conj, args=(floats((4,)),), oracle=lambda x: np.conj(x).astype(np.result_type(x, C64))),
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

# --- conversions, identities ------------------------------------------------------------------


def saturated(new: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Conversion to an integer dtype: floating point saturates, integers keep their lowest bits."""

    def convert(x: np.ndarray) -> np.ndarray:
        if not dtypes.is_float(x.dtype):
            return x.astype(new)
        info = np.iinfo(new)
        whole = np.nan_to_num(np.trunc(x.astype(np.longdouble)), nan=0.0, posinf=1e30, neginf=-1e30)
        return np.array([int(min(max(v, info.min), info.max)) for v in whole.ravel()], new).reshape(x.shape)

    return convert


def cast(new: Any) -> Callable[..., Any]:
    return lambda x: lax.convert_element_type(x, new)


def reduced(exponent_bits: int, mantissa_bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Rounding to the nearest number of a narrower format, ties to even."""

    def reduce(x: np.ndarray) -> np.ndarray:
        largest = 2 ** (exponent_bits - 1) - 1
        with np.errstate(all="ignore"):
            fraction, exponent = np.frexp(x.astype(np.longdouble))
            rounded = np.ldexp(np.rint(np.ldexp(fraction, mantissa_bits + 1)), exponent - mantissa_bits - 1)
            size = np.abs(rounded)
            rounded = np.where(size >= np.longdouble(2) ** (largest + 1), np.copysign(np.inf, x), rounded)
            rounded = np.where(size < np.longdouble(2) ** (1 - largest), np.copysign(0, x), rounded)
        return np.where(np.isfinite(x), rounded, x)

    return reduce


WIDE_FLOATS = np.array([0.0, -0.0, 0.3, -2.7, 300.5, -300.5, 3e9, -3e9, 1e20, -1e20, np.inf, -np.inf, np.nan], F32)
CONVERSIONS = [
    Sample(
        primitive="convert_element_type",
        call=cast(F32),
        args=(integers((3, 4), -2, 2),),
        oracle=lambda x: x.astype(C64).real.astype(F32) if x.dtype.kind == "c" else x.astype(F32),
        only=tuple(n for n in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int4", "uint4", "bfloat16", "float16", "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2")),
    ),
    *(
        Sample(
            primitive="convert_element_type",
            call=cast(new),
            args=(WIDE_FLOATS,),
            oracle=saturated(new),
            differentiate=False,
        )
        for new in (np.int8, np.uint8, np.int16, np.uint16, I32, np.uint32)
    ),
    *(
        Sample(primitive="convert_element_type", call=cast(new), args=(x,), oracle=saturated(new))
        for new, x in ((np.int8, INTS.astype(I32)), (np.uint8, INTS.astype(I32)), (I32, INTS * 5), (np.uint64, INTS))
    ),
    *(
        Sample(primitive="convert_element_type", call=cast(bool), args=(x,), oracle=lambda x: x != 0, flush=True)
        for x in (WIDE_FLOATS, INTS.astype(I32), np.array([0, 1j, 2], C64))
    ),
    Sample(
        primitive="convert_element_type",
        call=lambda x, like: lax.convert_element_type(x, like.dtype),
        args=(floats((5,)), floats((5,), dtype=F64)),
        oracle=lambda x, like: x.astype(F64),
        differentiate=(0,),
    ),
    Sample(primitive="convert_element_type", call=cast("bfloat16"), args=(floats((5,), -1e3, 1e3),), oracle=lambda x: x.astype(dtypes.bfloat16), differentiate=False),
    Sample(primitive="convert_element_type", call=cast("complex64"), args=(floats((5,)),), oracle=lambda x: x.astype(C64), differentiate=False),
    Sample(primitive="convert_element_type", call=cast("float32"), args=(complexes((5,)),), oracle=lambda x: x.real.astype(F32), differentiate=False),
    Sample(primitive="convert_element_type", call=cast("complex128"), args=(floats((5,), dtype=F64),), oracle=lambda x: x.astype(np.complex128)),
    Sample(primitive="convert_element_type", call=cast("float64"), args=(complexes((5,), dtype=np.complex128),), oracle=lambda x: x.real),
    Sample(
        primitive="bitcast_convert_type",
        call=lambda x: lax.bitcast_convert_type(x, x.dtype if dtypes.kind_of(x.dtype) in ("b", "c") else f"uint{dtypes.itemsize_bits(x.dtype)}" if dtypes.itemsize_bits(x.dtype) in (8, 16, 32, 64, 4, 2) else x.dtype),
        args=(floats((3, 4)),),
        oracle=lambda x: x if dtypes.kind_of(x.dtype) in ("b", "c") else x.view(f"u{x.dtype.itemsize}"),
        only=("int8", "int16", "int32", "int64", "uint8", "bfloat16", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"),
    ),
    Sample(primitive="bitcast_convert_type", call=lambda x: lax.bitcast_convert_type(x, "int32"), args=(corners(F32),), oracle=lambda x: x.view(I32)),
    Sample(primitive="bitcast_convert_type", call=lambda x: lax.bitcast_convert_type(x, "float32"), args=(integers((3, 4), 0, 255, np.uint8),), oracle=lambda x: x.view(F32)[..., 0]),
    Sample(primitive="bitcast_convert_type", call=lambda x: lax.bitcast_convert_type(x, "uint8"), args=(floats((3, 2)),), oracle=lambda x: x.view(np.uint8).reshape(*x.shape, 4)),
    *(
        Sample(
            primitive="reduce_precision",
            call=lambda x, e=e, m=m: lax.reduce_precision(x, e, m),
            args=(x,),
            oracle=reduced(e, m),
            ulps=0.5,
            differentiate=False,
        )
        for e, m in ((5, 10), (8, 7), (4, 3))
        for x in (floats((3, 4)), corners(F32), np.array([1e-6, 7e4, 65519.0, 65520.0, 1.0004883, 1.0014649], F32))
    ),
    *(
        Sample(primitive=name, call=call, args=(x,), oracle=lambda x: x, differentiate=name == "copy")
        for name, call in (("copy", copy), ("stop_gradient", lax.stop_gradient))
        for x in (floats((2, 3)), np.float32(2), np.zeros((0,), F32), complexes((3,)))
    ),
]  # fmt: skip

SAMPLES = [*ARITHMETIC, *COMPARISONS, *BITS, *ROUNDING, *SELECTION, *COMPLEX_PARTS, *CONVERSIONS]
