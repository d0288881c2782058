"""Discrete Fourier transforms of arrays along chosen axes.

Invariant: every transform is `lax.fft` on the last axes, at most three at a time, with the operand cut or padded with zeros
before it and one factor after it. Unnormalised transforms go forwards, and their inverses are divided by the number of
elements; `norm` moves that factor.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy

from anima import dtypes
from anima.lax.arithmetic import mul
from anima.lax.complex_parts import conj
from anima.lax.convert import convert_element_type
from anima.lax.fft import FftType, fft as lax_fft
from anima.lax.joining import pad
from anima.lax.operands import constant
from anima.lax.shape import check_axis, transpose
from anima.numpy.arithmetic import divide
from anima.numpy.calls import function, plain
from anima.numpy.creation import asarray, put_on
from anima.numpy.flipping import roll
from anima.numpy.promotion import array_like, dtype_of, inexact, shape_of

_MOST_AT_ONCE = 3
_OTHER_NORM = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}

# --- one transform ----------------------------------------------------------------------------


def _resized(x: Any, sizes: Sequence[int]) -> Any:
    """`x` with its last dimensions cut, or padded with zeros behind, to these sizes."""
    shape = shape_of(x)
    added = [0] * (len(shape) - len(sizes)) + [
        new - old for new, old in zip(sizes, shape[len(shape) - len(sizes) :])
    ]
    if not any(added):
        return x
    return pad(x, constant(0, x), [(0, extra, 0) for extra in added])


def _one_axis(name: str, axis: Any) -> tuple[int]:
    if isinstance(axis, (tuple, list)):
        raise ValueError(f"fft.{name}: axis must be one integer, got {axis}; {name}n transforms several axes")
    return (operator.index(axis),)


def _two_axes(name: str, axes: Any) -> tuple[int, ...]:
    if len(axes) != 2:
        raise ValueError(f"fft.{name}: axes must be two, got {axes}; {name[:-1]}n transforms any number")
    return tuple(axes)


def _sizes(name: str, kind: FftType, s: Any, taken: Sequence[int]) -> tuple[int, ...]:
    """How many elements each transformed axis has; of the real array for IRFFT."""
    if s is None:
        if kind is FftType.IRFFT and taken:
            return (*taken[:-1], max(2 * (taken[-1] - 1), 0))
        return tuple(taken)
    sizes = tuple(operator.index(n) for n in s)
    if any(n <= 0 for n in sizes):
        raise ValueError(
            f"fft.{name}: sizes of a transform must be positive, got {', '.join(map(str, sizes))}"
        )
    return sizes


def _factor(name: str, kind: FftType, norm: str | None, size: int) -> float:
    """What the result of `lax.fft` is multiplied by."""
    if norm not in _OTHER_NORM:
        raise ValueError(f"fft.{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    forwards = kind in (FftType.FFT, FftType.RFFT)
    if size == 0 or norm in (None, "backward"):
        return 1.0
    if norm == "ortho":
        return 1 / math.sqrt(size) if forwards else math.sqrt(size)
    return 1 / size if forwards else float(size)


def _along_last(x: Any, kind: FftType, sizes: tuple[int, ...]) -> Any:
    """The transform of the last dimensions, however many."""
    inner = sizes[-_MOST_AT_ONCE:]
    outer = sizes[: -len(inner)]
    if not outer:
        return lax_fft(x, kind, inner)
    complex_kind = FftType.FFT if kind in (FftType.FFT, FftType.RFFT) else FftType.IFFT
    if kind is FftType.IRFFT:  # its last step makes real numbers
        return lax_fft(_along_outer(x, complex_kind, outer, len(inner)), kind, inner)
    return _along_outer(lax_fft(x, kind, inner), complex_kind, outer, len(inner))


def _along_outer(x: Any, kind: FftType, sizes: tuple[int, ...], behind: int) -> Any:
    rank = len(shape_of(x))
    order = [
        *range(rank - behind - len(sizes)),
        *range(rank - behind, rank),
        *range(rank - behind - len(sizes), rank - behind),
    ]
    return _from_last(_along_last(transpose(x, order), kind, sizes), order)


def _from_last(x: Any, order: Sequence[int]) -> Any:
    """`x` with its dimensions back from this order."""
    return transpose(x, sorted(range(len(order)), key=order.__getitem__))


def _transform(name: str, kind: FftType, a: Any, s: Any, axes: Any, norm: str | None) -> Any:
    x = array_like(f"fft.{name}", a, "a")
    rank = len(shape_of(x))
    if axes is None:
        count = rank if s is None else len(s)
        if count > rank:
            raise ValueError(f"fft.{name}: s has {count} sizes for an array of {rank} dimensions")
        axes = range(rank - count, rank)
    if s is not None and len(s) != len(axes):
        raise ValueError(f"fft.{name}: s and axes must have equal lengths, got {tuple(s)} and {tuple(axes)}")
    places = [check_axis(f"fft.{name}", axis, rank, "axes") for axis in axes]
    if len(set(places)) != len(places):
        raise ValueError(f"fft.{name}: axes must be distinct, got {tuple(axes)}")
    sizes = _sizes(name, kind, s, [shape_of(x)[i] for i in places])
    factor = _factor(name, kind, norm, math.prod(sizes))
    if not sizes and kind is FftType.RFFT:
        if dtypes.is_complex(dtype_of(x)):
            raise ValueError(
                f"fft.{name}: RFFT takes real numbers, got dtype {dtypes.dtype_name(dtype_of(x))}; use fftn, or the real part"
            )
        return inexact(f"fft.{name}", x)
    order = [*(i for i in range(rank) if i not in places), *places]
    x = transpose(x, order)
    if sizes:
        x = _resized(x, (*sizes[:-1], sizes[-1] // 2 + 1) if kind is FftType.IRFFT else sizes)
    result = _along_last(x, kind, sizes)
    if factor != 1.0:
        result = mul(result, constant(factor, result))
    return _from_last(result, order)


# --- along one axis ---------------------------------------------------------------------------


@function(static=("n", "axis", "norm"))
def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The discrete Fourier transform along one axis.

    Args:
      a: an array; real numbers become complex.
      n: the size of the transform; the operand is cut or padded with zeros to it. By default that of the axis.
      axis: along which.
      norm: "backward" (default): the inverse is divided by the size; "ortho": the square root of that factor both ways; "forward": the transform is, instead of its inverse.
    Returns:
      A complex array with `n` elements along the axis, frequency 0 first.
    Raises:
      ValueError: the size, the axis or `norm` does not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.fft(np.array([1.0, 0.0, 0.0, 0.0])))
    [1.+0.j 1.+0.j 1.+0.j 1.+0.j]
    """
    return _transform("fft", FftType.FFT, a, None if n is None else (n,), _one_axis("fft", axis), norm)


@function(static=("n", "axis", "norm"))
def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `fft` along one axis.

    Args:
      a: a spectrum; real numbers become complex.
      n: the size of the transform; the operand is cut or padded with zeros to it. By default that of the axis.
      axis: along which.
      norm: "backward" (default): it is divided by the size; "ortho": the square root of that factor both ways; "forward": the forward transform is, instead of it.
    Returns:
      A complex array with `n` elements along the axis.
    Raises:
      ValueError: the size, the axis or `norm` does not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.ifft(np.array([4.0, 0.0, 0.0, 0.0])))
    [1.+0.j 1.+0.j 1.+0.j 1.+0.j]
    """
    return _transform("ifft", FftType.IFFT, a, None if n is None else (n,), _one_axis("ifft", axis), norm)


@function(static=("n", "axis", "norm"))
def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The Fourier transform of real numbers along one axis: the half without negative frequencies.

    Args:
      a: an array of integers, booleans, or real numbers of single or double precision.
      n: the size of the transform; the operand is cut or padded with zeros to it. By default that of the axis.
      axis: along which.
      norm: "backward" (default): the inverse is divided by the size; "ortho": the square root of that factor both ways; "forward": the transform is, instead of its inverse.
    Returns:
      A complex array with `n // 2 + 1` elements along the axis.
    Raises:
      ValueError: the size, the axis or `norm` does not fit, or the dtype. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.rfft(np.array([1.0, 0.0, 0.0, 0.0])))
    [1.+0.j 1.+0.j 1.+0.j]
    """
    return _transform("rfft", FftType.RFFT, a, None if n is None else (n,), _one_axis("rfft", axis), norm)


@function(static=("n", "axis", "norm"))
def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft` along one axis.

    Args:
      a: half a spectrum: `n // 2 + 1` elements along the axis.
      n: the size of the result; the operand is cut or padded with zeros to it. By default twice the operand's, less 2.
      axis: along which.
      norm: "backward" (default): it is divided by the size; "ortho": the square root of that factor both ways; "forward": the forward transform is, instead of it.
    Returns:
      A real array with `n` elements along the axis.
    Raises:
      ValueError: the size, the axis or `norm` does not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.irfft(np.array([4.0, 0.0, 0.0]), 4))
    [1. 1. 1. 1.]
    """
    return _transform("irfft", FftType.IRFFT, a, None if n is None else (n,), _one_axis("irfft", axis), norm)


@function(static=("n", "axis", "norm"))
def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform of a signal that is conjugate-symmetric in time, of which half is given; it is real.

    Args:
      a: half a signal: `n // 2 + 1` elements along the axis.
      n: the size of the result; the operand is cut or padded with zeros to it. By default twice the operand's, less 2.
      axis: along which.
      norm: "backward" (default): the inverse is divided by the size; "ortho": the square root of that factor both ways; "forward": the transform is, instead of its inverse.
    Returns:
      A real array with `n` elements along the axis.
    Raises:
      ValueError: the size, the axis or `norm` does not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.hfft(np.array([1.0, 0.0, 0.0]), 4))
    [1. 1. 1. 1.]
    """
    x = conj(_complex("hfft", a))
    axes = _one_axis("hfft", axis)
    return _transform("hfft", FftType.IRFFT, x, None if n is None else (n,), axes, _other_norm("hfft", norm))


@function(static=("n", "axis", "norm"))
def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `hfft`: half a signal, from its real spectrum.

    Args:
      a: a real spectrum.
      n: the size of the operand; the operand is cut or padded with zeros to it. By default that of the axis.
      axis: along which.
      norm: "backward" (default): it is divided by the size; "ortho": the square root of that factor both ways; "forward": the forward transform is, instead of it.
    Returns:
      A complex array with `n // 2 + 1` elements along the axis.
    Raises:
      ValueError: the size, the axis or `norm` does not fit, or the dtype. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.ihfft(np.array([1.0, 1.0, 1.0, 1.0])))
    [1.-0.j 0.-0.j 0.-0.j]
    """
    axes = _one_axis("ihfft", axis)
    sizes = None if n is None else (n,)
    return conj(_transform("ihfft", FftType.RFFT, a, sizes, axes, _other_norm("ihfft", norm)))


def _complex(name: str, a: Any) -> Any:
    x = array_like(f"fft.{name}", a, "a")
    return convert_element_type(x, dtypes.to_complex_dtype(dtype_of(x)))


def _other_norm(name: str, norm: str | None) -> str:
    """The norm with which the transform in the other direction has the factor that this one has with `norm`."""
    if norm not in _OTHER_NORM:
        raise ValueError(f"fft.{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    return _OTHER_NORM[norm]


# --- along several axes -----------------------------------------------------------------------


@function(static=("s", "axes", "norm"))
def fft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """The discrete Fourier transform along two axes.

    Args:
      a: an array; real numbers become complex.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; two.
      norm: as in `fft`.
    Returns:
      A complex array.
    Raises:
      ValueError: sizes, axes or `norm` do not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.fft2(np.ones((4, 6))).shape
    (4, 6)
    """
    return _transform("fft2", FftType.FFT, a, s, _two_axes("fft2", axes), norm)


@function(static=("s", "axes", "norm"))
def ifft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """The inverse of `fft2` along two axes.

    Args:
      a: a spectrum; real numbers become complex.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; two.
      norm: as in `ifft`.
    Returns:
      A complex array.
    Raises:
      ValueError: sizes, axes or `norm` do not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.ifft2(np.ones((4, 6))).shape
    (4, 6)
    """
    return _transform("ifft2", FftType.IFFT, a, s, _two_axes("ifft2", axes), norm)


@function(static=("s", "axes", "norm"))
def rfft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """The Fourier transform of real numbers along two axes; half of it along the last of them.

    Args:
      a: an array of integers, booleans, or real numbers of single or double precision.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; two.
      norm: as in `rfft`.
    Returns:
      A complex array, with `n // 2 + 1` elements along the last of the axes.
    Raises:
      ValueError: sizes, axes or `norm` do not fit, or the dtype. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.rfft2(np.ones((4, 6))).shape
    (4, 4)
    """
    return _transform("rfft2", FftType.RFFT, a, s, _two_axes("rfft2", axes), norm)


@function(static=("s", "axes", "norm"))
def irfft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Any:
    """The inverse of `rfft2` along two axes.

    Args:
      a: a spectrum, half of it along the last of the axes.
      s: the sizes of the result; the operand is cut or padded with zeros to them. By default those of the axes, along the last one twice its size, less 2.
      axes: along which; two.
      norm: as in `irfft`.
    Returns:
      A real array.
    Raises:
      ValueError: sizes, axes or `norm` do not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.irfft2(np.ones((4, 6))).shape
    (4, 10)
    """
    return _transform("irfft2", FftType.IRFFT, a, s, _two_axes("irfft2", axes), norm)


@function(static=("s", "axes", "norm"))
def fftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The discrete Fourier transform along several axes.

    Args:
      a: an array; real numbers become complex.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; by default the last `len(s)` ones, or all.
      norm: as in `fft`.
    Returns:
      A complex array.
    Raises:
      ValueError: sizes, axes or `norm` do not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.fftn(np.ones((4, 6))).shape
    (4, 6)
    """
    return _transform("fftn", FftType.FFT, a, s, axes, norm)


@function(static=("s", "axes", "norm"))
def ifftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The inverse of `fftn` along several axes.

    Args:
      a: a spectrum; real numbers become complex.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; by default the last `len(s)` ones, or all.
      norm: as in `ifft`.
    Returns:
      A complex array.
    Raises:
      ValueError: sizes, axes or `norm` do not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.ifftn(np.ones((4, 6))).shape
    (4, 6)
    """
    return _transform("ifftn", FftType.IFFT, a, s, axes, norm)


@function(static=("s", "axes", "norm"))
def rfftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The Fourier transform of real numbers along several axes; half of it along the last of them.

    Args:
      a: an array of integers, booleans, or real numbers of single or double precision.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; by default the last `len(s)` ones, or all.
      norm: as in `rfft`.
    Returns:
      A complex array, with `n // 2 + 1` elements along the last of the axes.
    Raises:
      ValueError: sizes, axes or `norm` do not fit, or the dtype. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.rfftn(np.ones((4, 6))).shape
    (4, 4)
    """
    return _transform("rfftn", FftType.RFFT, a, s, axes, norm)


@function(static=("s", "axes", "norm"))
def irfftn(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The inverse of `rfftn` along several axes.

    Args:
      a: a spectrum, half of it along the last of the axes.
      s: the sizes of the result; the operand is cut or padded with zeros to them. By default those of the axes, along the last one twice its size, less 2.
      axes: along which; by default the last `len(s)` ones, or all.
      norm: as in `irfft`.
    Returns:
      A real array.
    Raises:
      ValueError: sizes, axes or `norm` do not fit. TypeError: `a` is no array.

    >>> import anima.numpy as np
    >>> np.fft.irfftn(np.ones((4, 6))).shape
    (4, 10)
    """
    return _transform("irfftn", FftType.IRFFT, a, s, axes, norm)


# --- frequencies ------------------------------------------------------------------------------


def _frequencies(name: str, n: Any, d: Any, half: bool, dtype: Any, device: Any) -> Any:
    wanted = dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, name)
    if isinstance(d, (list, tuple)):
        raise ValueError(f"fft.{name}: d must be one number, got {d}")
    try:
        size = operator.index(n)
    except TypeError:
        raise ValueError(f"fft.{name}: n must be an integer, got {n!r}") from None
    if dtypes.is_complex(dtype_of(array_like(f"fft.{name}", d, "d"))):
        raise TypeError(f"fft.{name}: d must be real, got {d!r}")
    if half:
        places = numpy.arange(max(size // 2 + 1, 0))
    else:
        size = max(size, 0)
        places = numpy.concatenate([numpy.arange((size + 1) // 2), numpy.arange(-(size // 2), 0)])
    whole = asarray(places, dtypes.default_float_dtype())
    return put_on(divide(whole, array_like(f"fft.{name}", d, "d") * size).astype(wanted), device)


def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of the elements of a transform, in cycles per unit of the spacing `d`.

    Args:
      n: the size of the transform.
      d: the time between two samples; it may be traced.
      dtype: by default the default floating-point dtype.
      device: a device or sharding to place the result on.
    Raises:
      ValueError: `n` is no integer, or `d` is a list. TypeError: `d` is complex.

    >>> import anima.numpy as np
    >>> print(np.fft.fftfreq(5, d=0.1))
    [ 0.  2.  4. -4. -2.]
    """
    return _frequencies("fftfreq", n, d, False, dtype, device)


def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequencies of the elements of half a transform, as `rfft` returns it.

    Args:
      n: the size of the whole transform.
      d, dtype, device: as in `fftfreq`.
    Raises:
      ValueError: `n` is no integer, or `d` is a list. TypeError: `d` is complex.

    >>> import anima.numpy as np
    >>> print(np.fft.rfftfreq(4))
    [0.   0.25 0.5 ]
    """
    return _frequencies("rfftfreq", n, d, True, dtype, device)


def _shifted(name: str, x: Any, axes: Any, half: Any) -> Any:
    x = array_like(f"fft.{name}", x, "x")
    shape = shape_of(x)
    wanted = range(len(shape)) if axes is None else (axes,) if isinstance(axes, int) else axes
    places = tuple(check_axis(f"fft.{name}", axis, len(shape), "axes") for axis in wanted)
    return plain(roll)(x, tuple(half(shape[i]) for i in places), places) if places else asarray(x)


@function(static=("axes",))
def fftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """`x` with the element of frequency 0, that of index 0, in the middle of each axis.

    Args:
      x: an array.
      axes: along which; by default all.
    Raises:
      ValueError: an axis is out of range. TypeError: `x` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.fftshift(np.fft.fftfreq(4)))
    [-0.5  -0.25  0.    0.25]
    """
    return _shifted("fftshift", x, axes, lambda n: n // 2)


@function(static=("axes",))
def ifftshift(x: Any, axes: int | Sequence[int] | None = None) -> Any:
    """The inverse of `fftshift`.

    Args:
      x: an array.
      axes: along which; by default all.
    Raises:
      ValueError: an axis is out of range. TypeError: `x` is no array.

    >>> import anima.numpy as np
    >>> print(np.fft.ifftshift(np.array([-0.5, -0.25, 0.0, 0.25])))
    [ 0.    0.25 -0.5  -0.25]
    """
    return _shifted("ifftshift", x, axes, lambda n: -(n // 2))
