"""Signals cut into overlapping segments, and the windows that these are seen through.

Invariant: segments run along the last axis, and their numbers along the one before. Cutting is linear, and adding overlapping
segments up is its transpose.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy

import anima.numpy as np
from anima import dtypes
from anima.numpy.promotion import shape_of
from anima.numpy.reductions import accumulator
from anima.transforms.linear import linear_transpose


def complex_dtype(dtype: Any) -> Any:
    """The dtype of transforms of arrays of some dtype: at least single precision."""
    return dtypes.to_complex_dtype(accumulator(dtypes.to_inexact_dtype(dtype)))


# By slices that are put side by side, if there are at most so many of them; by a gather otherwise.
_MOST_SLICES = 16


def cut(x: Any, size: int, step: int) -> Any:
    """The segments of `size` elements that start at every `step`-th one."""
    *outer, length = shape_of(x)
    count = max((length - size) // step + 1, 0)
    if size % step or size // step > _MOST_SLICES:
        return x[..., step * numpy.arange(count)[:, None] + numpy.arange(size)]
    slices = [
        x[..., start : start + count * step].reshape(*outer, count, step) for start in range(0, size, step)
    ]
    return np.concatenate(slices, -1)


def added_up(x: Any, step: int) -> Any:
    """The sums of segments laid over one another, each `step` elements behind the one before."""
    *outer, count, size = shape_of(x)
    like = np.zeros((*outer, size + (count - 1) * step), x.dtype)
    return linear_transpose(lambda y: cut(y, size, step), like)(x)[0]


# --- windows ----------------------------------------------------------------------------------

# The coefficients of sums of cosines; SciPy knows many other windows, but takes a second to load.
_COSINES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
}


def _named(window: Any, size: int) -> numpy.ndarray:
    """A window of which a signal that goes on periodically would see one period."""
    if window in _COSINES:
        turns = 2 * numpy.pi / size * numpy.arange(size)
        terms = [(-1) ** k * c * numpy.cos(k * turns) for k, c in enumerate(_COSINES[window])]
        return numpy.sum(terms, axis=0) if size > 1 else numpy.ones(1)
    from scipy.signal import get_window

    return numpy.asarray(get_window(window, size))


def window_of(name: str, window: Any, size: int) -> Any:
    """The elements of a window of some size: of a named one, or those that are given."""
    return _named(window, size) if isinstance(window, (str, tuple)) else np.asarray(window)


# --- sizes ------------------------------------------------------------------------------------


class Sizes(NamedTuple):
    """How a signal is cut: the sizes of segments, of their overlaps and of their transforms."""

    nperseg: int
    noverlap: int
    nfft: int

    @property
    def step(self) -> int:
        return self.nperseg - self.noverlap


def _whole(name: str, argument: str, value: Any) -> int:
    number = int(value)
    if number != value:
        raise ValueError(f"{name}: {argument} must be a whole number, got {value!r}")
    return number


def segment_size(name: str, window: Any, nperseg: Any, default: int, most: int | None = None) -> int:
    """How long segments are: as long as a window that is given, or `nperseg`, or `default`; no longer than `most`.

    Raises:
      ValueError: `nperseg` is not positive, or the window is no vector, of another size, or longer than `most`.
    """
    size = default if nperseg is None else _whole(name, "nperseg", nperseg)
    if size < 1:
        raise ValueError(f"{name}: nperseg must be positive, got {size}")
    if not isinstance(window, (str, tuple)):
        shape = shape_of(np.asarray(window))
        if len(shape) != 1 or not shape[0]:
            raise ValueError(f"{name}: window must be a name or a vector with elements, got shape {shape}")
        if nperseg is not None and size != shape[0]:
            raise ValueError(f"{name}: nperseg must be the size of window, {shape[0]}, got {nperseg}")
        if most is not None and shape[0] > most:
            raise ValueError(f"{name}: window has {shape[0]} elements for a signal of {most}")
        return shape[0]
    if most is not None and size > most:
        warnings.warn(
            f"{name}: nperseg = {size} is more than the signal has elements; it is {most}", stacklevel=4
        )
        return most
    return size


def resolved(name: str, nperseg: int, noverlap: int | None, nfft: int | None) -> Sizes:
    """All sizes, from those that are given.

    Raises:
      ValueError: a transform is shorter than its segment, or segments do not advance.
    """
    overlap = nperseg // 2 if noverlap is None else _whole(name, "noverlap", noverlap)
    transform = nperseg if nfft is None else _whole(name, "nfft", nfft)
    if transform < nperseg:
        raise ValueError(f"{name}: nfft must be at least nperseg = {nperseg}, got {transform}")
    if overlap >= nperseg:
        raise ValueError(f"{name}: noverlap must be less than nperseg = {nperseg}, got {overlap}")
    return Sizes(nperseg, overlap, transform)
