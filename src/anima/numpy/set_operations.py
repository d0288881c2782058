"""Two arrays as sets: union, intersection, difference, symmetric difference.

Invariant: a program marks, among as many elements as the arrays have, those that belong to the result. With `size` it
takes the first so many of them; without it the host takes them all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima import dtypes
from anima._native import get_trace
from anima.core.trace import ambient
from anima.lax.arithmetic import min
from anima.lax.bitwise import bitwise_and, bitwise_not
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.joining import concatenate
from anima.lax.operands import filled
from anima.lax.sorting import sort
from anima.numpy.calls import function
from anima.numpy.concrete import concrete, from_host
from anima.numpy.promotion import array_like, promote_dtypes, shape_of
from anima.numpy.sets import (
    ADVICE,
    and_fill,
    checked_size,
    found_in,
    sorted_with_starts,
    unique_of,
)
from anima.numpy.shapes import ravel
from anima.numpy.sorting import search
from anima.numpy.taking import marked_places, pick


def _vectors(name: str, ar1: Any, ar2: Any) -> tuple[Any, Any]:
    return ravel(array_like(name, ar1)), ravel(array_like(name, ar2, 1))


# --- marking ----------------------------------------------------------------------------------
# Each gives candidates, which of them belong to the result, and what else is asked for at the same places.


def _marked(ar: Any, assume_unique: bool, with_places: bool) -> Any:
    """The sorted elements, and which of them are the first of their kind."""
    marked = sorted_with_starts(ar, True, with_places)
    return marked._replace(starts=full(shape_of(ar), True, np.dtype(bool))) if assume_unique else marked


def _common(ar1: Any, ar2: Any, assume_unique: bool, with_places: bool) -> tuple[Any, ...]:
    """Elements of both arrays; the places of each in both."""
    ar1, ar2 = promote_dtypes("intersect1d", ar1, ar2)
    first = _marked(ar1, assume_unique, with_places)
    keep = bitwise_and(first.starts, found_in("intersect1d", first.values, ar2, "auto"))
    n, m = shape_of(ar1)[0], shape_of(ar2)[0]
    if not with_places:
        return first.values, keep
    if n == 0 or m == 0:
        return first.values, keep, first.order, first.order
    second = sorted_with_starts(ar2, True, True)
    places = search("intersect1d", second.values, first.values, False, "scan")
    return first.values, keep, first.order, pick(second.order, min(places, filled(m - 1, places)))


def _difference(ar1: Any, ar2: Any, assume_unique: bool, with_places: bool) -> tuple[Any, ...]:
    """Elements of the first array only."""
    if assume_unique:
        return ar1, bitwise_not(found_in("setdiff1d", ar1, ar2, "auto"))
    first = _marked(ar1, False, False)
    return first.values, bitwise_and(
        first.starts, bitwise_not(found_in("setdiff1d", first.values, ar2, "auto"))
    )


def _exclusive(ar1: Any, ar2: Any, assume_unique: bool, with_places: bool) -> tuple[Any, ...]:
    """Elements of one array only."""
    ar1, ar2 = promote_dtypes("setxor1d", ar1, ar2)
    values, left_out = [], []
    for mine, other in ((ar1, ar2), (ar2, ar1)):
        marked = _marked(mine, assume_unique, False)
        values.append(marked.values)
        left_out.append(
            bitwise_not(
                bitwise_and(marked.starts, bitwise_not(found_in("setxor1d", marked.values, other, "auto")))
            )
        )
    last, ordered = sort([concatenate(left_out, 0), concatenate(values, 0)], 0, True, 2)
    return ordered, bitwise_not(last)


_MARKS = {"intersect1d": _common, "setdiff1d": _difference, "setxor1d": _exclusive}


# --- taking what is marked --------------------------------------------------------------------


@function(static=("name", "assume_unique", "with_places"))
def _mark(ar1: Any, ar2: Any, name: str, assume_unique: bool, with_places: bool) -> tuple[Any, ...]:
    return _MARKS[name](ar1, ar2, assume_unique, with_places)


@function(static=("name", "assume_unique", "with_places", "size"))
def _mark_and_take(
    ar1: Any, ar2: Any, fill: Any, name: str, assume_unique: bool, with_places: bool, size: int
) -> list[Any]:
    values, keep, *places = _MARKS[name](ar1, ar2, assume_unique, with_places)
    taken = marked_places(keep, size)
    results = [and_fill(name, values, taken, fill)]
    kind = dtypes.default_int_dtype()
    for found, ar in zip(places, (ar1, ar2)):
        # What fills up is no place in the array.
        results.append(convert_element_type(and_fill(name, found, taken, shape_of(ar)[0]), kind))
    return results


def _combined(
    name: str, ar1: Any, ar2: Any, assume_unique: bool, with_places: bool, size: int | None, fill: Any
) -> list[Any]:
    pair = _vectors(name, ar1, ar2)
    if size is None:
        known = [concrete(name, ar, ADVICE.format(name)) for ar in pair]
        if get_trace() is None:
            values, keep, *places = [
                np.asarray(r) for r in _mark(known[0], known[1], name, assume_unique, with_places)
            ]
            kind = dtypes.default_int_dtype()
            return [from_host(r, *known) for r in (values[keep], *[p[keep].astype(kind) for p in places])]
        with ambient(None):
            size = int(np.asarray(_mark(known[0], known[1], name, assume_unique, False)[1]).sum())
    return _mark_and_take(*pair, fill, name, assume_unique, with_places, checked_size(name, size))


# --- the functions ----------------------------------------------------------------------------


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The different elements of two arrays, sorted.

    Args:
      ar1, ar2: arrays.
      size: how many elements to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up; by default the smallest element.
    Raises:
      ConcretizationTypeError: an array is traced and there is no `size`.

    >>> import anima.numpy as np
    >>> print(np.union1d(np.array([3, 1]), np.array([2, 1])))
    [1 2 3]
    """
    both = concatenate(promote_dtypes("union1d", *_vectors("union1d", ar1, ar2)), 0)
    return unique_of("union1d", both, False, False, False, None, True, size, fill_value)[0]


def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False, *, size: int | None = None,
    fill_value: Any = None,
) -> Any:  # fmt: skip
    """The different elements that two arrays have in common, sorted.

    Args:
      ar1, ar2: arrays.
      assume_unique: a promise that no array has an element twice.
      return_indices: whether to return the places where they first occur in both, too.
      size: how many elements to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up; by default the smallest element, or 0 if there is none.
    Raises:
      ConcretizationTypeError: an array is traced and there is no `size`.

    >>> import anima.numpy as np
    >>> print(np.intersect1d(np.array([3, 1, 2]), np.array([2, 3, 3])))
    [2 3]
    """
    results = _combined("intersect1d", ar1, ar2, assume_unique, return_indices, size, fill_value)
    return tuple(results) if return_indices else results[0]


def setdiff1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """The different elements of one array that another does not have, sorted.

    Args:
      ar1, ar2: arrays.
      assume_unique: a promise that no array has an element twice; the result is then in the order of `ar1`.
      size: how many elements to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up; by default 0.
    Raises:
      ConcretizationTypeError: an array is traced and there is no `size`.

    >>> import anima.numpy as np
    >>> print(np.setdiff1d(np.array([3, 1, 2]), np.array([2])))
    [1 3]
    """
    fill = 0 if fill_value is None else fill_value
    return _combined("setdiff1d", ar1, ar2, assume_unique, False, size, fill)[0]


def setxor1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """The different elements that only one of two arrays has, sorted.

    Args:
      ar1, ar2: arrays.
      assume_unique: a promise that no array has an element twice.
      size: how many elements to return: needed in a transformed function. More are cut off, less are filled up.
      fill_value: what fills up; by default the smallest element, or 0 if there is none.
    Raises:
      ConcretizationTypeError: an array is traced and there is no `size`.

    >>> import anima.numpy as np
    >>> print(np.setxor1d(np.array([3, 1, 2]), np.array([2, 4])))
    [1 3 4]
    """
    return _combined("setxor1d", ar1, ar2, assume_unique, False, size, fill_value)[0]
