"""Elements repeated, inserted, removed: repeat, insert, delete, resize, trim_zeros.

Invariant: the size of the result is known while tracing, so what decides it is not traced, or another argument says it.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import Tracer
from anima.errors import ConcretizationTypeError
from anima.lax import expand_dims
from anima.lax.shape import check_axis, check_shape, refuse_out_sharding
from anima.numpy import shapes
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.joining import concatenate
from anima.numpy.promotion import array_like, dtype_of, shape_of
from anima.numpy.ranges import arange
from anima.numpy.scans import cumsum
from anima.numpy.selection import where
from anima.numpy.taking import take


def repeat(
    a: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:
    """`a` with each element along an axis repeated.

    Args:
      a: an array.
      repeats: how often: an integer, or one for each element.
      axis: the axis; None for the flattened array.
      total_repeat_length: the size of the axis in the result: needed if `repeats` is traced. More is cut off; less is
        filled up with the last element.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      ConcretizationTypeError: `repeats` is traced and there is no `total_repeat_length`.
      ValueError: there are not as many repeats as elements, or one is negative.

    >>> import anima.numpy as np
    >>> print(np.repeat(np.array([1, 2]), np.array([1, 3])))
    [1 2 2 2]
    """
    refuse_out_sharding("repeat", out_sharding)
    a = array_like("repeat", a)
    if axis is None:
        a, axis = shapes.ravel(a), 0
    along = check_axis("repeat", axis, len(shape_of(a)))
    size = shape_of(a)[along]
    traced = isinstance(repeats, Tracer) and repeats.concrete() is None
    if traced:
        if total_repeat_length is None:
            advice = "In a transformed function give repeat(..., total_repeat_length=n)."
            raise ConcretizationTypeError(repeats, "repeat", advice=advice)
        return _repeat_traced(a, repeats, along, operator.index(total_repeat_length))
    counts = np.asarray(repeats.concrete() if isinstance(repeats, Tracer) else repeats)
    if counts.ndim == 0 or counts.size == 1:
        counts = counts.reshape(())
        if total_repeat_length is None:
            return _repeat_each(a, operator.index(counts.item()), along)
    if counts.ndim > 1 or (counts.ndim == 1 and counts.shape[0] != size):
        raise ValueError(f"repeat: repeats of shape {counts.shape} does not fit axis {axis} of size {size}")
    if (counts < 0).any():
        raise ValueError("repeat: repeats must not be negative")
    places = np.repeat(np.arange(size), counts)
    if total_repeat_length is not None:
        total = operator.index(total_repeat_length)
        places = np.concatenate(
            [places[:total], np.full(max(total - places.size, 0), max(size - 1, 0), places.dtype)]
        )
    return take(a, places, axis=along, mode="clip")


@function(static=("count", "axis"), name="repeat")
def _repeat_each(a: Any, count: int, axis: int) -> Any:
    if count < 0:
        raise ValueError(f"repeat: repeats must not be negative, got {count}")
    a = asarray(a)
    old = a.shape
    spread = shapes.broadcast_to(expand_dims(a, (axis + 1,)), (*old[: axis + 1], count, *old[axis + 1 :]))
    return spread.reshape((*old[:axis], old[axis] * count, *old[axis + 1 :]))


@function(static=("axis", "total"), name="repeat")
def _repeat_traced(a: Any, repeats: Any, axis: int, total: int) -> Any:
    size = shape_of(a)[axis]
    counts = shapes.broadcast_to(shapes.ravel(array_like("repeat", repeats, "repeats")), (size,))
    ends = cumsum(counts)
    # Element k of the result is the first whose repeats end after k; past the end it is the last.
    starts = where(ends < total, ends, total)
    marks = asarray(np.zeros((total + 1,), np.int32)).at[starts].add(1, mode="drop")
    return take(a, cumsum(marks[:total]), axis=axis, mode="clip")


@function(static=("new_shape",))
def resize(a: Any, new_shape: Any) -> Any:
    """The elements of `a`, repeated or cut off, in another shape.

    >>> import anima.numpy as np
    >>> print(np.resize(np.array([1, 2, 3]), (2, 2)))
    [[1 2]
     [3 1]]
    """
    flat = shapes.ravel(array_like("resize", a))
    target = check_shape("resize", new_shape, "new_shape")
    count = math.prod(target)
    if flat.size == 0 or count == 0:
        return asarray(np.zeros(target, dtype_of(flat)))
    copies = -(-count // flat.size)
    return concatenate([flat] * copies)[:count].reshape(target)


def _static_places(name: str, obj: Any, size: int) -> Any:
    """An index along an axis as NumPy's integers, or None if it is traced."""
    if isinstance(obj, slice):
        return np.arange(size)[obj]
    if isinstance(obj, Tracer):
        obj = obj.concrete()
        if obj is None:
            return None
    places = np.asarray(obj)
    if places.dtype == np.bool_:
        if places.shape != (size,):
            raise ValueError(f"{name}: a mask of shape {places.shape} does not fit an axis of size {size}")
        return np.flatnonzero(places)
    if places.size == 0:
        return places.astype(np.int64)
    if places.dtype.kind not in "iu":
        raise TypeError(f"{name}: obj must be of integers or booleans, got dtype {places.dtype}")
    return places


def delete(arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """`arr` without its parts at some indices along an axis.

    Args:
      arr: an array.
      obj: an integer, a slice, or an array of integers or booleans.
      axis: the axis; None for the flattened array.
      assume_unique_indices: a promise that no index occurs twice, which lets `obj` be traced.
    Raises:
      IndexError: an index is out of bounds. ConcretizationTypeError: `obj` is traced without that promise.

    >>> import anima.numpy as np
    >>> print(np.delete(np.array([1, 2, 3]), 1))
    [1 3]
    """
    arr = asarray(array_like("delete", arr))
    if axis is None:
        arr, axis = arr.ravel(), 0
    along = check_axis("delete", axis, arr.ndim)
    size = arr.shape[along]
    places = _static_places("delete", obj, size)
    if places is None:
        if not assume_unique_indices or dtypes.is_bool(obj.dtype):
            advice = "In a transformed function give delete(..., assume_unique_indices=True) and integers."
            raise ConcretizationTypeError(obj, "delete", advice=advice)
        return _delete_traced(arr, shapes.ravel(obj), along)
    if places.size and not (-size <= places.min() and places.max() < size):
        raise IndexError(f"delete: index {obj} is out of bounds for axis {axis} with size {size}")
    return take(arr, np.delete(np.arange(size), places.ravel()), axis=along)


def _delete_traced(arr: Any, places: Any, axis: int) -> Any:
    size = arr.shape[axis]
    places = where(places < 0, places + size, places)
    gone = asarray(np.zeros((size,), np.int32)).at[places].set(1, mode="clip")
    # The k-th that stays is preceded by as many of the removed ones as it is moved up by.
    order = cumsum(1 - gone) - 1
    kept = asarray(np.zeros((size - places.size,), np.int32))
    kept = kept.at[where(gone == 1, size, order)].set(arange(size), mode="drop")
    return take(arr, kept, axis=axis, mode="clip")


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`arr` with values inserted before some indices along an axis.

    Args:
      arr: an array.
      obj: an integer, a slice, or a vector of integers or booleans; not traced.
      values: what is inserted: broadcast to the parts.
      axis: the axis; None for the flattened array.
    Raises:
      IndexError: an index is out of bounds. ConcretizationTypeError: `obj` is traced.

    >>> import anima.numpy as np
    >>> print(np.insert(np.array([1, 2]), 1, 9))
    [1 9 2]
    """
    arr, values = asarray(array_like("insert", arr)), asarray(array_like("insert", values, "values"))
    if axis is None:
        arr, axis = arr.ravel(), 0
    along = check_axis("insert", axis, arr.ndim)
    size = arr.shape[along]
    places = _static_places("insert", obj, size)
    if places is None:
        raise ConcretizationTypeError(obj, "insert")
    if places.size and not (-size <= places.min() and places.max() <= size):
        raise IndexError(f"insert: index {obj} is out of bounds for axis {axis} with size {size}")
    values = values.astype(arr.dtype)
    if places.ndim == 0:  # as many parts as the first dimension of the values says
        values = values.reshape((1,) * (arr.ndim - values.ndim) + values.shape)
        values = shapes.moveaxis(values, 0, along)
        places = np.full(values.shape[along], places)
    target = (*arr.shape[:along], places.size, *arr.shape[along + 1 :])
    values = shapes.broadcast_to(values, target)
    places = np.where(places < 0, places + size, places)
    order = np.argsort(places, kind="stable")
    into = np.empty(places.size, np.int64)
    into[order] = places[order] + np.arange(places.size)
    source = np.empty(size + places.size, np.int64)
    old = np.ones(source.size, bool)
    old[into] = False
    source[old] = np.arange(size)
    source[into] = size + np.arange(places.size)
    return take(concatenate([arr, values], axis=along), source, axis=along)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """A vector without the zeros at its front and back; not in a transformed function.

    Args:
      filt: a vector.
      trim: "f" for the front, "b" for the back, "fb" for both.
      axis: must be None.

    >>> import anima.numpy as np
    >>> print(np.trim_zeros(np.array([0, 1, 0, 2, 0])))
    [1 0 2]
    """
    filt = asarray(array_like("trim_zeros", filt) if not isinstance(filt, (list, tuple)) else filt)
    if axis is not None:
        raise ValueError("trim_zeros: axis must be None")
    if filt.ndim != 1:
        raise ValueError(f"trim_zeros: filt must be a vector, got shape {filt.shape}")
    if isinstance(filt, Tracer) and filt.concrete() is None:
        raise ConcretizationTypeError(filt, "trim_zeros")
    found = np.flatnonzero(np.asarray(filt))
    if not found.size:
        return filt[:0]
    front = int(found[0]) if "f" in trim.lower() else 0
    back = int(found[-1]) + 1 if "b" in trim.lower() else filt.shape[0]
    return filt[front:back]
