"""When two results agree: bit for bit, or within so many units in the last place.

Invariant: a NaN agrees with a NaN only and an infinity with the same infinity only; where the dtype's arithmetic flushes
subnormal numbers to zero, a true result below the normal range agrees with anything there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from tests.platforms import ON_CPU

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
    if not ON_CPU or array.dtype.name not in FLUSHED:
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
    same = np.ascontiguousarray(got).reshape(-1).view(np.uint8) == np.ascontiguousarray(want).reshape(
        -1
    ).view(np.uint8)
    same = same.reshape(got.size, -1).all(1).reshape(got.shape) if got.size else np.ones(got.shape, bool)
    if is_float(got.dtype):
        with np.errstate(all="ignore"):
            same = same | (np.isnan(got) & np.isnan(want))
    assert same.all(), f"{where}: {_first(got, want, ~same)}"


def assert_close(got: Any, want: Any, ulps: float, where: str, floor: float = 0.0, other: Any = None) -> None:
    """Equal shapes, and errors of at most `ulps` units in the last place of the dtype of `got`.

    `want` is in a wider dtype, or one as wide. Complex numbers are compared by modulus. Elements may agree with `other`
    instead.
    """
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{where}: shape {got.shape}, not {want.shape}"
    good, error = _close(got, want, ulps, floor)
    if other is not None:
        good |= _close(got, np.asarray(other), ulps, floor)[0]
    assert good.all(), f"{where}: {_first(got, want, ~good)}; {np.where(good, 0, error).max():.3g} units off"


def _close(got: np.ndarray, want: np.ndarray, ulps: float, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Which elements agree, and their errors in units."""
    dtype = got.dtype
    info = dtypes.finfo(dtypes.to_real_dtype(dtype))
    exact = np.clongdouble if dtype.kind == "c" else np.longdouble
    with np.errstate(all="ignore"):
        given, true = got.astype(exact), want.astype(exact)
        size = np.maximum(np.abs(true), floor)
        slack = 2 * np.longdouble(info.smallest_normal) if dtype.name in FLUSHED else 0
        error = np.abs(given - true) / units(size, dtype)
        near = error <= ulps * (1 + 1e-6)
        near |= (np.abs(true) <= slack) & (np.abs(given) <= slack)
        # Where rounding to the dtype overflows, the infinity is the result.
        rounded = want.astype(dtype)
        overflows = ~np.isfinite(rounded) & (np.abs(true) >= np.longdouble(info.max))
        special = ~np.isfinite(want) | overflows | ~np.isfinite(got)
        alike = (np.isnan(rounded) & np.isnan(got)) | (rounded == got)
        if not dtypes.supports_inf(dtypes.to_real_dtype(dtype)):
            alike |= np.isinf(want) | overflows
    good = np.where(special, alike, near)
    if (
        dtype.kind != "c" and "nuz" not in dtype.name and dtype.name != "float8_e8m0fnu"
    ):  # they have one zero or none
        good &= (want != 0) | (got != 0) | (np.signbit(got) == np.signbit(want))
    return good, np.where(np.isfinite(error), error, 0)


def _first(got: np.ndarray, want: np.ndarray, bad: np.ndarray) -> str:
    index = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
    return f"{int(bad.sum())} of {bad.size} differ, first at {index}: {got[index]!r}, not {want[index]!r}"
