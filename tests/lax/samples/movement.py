"""Selection, conversions, identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes, lax
from anima.lax.identity import copy
from tests.lax.samples import C64, F32, F64, I32, INTS, Sample, booleans, complexes, corners, floats, integers

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
    Sample(
        primitive="select_n",
        call=lax.select_n,
        args=(integers((3, 4), 0, 2, np.uint8), *_CASES[:2]),
        oracle=selected,
    ),
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
    Sample(
        primitive="select_n",
        call=lax.select_n,
        args=(np.zeros((0,), bool), np.zeros((0,), F32), np.zeros((0,), F32)),
        oracle=selected,
    ),
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
        args=(
            floats((3, 4), -1.5, 0.4),
            floats((3, 4), -2.05, 1.9)[::-1].copy(),
            floats((3, 4), 0.6, 1.4).T.reshape(3, 4),
        ),
        oracle=clamped,
        flush=True,
    ),
    Sample(
        primitive="clamp",
        call=lax.clamp,
        args=(np.float32(-1.0), floats((5,)), floats((5,), 0.0, 1.0)),
        oracle=clamped,
    ),
    Sample(
        primitive="clamp", call=lax.clamp, args=(np.int32(-3), integers((9,)), np.int32(4)), oracle=clamped
    ),
    Sample(
        primitive="clamp",
        call=lax.clamp,
        args=(np.float32(-1), corners(F32), np.float32(1)),
        oracle=clamped,
        flush=True,
        differentiate=False,
    ),
    Sample(
        primitive="clamp",
        call=lax.clamp,
        args=tuple(booleans((9,))[k:][:6] for k in range(3)),
        oracle=clamped,
    ),
    Sample(
        primitive="clamp",
        call=lax.clamp,
        args=(np.float32(1), floats((4,)), np.float32(-1)),
        oracle=clamped,
        differentiate=False,
    ),
    Sample(
        primitive="clamp", call=lax.clamp, args=(np.float32(0), np.float32(7), np.float32(1)), oracle=clamped
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


WIDE_FLOATS = np.array(
    [0.0, -0.0, 0.3, -2.7, 300.5, -300.5, 3e9, -3e9, 1e20, -1e20, np.inf, -np.inf, np.nan], F32
)
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


SAMPLES = [*SELECTION, *CONVERSIONS]
