"""Reading and writing at computed places along an axis: take, put and their relatives.

Invariant: each is one gather or one scatter. Negative places count from the end; those out of bounds read a fill value and
write nothing, unless a `mode` says otherwise. What NumPy changes in place is returned here as a new array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax.convert import convert_element_type
from anima.lax.create import full, iota
from anima.lax.gathering import GatherDimensionNumbers, GatherScatterMode, gather_p
from anima.lax.operands import constant, filled
from anima.lax.scattering import ScatterDimensionNumbers, scatter
from anima.lax.selection import select
from anima.lax.shape import check_axis, expand_dims, reshape_p, squeeze_p
from anima.numpy.arithmetic import remainder
from anima.numpy.calls import function
from anima.numpy.indexing import Advanced, from_front, gather_arrays, index_dtype
from anima.numpy.logic import truth
from anima.numpy.promotion import array_like, dtype_of, shape_of, stretch
from anima.numpy.reductions import refuse_out
from anima.numpy.scans import cumsum
from anima.numpy.shapes import ravel
from anima.records import NamedTuple

_IN_BOUNDS = GatherScatterMode.PROMISE_IN_BOUNDS


def refuse_inplace(name: str, inplace: bool, kind: type[Exception] = ValueError) -> None:
    """Raise unless `inplace` is False: an array cannot be changed in place."""
    if inplace:
        raise kind(
            f"{name} cannot change its argument: arrays are immutable. Pass inplace=False to get a changed copy; "
            "x.at[...].set(...) is another way"
        )


def integer_places(name: str, places: Any, argument: str = "indices") -> Any:
    """Places as integers of at least 32 bits, in which every size is representable.

    Raises:
      TypeError: they are no integers.
    """
    places = array_like(name, places, argument)
    dtype = dtype_of(places)
    if dtypes.is_int(dtype):
        return places if dtype.itemsize >= 4 else convert_element_type(places, np.int32)
    if dtypes.is_bool(dtype):
        return convert_element_type(places, np.int32)
    raise TypeError(f"{name}: {argument} must be of integers, got dtype {dtypes.dtype_name(dtype)}")


def pick(x: Any, places: Any) -> Any:
    """The parts of `x` along its first axis at places that are in bounds."""
    return gather_arrays(x, Advanced((0,), [places], [True], 0), _IN_BOUNDS)


def ranks_of(marked: Any) -> Any:
    """For each element of a vector how many up to it are marked, less one."""
    counts = cumsum(marked, dtype=index_dtype(shape_of(marked)))
    return counts - constant(1, counts)


def written(n: int, places: Any, values: Any, start: Any) -> Any:
    """A vector of `n` elements with values at distinct places, elsewhere `start`; places out of bounds are left out."""
    base = full((n,), start, dtype_of(values))
    if not n:
        return base
    numbers = ScatterDimensionNumbers((), (0,), (0,))
    return scatter(base, expand_dims(places, (1,)), values, numbers, unique_indices=True, mode="drop")


def marked_places(marked: Any, size: int) -> Any:
    """The places of the first `size` marked elements of a vector; its size, where there are less."""
    n = shape_of(marked)[0]
    ranks = ranks_of(marked)
    return written(size, select(marked, ranks, filled(size, ranks)), iota(dtype_of(ranks), n), n)


# --- take -------------------------------------------------------------------------------------


@function(static=("axis", "out", "mode", "unique_indices", "indices_are_sorted", "fill_value"))
def take(
    a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str | None = None,
    unique_indices: bool = False, indices_are_sorted: bool = False, fill_value: Any = None,
) -> Any:  # fmt: skip
    """The parts of `a` at the given places along an axis.

    Args:
      a: an array.
      indices: integers of any shape; negative ones count from the end.
      axis: the axis; None takes from the flattened array.
      out: not supported; must be None.
      mode: what places out of bounds read: "fill" (the default) a fill value, "clip" the nearest end, and then negative
        ones are out of bounds too, "wrap" around.
      unique_indices: a promise that no two places are equal.
      indices_are_sorted: a promise that the places increase.
      fill_value: for "fill"; by default NaN, the smallest integer (the largest, if unsigned), or True.
    Returns:
      an array with the shape of `indices` in place of the axis.
    Raises:
      TypeError: an argument is no array, or the indices are no integers. IndexError: the axis is empty, `indices` not.
      ValueError: the axis is out of range, or there is no such mode.

    >>> import anima.numpy as np
    >>> print(np.take(np.array([[1, 2, 3], [4, 5, 6]]), np.array([2, 0]), axis=1))
    [[3 1]
     [6 4]]
    """
    refuse_out("take", out)
    a, indices = array_like("take", a), integer_places("take", indices)
    if axis is None:
        a, axis = ravel(a), 0
    dim = check_axis("take", axis, len(shape_of(a)))
    if mode not in (None, "fill", "clip", "wrap"):
        advice = ": compiled code cannot raise" if mode == "raise" else ""
        raise ValueError(f"take: mode must be 'fill', 'clip' or 'wrap', got {mode!r}{advice}")
    shape = shape_of(a)
    taken = (*shape[:dim], *shape_of(indices), *shape[dim + 1 :])
    if 0 in taken:
        return full(taken, 0, dtype_of(a))
    if mode == "wrap" and shape[dim]:
        indices = remainder(indices, constant(shape[dim], indices))
    return gather_arrays(
        a,
        Advanced((dim,), [indices], [mode in ("wrap", "clip")], dim),
        _IN_BOUNDS if mode == "wrap" else GatherScatterMode.from_any(mode),
        fill_value=fill_value,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
    )


# --- along an axis ----------------------------------------------------------------------------


class _Along(NamedTuple):
    """How places along an axis of an array become a gather or a scatter.

    Other dimensions go along with each other where sizes agree; where the places have size 1 whole slices are taken;
    where the array has size 1 (`gone`), its dimension does not take part.
    """

    gone: tuple[int, ...]
    vectors: Any
    offset_dims: tuple[int, ...]
    slice_dims: tuple[int, ...]
    operand_batch: tuple[int, ...]
    index_batch: tuple[int, ...]
    slice_sizes: tuple[int, ...]


def _along(name: str, shape: tuple[int, ...], places: Any, axis: int) -> _Along:
    given = shape_of(places)
    whole = [i for i in range(len(shape)) if i != axis and given[i] == 1 and shape[i] != 1]
    gone = [i for i in range(len(shape)) if i != axis and shape[i] == 1 and given[i] != 1]
    along = [i for i in range(len(shape)) if i != axis and i not in whole and i not in gone]
    if any(shape[i] != given[i] for i in along):
        raise ValueError(
            f"{name}: indices of shape {given} do not broadcast to arr of shape {shape} besides axis {axis}"
        )
    if whole:
        places = squeeze_p.bind(places, dimensions=tuple(whole))
    in_array = {dim: n for n, dim in enumerate([i for i in range(len(shape)) if i not in gone])}
    in_places = {dim: n for n, dim in enumerate([i for i in range(len(shape)) if i not in whole])}
    return _Along(
        gone=tuple(gone),
        vectors=expand_dims(places, (len(in_places),)),
        offset_dims=tuple(whole),
        slice_dims=(in_array[axis],),
        operand_batch=tuple([in_array[i] for i in along]),
        index_batch=tuple([in_places[i] for i in along]),
        slice_sizes=tuple([shape[i] if i in whole else 1 for i in in_array]),
    )


def _flat_if_none(name: str, arr: Any, places: Any, axis: int | None) -> tuple[Any, int]:
    """The array, flattened if there is no axis, and the axis."""
    if axis is None:
        if len(shape_of(places)) != 1:
            raise ValueError(
                f"{name}: indices must be one-dimensional if axis is None, got shape {shape_of(places)}"
            )
        return ravel(arr), 0
    if len(shape_of(arr)) != len(shape_of(places)):
        raise ValueError(
            f"{name}: indices and arr must have the same number of dimensions, got shapes {shape_of(places)} and "
            f"{shape_of(arr)}"
        )
    return arr, check_axis(name, axis, len(shape_of(arr)))


@function(static=("axis", "mode", "fill_value", "wrap_negative_indices"))
def take_along_axis(
    arr: Any, indices: Any, axis: int | None = -1, mode: Any = None, fill_value: Any = None, *,
    wrap_negative_indices: bool | None = None,
) -> Any:  # fmt: skip
    """For each place its element along an axis: in two dimensions `result[i, j] = arr[i, indices[i, j]]` for axis 1.

    Args:
      arr: an array.
      indices: integers with as many dimensions as `arr`; besides the axis, they broadcast together.
      axis: the axis; None for the flattened array, which takes one-dimensional indices.
      mode: what places out of bounds read: "fill" (the default) a fill value, "clip" the nearest end; or
        "promise_in_bounds".
      fill_value: for "fill"; by default NaN, the smallest integer (the largest, if unsigned), or True.
      wrap_negative_indices: whether negative places count from the end; they do unless the mode promises that they are
        in bounds.
    Raises:
      TypeError: the indices are no integers. ValueError: shapes do not fit, or there is no such mode or axis.
      IndexError: the axis is empty, `indices` not.

    >>> import anima.numpy as np
    >>> x = np.array([[3, 1, 2], [4, 6, 5]])
    >>> print(np.take_along_axis(x, np.array([[1], [0]]), axis=1))
    [[1]
     [4]]
    """
    arr, places = array_like("take_along_axis", arr), integer_places("take_along_axis", indices)
    how = GatherScatterMode.from_any(mode)
    wrap = how is not _IN_BOUNDS if wrap_negative_indices is None else wrap_negative_indices
    arr, dim = _flat_if_none("take_along_axis", arr, places, axis)
    shape, given = shape_of(arr), shape_of(places)
    places = convert_element_type(from_front(places, shape[dim]) if wrap else places, index_dtype(shape))
    parts = _along("take_along_axis", shape, places, dim)
    if 0 in shape or 0 in given:
        sizes = [n if i == dim else m if n == 1 else n for i, (n, m) in enumerate(zip(given, shape))]
        if 0 not in sizes:
            raise IndexError(f"take_along_axis: axis {axis} of arr with shape {shape} is empty")
        return full(sizes, 0, dtype_of(arr))
    return gather_p.bind(
        squeeze_p.bind(arr, dimensions=parts.gone) if parts.gone else arr,
        parts.vectors,
        dimension_numbers=GatherDimensionNumbers(
            parts.offset_dims, parts.slice_dims, parts.slice_dims, parts.operand_batch, parts.index_batch
        ),
        slice_sizes=parts.slice_sizes,
        indices_are_sorted=False,
        unique_indices=False,
        mode=how,
        fill_value=fill_value if how is GatherScatterMode.FILL_OR_DROP else None,
    )


@function(static=("axis", "inplace", "mode"))
def put_along_axis(
    arr: Any, indices: Any, values: Any, axis: int | None, inplace: bool = True, *, mode: Any = None
) -> Any:
    """`arr` with values written at places that stand at theirs, along an axis.

    Args:
      arr: an array.
      indices: integers with as many dimensions as `arr`; besides the axis, they broadcast to it.
      values: an array that broadcasts to the shape of what is written; it is converted to the dtype of `arr`.
      axis: the axis; None for the flattened array, which takes one-dimensional indices.
      inplace: must be False: the result is a new array.
      mode: what happens at places out of bounds: "drop" (the default) nothing, "clip" a write to the nearest end.
    Raises:
      TypeError: the indices are no integers. ValueError: shapes do not fit, there is no such mode or axis, or `inplace`.

    >>> import anima.numpy as np
    >>> x = np.array([[3, 1, 2], [4, 6, 5]])
    >>> print(np.put_along_axis(x, np.array([[1], [0]]), 9, axis=1, inplace=False))
    [[3 9 2]
     [9 6 5]]
    """
    refuse_inplace("put_along_axis", inplace)
    arr, places = array_like("put_along_axis", arr), integer_places("put_along_axis", indices)
    flat, dim = _flat_if_none("put_along_axis", arr, places, axis)
    shape = shape_of(flat)
    places = convert_element_type(from_front(places, shape[dim]), index_dtype(shape))
    parts = _along("put_along_axis", shape, places, dim)
    if parts.gone:
        raise ValueError(
            f"put_along_axis: indices of shape {shape_of(places)} do not broadcast to arr of shape {shape}"
        )
    target = tuple([n if i == dim else m for i, (n, m) in enumerate(zip(shape_of(places), shape))])
    values = array_like("put_along_axis", values, "values")
    if not _broadcasts_to(shape_of(values), target):
        raise ValueError(f"put_along_axis: values of shape {shape_of(values)} do not broadcast to {target}")
    values = stretch(convert_element_type(values, dtype_of(arr)), shape_of(values), target)
    if 0 in target:
        return convert_element_type(arr, dtype_of(arr))
    numbers = ScatterDimensionNumbers(
        parts.offset_dims, parts.slice_dims, parts.slice_dims, parts.operand_batch, parts.index_batch
    )
    result = scatter(flat, parts.vectors, values, numbers, mode=mode)
    return result if axis is not None else reshape_p.bind(result, new_sizes=shape_of(arr))


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all([n in (1, m) for n, m in zip(reversed(shape), reversed(target))])


# --- in the flattened array -------------------------------------------------------------------


def _cycled(values: Any, ranks: Any) -> Any:
    """The values with the given numbers; behind the last comes the first again."""
    n = shape_of(values)[0]
    return take(values, remainder(ranks, constant(n, ranks)), mode="clip")


def _write_flat(a: Any, places: Any, values: Any, mode: str, unique: bool = False) -> Any:
    """`a` with values written at places in the flattened array."""
    numbers = ScatterDimensionNumbers((), (0,), (0,))
    vectors = expand_dims(places, (1,))
    flat = scatter(
        ravel(a), vectors, values, numbers, mode=mode, unique_indices=unique, indices_are_sorted=unique
    )
    return reshape_p.bind(flat, new_sizes=shape_of(a))


@function(static=("mode", "inplace"))
def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """`a` with values written at places in the flattened array.

    Args:
      a: an array.
      ind: integers; negative ones count from the end.
      v: the values, converted to the dtype of `a`; they are repeated if there are too few, and cut off if too many.
      mode: where places out of bounds write: "clip" (the default) at the nearest end, "wrap" around.
      inplace: must be False: the result is a new array.
    Raises:
      TypeError: the places are no integers. ValueError: there is no such mode, or `inplace`.

    >>> import anima.numpy as np
    >>> print(np.put(np.zeros(4), np.array([0, 2]), np.array([5, 6]), inplace=False))
    [5. 0. 6. 0.]
    """
    refuse_inplace("put", inplace)
    a, places = array_like("put", a), ravel(integer_places("put", ind, "ind"))
    if mode not in (None, "clip", "wrap"):
        raise ValueError(f"put: mode must be 'clip' or 'wrap', got {mode!r}")
    size, count = math.prod(shape_of(a)), shape_of(places)[0]
    values = ravel(convert_element_type(array_like("put", v, "v"), dtype_of(a)))
    if not size or not count or not shape_of(values)[0]:
        return convert_element_type(a, dtype_of(a))
    if mode == "wrap":
        places = remainder(places, constant(size, places))
    else:
        places = from_front(places, size)
    places = convert_element_type(places, index_dtype((size,)))
    if shape_of(values)[0] != count:
        values = _cycled(values, iota(np.int32, count))
    return _write_flat(a, places, values, "clip")


@function(static=("inplace",))
def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """`arr` with values written, one after the other, where a mask holds.

    Args:
      arr: an array.
      mask: an array of as many elements; nonzero ones hold.
      vals: the values, converted to the dtype of `arr`; they are repeated if there are too few.
      inplace: must be False: the result is a new array.
    Raises:
      ValueError: the mask is of another size, there are no values, or `inplace`.

    >>> import anima.numpy as np
    >>> x = np.arange(4)
    >>> print(np.place(x, x > 1, np.array([7, 8]), inplace=False))
    [0 1 7 8]
    """
    refuse_inplace("place", inplace)
    arr, mask = array_like("place", arr), ravel(truth("place", mask))
    shape = shape_of(arr)
    if math.prod(shape) != shape_of(mask)[0]:
        raise ValueError(
            f"place: arr and mask must be of the same size, got {math.prod(shape)} and {shape_of(mask)[0]}"
        )
    values = ravel(convert_element_type(array_like("place", vals, "vals"), dtype_of(arr)))
    if not math.prod(shape):
        return convert_element_type(arr, dtype_of(arr))
    if not shape_of(values)[0]:
        raise ValueError("place: vals must not be empty")
    new = _cycled(values, ranks_of(mask))
    return reshape_p.bind(select(mask, new, ravel(arr)), new_sizes=shape)


@function(static=("wrap", "inplace"))
def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """`a` with values written on its main diagonal.

    Args:
      a: an array of at least two dimensions; more than two must be of equal size.
      val: the values, converted to the dtype of `a`; they are repeated if there are too few, and cut off if too many.
      wrap: whether in a tall matrix the diagonal starts anew after it reached the last column and a free row.
      inplace: must be False: the result is a new array.
    Raises:
      ValueError: the shape does not fit. NotImplementedError: `inplace` is not False.

    >>> import anima.numpy as np
    >>> print(np.fill_diagonal(np.zeros((2, 2)), np.array([1, 2]), inplace=False))
    [[1. 0.]
     [0. 2.]]
    """
    refuse_inplace("fill_diagonal", inplace, NotImplementedError)  # as JAX
    a = array_like("fill_diagonal", a)
    shape = shape_of(a)
    if len(shape) < 2:
        raise ValueError(f"fill_diagonal: a must have at least two dimensions, got shape {shape}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ValueError(f"fill_diagonal: all dimensions of a must be of equal size, got shape {shape}")
    size = math.prod(shape)
    step = sum([math.prod(shape[i + 1 :]) for i in range(len(shape))])
    end = size if wrap or len(shape) > 2 else min(size, shape[1] * shape[1])
    count = -(-end // step) if step else 0
    values = ravel(convert_element_type(array_like("fill_diagonal", val, "val"), dtype_of(a)))
    if not count or not shape_of(values)[0]:
        return convert_element_type(a, dtype_of(a))
    ranks = iota(index_dtype((size,)), count)
    places = ranks * constant(step, ranks)
    return _write_flat(a, places, _cycled(values, ranks), "promise_in_bounds", unique=True)
