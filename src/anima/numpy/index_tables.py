"""Index arrays: of diagonals and triangles, of grids, and between flat and multi-dimensional indices.

Invariant: what depends on shapes alone is computed on the host.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax import convert_element_type, expand_dims, full
from anima.lax.operands import constant
from anima.lax.shape import check_shape
from anima.numpy import shapes
from anima.numpy.arithmetic import floor_divide, maximum, minimum, remainder
from anima.numpy.calls import function
from anima.numpy.concrete import contents
from anima.numpy.creation import asarray
from anima.numpy.joining import concatenate, stack
from anima.numpy.promotion import array_like, dtype_of, promote, shape_of
from anima.numpy.ranges import arange, linspace, meshgrid
from anima.numpy.selection import where


def _index(host: Any) -> Any:
    return asarray(host.astype(dtypes.default_int_dtype()))


def diag_indices(n: int, ndim: int = 2) -> tuple[Any, ...]:
    """The indices of the main diagonal of an array of `ndim` dimensions of size `n`.

    >>> import anima.numpy as np
    >>> print(np.zeros((2, 2)).at[np.diag_indices(2)].set(1.0))
    [[1. 0.]
     [0. 1.]]
    """
    count, rank = operator.index(n), operator.index(ndim)
    if count < 0 or rank < 0:
        raise ValueError(f"diag_indices: n and ndim must not be negative, got {n} and {ndim}")
    return (_index(np.arange(count)),) * rank


def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    """The indices of the main diagonal of an array whose dimensions are equal.

    >>> import anima.numpy as np
    >>> print(*np.diag_indices_from(np.zeros((2, 2))))
    [0 1] [0 1]
    """
    shape = shape_of(array_like("diag_indices_from", arr))
    if len(shape) < 2:
        raise ValueError(f"diag_indices_from: arr must have at least 2 dimensions, got shape {shape}")
    if len(set(shape)) > 1:
        raise ValueError(f"diag_indices_from: all dimensions of arr must be equal, got shape {shape}")
    return diag_indices(shape[0], len(shape))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """The indices of the elements on and below the k-th diagonal of an `n` by `m` matrix.

    >>> import anima.numpy as np
    >>> print(*np.tril_indices(2))
    [0 1 1] [0 0 1]
    """
    rows, columns = np.tril_indices(
        operator.index(n), operator.index(k), None if m is None else operator.index(m)
    )
    return _index(rows), _index(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Any, Any]:
    """The indices of the elements on and above the k-th diagonal of an `n` by `m` matrix.

    >>> import anima.numpy as np
    >>> print(*np.triu_indices(2))
    [0 0 1] [0 1 1]
    """
    rows, columns = np.triu_indices(
        operator.index(n), operator.index(k), None if m is None else operator.index(m)
    )
    return _index(rows), _index(columns)


def _matrix_shape(name: str, arr: Any) -> tuple[int, int]:
    shape = shape_of(array_like(name, arr))
    if len(shape) != 2:
        raise ValueError(f"{name}: arr must be a matrix, got shape {shape}")
    return shape[0], shape[1]


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """The indices of the elements on and below the k-th diagonal of a matrix.

    >>> import anima.numpy as np
    >>> print(*np.tril_indices_from(np.zeros((2, 2))))
    [0 1 1] [0 0 1]
    """
    rows, columns = _matrix_shape("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """The indices of the elements on and above the k-th diagonal of a matrix.

    >>> import anima.numpy as np
    >>> print(*np.triu_indices_from(np.zeros((2, 2))))
    [0 0 1] [0 1 1]
    """
    rows, columns = _matrix_shape("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(n: int, mask_func: Any, k: int = 0, *, size: int | None = None) -> tuple[Any, ...]:
    """The indices of the elements of an `n` by `n` matrix that a function such as `triu` leaves.

    Args:
      n: the size.
      mask_func: takes a matrix of ones and `k`.
      k: passed on to the function.
      size: how many indices to return: needed in a transformed function.

    >>> import anima.numpy as np
    >>> print(*np.mask_indices(2, np.triu))
    [0 0 1] [0 1 1]
    """
    ones = asarray(np.ones((operator.index(n),) * 2, np.int32))
    found: tuple[Any, ...] = where(mask_func(ones, k) != 0, size=size)
    return found


def ix_(*args: Any) -> tuple[Any, ...]:
    """Vectors shaped so that as an index they select the grid of all their combinations.

    Args:
      *args: vectors of integers, or of booleans, which stand for the places where they hold.
    Returns:
      for each argument an array with its elements along a dimension of its own.
    Raises:
      TypeError: an argument is no array. ValueError: one is no vector. ConcretizationTypeError: one is a traced mask.

    >>> import anima.numpy as np
    >>> a = np.arange(6).reshape(2, 3)
    >>> print(a[np.ix_(np.array([1]), np.array([0, 2]))])
    [[3 5]]
    """
    results = []
    for i, arg in enumerate(args):
        vector = array_like("ix_", arg, i)
        if len(shape_of(vector)) != 1:
            raise ValueError(f"ix_: arguments must be vectors, got shape {shape_of(vector)} at position {i}")
        if dtypes.is_bool(dtype_of(vector)):
            mask = contents("ix_", vector, "in a transformed function give the places as integers")
            vector = _index(np.flatnonzero(mask))
        elif not shape_of(vector)[0]:
            vector = _index(np.zeros((0,), np.int32))
        results.append(expand_dims(asarray(vector), [d for d in range(len(args)) if d != i]))
    return tuple(results)


@function(static=("shape",))
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """The indices, one for each dimension, of places in the flattened array.

    Args:
      indices: integers; negative ones count from the end, those out of bounds stand for the nearest end.
      shape: the shape of the array.
    Raises:
      TypeError: the places are no integers, or the shape is no shape. ValueError: the array has no elements.

    >>> import anima.numpy as np
    >>> print(*np.unravel_index(np.array([1, 5]), (2, 3)))
    [0 1] [1 2]
    """
    sizes = check_shape("unravel_index", shape)
    indices = array_like("unravel_index", indices)
    dtype, total = dtype_of(indices), math.prod(sizes)
    if not dtypes.is_int(dtype):
        raise TypeError(f"unravel_index: indices must be of integers, got dtype {dtypes.dtype_name(dtype)}")
    if total == 0:
        if math.prod(shape_of(indices)):
            raise ValueError(f"unravel_index: an array of shape {sizes} has no elements")
        return (convert_element_type(indices, dtype),) * len(sizes)
    # In a dtype that holds the number of elements; that of the result is the given one.
    narrow = total > dtypes.iinfo(dtype).max
    flat = convert_element_type(indices, np.int32 if total < 2**31 else np.int64) if narrow else indices
    if not dtypes.is_unsigned_int(dtype):
        flat = maximum(flat, -total)
    flat = minimum(flat, total - 1)
    places = []
    for i, size in enumerate(sizes):
        inner = math.prod(sizes[i + 1 :])
        place = remainder(floor_divide(flat, inner), size)
        places.append(convert_element_type(place, dtype) if narrow else place)
    return tuple(places)


def ravel_multi_index(
    multi_index: Any, dims: Sequence[int], mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Any:
    """The places in the flattened array of indices, one for each dimension.

    Args:
      multi_index: a sequence of arrays of integers, one for each dimension, or an array of them along its first axis.
      dims: the shape of the array.
      mode: what indices out of bounds do: "raise" an error (not in a trace), "wrap" around, be "clip"ped, or "ignore"d:
        then nothing is checked.
      order: "C" if the last index changes fastest, "F" if the first does.
      dtype: the integer dtype of the result; by default that of the indices, if it holds the number of elements.
    Raises:
      TypeError: the indices are no integers. ValueError: there are not as many as dimensions, one is out of bounds, or
        there is no such mode or order. ConcretizationTypeError: they are traced and the mode is "raise".

    >>> import anima.numpy as np
    >>> print(np.ravel_multi_index((np.array([0, 1]), np.array([1, 2])), (2, 3)))
    [1 5]
    """
    sizes = check_shape("ravel_multi_index", dims, "dims")
    parts = [asarray(array_like("ravel_multi_index", p, i)) for i, p in enumerate(multi_index)]
    if len(parts) != len(sizes):
        raise ValueError(
            f"ravel_multi_index: {len(parts)} index arrays do not fit {len(sizes)} dimensions {sizes}"
        )
    if mode not in ("raise", "wrap", "clip", "ignore"):
        raise ValueError(f"ravel_multi_index: mode must be 'raise', 'wrap', 'clip' or 'ignore', got {mode!r}")
    if order not in ("C", "F"):
        raise ValueError(f"ravel_multi_index: order must be 'C' or 'F', got {order!r}")
    for part, size in zip(parts, sizes):
        if not dtypes.is_int(dtype_of(part)):
            raise TypeError(f"ravel_multi_index: indices must be of integers, got dtype {dtype_of(part)}")
        if mode == "raise":
            known = contents(
                "ravel_multi_index", part, 'in a transformed function give mode="wrap" or mode="clip"'
            )
            if ((known < 0) | (known >= size)).any():
                raise ValueError(
                    f"ravel_multi_index: an index is out of bounds for a dimension of size {size}"
                )
    target = None if dtype is None else dtypes.check_user_dtype_supported(dtype, "ravel_multi_index")
    return _raveled(tuple(parts), sizes, mode, order, target)


@function(static=("sizes", "mode", "order", "dtype"), name="ravel_multi_index")
def _raveled(parts: Any, sizes: tuple[int, ...], mode: str, order: str, dtype: Any) -> Any:
    kind = dtypes.default_int_dtype() if dtype is None else dtype
    if not parts:
        return full((), 0, kind)
    parts = promote("ravel_multi_index", *parts)
    if dtype is None and math.prod(sizes) - 1 <= dtypes.iinfo(dtype_of(parts[0])).max:
        kind = dtype_of(parts[0])
    place: Any = None
    for part, size in list(zip(parts, sizes))[:: 1 if order == "C" else -1]:
        if mode == "wrap":
            part = remainder(part, size)
        elif mode == "clip":
            part = minimum(maximum(part, 0), size - 1)
        part = convert_element_type(part, kind)
        place = part if place is None else place * constant(size, place) + part
    return place


# --- index notation ---------------------------------------------------------------------------


def _range(item: slice) -> Any:
    """The numbers that a slice stands for; an imaginary step is a number of points."""
    start = 0 if item.start is None else item.start
    step = 1 if item.step is None else item.step
    if isinstance(step, complex):
        return linspace(start, item.stop, int(abs(step)))
    return arange(start, item.stop, step)


class _Grid:
    """`mgrid[0:2, 0:3]` and `ogrid[0:2, 0:3]`: the coordinates of a grid."""

    def __init__(self, sparse: bool) -> None:
        self._sparse = sparse

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _range(index)
        axes = [_range(item) for item in index]
        dtype = dtypes.result_type(*axes)
        axes = meshgrid(*[a.astype(dtype) for a in axes], indexing="ij", sparse=self._sparse)
        return axes if self._sparse else stack(axes, 0)


class _Concatenator:
    """`r_[0:3, 5]` and `c_[a, b]`: joins ranges, arrays and numbers along an axis."""

    def __init__(self, axis: int, ndmin: int, trans1d: int) -> None:
        self._defaults = (axis, ndmin, trans1d)

    def __getitem__(self, index: Any) -> Any:
        items = list(index) if isinstance(index, tuple) else [index]
        axis, ndmin, trans1d = self._defaults
        if items and isinstance(items[0], str):
            axis, ndmin, trans1d = self._directive(items.pop(0))
        return concatenate([self._shaped(item, ndmin, trans1d) for item in items], axis=axis)

    def _directive(self, text: str) -> tuple[int, int, int]:
        """`"axis,ndmin,trans1d"`: the axis to join along, the least rank, and where a vector's dimension goes."""
        try:
            numbers = [int(part) for part in text.split(",")]
        except ValueError:
            raise ValueError(
                f"r_ takes up to three integers, separated by commas, as its directive, got {text!r}"
            ) from None
        axis, ndmin, trans1d = (*numbers, *self._defaults[len(numbers) :])[:3]
        return axis, ndmin, trans1d

    def _shaped(self, item: Any, ndmin: int, trans1d: int) -> Any:
        part = _range(item) if isinstance(item, slice) else asarray(item)
        old = part.ndim
        part = shapes.atleast_1d(part)
        missing = ndmin - part.ndim
        if missing <= 0:
            return part
        part = part.reshape((1,) * missing + part.shape)
        if trans1d == -1 or old == 0:
            return part
        first = trans1d % ndmin
        order = [i for i in range(ndmin) if i < missing]
        order[first:first] = range(missing, ndmin)
        return shapes.transpose(part, tuple(order))


mgrid = _Grid(sparse=False)
ogrid = _Grid(sparse=True)
r_ = _Concatenator(0, 1, -1)
c_ = _Concatenator(-1, 2, 0)
s_ = np.s_
index_exp = np.index_exp
