"""Trends: what is left of a signal without them.

Invariant: a line is fitted about the middle of its piece, where mean and slope are independent sums; no equations are solved.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy

import anima.numpy as np
from anima import dtypes
from anima.lax.shape import check_axis
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, shape_of
from anima.numpy.reductions import accumulator


def check_type(name: str, type: Any) -> None:
    """Raise ValueError unless a trend is a mean or a line."""
    if type not in ("linear", "constant"):
        raise ValueError(f"{name}: the type of a trend must be 'linear' or 'constant', got {type!r}")


def without_mean(x: Any) -> Any:
    """`x` less its mean along the last axis."""
    return x - np.mean(x, axis=-1, keepdims=True)


def without_line(x: Any) -> Any:
    """`x` less the line that is nearest to it along the last axis."""
    size = shape_of(x)[-1]
    if size < 2:
        return x - x
    times = np.asarray(numpy.arange(size) - (size - 1) / 2, x.dtype)
    level = without_mean(x)
    slope = np.sum(level * times, axis=-1, keepdims=True) * (12 / (size * (size**2 - 1)))
    return level - slope * times


@function(static=("axis", "type", "ends"), name="detrend")
def _detrend(data: Any, axis: int, type: str, ends: tuple[int, ...]) -> Any:
    data = np.asarray(data)
    dtype = dtypes.to_inexact_dtype(data.dtype)
    x = np.moveaxis(data.astype(accumulator(dtype)), axis, -1)
    if not shape_of(x)[-1]:
        return data.astype(dtype)
    remove = without_mean if type == "constant" else without_line
    pieces = [remove(x[..., low:high]) for low, high in itertools.pairwise(ends)]
    return np.moveaxis(np.concatenate(pieces, -1), -1, axis).astype(dtype)


def _breaks(bp: Any, size: int) -> tuple[int, ...]:
    """The ends of all pieces, in order."""
    places = numpy.unique(numpy.asarray([*numpy.atleast_1d(numpy.asarray(bp)), 0, size]))
    if places.dtype.kind not in "iu":
        raise TypeError(f"detrend: bp must be whole numbers, got {bp}")
    if places[0] < 0 or places[-1] > size:
        raise ValueError(
            f"detrend: bp must be places in data, not negative and at most {size} along the axis, got {bp}"
        )
    return tuple(places.tolist())


def detrend(
    data: Any,
    axis: int = -1,
    type: str = "linear",
    bp: int | Sequence[int] | numpy.ndarray = 0,
    overwrite_data: None = None,
) -> Any:
    """A signal less its trend: the line, or lines, of least squares, or the mean.

    Args:
      data: an array of any dtype, or a list of numbers.
      axis: the axis along which the signal runs.
      type: "linear" to subtract lines, "constant" to subtract the mean.
      bp: where one line ends and the next begins, one index or several.
      overwrite_data: must be None: arrays cannot be overwritten.
    Returns:
      an array of the shape of `data`, of a floating-point or complex dtype.
    Raises:
      ValueError: there is no such axis, type or place. TypeError: a place is no whole number. NotImplementedError:
        `overwrite_data` is given.

    >>> import anima.numpy as np
    >>> from anima.scipy import signal
    >>> print(signal.detrend(np.array([1.0, 4.0, 8.0, 8.0, 9.0])).round(3) + 0)
    [-1.  0.  2.  0. -1.]
    """
    if overwrite_data is not None:
        raise NotImplementedError("detrend: overwrite_data must be None; arrays are immutable")
    check_type("detrend", type)
    data = np.asarray(data) if isinstance(data, (list, tuple)) else array_like("detrend", data, "data")
    axis = check_axis("detrend", axis, len(shape_of(data)))
    size = shape_of(data)[axis]
    return _detrend(data, axis, type, _breaks(bp, size) if type == "linear" else (0, size))
