"""Taking and putting elements by index arrays.

Invariant: computed indices out of bounds give NaN (integers: the smallest), as `mode="fill"` says, or what another mode
says; they never raise.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    expand_dims,
    gather,
    scatter,
)
from anima.lax.shape import check_axis
from anima.numpy import reductions, shapes
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.indexing import Advanced, from_front, gather_arrays, index_dtype
from anima.numpy.promotion import array_like
from anima.numpy.scans import cumsum
from anima.numpy.selection import where

# --- taking -----------------------------------------------------------------------------------


def _indices(name: str, indices: Any, argument: str = "indices") -> Any:
    value = asarray(array_like(name, indices, argument))
    if not dtypes.is_int(value.dtype):
        raise TypeError(f"{name}: {argument} must be of integers, got dtype {value.dtype}")
    return value


def _mode(name: str, mode: Any, fill_value: Any = None) -> GatherScatterMode:
    if mode in (None, "fill"):
        return GatherScatterMode.FILL_OR_DROP
    if mode == "raise":
        raise ValueError(
            f"{name}: mode='raise' is not supported: compiled code cannot raise; use 'fill', 'clip' or 'wrap'"
        )
    return GatherScatterMode.from_any(mode)


@function(static=("axis", "out", "mode", "unique_indices", "indices_are_sorted", "fill_value"))
def take(
    a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str | None = None,
    unique_indices: bool = False, indices_are_sorted: bool = False, fill_value: Any = None,
) -> Any:  # fmt: skip
    """The parts of `a` at some indices along an axis.

    Args:
      a: an array.
      indices: integers, of any shape, which takes the place of the axis.
      axis: the axis; None for the flattened array.
      out: not supported; must be None.
      mode: what indices out of bounds give: "fill" (the default), "clip" or "wrap".
      unique_indices, indices_are_sorted: promises about the indices.
      fill_value: what "fill" gives: by default NaN, for integers the smallest (unsigned: the largest).
    Raises:
      TypeError: the indices are no integers.

    >>> import anima.numpy as np
    >>> print(np.take(np.array([10.0, 20.0]), np.array([1, 0, 5])))
    [20. 10. nan]
    """
    reductions.refuse_out("take", out)
    a = asarray(array_like("take", a))
    places = _indices("take", indices)
    if axis is None:
        a, axis = shapes.ravel(a), 0
    along = check_axis("take", axis, a.ndim)
    size = a.shape[along]
    if mode == "wrap":
        places, mode = places % size, "promise_in_bounds"
    left = Advanced((along,), [places], [False], along)
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices}
    return gather_arrays(a, left, _mode("take", mode), fill_value=fill_value, **flags)


def _aligned(name: str, arr: Any, indices: Any, axis: int) -> tuple[Any, Any]:
    """Array and indices with equal sizes in all dimensions but one."""
    if arr.ndim != indices.ndim:
        raise ValueError(
            f"{name}: indices must have as many dimensions as the array, got shapes {indices.shape} and {arr.shape}"
        )
    rest = lambda v: tuple(1 if i == axis else d for i, d in enumerate(v.shape))
    common = shapes.broadcast_shapes(rest(arr), rest(indices))
    full = lambda v: tuple(v.shape[i] if i == axis else d for i, d in enumerate(common))
    return shapes.broadcast_to(arr, full(arr)), shapes.broadcast_to(indices, full(indices))


def _vectors(indices: Any, size: int, wrap: bool) -> Any:
    wide = indices.astype(index_dtype((size,))) if dtypes.itemsize_bits(indices.dtype) < 32 else indices
    return expand_dims(from_front(wide, size) if wrap else wide, (wide.ndim,))


@function(static=("axis", "mode", "fill_value", "wrap_negative_indices"))
def take_along_axis(
    arr: Any, indices: Any, axis: int | None = -1, mode: str | None = None, fill_value: Any = None, *,
    wrap_negative_indices: bool | None = None,
) -> Any:  # fmt: skip
    """For each place the element of `arr` at an index along an axis, as `argsort` gives them.

    Args:
      arr: an array.
      indices: integers, of the shape of `arr` but for the axis.
      axis: the axis; None for the flattened array and a vector of indices.
      mode: what indices out of bounds give: "fill" (the default) or "clip".
      fill_value: what "fill" gives.
      wrap_negative_indices: whether negative indices count from the end (the default).
    Raises:
      TypeError: the indices are no integers. ValueError: the numbers of dimensions differ.

    >>> import anima.numpy as np
    >>> print(np.take_along_axis(np.array([[1, 2], [3, 4]]), np.array([[1], [0]]), axis=1))
    [[2]
     [3]]
    """
    arr = asarray(array_like("take_along_axis", arr))
    places = _indices("take_along_axis", indices)
    if axis is None:
        if places.ndim != 1:
            raise ValueError(
                f"take_along_axis: with axis=None indices must be a vector, got shape {places.shape}"
            )
        arr, axis = shapes.ravel(arr), 0
    along = check_axis("take_along_axis", axis, arr.ndim)
    arr, places = _aligned("take_along_axis", arr, places, along)
    vectors = _vectors(places, arr.shape[along], wrap_negative_indices is not False)
    others = tuple(i for i in range(arr.ndim) if i != along)
    numbers = GatherDimensionNumbers((), (along,), (along,), others, others)
    chosen = _mode("take_along_axis", mode)
    return gather(arr, vectors, numbers, (1,) * arr.ndim, mode=chosen, fill_value=fill_value)


def _refuse_inplace(name: str, inplace: bool) -> None:
    if inplace:
        raise ValueError(
            f"{name} cannot change its argument: arrays are immutable. Pass inplace=False to get a changed copy; "
            "x.at[...].set(...) is another way"
        )


@function(static=("axis", "mode"))
def _put_along(arr: Any, indices: Any, values: Any, axis: int | None, mode: str | None) -> Any:
    arr = asarray(array_like("put_along_axis", arr))
    places = _indices("put_along_axis", indices)
    if axis is None:
        flat = _put_along(shapes.ravel(arr), places, values, 0, mode)
        return flat.reshape(arr.shape)
    along = check_axis("put_along_axis", axis, arr.ndim)
    _, places = _aligned("put_along_axis", arr, places, along)
    vectors = _vectors(places, arr.shape[along], True)
    others = tuple(i for i in range(arr.ndim) if i != along)
    numbers = ScatterDimensionNumbers((), (along,), (along,), others, others)
    updates = shapes.broadcast_to(
        asarray(array_like("put_along_axis", values, "values")).astype(arr.dtype), places.shape
    )
    return scatter(arr, vectors, updates, numbers, mode=mode)


def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, inplace: bool = True, *, mode: str | None = None
) -> Any:
    """`arr` with values put at indices along an axis.

    Args:
      arr: an array.
      indices: integers, of the shape of `arr` but for the axis.
      values: what is put there; broadcast to the shape of the indices.
      axis: the axis; None for the flattened array and a vector of indices.
      inplace: must be False: arrays are immutable.
      mode: what happens to indices out of bounds: "drop" (the default) or "clip".

    >>> import anima.numpy as np
    >>> print(np.put_along_axis(np.zeros((2, 2)), np.array([[1], [0]]), 5.0, axis=1, inplace=False))
    [[0. 5.]
     [5. 0.]]
    """
    _refuse_inplace("put_along_axis", inplace)
    return _put_along(arr, indices, values, axis, mode)


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """`a` with values put at indices of the flattened array; they are repeated as needed.

    Args:
      a: an array.
      ind: integers.
      v: the values.
      mode: what happens to indices out of bounds: "clip" (the default), "wrap" or "drop".
      inplace: must be False: arrays are immutable.

    >>> import anima.numpy as np
    >>> print(np.put(np.zeros(3), np.array([0, 2]), 5.0, inplace=False))
    [5. 0. 5.]
    """
    _refuse_inplace("put", inplace)
    a = asarray(array_like("put", a))
    places, values = shapes.ravel(_indices("put", ind, "ind")), shapes.ravel(array_like("put", v, "v"))
    if places.size == 0 or values.size == 0 or a.size == 0:
        return a
    values = _cycled(values, places.size)
    if mode == "wrap":
        places, mode = places % a.size, "promise_in_bounds"
    return shapes.ravel(a).at[places].set(values, mode="clip" if mode is None else mode).reshape(a.shape)


def _cycled(values: Any, count: int) -> Any:
    """The values repeated one after the other up to a number."""
    return values[np.arange(count) % values.size]


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """`arr` with values put where a mask holds, one after the other; they are repeated as needed.

    Args:
      arr: an array.
      mask: booleans, of as many elements.
      vals: the values.
      inplace: must be False: arrays are immutable.

    >>> import anima.numpy as np
    >>> print(np.place(np.zeros(3), np.array([True, False, True]), np.array([5.0, 6.0]), inplace=False))
    [5. 0. 6.]
    """
    _refuse_inplace("place", inplace)
    arr, mask = asarray(array_like("place", arr)), asarray(array_like("place", mask, "mask"))
    values = shapes.ravel(array_like("place", vals, "vals"))
    if mask.size != arr.size:
        raise ValueError(
            f"place: mask of shape {mask.shape} must have as many elements as arr of shape {arr.shape}"
        )
    if values.size == 0:
        if arr.size == 0:
            return arr
        raise ValueError("place: vals must not be empty")
    mask = mask.reshape(arr.shape).astype(bool)
    numbers = (cumsum(mask.ravel()) - 1) % values.size
    return where(mask, values[numbers].reshape(arr.shape).astype(arr.dtype), arr)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """`a` with its main diagonal set to a value, or to values that are repeated as needed.

    Args:
      a: an array with at least two dimensions; with more than two they must be equal.
      val: a scalar or an array.
      wrap: go on with a new diagonal below a tall matrix's end.
      inplace: must be False: arrays are immutable.

    >>> import anima.numpy as np
    >>> print(np.fill_diagonal(np.zeros((2, 2)), 5.0, inplace=False))
    [[5. 0.]
     [0. 5.]]
    """
    _refuse_inplace("fill_diagonal", inplace)
    a = asarray(array_like("fill_diagonal", a))
    if a.ndim < 2:
        raise ValueError(f"fill_diagonal: a must have at least 2 dimensions, got shape {a.shape}")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError(f"fill_diagonal: all dimensions of a must be equal, got shape {a.shape}")
    if a.ndim == 2:
        end = a.size if wrap else min(a.shape[0], a.shape[1]) * a.shape[1]
        flat = np.arange(0, end, a.shape[1] + 1)
    else:
        flat = np.arange(a.shape[0]) * sum(math.prod(a.shape[i + 1 :]) for i in range(a.ndim))
    values = shapes.ravel(array_like("fill_diagonal", val, "val"))
    values = values if values.size == 1 else _cycled(values, flat.size)
    return a.ravel().at[flat].set(values.astype(a.dtype)).reshape(a.shape)
