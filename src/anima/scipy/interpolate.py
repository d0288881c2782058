"""Interpolation of functions that are sampled on a grid.

Invariant: at a point of the grid the value is the sample; derivatives flow to samples and, with linear interpolation, to places.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy

import anima.numpy as np
from anima import dtypes
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, inexact, shape_of

_METHODS = ("linear", "nearest")


class RegularGridInterpolator:
    """A function that is sampled on a grid of axes with any steps, between and outside of the samples.

    Args:
      points: for each axis the places of the samples, a vector that increases or decreases.
      values: the samples; further axes behind those of the grid are allowed.
      method: "linear" or "nearest"; a call may name another one.
      bounds_error: must be False: while tracing it is not known whether a place is out of bounds.
      fill_value: the value outside of the grid; None to extrapolate.
    Raises:
      ValueError: the axes and the samples do not fit, an axis is not monotonic, there is no such method, or the fill value is of
        another kind than the samples. NotImplementedError: `bounds_error` is True.

    >>> import anima.numpy as np
    >>> from anima.scipy import interpolate
    >>> axis = np.array([0.0, 1.0, 3.0])
    >>> f = interpolate.RegularGridInterpolator((axis,), axis**2)
    >>> print(f(np.array([[0.5], [2.0]])))
    [0.5 5. ]
    """

    def __init__(
        self,
        points: Sequence[Any],
        values: Any,
        method: str = "linear",
        bounds_error: bool = False,
        fill_value: Any = math.nan,
    ) -> None:
        _check_method(method)
        if bounds_error:
            raise NotImplementedError(
                "RegularGridInterpolator: bounds_error=True cannot be checked while tracing; use fill_value=nan"
            )
        self.method, self.bounds_error, self.fill_value = method, bounds_error, fill_value
        self.values = np.asarray(inexact("RegularGridInterpolator", np.asarray(values)))
        shape = shape_of(self.values)
        if len(points) > len(shape):
            raise ValueError(
                f"RegularGridInterpolator: there are {len(points)} point arrays, but values has {len(shape)} dimensions"
            )
        if fill_value is not None:
            kind = np.asarray(fill_value).dtype
            if dtypes.is_complex(kind) and not dtypes.is_complex(dtype_of(self.values)):
                raise ValueError("RegularGridInterpolator: fill_value is complex, but values is not")
        self.grid = tuple(np.asarray(p) for p in points)
        for number, (axis, size) in enumerate(zip(self.grid, shape)):
            _check_axis(number, axis, size)

    def __call__(self, xi: Any, method: str | None = None) -> Any:
        """The values at some places.

        Args:
          xi: the places: an array with a last axis as long as the grid has axes, or a tuple of arrays, one for each axis.
          method: that of this call.
        Raises:
          ValueError: the last axis has another length, or there is no such method.
        """
        if method is not None:
            _check_method(method)
        rank = len(self.grid)
        if isinstance(xi, (tuple, list)):
            xi = np.stack(np.broadcast_arrays(*(np.asarray(x) for x in xi)), -1)
        xi = np.asarray(array_like("RegularGridInterpolator", xi, "xi"))
        if xi.ndim == 1 and rank == 1:
            xi = xi[:, None]
        if not xi.ndim or xi.shape[-1] != rank:
            raise ValueError(
                f"RegularGridInterpolator: the last axis of xi must be as long as the grid has dimensions, {rank}, got shape {xi.shape}"
            )
        return _interpolated(self.grid, self.values, xi, self.fill_value, method or self.method)


def _check_method(method: str) -> None:
    if method not in _METHODS:
        raise ValueError(f"RegularGridInterpolator: method must be 'linear' or 'nearest', got {method!r}")


def _check_axis(number: int, axis: Any, size: int) -> None:
    if axis.ndim != 1 or axis.shape[0] != size:
        raise ValueError(
            f"RegularGridInterpolator: points[{number}] must be a vector of {size} numbers, got shape {axis.shape}"
        )
    if isinstance(axis, np.ndarray) and hasattr(axis, "is_ready"):
        steps = numpy.diff(numpy.asarray(axis))
        if not ((steps > 0).all() or (steps < 0).all()):
            raise ValueError(
                f"RegularGridInterpolator: points[{number}] must increase or decrease throughout"
            )


@function(static=("method",))
def _interpolated(grid: Any, values: Any, xi: Any, fill_value: Any, method: str) -> Any:
    outer = xi.shape[:-1]
    outside = np.zeros(outer, bool)
    nodes: list[list[tuple[Any, Any]]] = []
    for i, axis in enumerate(grid):
        x = xi[..., i]
        # A decreasing axis is one of negative numbers that increases.
        sign = np.where(axis[-1] < axis[0], -1, 1).astype(axis.dtype)
        axis, x = axis * sign, x * sign.astype(x.dtype)
        outside = outside | (x < axis[0]) | (x > axis[-1])
        lower = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, max(axis.shape[0] - 2, 0))
        upper = np.minimum(lower + 1, axis.shape[0] - 1)
        width = axis[upper] - axis[lower]
        share = np.where(width == 0, 0, (x - axis[lower]) / np.where(width == 0, 1, width))
        if method == "nearest":
            nodes.append([(np.where(share <= 0.5, lower, upper), None)])
        else:
            nodes.append([(lower, 1 - share), (upper, share)])
    more = (1,) * (values.ndim - len(grid))
    result: Any = 0
    for corner in itertools.product(*nodes):
        term = values[tuple(index for index, _ in corner)]
        for _, weight in corner:
            term = term if weight is None else term * weight.reshape(outer + more)
        result = result + term
    if fill_value is None:
        return result
    return np.where(outside.reshape(outer + more), np.asarray(fill_value).astype(result.dtype), result)
