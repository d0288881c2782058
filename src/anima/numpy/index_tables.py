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
from anima.core.trace import Tracer
from anima.errors import ConcretizationTypeError
from anima.numpy import arithmetic, reductions, shapes
from anima.numpy.creation import asarray
from anima.numpy.joining import concatenate, stack
from anima.numpy.promotion import array_like, shape_of
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
    """Vectors of indices shaped so that together they index a grid.

    Raises:
      ValueError: an argument is no vector. ConcretizationTypeError: one is a traced mask.

    >>> import anima.numpy as np
    >>> a = np.arange(6).reshape(2, 3)
    >>> print(a[np.ix_(np.array([1]), np.array([0, 2]))])
    [[3 5]]
    """
    results = []
    for i, arg in enumerate(args):
        axis = asarray(arg if isinstance(arg, (list, tuple)) else array_like("ix_", arg, i))
        if axis.ndim != 1:
            raise ValueError(f"ix_: arguments must be vectors, got shape {axis.shape} at position {i}")
        if dtypes.is_bool(axis.dtype):
            if isinstance(axis, Tracer) and axis.concrete() is None:
                raise ConcretizationTypeError(axis, "ix_")
            axis = _index(np.flatnonzero(np.asarray(axis)))
        elif axis.size == 0:
            axis = axis.astype(int)
        results.append(axis.reshape(tuple(-1 if d == i else 1 for d in range(len(args)))))
    return tuple(results)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Indices of the flattened array as indices along each dimension; those out of bounds are clipped.

    Args:
      indices: integers; negative ones count from the end.
      shape: the array's shape.

    >>> import anima.numpy as np
    >>> print(*np.unravel_index(np.array([1, 5]), (2, 3)))
    [0 1] [1 2]
    """
    indices = asarray(array_like("unravel_index", indices))
    if not dtypes.is_int(indices.dtype):
        raise TypeError(f"unravel_index: indices must be of integers, got dtype {indices.dtype}")
    sizes = tuple(operator.index(d) for d in (shape if np.iterable(shape) else (shape,)))
    total = math.prod(sizes)
    flat = where(indices < 0, indices + total, indices)
    flat = where(flat < 0, 0, where(flat >= total, total - 1, flat))
    places = []
    for size in reversed(sizes):
        places.append(arithmetic.remainder(flat, size))
        flat = arithmetic.floor_divide(flat, size)
    return tuple(places[::-1])


def ravel_multi_index(
    multi_index: Sequence[Any],
    dims: Sequence[int],
    mode: str = "raise",
    order: str = "C",
    *,
    dtype: Any = None,
) -> Any:
    """Indices along each dimension as indices of the flattened array.

    Args:
      multi_index: integers, one array for each dimension.
      dims: the array's shape.
      mode: what indices out of bounds do: "raise" an error (not in a trace), "wrap" around, or be "clip"ped.
      order: "C" if the last index changes fastest, "F" if the first.
      dtype: the dtype of the result.
    Raises:
      ValueError: an index is out of bounds and `mode` is "raise", or the numbers of dimensions differ.

    >>> import anima.numpy as np
    >>> print(np.ravel_multi_index((np.array([0, 1]), np.array([1, 2])), (2, 3)))
    [1 5]
    """
    sizes = [operator.index(d) for d in dims]
    places = [asarray(array_like("ravel_multi_index", p, i)) for i, p in enumerate(multi_index)]
    if len(places) != len(sizes):
        raise ValueError(f"ravel_multi_index: {len(places)} index arrays do not fit {len(sizes)} dimensions")
    if order not in ("C", "F"):
        raise ValueError(f"ravel_multi_index: order must be 'C' or 'F', got {order!r}")
    if any(not dtypes.is_int(p.dtype) for p in places):
        raise TypeError("ravel_multi_index: indices must be of integers")
    places = [_within("ravel_multi_index", p, n, mode) for p, n in zip(places, sizes)]
    strides = np.cumprod([1, *(reversed(sizes[1:]) if order == "C" else sizes[:-1])])
    strides = strides[::-1] if order == "C" else strides
    total: Any = 0
    for place, stride in zip(places, strides):
        total = total + place * int(stride)
    return shapes.astype(asarray(total), dtypes.default_int_dtype() if dtype is None else dtype)


def _within(name: str, place: Any, size: int, mode: str) -> Any:
    if mode == "raise":
        if isinstance(place, Tracer) and place.concrete() is None:
            raise ConcretizationTypeError(
                place, name, advice='In a transformed function give mode="clip" or mode="wrap".'
            )
        if bool(reductions.any((place < 0) | (place >= size))):
            raise ValueError(f"{name}: an index is out of bounds for a dimension of size {size}")
        return place
    if mode == "wrap":
        return place % size
    if mode == "clip":
        return where(place < 0, 0, where(place >= size, size - 1, place))
    raise ValueError(f"{name}: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")


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
