"""Discrete Fourier transforms over the last one to three dimensions.

Invariant: a transform keeps the dtype's precision, and half of a spectrum that is conjugate-symmetric is never stored: RFFT
returns and IRFFT takes `n // 2 + 1` elements along the last dimension, for `n` real ones.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import _native, dtypes
from anima.core.aval import ShapedArray, is_dim
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.lax.arguments import check_integers
from anima.lax.arithmetic import mul
from anima.lax.complex_parts import conj
from anima.lax.convert import convert_element_type
from anima.lax.declare import COMPLEX, check_dtype, declare, jvp_linear, operand
from anima.lax.operands import constant
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, dtype_of, shape_of
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.runtime.kernels import call_kernel


class FftType(enum.IntEnum):
    """The kinds of transform: forwards and back, of complex numbers and of real ones (the spectrum is complex)."""

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


_REAL = ("float32", "float64")
_MAX_RANK = 3  # of XLA's operation

# Shorter rows, and fewer columns of a transform of several dimensions, leave much of a vector unused; that counts in arrays
# of more than a few elements, of which XLA's operation has less to do.
_LEAST, _LEAST_COLUMNS, _FEW = 4, 8, 4096


# --- the operation ----------------------------------------------------------------------------


def _fft_shape(x: ShapedArray, *, fft_type: FftType, fft_lengths: tuple[int, ...]) -> ShapedArray:
    kind = FftType(fft_type).name
    check_dtype(f"fft ({kind})", x, _REAL if kind == "RFFT" else COMPLEX)
    rank = len(fft_lengths)
    if rank > _MAX_RANK:
        raise ValueError(
            f"fft: at most {_MAX_RANK} dimensions are transformed at once, got fft_lengths {fft_lengths}; "
            "transform the others by a further call"
        )
    if x.ndim < rank:
        raise ValueError(
            f"fft: fft_lengths {fft_lengths} name more dimensions than an operand of shape {x.shape} has"
        )
    if rank == 0:
        return ShapedArray(x.shape, x.dtype)
    lengths = (*fft_lengths[:-1], fft_lengths[-1] // 2 + 1) if kind == "IRFFT" else fft_lengths
    if x.shape[x.ndim - rank :] != lengths:
        half = f" (for IRFFT the last size is {fft_lengths[-1]} // 2 + 1)" if kind == "IRFFT" else ""
        raise ValueError(
            f"fft: the last dimensions of the operand must have sizes {lengths}{half}, got shape {x.shape}; "
            "pad or slice it"
        )
    outer = x.shape[: x.ndim - rank]
    if kind == "RFFT":
        return ShapedArray(
            (*outer, *fft_lengths[:-1], fft_lengths[-1] // 2 + 1), dtypes.to_complex_dtype(x.dtype)
        )
    if kind == "IRFFT":
        return ShapedArray((*outer, *fft_lengths), dtypes.to_real_dtype(x.dtype))
    return ShapedArray(x.shape, x.dtype)


def _fft_lower(ctx: Context, x: Value, *, fft_type: FftType, fft_lengths: tuple[int, ...]) -> Value:
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)
    if not fft_lengths:
        return x
    if 0 in x.shape or 0 in out.shape:  # a sum of nothing
        return ctx.full(0, out)
    kind = FftType(fft_type).name
    if _has_kernel(ctx, out if kind == "IRFFT" else x.aval, kind, len(fft_lengths)):
        return _by_kernel(ctx, x, out, FftType(fft_type), fft_lengths)
    attrs = f"fft_length = {i64_array(fft_lengths)}, fft_type = #stablehlo<fft_type {kind}>"
    return ctx.op("stablehlo.fft", (x,), out, attrs)


def _has_kernel(ctx: Context, whole: Any, kind: str, rank: int) -> bool:
    """Whether the kernel is for the transform of arrays like `whole`, and quicker than XLA's operation."""
    if not ctx.module.kernels_allowed:
        return False
    lengths = whole.shape[whole.ndim - rank :]
    last = lengths[-1]
    if kind in ("RFFT", "IRFFT"):
        if last % 2:
            return False
        last //= 2
    fills_vectors = last >= (_LEAST if rank == 1 else _LEAST_COLUMNS)
    return (fills_vectors or math.prod(whole.shape) <= _FEW) and all(map(_native.has_fft_plan, lengths))


def _by_kernel(ctx: Context, x: Value, out: ShapedArray, kind: FftType, lengths: tuple[int, ...]) -> Value:
    # The second result is room: XLA keeps such memory, which would be cleared if the kernel asked for it.
    if kind is FftType.IRFFT and len(lengths) > 1:
        room = ShapedArray(x.shape, x.dtype)
    else:
        room = ShapedArray((lengths[-1],), dtypes.to_complex_dtype(x.dtype))
    attributes = {"kind": int(kind), "rank": len(lengths)}
    work = math.prod(x.shape) * math.prod(lengths).bit_length()
    return call_kernel(ctx, "anima_fft", (x,), [out, room], attributes, work=work)[0]


def _weighted(x: Any, n: int, factor: float) -> Any:
    """Half a spectrum of `n` frequencies, with those that the whole one has twice scaled: all but 0 and the middle one."""
    shape = shape_of(x)
    places = np.arange(n // 2 + 1)
    twice = broadcast_in_dim((places > 0) & (2 * places < n), shape, (len(shape) - 1,))
    return select(twice, mul(x, constant(factor, x)), x)


def _fft_transpose(ct: Any, x: Any, *, fft_type: FftType, fft_lengths: tuple[int, ...]) -> list[Any]:
    kind = FftType(fft_type)
    if not fft_lengths or kind in (FftType.FFT, FftType.IFFT):  # symmetric matrices
        return [fft_p.bind(ct, fft_type=kind, fft_lengths=fft_lengths)]
    size, last = math.prod(fft_lengths), fft_lengths[-1]
    if kind is FftType.RFFT:
        # An element of x collects Re(ct * exp(-i...)), which is what the inverse transform makes of conj(ct).
        half = _weighted(conj(ct), last, 0.5)
        back = fft_p.bind(half, fft_type=FftType.IRFFT, fft_lengths=fft_lengths)
        return [mul(back, constant(size, back))]
    spectrum = fft_p.bind(ct, fft_type=FftType.RFFT, fft_lengths=fft_lengths)
    whole = _weighted(conj(spectrum), last, 2.0)
    return [mul(whole, constant(1 / max(size, 1), whole))]


def _fft_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    return fft_p.bind(to_axis(args[0], dims[0], 0, axis.size), **params), 0


fft_p = declare(
    "fft",
    shape=_fft_shape,
    lower=_fft_lower,
    jvp=jvp_linear,
    transpose=_fft_transpose,
    batch=_fft_batch,
    dtypes=(*_REAL, *COMPLEX),
)


# --- the public function ----------------------------------------------------------------------


def fft(x: Any, fft_type: FftType | str, fft_lengths: Sequence[int]) -> Any:
    """The discrete Fourier transform of the last `len(fft_lengths)` dimensions, at most three, for each index of the others.

    Args:
      x: an array whose last dimensions have the sizes `fft_lengths`; for IRFFT the very last has `n // 2 + 1`, `n` being the
        last of `fft_lengths`. Real for RFFT; anything else becomes complex. Integers and half-precision numbers are
        converted to single precision, or to double precision if they have 64 bits; RFFT takes no half-precision ones.
      fft_type: an `FftType`, or its name in any case.
      fft_lengths: the sizes of the transform, of the real array for RFFT and IRFFT.
    Returns:
      The transform, unnormalised; the inverse ones are divided by the product of the sizes. RFFT returns `n // 2 + 1`
      elements along the last dimension. The transform of nothing is zero.
    Raises:
      ValueError: there is no such type, the sizes do not fit or are negative, or the operand's dtype does not fit.
      TypeError: `fft_type` is neither, or a size is no integer.

    >>> from anima import lax
    >>> import anima.numpy as np
    >>> print(lax.fft(np.array([1.0, 0.0, 0.0, 0.0]), "rfft", (4,)))
    [1.+0.j 1.+0.j 1.+0.j]
    """
    kind = _kind(fft_type)
    value = operand(x)
    dtype = dtype_of(value)
    if kind is FftType.RFFT:
        if dtypes.is_complex(dtype):
            raise ValueError(f"fft: RFFT takes real numbers, got dtype {dtype}; use FFT, or the real part")
        wanted = dtypes.to_inexact_dtype(dtype)
        if wanted.name not in _REAL:
            raise ValueError(f"fft: RFFT takes float32 or float64, got {dtype}; convert it with astype")
    else:
        wanted = dtypes.to_complex_dtype(dtype)
    if dtype != wanted or aval_of(value).weak_type:  # type: ignore[attr-defined]
        value = convert_element_type(value, wanted)
    return fft_p.bind(value, fft_type=kind, fft_lengths=_lengths(fft_lengths))


def _lengths(fft_lengths: Any) -> tuple[int, ...]:
    lengths = check_integers("fft", (fft_lengths,) if is_dim(fft_lengths) else fft_lengths, "fft_lengths")
    if any(n < 0 for n in lengths):
        raise ValueError(
            f"fft: fft_lengths must not be negative, got {lengths}; give the sizes of the last dimensions of the real or "
            "complex array that is transformed"
        )
    return lengths


def _kind(fft_type: Any) -> FftType:
    if isinstance(fft_type, FftType):
        return fft_type
    names = ", ".join(kind.name for kind in FftType)
    if not isinstance(fft_type, str):
        raise TypeError(f"fft: fft_type must be an FftType or one of the names {names}, got {fft_type!r}")
    if fft_type.upper() not in FftType.__members__:
        raise ValueError(f"fft: unknown fft_type {fft_type!r}; there are {names}")
    return FftType[fft_type.upper()]
