"""Arrays as sets: unique elements, membership, and what two sets have in common.

Invariant: elements are compared in sorted order, so each result is sorted. With `size` a result is one program of fixed
shape; without it, the sorting is a program and the selection happens on the host, so no count of elements costs a
compilation.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any, NamedTuple

import numpy as np

from anima import dtypes
from anima._native import get_trace
from anima.core.trace import ambient
from anima.errors import ArgumentError
from anima.lax.arithmetic import min, sub
from anima.lax.bitwise import bitwise_and, bitwise_not
from anima.lax.compare import eq, lt, ne
from anima.lax.convert import convert_element_type
from anima.lax.create import full, iota
from anima.lax.joining import concatenate
from anima.lax.operands import filled
from anima.lax.reductions import reduce_or_p
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, check_axis, expand_dims, reshape_p
from anima.lax.slicing import slice_in_dim
from anima.lax.sorting import sort as lax_sort
from anima.numpy.calls import function
from anima.numpy.concrete import concrete, from_host
from anima.numpy.indexing import index_dtype
from anima.numpy.promotion import array_like, dtype_of, promote_dtypes, retyped, shape_of, stretch
from anima.numpy.shapes import moveaxis, ravel
from anima.numpy.sorting import places_sorted, search
from anima.numpy.taking import marked_places, pick, ranks_of, written

ADVICE = "in a transformed function give {}(..., size=n)"


def and_fill(name: str, values: Any, places: Any, fill: Any) -> Any:
    """The values at places along the first axis, filled up where these are out of bounds.

    By default they are filled up with the first value, or with 0 if there is none.
    """
    n, rest, dtype = shape_of(values)[0], shape_of(values)[1:], dtype_of(values)
    shape = (*shape_of(places), *rest)
    if fill is not None:
        fill = convert_element_type(array_like(name, fill, "fill_value"), dtype)
        fill = stretch(fill, shape_of(fill), shape)
    if 0 in shape or n == 0:
        return full(shape, 0, dtype) if fill is None else fill
    valid = lt(places, filled(n, places))
    found = pick(values, select(valid, places, filled(0, places)))
    where = broadcast_in_dim(valid, shape, (0,))
    if fill is None:
        first = select(slice_in_dim(where, 0, 1), slice_in_dim(found, 0, 1), full((1, *rest), 0, dtype))
        fill = stretch(first, (1, *rest), shape)
    return select(where, found, fill)


# --- unique -----------------------------------------------------------------------------------


def _differ(x: Any, y: Any, equal_nan: bool) -> Any:
    different = ne(x, y)
    if equal_nan and dtypes.is_inexact(dtype_of(x)):
        return bitwise_and(different, bitwise_not(bitwise_and(ne(x, x), ne(y, y))))
    return different


def _starts(x: Any, equal_nan: bool) -> Any:
    """Where along the first axis of a sorted array a part differs from the one before it."""
    n = shape_of(x)[0]
    if n == 0:
        return full((0,), True, np.dtype(bool))
    changes = _differ(slice_in_dim(x, 1, n), slice_in_dim(x, 0, n - 1), equal_nan)
    axes = tuple(range(1, len(shape_of(x))))
    changes = reduce_or_p.bind(changes, axes=axes) if axes else changes
    return concatenate([full((1,), True, np.dtype(bool)), changes], 0)


# So many keys one sort takes; its comparison gets slower to compile with each.
_KEYS = 8


def _row_order(rows: Any) -> Any:
    """The places that sort the rows of a matrix lexically, equal ones in their order.

    Many columns are first replaced, in groups, by the ranks of the groups' rows.
    """
    _, width = shape_of(rows)
    if width <= _KEYS:
        return places_sorted([slice_in_dim(rows, i, i + 1, axis=1) for i in range(width)], 0)
    groups = [slice_in_dim(rows, i, builtins.min(i + _KEYS, width), axis=1) for i in range(0, width, _KEYS)]
    return _row_order(concatenate([expand_dims(_row_ranks(g), (1,)) for g in groups], 1))


def _row_ranks(rows: Any) -> Any:
    n, _ = shape_of(rows)
    order = reshape_p.bind(_row_order(rows), new_sizes=(n,))
    return written(n, order, ranks_of(_starts(pick(rows, order), True)), 0)


class _Marked(NamedTuple):
    """An array sorted along its first axis, where new elements start in it, and the places from which they came."""

    values: Any
    starts: Any
    order: Any


def sorted_with_starts(x: Any, equal_nan: bool, with_order: bool) -> _Marked:
    """The elements in order, and which of them are the first of their kind."""
    n, *rest = shape_of(x)
    if not rest and not with_order:
        values = lax_sort(x, 0)
        return _Marked(values, _starts(values, equal_nan), None)
    if math.prod(rest) == 0 or n == 0:
        order = iota(index_dtype((n,)), n)
    elif rest:
        order = reshape_p.bind(_row_order(reshape_p.bind(x, new_sizes=(n, math.prod(rest)))), new_sizes=(n,))
    else:
        order = places_sorted([x], 0)
    values = pick(x, order) if 0 not in (n, *rest) else x
    return _Marked(values, _starts(values, equal_nan), order)


@function(static=("axis", "equal_nan", "with_order"))
def _mark(ar: Any, axis: int | None, equal_nan: bool, with_order: bool) -> tuple[Any, ...]:
    return tuple(sorted_with_starts(leading(ar, axis), equal_nan, with_order))


def leading(ar: Any, axis: int | None) -> Any:
    """The array with the axis, or all axes as one, in front."""
    return ravel(ar) if axis is None else moveaxis(ar, check_axis("unique", axis, len(shape_of(ar))), 0)


def _unique_on_host(
    ar: Any, axis: int | None, equal_nan: bool, index: bool, inverse: bool, counts: bool
) -> list[Any]:
    marked = _mark(ar, axis, equal_nan, index or inverse)
    starts = np.asarray(marked[1])
    kind: Any = dtypes.default_int_dtype()
    results = [np.asarray(marked[0])[starts]]
    if axis is not None:
        results[0] = np.moveaxis(results[0], 0, axis)
    if index:
        results.append(np.asarray(marked[2])[starts].astype(kind))
    if inverse:
        whole = np.empty(starts.shape, kind)
        whole[np.asarray(marked[2])] = np.cumsum(starts) - 1
        results.append(whole.reshape(shape_of(ar)) if axis is None else whole)
    if counts:
        results.append(np.diff(np.flatnonzero(starts), append=starts.size).astype(kind))
    weak = dtypes.is_weakly_typed(ar)
    return [from_host(r, ar, weak_type=weak and i == 0) for i, r in enumerate(results)]


_SETTINGS = ("axis", "equal_nan", "index", "inverse", "counts", "size")


@function(static=_SETTINGS)
def _unique_of_size(
    ar: Any, fill: Any, axis: int | None, equal_nan: bool, index: bool, inverse: bool, counts: bool, size: int
) -> list[Any]:
    x = leading(ar, axis)
    n = shape_of(x)[0]
    kind = dtypes.default_int_dtype()
    values, starts, order = sorted_with_starts(x, equal_nan, index or inverse)
    places = marked_places(starts, size + 1)
    first = slice_in_dim(places, 0, size)
    if n == 0 and size and fill is None:
        raise ValueError("unique: an empty array has no element to fill up the size with; give fill_value")
    results = [and_fill("unique", values, first, fill)]
    if axis is not None:
        results[0] = moveaxis(results[0], 0, axis)
    if index:
        results.append(convert_element_type(and_fill("unique", order, first, None), kind))
    if inverse:
        whole = convert_element_type(written(n, order, ranks_of(starts), 0), kind)
        results.append(reshape_p.bind(whole, new_sizes=shape_of(ar)) if axis is None else whole)
    if counts:
        results.append(convert_element_type(sub(slice_in_dim(places, 1, size + 1), first), kind))
    return results


def unique_of(
    name: str, ar: Any, index: bool, inverse: bool, counts: bool, axis: int | None, equal_nan: bool, size: int | None,
    fill_value: Any,
) -> list[Any]:  # fmt: skip
    """The distinct elements, and what was asked for beside them."""
    ar = array_like(name, ar)
    if size is None:
        known = concrete(name, ar, ADVICE.format(name))
        if get_trace() is None:
            return _unique_on_host(known, axis, equal_nan, index, inverse, counts)
        with ambient(None):
            size = _unique_on_host(known, axis, equal_nan, False, False, True)[1].shape[0]
    return _unique_of_size(ar, fill_value, axis, equal_nan, index, inverse, counts, checked_size(name, size))


def checked_size(name: str, size: Any) -> int:
    """`size` as an integer that is not negative."""
    result = operator.index(size)
    if result < 0:
        raise ArgumentError(f"{name}: size must not be negative, got {result}")
    return result


def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, equal_nan: bool = True, size: int | None = None, fill_value: Any = None,
    sorted: bool = True,
) -> Any:  # fmt: skip
    """The different elements of an array, sorted.

    Args:
      ar: an array.
      return_index: whether to return the places where they first occur, too.
      return_inverse: whether to return for each element its number among the different ones.
      return_counts: whether to return how often each occurs.
      axis: an axis whose parts are compared as wholes; None for the elements.
      equal_nan: whether NaNs are one element.
      size: how many elements to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up; by default the smallest element.
      sorted: accepted; the result is sorted in any case.
    Returns:
      the elements, or a tuple of them and of what else is asked for, in the order of the arguments.
    Raises:
      ConcretizationTypeError: `ar` is traced and there is no `size`. ValueError: the axis is out of range.

    >>> import anima.numpy as np
    >>> np.unique(np.array([3, 1, 1]), return_counts=True)
    (DeviceArray([1, 3], dtype=int32), DeviceArray([2, 1], dtype=int32))
    """
    results = unique_of(
        "unique", ar, return_index, return_inverse, return_counts, axis, equal_nan, size, fill_value
    )
    return results[0] if len(results) == 1 else tuple(results)


class UniqueAllResult(NamedTuple):
    """What `unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    """What `unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    """What `unique_inverse` returns."""

    values: Any
    inverse_indices: Any


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The different elements of an array, as `unique`; every NaN is one of its own.

    >>> import anima.numpy as np
    >>> print(np.unique_values(np.array([3, 1, 1])))
    [1 3]
    """
    return unique_of("unique_values", x, False, False, False, None, False, size, fill_value)[0]


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAllResult:
    """The different elements of an array, their first places, the number of each element, and how often they occur.

    >>> import anima.numpy as np
    >>> print(np.unique_all(np.array([3, 1, 1])).indices)
    [1 0]
    """
    return UniqueAllResult(*unique_of("unique_all", x, True, True, True, None, False, size, fill_value))


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueCountsResult:
    """The different elements of an array, and how often they occur.

    >>> import anima.numpy as np
    >>> print(np.unique_counts(np.array([3, 1, 1])).counts)
    [2 1]
    """
    return UniqueCountsResult(
        *unique_of("unique_counts", x, False, False, True, None, False, size, fill_value)
    )


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueInverseResult:
    """The different elements of an array, and for each element its number among them.

    >>> import anima.numpy as np
    >>> print(np.unique_inverse(np.array([3, 1, 1])).inverse_indices)
    [1 0 0]
    """
    return UniqueInverseResult(
        *unique_of("unique_inverse", x, False, True, False, None, False, size, fill_value)
    )


# --- membership -------------------------------------------------------------------------------

# Up to this many elements comparing with each is quicker than sorting them and bisecting.
_FEW = 32


def found_in(name: str, element: Any, test: Any, method: str) -> Any:
    """For each element of one array whether it is among those of another."""
    element, test = promote_dtypes(name, element, ravel(test))
    shape, n = shape_of(element), shape_of(test)[0]
    if n == 0 or math.prod(shape) == 0:
        return full(shape, False, np.dtype(bool))
    if method == "compare_all" or (method == "auto" and n <= _FEW):
        pairs = (*shape, n)
        left, right = (
            broadcast_in_dim(element, pairs, range(len(shape))),
            broadcast_in_dim(test, pairs, (len(shape),)),
        )
        return reduce_or_p.bind(eq(left, right), axes=(len(shape),))
    test = lax_sort(test, 0, False)
    places = search(name, test, element, False, "sort" if method == "sort" else "scan")
    found = eq(pick(test, min(places, filled(n - 1, places))), element)
    return retyped(found, False) if method == "sort" else found


@function(static=("assume_unique", "invert", "method"))
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Any:
    """For each element of an array whether it is among those of another.

    Args:
      element: the array whose elements are looked for.
      test_elements: the array in which they are looked for.
      assume_unique: accepted; it makes no difference.
      invert: whether to return the opposite.
      method: how to search: "compare_all", "binary_search", "sort", or "auto".
    Returns:
      booleans in the shape of `element`; NaN is in no array.
    Raises:
      TypeError: an argument is no array. ValueError: there is no such method.

    >>> import anima.numpy as np
    >>> print(np.isin(np.array([1, 2, 3]), np.array([3, 1])))
    [ True False  True]
    """
    if method not in ("auto", "compare_all", "binary_search", "sort"):
        raise ValueError(
            f"isin: method must be 'auto', 'compare_all', 'binary_search' or 'sort', got {method!r}"
        )
    result = found_in("isin", array_like("isin", element), array_like("isin", test_elements, 1), method)
    return bitwise_not(result) if invert else result
