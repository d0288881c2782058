"""Interpolation in images.

Invariant: the value at an index is the element there; between indices it is linear, or that of the nearest.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, shape_of


def _mirrored(index: Any, size: int) -> Any:
    """Reflection about the first and the last element."""
    period = 2 * size - 2
    return index * 0 if size == 1 else np.abs((index + size - 1) % period - (size - 1))


def _reflected(index: Any, size: int) -> Any:
    """Reflection about the edges of the first and the last element."""
    return _mirrored(2 * index + 1, 2 * size + 1) // 2


_MODES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda index, size: index,
    "nearest": lambda index, size: np.clip(index, 0, size - 1),
    "wrap": lambda index, size: index % size,
    "mirror": _mirrored,
    "reflect": _reflected,
}


def _nodes(x: Any, order: int) -> list[tuple[Any, Any]]:
    """The indices that a coordinate is interpolated from, with their weights."""
    if order == 0:
        nearest = np.floor(x + 0.5) if np.issubdtype(x.dtype, np.floating) else x
        return [(nearest.astype(np.int32), 1)]
    below = np.floor(x) if np.issubdtype(x.dtype, np.floating) else x
    upper = x - below
    index = below.astype(np.int32)
    return [(index, 1 - upper), (index + 1, upper)]


@function(static=("order", "mode"))
def _map_coordinates(input: Any, coordinates: Any, order: int, mode: str, cval: Any) -> Any:
    shape = shape_of(input)
    dtype = dtype_of(input)
    image, cval = np.asarray(input), np.asarray(cval).astype(dtype)
    places = [np.asarray(c) for c in coordinates]
    around = _MODES[mode]
    nodes = []
    for x, size in zip(places, shape):
        found = []
        for index, weight in _nodes(x, order):
            valid = (index >= 0) & (index < size) if mode == "constant" else np.ones_like(index, bool)
            found.append((around(index, size), valid, weight))
        nodes.append(found)
    terms = []
    for corner in itertools.product(*nodes):
        indices, valids, weights = zip(*corner) if corner else ((), (), ())
        value = image[tuple(np.broadcast_arrays(*indices))] if corner else image
        if mode == "constant" and corner:
            value = np.where(functools.reduce(operator.and_, valids), value, cval)
        terms.append(math.prod(weights, start=value))
    result = functools.reduce(operator.add, terms)
    if dtypes.is_inexact(dtype):
        return result.astype(dtype)
    if dtype == np.bool_:
        return np.round(result).astype(np.int32).astype(dtype) if order else result
    return np.round(result).astype(dtype) if dtypes.is_inexact(dtype_of(result)) else result.astype(dtype)


def map_coordinates(
    input: Any, coordinates: Sequence[Any], order: int, mode: str = "constant", cval: Any = 0.0
) -> Any:
    """The values of an array between its elements.

    Args:
      input: an array of any rank and dtype; interpolated integers are rounded.
      coordinates: for each dimension of `input` the indices to interpolate at, whole numbers or not; their arrays are
        broadcast together.
      order: 0 for the value of the nearest element, 1 for linear interpolation.
      mode: what is outside: "constant": `cval`; "nearest": the element at the border; "wrap": the array again; "mirror": its
        reflection about the centres of the elements at the border; "reflect": that about their edges.
      cval: the value outside for "constant".
    Returns:
      an array of the coordinates' shape and the dtype of `input`.
    Raises:
      ValueError: there are not as many coordinates as dimensions. TypeError: they do not broadcast together.
      NotImplementedError: `order` or `mode` is another one.

    >>> import anima.numpy as np
    >>> from anima.scipy import ndimage
    >>> image = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> print(ndimage.map_coordinates(image, [np.array([0.5]), np.array([0.5])], order=1))
    [1.5]
    """
    input = array_like("map_coordinates", input, "input")
    if len(coordinates) != len(shape_of(input)):
        raise ValueError(
            f"map_coordinates: coordinates must be one array for each dimension of input, got {len(coordinates)} for shape "
            f"{shape_of(input)}"
        )
    if mode not in _MODES:
        raise NotImplementedError(f"map_coordinates: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if order not in (0, 1):
        raise NotImplementedError(
            f"map_coordinates: order must be 0 or 1, got {order!r}; there are no splines"
        )
    return _map_coordinates(input, list(coordinates), order, mode, cval)
