"""Elements repeated, inserted, removed: repeat, insert, delete, resize, trim_zeros.

Invariant: the size of the result is known while tracing, so what decides it is not traced, or another argument says it.
Places that do not decide it are run-time operands, so other places need no other program.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.core.trace import Tracer
from anima.errors import ArgumentError, ConcretizationTypeError
from anima.lax.arithmetic import add, sub
from anima.lax.bitwise import bitwise_not
from anima.lax.compare import ge, lt
from anima.lax.convert import convert_element_type
from anima.lax.create import full, iota
from anima.lax.joining import concatenate
from anima.lax.operands import constant, filled
from anima.lax.scattering import ScatterDimensionNumbers, scatter, scatter_add
from anima.lax.selection import clamp, select
from anima.lax.shape import (
    broadcast_in_dim,
    check_axis,
    check_shape,
    expand_dims,
    refuse_out_sharding,
    reshape_p,
)
from anima.lax.slicing import slice_in_dim
from anima.numpy.calls import function
from anima.numpy.concrete import concrete, contents
from anima.numpy.creation import asarray
from anima.numpy.indexing import from_front, index_dtype
from anima.numpy.promotion import array_like, dtype_of, retyped, shape_of, stretch, weak_of
from anima.numpy.scans import cumsum
from anima.numpy.shapes import broadcast_to, moveaxis, ravel
from anima.numpy.sorting import places_sorted
from anima.numpy.taking import take

_VECTOR = ScatterDimensionNumbers((), (0,), (0,))


def _along(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    """The array, flattened if there is no axis, and the axis."""
    return (ravel(a), 0) if axis is None else (a, check_axis(name, axis, len(shape_of(a))))


def _is_traced(value: Any) -> bool:
    return isinstance(value, Tracer) and value.concrete() is None


# --- repeat and resize ------------------------------------------------------------------------


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
      ValueError: there are not as many repeats as elements, or one is negative. TypeError: one is no integer.

    >>> import anima.numpy as np
    >>> print(np.repeat(np.array([1, 2]), np.array([1, 3])))
    [1 2 2 2]
    """
    refuse_out_sharding("repeat", out_sharding)
    a, along = _along("repeat", array_like("repeat", a), axis)
    repeats = array_like("repeat", repeats, 1)
    if not (dtypes.is_int(dtype_of(repeats)) or dtypes.is_bool(dtype_of(repeats))):
        raise TypeError(f"repeat: repeats must be integers, got dtype {dtypes.dtype_name(dtype_of(repeats))}")
    size, count = shape_of(a)[along], math.prod(shape_of(repeats))
    if count not in (1, size):
        raise ValueError(f"repeat: {count} repeats do not fit axis {axis} of size {size}")
    total = None if total_repeat_length is None else operator.index(total_repeat_length)
    if total is not None and _is_traced(repeats):
        return _repeat_traced(a, repeats, along, total)
    counts = contents(
        "repeat", repeats, "in a transformed function give repeat(..., total_repeat_length=n)"
    ).ravel()
    if (counts < 0).any():
        raise ArgumentError("repeat: repeats must not be negative")
    if count == 1 and total is None:
        return _repeat_each(a, int(counts[0]), along)
    places = np.repeat(np.arange(size), counts)
    if total is not None:
        filling = np.full(max(total - places.size, 0), max(size - 1, 0), places.dtype)
        places = np.concatenate([places[:total], filling])
    return take(
        a, places.astype(np.int64 if size >= 2**31 else np.int32), along, mode="clip", indices_are_sorted=True
    )


@function(static=("count", "axis"), name="repeat")
def _repeat_each(a: Any, count: int, axis: int) -> Any:
    shape = shape_of(a)
    kept = [i for i in range(len(shape) + 1) if i != axis + 1]
    spread = broadcast_in_dim(a, (*shape[: axis + 1], count, *shape[axis + 1 :]), kept)
    return reshape_p.bind(spread, new_sizes=(*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))


@function(static=("axis", "total"), name="repeat")
def _repeat_traced(a: Any, repeats: Any, axis: int, total: int) -> Any:
    size = shape_of(a)[axis]
    if not total or not size:
        return full((*shape_of(a)[:axis], total, *shape_of(a)[axis + 1 :]), 0, dtype_of(a))
    repeats = convert_element_type(repeats, index_dtype((size, total)))
    ends = cumsum(broadcast_to(ravel(repeats), (size,)), dtype=dtype_of(repeats))
    # Element k of the result is the first whose repeats end after k; past the last end it is the last.
    marks = scatter_add(full((total,), 0, dtype_of(ends)), expand_dims(ends, (1,)), filled(1, ends), _VECTOR)
    return take(a, cumsum(marks, dtype=dtype_of(marks)), axis, mode="clip", indices_are_sorted=True)


@function(static=("new_shape",))
def resize(a: Any, new_shape: Any) -> Any:
    """The elements of `a`, repeated or cut off, in another shape; zeros if there are none.

    Args:
      a: an array.
      new_shape: an integer or a sequence of them.
    Raises:
      TypeError: the shape is no shape. ValueError: a size is negative.

    >>> import anima.numpy as np
    >>> print(np.resize(np.array([1, 2, 3]), (2, 2)))
    [[1 2]
     [3 1]]
    """
    flat = ravel(array_like("resize", a))
    sizes = new_shape if isinstance(new_shape, (tuple, list)) else (new_shape,)
    if any(isinstance(n, int) and n < 0 for n in sizes):
        raise ValueError(f"resize: new_shape must not be negative, got {new_shape}")
    sizes = check_shape("resize", new_shape, "new_shape")
    size, count = shape_of(flat)[0], math.prod(sizes)
    if not size or not count:
        return retyped(full(sizes, 0, dtype_of(flat)), weak_of(flat))
    rounds = -(-count // size)
    whole = reshape_p.bind(stretch(flat, (size,), (rounds, size)), new_sizes=(rounds * size,))
    return reshape_p.bind(slice_in_dim(whole, 0, count), new_sizes=sizes)


# --- insert and delete ------------------------------------------------------------------------


def _places(name: str, obj: Any, size: int) -> Any:
    """Integers that say where along an axis: as they are if traced, else NumPy's, checked and counted from the front."""
    if isinstance(obj, slice):
        return np.arange(size)[obj]
    obj = array_like(name, obj, 1)
    dtype = dtype_of(obj)
    if not (dtypes.is_int(dtype) or dtypes.is_bool(dtype) or 0 in shape_of(obj)):
        raise TypeError(f"{name}: obj must be of integers or booleans, got dtype {dtypes.dtype_name(dtype)}")
    if _is_traced(obj):
        return obj
    places = np.asarray(concrete(name, obj, ""))
    if dtypes.is_bool(dtype):
        if places.shape != (size,):
            raise ValueError(f"{name}: a mask of shape {places.shape} does not fit an axis of size {size}")
        return np.flatnonzero(places)
    if places.size == 0:
        return np.zeros((0,), np.int64)
    last = size if name == "insert" else size - 1
    places = places.astype(np.int64)
    if places.min() < -size or places.max() > last:
        raise IndexError(f"{name}: index {obj} is out of bounds for an axis of size {size}")
    return np.where(places < 0, places + size, places)


def _kind(size: int) -> Any:
    return index_dtype((size,))


def delete(arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """`arr` without its parts at some places along an axis.

    Args:
      arr: an array.
      obj: an integer, a slice, or an array of integers or booleans.
      axis: the axis; None for the flattened array.
      assume_unique_indices: a promise that no place occurs twice, which lets an array of integers be traced.
    Raises:
      IndexError: a place is out of bounds. TypeError: `obj` is none of these.
      ConcretizationTypeError: an array is traced without that promise.

    >>> import anima.numpy as np
    >>> print(np.delete(np.array([1, 2, 3]), 1))
    [1 3]
    """
    arr, along = _along("delete", array_like("delete", arr), axis)
    size = shape_of(arr)[along]
    places = _places("delete", obj, size)
    if _is_traced(places) and (
        dtypes.is_bool(dtype_of(places)) or (shape_of(places) and not assume_unique_indices)
    ):
        advice = "In a transformed function give delete(..., assume_unique_indices=True) and integers."
        raise ConcretizationTypeError(places, "delete", advice=advice)
    if not _is_traced(places):
        places = np.unique(places).astype(_kind(size))
    return _without(arr, places, along)


@function(static=("axis",), name="delete")
def _without(arr: Any, places: Any, axis: int) -> Any:
    """`arr` without its parts at places that differ."""
    size = shape_of(arr)[axis]
    places = ravel(convert_element_type(places, _kind(size)))
    left = size - shape_of(places)[0]
    if left == size or left <= 0:
        return slice_in_dim(arr, 0, max(left, 0), axis=axis)
    gone = full((size,), 0, dtype_of(places))
    gone = scatter(gone, expand_dims(from_front(places, size), (1,)), filled(1, places), _VECTOR, mode="clip")
    # The k-th that stays moves up by the number of those before it that do not.
    target = select(
        lt(gone, filled(1, gone)), sub(iota(dtype_of(gone), size), cumsum(gone)), filled(left, gone)
    )
    kept = scatter(
        full((left,), 0, dtype_of(gone)), expand_dims(target, (1,)), iota(dtype_of(gone), size), _VECTOR
    )
    return take(arr, kept, axis, mode="clip", indices_are_sorted=True)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`arr` with values inserted before some places along an axis.

    Args:
      arr: an array.
      obj: an integer, a slice, or an array of integers or booleans. At one place all that the values have along the axis is
        inserted, at each of several one part.
      values: what is inserted, converted to the dtype of `arr` and broadcast.
      axis: the axis; None for the flattened array.
    Raises:
      IndexError: a place is out of bounds; a traced one is clipped. TypeError: `obj` is none of these.
      ConcretizationTypeError: booleans are traced. ValueError: the values do not fit.

    >>> import anima.numpy as np
    >>> print(np.insert(np.array([1, 2]), 1, 9))
    [1 9 2]
    """
    arr, along = _along("insert", array_like("insert", arr), axis)
    values = array_like("insert", values, "values")
    size = shape_of(arr)[along]
    places = _places("insert", obj, size)
    if _is_traced(places) and dtypes.is_bool(dtype_of(places)):
        advice = "In a transformed function give the places as integers."
        raise ConcretizationTypeError(places, "insert", advice=advice)
    places = places if _is_traced(places) else places.astype(_kind(size))
    return _inserted(arr, places, values, along)


@function(static=("axis",), name="insert")
def _inserted(arr: Any, places: Any, values: Any, axis: int) -> Any:
    shape = shape_of(arr)
    size = shape[axis]
    values = convert_element_type(values, dtype_of(arr))
    missing = len(shape) - len(shape_of(values))
    if missing < 0:
        raise ValueError(
            f"insert: values of shape {shape_of(values)} have more dimensions than arr of shape {shape}"
        )
    values = expand_dims(values, range(missing))
    if not shape_of(places):  # the first dimension of the values is then along the axis
        values = moveaxis(values, 0, axis)
    count = math.prod(shape_of(places))
    count = shape_of(values)[axis] if count == 1 else count
    values = broadcast_to(values, (*shape[:axis], count, *shape[axis + 1 :]))
    if not count:
        return arr
    places = from_front(convert_element_type(places, _kind(size + count)), size)
    places = broadcast_to(ravel(clamp(constant(0, places), places, constant(size, places))), (count,))
    # Where each value goes: before its place in the array, and after the values that go before it.
    order = places_sorted([places], 0)
    ranks = scatter(
        filled(0, places),
        expand_dims(order, (1,)),
        iota(dtype_of(places), count),
        _VECTOR,
        unique_indices=True,
    )
    targets = add(places, ranks)
    whole = full((size + count,), -1, dtype_of(places))
    marked = scatter(
        whole, expand_dims(targets, (1,)), iota(dtype_of(places), count), _VECTOR, unique_indices=True
    )
    is_value = ge(marked, filled(0, marked))
    seen = cumsum(convert_element_type(bitwise_not(is_value), dtype_of(marked)))
    source = select(is_value, add(marked, filled(size, marked)), sub(seen, filled(1, seen)))
    return take(concatenate([arr, values], axis), source, axis, mode="clip")


# --- trimming ---------------------------------------------------------------------------------


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """An array without what is all zeros at its front and back; not in a transformed function.

    Args:
      filt: an array.
      trim: "f" for the front, "b" for the back, "fb" for both.
      axis: along which axes: an integer, a sequence of them, or None for all.
    Raises:
      ConcretizationTypeError: `filt` is traced. ValueError: `trim` is none of these, or an axis is out of range.

    >>> import anima.numpy as np
    >>> print(np.trim_zeros(np.array([0, 1, 0, 2, 0])))
    [1 0 2]
    """
    filt = array_like("trim_zeros", filt)
    ends = trim.lower()
    if set(ends) - set("fb"):
        raise ValueError(f"trim_zeros: trim must be 'f', 'b' or 'fb', got {trim!r}")
    shape = shape_of(filt)
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    found = np.nonzero(
        contents("trim_zeros", filt, "in a transformed function select with numpy.where instead")
    )
    result = asarray(filt)
    for along in [check_axis("trim_zeros", i, len(shape)) for i in axes]:
        places = found[along]
        start = int(places.min()) if places.size and "f" in ends else 0
        stop = int(places.max()) + 1 if places.size and "b" in ends else shape[along]
        result = slice_in_dim(result, start, stop if places.size else start, axis=along)
    return result
