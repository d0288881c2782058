"""Discrete cosine transforms of types I to IV, along one axis or several.

Invariant: a transform is linear and real: it maps the two parts of complex numbers alike. Each type is one fast Fourier
transform, of the size of the axis for types II and III (J. Makhoul, "A fast cosine transform in one and two dimensions",
IEEE Trans. ASSP 28, 1980), of twice that for the others. Half-precision numbers are transformed in single precision.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy

from anima import dtypes
from anima.lax.arithmetic import mul, neg
from anima.lax.complex_parts import complex as lax_complex, imag, real
from anima.lax.convert import convert_element_type
from anima.lax.fft import FftType, fft
from anima.lax.joining import concatenate, pad
from anima.lax.operands import constant
from anima.lax.shape import broadcast_in_dim, check_axis, rev
from anima.lax.slicing import slice as lax_slice
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, shape_of
from anima.numpy.shapes import moveaxis

_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}
_OTHER_NORM = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}

# --- transforms of the last axis, not normalised ----------------------------------------------


def _part(x: Any, start: int, stop: int, step: int = 1) -> Any:
    """Elements of the last axis."""
    *outer, _ = shape_of(x)
    zeros = [0] * len(outer)
    return lax_slice(x, [*zeros, start], [*outer, stop], [*([1] * len(outer)), step])


def _reversed(x: Any) -> Any:
    return rev(x, (len(shape_of(x)) - 1,))


def _joined(*parts: Any) -> Any:
    return concatenate(parts, len(shape_of(parts[0])) - 1)


def _scaled(x: Any, factors: numpy.ndarray) -> Any:
    """`x` times one factor for each element of the last axis."""
    shape = shape_of(x)
    return mul(x, broadcast_in_dim(convert_element_type(factors, dtype_of(x)), shape, (len(shape) - 1,)))


def _turned(x: Any, turns: numpy.ndarray) -> Any:
    """Complex `x` times `exp(i * turns)`, by elements of the last axis."""
    return _scaled(x, numpy.exp(1j * turns))


def _first(x: Any) -> Any:
    """Type I: the real transform of the signal and its mirror image, which share their ends."""
    n = shape_of(x)[-1]
    mirrored = _joined(x, _reversed(_part(x, 1, n - 1)))
    return real(fft(mirrored, FftType.RFFT, (2 * n - 2,)))


def _second(x: Any) -> Any:
    """Type II: the real transform of the even elements and, backwards, the odd ones."""
    n = shape_of(x)[-1]
    half = n // 2 + 1
    ordered = _joined(_part(x, 0, n, 2), _reversed(_part(x, 1, n, 2))) if n > 1 else x
    spectrum = _turned(fft(ordered, FftType.RFFT, (n,)), -math.pi / (2 * n) * numpy.arange(half))
    upper = _reversed(_part(neg(imag(spectrum)), 1, n - half + 1))
    both = _joined(real(spectrum), upper)
    return mul(both, constant(2, both))


def _third(x: Any) -> Any:
    """Type III: the steps of type II backwards."""
    n = shape_of(x)[-1]
    half = n // 2 + 1
    nothing = [(0, 0, 0)] * (len(shape_of(x)) - 1)
    mirror = _reversed(_part(x, n - half + 1, n))  # of the elements from 1 on; that of element 0 is zero
    lower = lax_complex(_part(x, 0, half), neg(pad(mirror, constant(0, x), [*nothing, (1, 0, 0)])))
    signal = fft(_turned(lower, math.pi / (2 * n) * numpy.arange(half)), FftType.IRFFT, (n,))
    signal = mul(signal, constant(n, signal))
    if n == 1:
        return signal
    middle = (n + 1) // 2
    even = pad(_part(signal, 0, middle), constant(0, x), [*nothing, (0, n % 2 == 0, 1)])
    odd = pad(_reversed(_part(signal, middle, n)), constant(0, x), [*nothing, (1, n % 2, 1)])
    return even + odd


def _fourth(x: Any) -> Any:
    """Type IV: a complex transform of twice the size, with a turn by a quarter of an element before and after."""
    n = shape_of(x)[-1]
    turns = -math.pi / (2 * n) * numpy.arange(n)
    spectrum = dtypes.to_complex_dtype(dtype_of(x))
    turned = _turned(convert_element_type(x, spectrum), turns)
    nothing = [(0, 0, 0)] * (len(shape_of(x)) - 1)
    doubled = fft(pad(turned, constant(0, turned), [*nothing, (0, n, 0)]), FftType.FFT, (2 * n,))
    both = real(_turned(_part(doubled, 0, n), turns - math.pi / (4 * n)))
    return mul(both, constant(2, both))


_TRANSFORMS = {1: _first, 2: _second, 3: _third, 4: _fourth}

# --- normalisation ----------------------------------------------------------------------------


def _normalised(x: Any, type: int, norm: str) -> Any:
    n = shape_of(x)[-1]
    size = 2 * (n - 1) if type == 1 else 2 * n  # a transform and its inverse are this many times the identity
    transform = _TRANSFORMS[type]
    if norm == "backward":
        return transform(x)
    if norm == "forward":
        found = transform(x)
        return mul(found, constant(1 / size, found))
    ends = numpy.ones(n)  # what makes the matrix of cosines orthogonal
    ends[0] = math.sqrt(2)
    if type == 1:
        ends[-1] = math.sqrt(2)
    before = _scaled(x, ends) if type in (1, 3) else x
    after = numpy.full(n, 1 / math.sqrt(size)) / (ends if type in (1, 2) else 1)
    return _scaled(transform(before), after)


def _real_transform(name: str, x: Any, type: int, axes: Sequence[int], norm: str) -> Any:
    for axis in axes:
        size = shape_of(x)[axis]
        if size < (2 if type == 1 else 1):
            raise ValueError(
                f"{name}: a transform of type {type} needs at least {2 if type == 1 else 1} elements, got {size} along "
                f"axis {axis}"
            )
        x = moveaxis(_normalised(moveaxis(x, axis, -1), type, norm), -1, axis)
    return x


def _transform(name: str, x: Any, type: Any, s: Any, axes: Any, norm: Any, inverse: bool) -> Any:
    if type not in _INVERSE:
        raise ValueError(f"{name}: type must be 1, 2, 3 or 4, got {type!r}")
    if norm not in _OTHER_NORM:
        raise ValueError(f"{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    x = array_like(name, x, "x")
    shape = shape_of(x)
    wanted = dtypes.to_inexact_dtype(dtype_of(x))
    if dtypes.is_float(wanted) and dtypes.itemsize_bits(wanted) < 32:
        wanted = dtypes.float32
    x = convert_element_type(x, wanted)
    if axes is None:
        axes = range(len(shape)) if s is None else range(len(shape) - len(s), len(shape))
    places = [check_axis(name, axis, len(shape), "axes") for axis in axes]
    if len(set(places)) != len(places):
        raise ValueError(f"{name}: axes must be distinct, got {tuple(axes)}")
    if s is not None:
        x = _resized(name, x, s, places)
    kind = _INVERSE[type] if inverse else type
    scaling = _OTHER_NORM[norm] if inverse else norm or "backward"
    if dtypes.is_complex(wanted):
        return lax_complex(
            *[_real_transform(name, part, kind, places, scaling) for part in (real(x), imag(x))]
        )
    return _real_transform(name, x, kind, places, scaling)


def _resized(name: str, x: Any, s: Any, places: Sequence[int]) -> Any:
    sizes = [operator.index(n) for n in s]
    if len(sizes) != len(places):
        raise ValueError(f"{name}: s and axes must have equal lengths, got {sizes} and {list(places)}")
    if any(n < 1 for n in sizes):
        raise ValueError(f"{name}: sizes of a transform must be positive, got {', '.join(map(str, sizes))}")
    added = [0] * len(shape_of(x))
    for place, size in zip(places, sizes):
        added[place] = size - shape_of(x)[place]
    return pad(x, constant(0, x), [(0, extra, 0) for extra in added]) if any(added) else x


def _several(s: Any) -> Any:
    """A sequence for `s` or `axes`, which may be one integer."""
    return (s,) if isinstance(s, int) else s


# --- the public functions ---------------------------------------------------------------------


@function(static=("type", "n", "axis", "norm"))
def dct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The discrete cosine transform along one axis: of type II, twice the sum of `x[j] * cos(pi * k * (2 * j + 1) / (2 * n))`.

    Args:
      x: an array; integers become floating-point numbers.
      type: 1, 2, 3 or 4.
      n: the size of the transform; the operand is cut or padded with zeros to it. By default that of the axis.
      axis: along which.
      norm: "backward" (default): the inverse is divided by `2 * n` (by `2 * (n - 1)` for type I); "forward": this transform
        is; "ortho": the matrix of the transform is made orthogonal.
    Raises:
      ValueError: there is no such type or `norm`, or the size or the axis does not fit. TypeError: `x` is no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import fft
    >>> print(fft.dct(np.array([1.0, 1.0])))
    [4. 0.]
    """
    return _transform("dct", x, type, None if n is None else (n,), (axis,), norm, False)


@function(static=("type", "n", "axis", "norm"))
def idct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `dct` with the same arguments.

    Args:
      x, type, n, axis, norm: as in `dct`.
    Raises:
      ValueError: there is no such type or `norm`, or the size or the axis does not fit. TypeError: `x` is no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import fft
    >>> print(fft.idct(np.array([4.0, 0.0])))
    [1. 1.]
    """
    return _transform("idct", x, type, None if n is None else (n,), (axis,), norm, True)


@function(static=("type", "s", "axes", "norm"))
def dctn(
    x: Any,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """The discrete cosine transform along several axes.

    Args:
      x, type, norm: as in `dct`.
      s: the sizes of the transform; the operand is cut or padded with zeros to them. By default those of the axes.
      axes: along which; by default the last `len(s)` ones, or all.
    Raises:
      ValueError: there is no such type or `norm`, or sizes or axes do not fit. TypeError: `x` is no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import fft
    >>> print(fft.dctn(np.ones((2, 2))))
    [[16.  0.]
     [ 0.  0.]]
    """
    return _transform("dctn", x, type, _several(s), _several(axes), norm, False)


@function(static=("type", "s", "axes", "norm"))
def idctn(
    x: Any,
    type: int = 2,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Any:
    """The inverse of `dctn` with the same arguments.

    Args:
      x, type, s, axes, norm: as in `dctn`.
    Raises:
      ValueError: there is no such type or `norm`, or sizes or axes do not fit. TypeError: `x` is no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import fft
    >>> print(fft.idctn(np.array([[16.0, 0.0], [0.0, 0.0]])))
    [[1. 1.]
     [1. 1.]]
    """
    return _transform("idctn", x, type, _several(s), _several(axes), norm, True)
