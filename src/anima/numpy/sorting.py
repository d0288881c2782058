"""Sorting, and searching in what is sorted.

Invariant: the order is that of `lax.sort`: NaN comes last, the two zeros are equal, complex numbers are ordered by real
part, then by imaginary part.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from anima import dtypes
from anima.lax.arithmetic import add, sub
from anima.lax.bitwise import bitwise_and, bitwise_not, bitwise_or
from anima.lax.compare import eq, eq_to, gt, lt, lt_to, ne
from anima.lax.complex_parts import imag, real
from anima.lax.convert import convert_element_type
from anima.lax.create import broadcasted_iota, full
from anima.lax.cumulative import cumsum_p
from anima.lax.gathering import GatherScatterMode
from anima.lax.joining import concatenate
from anima.lax.operands import constant, filled
from anima.lax.reductions import reduce_sum_p
from anima.lax.scattering import ScatterDimensionNumbers, scatter
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, check_axis, expand_dims, reshape_p, rev_p
from anima.lax.slicing import slice_in_dim
from anima.lax.sorting import sort as lax_sort
from anima.numpy.calls import function
from anima.numpy.indexing import Advanced, gather_arrays, index_dtype
from anima.numpy.promotion import array_like, dtype_of, promote_dtypes, shape_of

_SETTINGS = ("axis", "kind", "order", "stable", "descending")


def _check_settings(name: str, kind: None, order: None) -> None:
    if kind is not None:
        raise TypeError(f"{name}: kind is not supported; say stable=True or stable=False")
    if order is not None:
        raise TypeError(f"{name}: order is not supported: arrays have no fields")


def _along(name: str, a: Any, axis: int | None) -> tuple[Any, int]:
    """The array, flattened if there is no axis, and the axis."""
    shape = shape_of(a)
    if axis is None:
        return reshape_p.bind(a, new_sizes=(math.prod(shape),)), 0
    return a, check_axis(name, axis, len(shape))


@function(static=_SETTINGS)
def sort(
    a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
    descending: bool = False,
) -> Any:  # fmt: skip
    """`a` sorted along an axis.

    Args:
      a: an array.
      axis: the axis; None sorts the flattened array.
      kind, order: not supported; must be None.
      stable: whether equal elements, which only zeros and NaNs can be told from each other, keep their order.
      descending: whether the largest elements come first; NaNs then come before them.
    Raises:
      ValueError: the axis is out of range. TypeError: `a` is no array, or `kind` or `order` is given.

    >>> import anima.numpy as np
    >>> print(np.sort(np.array([3, 1, 2])))
    [1 2 3]
    """
    _check_settings("sort", kind, order)
    a, dim = _along("sort", array_like("sort", a), axis)
    result = lax_sort(a, dim, stable)
    return rev_p.bind(result, dimensions=(dim,)) if descending else result


def places_sorted(keys: list[Any], dim: int, stable: bool = True) -> Any:
    """The places, as 32-bit integers where they fit, that sort arrays along a dimension by the first, then the next."""
    places = broadcasted_iota(index_dtype(shape_of(keys[0])), shape_of(keys[0]), dim)
    return lax_sort([*keys, places], dim, stable, len(keys))[-1]


def _argsort(name: str, a: Any, axis: int | None, stable: bool, descending: bool, dtype: Any) -> Any:
    a, dim = _along(name, a, axis)
    target = dtypes.default_int_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, name)
    if (
        descending and stable
    ):  # sorting the reversed array and reversing the result leaves equal elements in order
        a = rev_p.bind(a, dimensions=(dim,))
    places = places_sorted([a], dim, stable)
    if descending:
        places = rev_p.bind(places, dimensions=(dim,))
        if stable:
            places = sub(filled(shape_of(a)[dim] - 1, places), places)
    return convert_element_type(places, target)


@function(static=(*_SETTINGS, "dtype"))
def argsort(
    a: Any, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
    descending: bool = False, dtype: Any = None,
) -> Any:  # fmt: skip
    """The places of the elements along an axis in the order that sorts them.

    Args:
      a: an array.
      axis: the axis; None sorts the flattened array.
      kind, order: not supported; must be None.
      stable: whether equal elements keep their order.
      descending: whether the largest elements come first; NaNs then come before them.
      dtype: the result's dtype; by default that of Python integers.
    Raises:
      ValueError: the axis is out of range. TypeError: `a` is no array, or `kind` or `order` is given.

    >>> import anima.numpy as np
    >>> print(np.argsort(np.array([3, 1, 2])))
    [1 2 0]
    """
    _check_settings("argsort", kind, order)
    return _argsort("argsort", array_like("argsort", a), axis, stable, descending, dtype)


@function(static=("axis",))
def lexsort(keys: Any, axis: int = -1) -> Any:
    """The places that sort by several keys: by the last one, and where its elements are equal by those before it.

    Args:
      keys: a sequence of arrays of one shape; or an array, taken apart along its first axis.
      axis: the axis along which they are sorted.
    Raises:
      TypeError: there are no keys. ValueError: the shapes differ, or the axis is out of range.

    >>> import anima.numpy as np
    >>> surnames = np.array([2, 1, 1])
    >>> names = np.array([1, 3, 2])
    >>> print(np.lexsort((names, surnames)))
    [2 1 0]
    """
    given = [array_like("lexsort", key, i) for i, key in enumerate(keys)]
    if not given:
        raise TypeError("lexsort: keys must have at least one array")
    shapes = {shape_of(key) for key in given}
    if len(shapes) > 1:
        raise ValueError(f"lexsort: keys must be of one shape, got {', '.join(map(str, sorted(shapes)))}")
    shape = shapes.pop()
    target = dtypes.default_int_dtype()
    if not shape:
        return convert_element_type(np.int32(0), target)
    dim = check_axis("lexsort", axis, len(shape))
    return convert_element_type(places_sorted(given[::-1], dim), target)


# --- partition --------------------------------------------------------------------------------


def _check_kth(name: str, a: Any, kth: Any, axis: int) -> int:
    dim = check_axis(name, axis, len(shape_of(a)))
    n = shape_of(a)[dim]
    for item in kth if isinstance(kth, (tuple, list)) else (kth,):
        place = operator.index(item)
        if not -n <= place < n:
            raise ValueError(f"{name}: kth {place} is out of bounds for axis {axis} of size {n}")
    return dim


@function(static=("kth", "axis"))
def partition(a: Any, kth: Any, axis: int = -1) -> Any:
    """`a` arranged so that along an axis the `kth` element is the one that sorting would put there, those before it are
    not larger, and those after it not smaller.

    With one place, those before it rise and those after it fall, as in JAX; with several, all rise.

    Args:
      a: an array.
      kth: a place or a sequence of them; negative ones count from the end.
      axis: the axis.
    Raises:
      ValueError: a place or the axis is out of range.

    >>> import anima.numpy as np
    >>> print(np.partition(np.array([5, 3, 1, 4]), 1)[1])
    3
    """
    a = array_like("partition", a)
    dim = _check_kth("partition", a, kth, axis)
    # A whole sort takes less time than selecting does with the operations that XLA has.
    rising, place = lax_sort(a, dim, False), _one_place(kth, shape_of(a)[dim])
    if place is None:
        return rising
    low, high = _parted(rising, place, dim)
    return concatenate([low, rev_p.bind(high, dimensions=(dim,))], dim)


def _one_place(kth: Any, size: int) -> int | None:
    """The one place, counted from the front; None if there are several."""
    if isinstance(kth, (tuple, list)):
        return None
    place = operator.index(kth)
    return place + size if place < 0 else place


def _parted(x: Any, place: int, dim: int) -> tuple[Any, Any]:
    """The elements up to a place, and those behind it."""
    return slice_in_dim(x, 0, place + 1, axis=dim), slice_in_dim(x, place + 1, shape_of(x)[dim], axis=dim)


@function(static=("kth", "axis"))
def argpartition(a: Any, kth: Any, axis: int = -1) -> Any:
    """The places of the elements along an axis in an order as `partition` has it; arguments as there.

    With one place, the elements before it rise, and those after it stay in their order, as in JAX.

    >>> import anima.numpy as np
    >>> print(np.argpartition(np.array([5, 3, 1, 4]), 1)[1])
    1
    """
    a = array_like("argpartition", a)
    dim = _check_kth("argpartition", a, kth, axis)
    place = _one_place(kth, shape_of(a)[dim])
    places = broadcasted_iota(index_dtype(shape_of(a)), shape_of(a), dim)
    places = lax_sort([a, places], dim, True, 1)[1]
    if place is not None:
        low, high = _parted(places, place, dim)
        places = concatenate([low, lax_sort(high, dim, False)], dim)
    return convert_element_type(places, dtypes.default_int_dtype())


@function
def sort_complex(a: Any) -> Any:
    """`a` as complex numbers, sorted along its last axis by real part, then by imaginary part.

    >>> import anima.numpy as np
    >>> print(np.sort_complex(np.array([2, 1])))
    [1.+0.j 2.+0.j]
    """
    a, dim = _along("sort_complex", array_like("sort_complex", a), -1)
    return convert_element_type(
        lax_sort(a, dim), dtypes.to_complex_dtype(dtypes.to_inexact_dtype(dtype_of(a)))
    )


# --- searching --------------------------------------------------------------------------------

_METHODS = ("scan", "scan_unrolled", "sort", "compare_all")


def _keys(x: Any) -> list[Any]:
    """What elements are compared by, with every NaN the one that comes last, and negative zero as zero."""
    dtype = dtype_of(x)
    if dtypes.is_complex(dtype):
        return [*_keys(real(x)), *_keys(imag(x))]
    if dtypes.is_float(dtype):
        return [select(eq(x, filled(0, x)), filled(0, x), select(ne(x, x), filled(np.nan, x), x))]
    return [x]


def _before(xs: list[Any], ys: list[Any]) -> Any:
    """Whether elements, given by their keys, come before others."""
    less, equal = (lt_to, eq_to) if dtypes.is_float(dtype_of(xs[0])) else (lt, eq)
    if len(xs) == 1:
        return less(xs[0], ys[0])
    return bitwise_or(less(xs[0], ys[0]), bitwise_and(equal(xs[0], ys[0]), _before(xs[1:], ys[1:])))


def _by_bisection(a: list[Any], v: list[Any], n: int, right: bool) -> Any:
    """Halves what is left of the sorted array, for all at once; the sizes of the halves do not depend on values."""
    place = (
        filled(0, convert_element_type(v[0], np.int32))
        if n < 2**31
        else filled(0, convert_element_type(v[0], np.int64))
    )

    def goes_right(offset: int) -> Any:
        where = add(place, constant(offset, place)) if offset else place
        found = [
            gather_arrays(key, Advanced((0,), [where], [True], 0), GatherScatterMode.PROMISE_IN_BOUNDS)
            for key in a
        ]
        return bitwise_not(_before(v, found)) if right else _before(found, v)

    while n > 1:
        half = n // 2
        place = add(place, select(goes_right(half - 1), filled(half, place), filled(0, place)))
        n -= half
    return add(place, convert_element_type(goes_right(0), dtype_of(place)))


def _by_comparing(a: list[Any], v: list[Any], n: int, right: bool) -> Any:
    """Counts the elements that come before."""
    shape = shape_of(v[0])
    pairs = (*shape, n)
    rows = [broadcast_in_dim(key, pairs, (len(shape),)) for key in a]
    columns = [broadcast_in_dim(key, pairs, tuple(range(len(shape)))) for key in v]
    counted = bitwise_not(_before(columns, rows)) if right else _before(rows, columns)
    return reduce_sum_p.bind(convert_element_type(counted, index_dtype(pairs)), axes=(len(shape),))


def _by_sorting(a: list[Any], v: list[Any], n: int, right: bool) -> Any:
    """Sorts both together, and counts the elements of `a` before each of `v`."""
    shape = shape_of(v[0])
    m = math.prod(shape)
    flat = [reshape_p.bind(key, new_sizes=(m,)) for key in v]
    order = places_sorted([concatenate([p, q] if right else [q, p], 0) for p, q in zip(a, flat)], 0)
    first = constant(n if right else m, order)
    from_a = lt(order, first) if right else bitwise_not(lt(order, first))
    counts = cumsum_p.bind(convert_element_type(from_a, dtype_of(order)), axis=0, reverse=False)
    targets = sub(order, first) if right else order
    # Places of elements of `a` lie out of bounds, and are dropped; negative ones too, as places here do not wrap.
    numbers = ScatterDimensionNumbers((), (0,), (0,))
    found = scatter(
        full((m,), 0, dtype_of(order)), expand_dims(targets, (1,)), counts, numbers, unique_indices=True
    )
    return reshape_p.bind(found, new_sizes=shape)


_SEARCHES = {
    "scan": _by_bisection,
    "scan_unrolled": _by_bisection,
    "sort": _by_sorting,
    "compare_all": _by_comparing,
}


def search(name: str, a: Any, v: Any, right: bool, method: str) -> Any:
    """For each element of `v` the place in the sorted vector `a` before which it would be inserted."""
    a, v = promote_dtypes(name, a, v)
    n = shape_of(a)[0]
    if n == 0 or math.prod(shape_of(v)) == 0:
        return broadcast_in_dim(np.int32(0), shape_of(v), ())
    return _SEARCHES[method](_keys(a), _keys(v), n, right)


def _check_search(name: str, a: Any, side: str, method: str, argument: str = "a") -> None:
    if side not in ("left", "right"):
        raise ValueError(f"{name}: side must be 'left' or 'right', got {side!r}")
    if method not in _METHODS:
        raise ValueError(f"{name}: method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}")
    if len(shape_of(a)) != 1:
        raise ValueError(f"{name}: {argument} must be one-dimensional, got shape {shape_of(a)}")


@function(static=("side", "method"))
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan") -> Any:
    """The places before which elements would be inserted into a sorted vector to leave it sorted.

    Args:
      a: a vector, sorted in ascending order unless there is a `sorter`.
      v: the elements, an array of any shape.
      side: whether elements equal to some of `a` go before them ("left") or after them ("right").
      sorter: the places that sort `a`, as `argsort` finds them.
      method: how to search. "scan" and "scan_unrolled" bisect; "compare_all" compares each with each, which is quick for
        short vectors; "sort" sorts both together, which suits accelerators.
    Returns:
      integers in the shape of `v`.
    Raises:
      ValueError: `a` is no vector, or there is no such side or method. TypeError: an argument is no array.

    >>> import anima.numpy as np
    >>> print(np.searchsorted(np.array([1, 2, 2, 3]), np.array([2, 5]), side="right"))
    [3 4]
    """
    a, v = array_like("searchsorted", a), array_like("searchsorted", v, 1)
    _check_search("searchsorted", a, side, method)
    if sorter is not None:
        sorter = array_like("searchsorted", sorter, "sorter")
        if not dtypes.is_int(dtype_of(sorter)):
            raise TypeError(
                f"searchsorted: sorter must be integers, got dtype {dtypes.dtype_name(dtype_of(sorter))}"
            )
        a = gather_arrays(a, Advanced((0,), [sorter], [False], 0), GatherScatterMode.CLIP)
    return search("searchsorted", a, v, side == "right", method)


@function(static=("right", "method"))
def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """The number of the bin in which each element lies.

    Args:
      x: an array.
      bins: the edges of the bins, a vector that increases or decreases. Bin 0 lies before the first edge.
      right: whether an edge belongs to the bin before it rather than to that after it.
      method: how to search, as for `searchsorted`.
    Raises:
      ValueError: `bins` is no vector.

    >>> import anima.numpy as np
    >>> print(np.digitize(np.array([0.5, 1.0, 7.0]), np.array([0, 1, 2])))
    [1 2 3]
    """
    x, bins = array_like("digitize", x), array_like("digitize", bins, "bins")
    side, method = "left" if right else "right", method or "scan"
    _check_search("digitize", bins, side, method, "bins")
    n = shape_of(bins)[0]
    if n < 2:
        return search("digitize", bins, x, not right, method)
    first, last = (reshape_p.bind(slice_in_dim(bins, i, i + 1), new_sizes=()) for i in (0, n - 1))
    falls = gt(first, last)
    found = search("digitize", select(falls, rev_p.bind(bins, dimensions=(0,)), bins), x, not right, method)
    return select(falls, sub(filled(n, found), found), found)
