"""When two results agree: bit for bit, or within so many units in the last place.

Invariant: a NaN agrees with a NaN only and an infinity with the same infinity only; where the dtype's arithmetic flushes
subnormal numbers to zero, a true result below the normal range agrees with anything there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes

# XLA's CPU code flushes in these; narrower types are computed in float32, whose range is far larger.
FLUSHED = ("float32", "float64", "bfloat16", "complex64", "complex128")


def is_float(dtype: Any) -> bool:
    return dtypes.is_inexact(np.dtype(dtype))


def wide(array: np.ndarray) -> np.ndarray:
    """The same numbers in a dtype in which an oracle errs by less than a unit of the array's own."""
    dtype = array.dtype
    if not is_float(dtype):
        return array
    if dtypes.is_complex(dtype):
        return array.astype(np.complex128 if dtype.name == "complex64" else np.clongdouble)
    return array.astype(np.longdouble if dtype.name == "float64" else np.float64)


def flushed(array: np.ndarray) -> np.ndarray:
    """The array with subnormal numbers replaced by zeros of their sign, if its dtype's arithmetic does so."""
    if array.dtype.name not in FLUSHED:
        return array
    if array.dtype.kind == "c":
        parts = [flushed(np.ascontiguousarray(part)) for part in (array.real, array.imag)]
        return (parts[0] + 1j * parts[1]).astype(array.dtype)
    tiny = float(dtypes.finfo(array.dtype).smallest_normal)
    with np.errstate(all="ignore"):
        return np.where(np.abs(array) < tiny, np.copysign(np.zeros((), array.dtype), array), array)


def units(size: np.ndarray, dtype: Any) -> np.ndarray:
    """A unit in the last place at numbers of this size, as longdouble."""
    info = dtypes.finfo(dtypes.to_real_dtype(np.dtype(dtype)))
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.asarray(size, np.longdouble))
        exponent = np.maximum(np.where(np.asarray(size) == 0, info.minexp, exponent - 1), info.minexp)
    return np.ldexp(np.longdouble(1), exponent - info.nmant)


def assert_same_bits(got: Any, want: Any, where: str, flush: bool = False) -> None:
    """Equal shapes, dtypes and bits; NaNs are equal whatever theirs are."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{where}: shape {got.shape}, not {want.shape}"
    assert got.dtype == want.dtype, f"{where}: dtype {got.dtype}, not {want.dtype}"
    if flush:
        got, want = flushed(got), flushed(want)
    same = np.ascontiguousarray(got).reshape(-1).view(np.uint8) == np.ascontiguousarray(want).reshape(-1).view(np.uint8)
    same = same.reshape(got.size, -1).all(1).reshape(got.shape) if got.size else np.ones(got.shape, bool)
    if is_float(got.dtype):
        with np.errstate(all="ignore"):
            same = same | (np.isnan(got) & np.isnan(want))
    assert same.all(), f"{where}: {_first(got, want, ~same)}"


def assert_close(got: Any, want: Any, ulps: float, where: str, floor: float = 0.0) -> None:
    """Equal shapes, and errors of at most `ulps` units in the last place of the dtype of `got`.

    `want` is in a wider dtype, or one as wide. Complex numbers are compared by modulus.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{where}: shape {got.shape}, not {want.shape}"
    if not is_float(got.dtype):
        return assert_same_bits(got, want, where)
    dtype = got.dtype
    info = dtypes.finfo(dtypes.to_real_dtype(dtype))
    exact = np.clongdouble if dtype.kind == "c" else np.longdouble
    with np.errstate(all="ignore"):
        given, true = got.astype(exact), want.astype(exact)
        size = np.maximum(np.abs(true), floor)
        slack = np.longdouble(info.smallest_normal) if dtype.name in FLUSHED else 0
        error = np.abs(given - true)
        near = error <= ulps * (1 + 1e-6) * units(size, dtype)
        near |= (np.abs(true) < slack) & (np.abs(given) <= slack)
        # Where rounding to the dtype overflows, the infinity is the result.
        rounded = want.astype(dtype)
        special = ~np.isfinite(rounded) | ~np.isfinite(got)
        alike = (np.isnan(rounded) & np.isnan(got)) | (rounded == got)
    good = np.where(special, alike, near)
    if dtype.kind != "c" and "nuz" not in dtype.name and dtype.name != "float8_e8m0fnu":  # they have one zero or none
        zero = (want == 0) & (got == 0)
        good &= ~zero | (np.signbit(got) == np.signbit(want))
    assert good.all(), f"{where}: {_first(got, want, ~good)}; {_in_units(error, size, dtype, ~good)}"
    return None


def _first(got: np.ndarray, want: np.ndarray, bad: np.ndarray) -> str:
    index = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
    return f"{int(bad.sum())} of {bad.size} differ, first at {index}: {got[index]!r}, not {want[index]!r}"


def _in_units(error: np.ndarray, size: np.ndarray, dtype: Any, bad: np.ndarray) -> str:
    with np.errstate(all="ignore"):
        count = np.where(bad & np.isfinite(error), error / units(size, dtype), 0)
    return f"up to {float(count.max()):.3g} units"
