"""Counting into bins: `bincount` and histograms of one and more dimensions.

Invariant: an element lies in the bin whose lower edge is the last that does not exceed it; the upper edge belongs to the
last bin. What lies in no bin, NaN too, is not counted. Counts are summed in single precision at least.
"""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima._native import get_trace
from anima.core.trace import Tracer, ambient
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import eq
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.operands import filled
from anima.lax.scattering import ScatterDimensionNumbers, scatter_add
from anima.lax.selection import select
from anima.lax.shape import expand_dims, refuse_out_sharding, reshape_p
from anima.lax.slicing import index_in_dim
from anima.numpy.arithmetic import maximum
from anima.numpy.calls import function
from anima.numpy.concrete import concrete, contents, from_host
from anima.numpy.joining import stack
from anima.numpy.logic import greater_equal
from anima.numpy.promotion import array_like, dtype_of, promote_dtypes, promote_dtypes_inexact, shape_of
from anima.numpy.ranges import linspace
from anima.numpy.reductions import accumulator, max as array_max, min as array_min, sum as array_sum
from anima.numpy.scans import diff
from anima.numpy.shapes import ravel
from anima.numpy.sorting import search

# --- bincount ---------------------------------------------------------------------------------


def _tally(places: Any, weights: Any, size: int) -> Any:
    """The sums of the weights at each place; places out of bounds are left out."""
    dtype = dtype_of(weights)
    inner = accumulator(dtype)
    if size == 0:
        return full((0,), 0, dtype)
    numbers = ScatterDimensionNumbers((), (0,), (0,))
    start = full((size,), 0, inner)
    total = scatter_add(
        start, expand_dims(places, (1,)), convert_element_type(weights, inner), numbers, mode="drop"
    )
    return convert_element_type(total, dtype)


@function(static=("length",))
def _bincount(x: Any, weights: Any, length: int) -> Any:
    x = x if dtypes.is_int(dtype_of(x)) and dtype_of(x).itemsize >= 4 else convert_element_type(x, np.int32)
    if weights is None:
        weights = full(shape_of(x), 1, dtypes.default_int_dtype())
    return _tally(x if dtypes.is_unsigned_int(dtype_of(x)) else maximum(x, 0), weights, length)


def bincount(
    x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None, out_sharding: Any = None
) -> Any:
    """How often each number from 0 on occurs, or the sum of the weights where it does.

    Args:
      x: a vector of integers; negative ones count as 0.
      weights: an array of the same shape.
      minlength: the least size of the result.
      length: the size of the result: needed in a transformed function. Larger numbers are not counted.
      out_sharding: the result's sharding; needs a mesh with explicit axes.
    Raises:
      ConcretizationTypeError: `x` is traced and there is no `length`. TypeError: `x` is not of integers.
      ValueError: `x` is no vector, or the weights are of another shape.

    >>> import anima.numpy as np
    >>> print(np.bincount(np.array([1, 1, 3])))
    [0 2 0 1]
    """
    refuse_out_sharding("bincount", out_sharding)
    x = array_like("bincount", x)
    if not (dtypes.is_int(dtype_of(x)) or dtypes.is_bool(dtype_of(x))):
        raise TypeError(f"bincount: x must be of integers, got dtype {dtypes.dtype_name(dtype_of(x))}")
    if len(shape_of(x)) != 1:
        raise ValueError(f"bincount: x must be one-dimensional, got shape {shape_of(x)}")
    if weights is not None and shape_of(array_like("bincount", weights, "weights")) != shape_of(x):
        raise ValueError(f"bincount: weights must have the shape {shape_of(x)} of x, got {shape_of(weights)}")
    if length is not None:
        return _bincount(x, weights, operator.index(length))
    known = contents("bincount", x, "in a transformed function give bincount(..., length=n)").astype(np.int64)
    least = max(operator.index(minlength), 0)
    if weights is None and get_trace() is None:
        counted = np.bincount(np.maximum(known, 0), minlength=least)
        kind: Any = dtypes.default_int_dtype()
        return from_host(counted.astype(kind), x)
    return _bincount(x, weights, max(least, int(known.max(initial=-1)) + 1, 1 if known.size else 0))


# --- edges ------------------------------------------------------------------------------------


def _number_or_edges(name: str, a: Any, bins: Any, range: Any, weights: Any) -> tuple[int | None, Any]:
    """What `bins` says: the number of bins, or their edges."""
    if isinstance(bins, str):
        host = contents(name, a, "in a transformed function give the number of bins")
        known = (
            None
            if range is None
            else tuple([float(concrete(name, r, "give the number of bins")) for r in range])
        )
        if weights is not None:
            raise TypeError(f"{name}: bins={bins!r} cannot be chosen with weights; give the number of bins")
        with ambient(None):
            edges = np.histogram_bin_edges(host, bins, known)  # type: ignore[arg-type]
            dtype: Any = dtypes.to_inexact_dtype(dtype_of(a))
            return None, from_host(edges.astype(dtype), a)
    bins = array_like(name, bins, "bins")
    if not shape_of(bins):
        number = operator.index(bins)
        if number < 1:
            raise ValueError(f"{name}: bins must be positive, got {number}")
        return number, None
    if len(shape_of(bins)) != 1:
        raise ValueError(f"{name}: bins must be a number or a vector of edges, got shape {shape_of(bins)}")
    return None, bins


def _check_range(name: str, range: Any) -> Any:
    """The bounds of a range as two operands, or None."""
    if range is None:
        return None
    if hasattr(range, "shape"):
        if tuple(range.shape) != (2,):
            raise ValueError(f"{name}: range must have two elements, got shape {tuple(range.shape)}")
        return range[0], range[1]
    if len(range) != 2:
        raise ValueError(f"{name}: range must have two elements, got {range!r}")
    low, high = [array_like(name, r, "range") for r in range]
    if not isinstance(low, Tracer) and not isinstance(high, Tracer) and float(low) > float(high):
        raise ValueError(f"{name}: the end of the range must not lie before its start, got {range!r}")
    return low, high


def _edges(a: Any, number: int | None, edges: Any, range: Any, dtype: Any) -> Any:
    """The edges of the bins, in a dtype."""
    if edges is not None:
        return convert_element_type(edges, dtype)
    if range is None and math.prod(shape_of(a)) == 0:
        range = (0, 1)
    low, high = (array_min(a), array_max(a)) if range is None else range
    low, high = convert_element_type(low, dtype), convert_element_type(high, dtype)
    same = eq(low, high)
    half = filled(0.5, low)
    low, high = select(same, low - half, low), select(same, high + half, high)
    assert number is not None
    return linspace(low, high, number + 1, dtype=dtype)


@function(static=("number",))
def _bin_edges(a: Any, edges: Any, range: Any, number: int | None) -> Any:
    return _edges(a, number, edges, range, dtypes.to_inexact_dtype(dtype_of(a)))


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges of the bins that `histogram` would use.

    Args:
      a: an array.
      bins: the number of bins of equal width, a vector of edges, or the name of one of NumPy's ways to choose them.
      range: the outer edges; by default the least and the largest element.
      weights: not used; here as in NumPy.
    Raises:
      ValueError: `bins` or `range` is none. ConcretizationTypeError: `a` is traced and `bins` is a name.

    >>> import anima.numpy as np
    >>> print(np.histogram_bin_edges(np.array([0, 3, 4]), bins=2))
    [0. 2. 4.]
    """
    a = array_like("histogram_bin_edges", a)
    number, edges = _number_or_edges("histogram_bin_edges", a, bins, range, None)
    return _bin_edges(a, edges, _check_range("histogram_bin_edges", range), number)


# --- histograms -------------------------------------------------------------------------------


def _bin_of(name: str, x: Any, edges: Any) -> tuple[Any, Any]:
    """The number of the bin in which each element of a vector lies, and whether there is one."""
    n = shape_of(edges)[0]
    place = search(name, edges, x, True, "scan") - 1
    last = index_in_dim(edges, n - 1, keepdims=False)
    place = select(eq(x, filled(0, x) + last), filled(n - 2, place), place)
    inside = bitwise_and(greater_equal(place, 0), greater_equal(n - 2, place))
    return place, inside


@function(static=("number", "density"))
def _histogram(
    a: Any, edges: Any, range: Any, weights: Any, number: int | None, density: bool
) -> tuple[Any, Any]:
    a = ravel(a)
    if weights is None:
        (a,) = promote_dtypes_inexact("histogram", a)
        weights = full(shape_of(a), 1, dtype_of(a))
    else:
        a, weights = promote_dtypes_inexact("histogram", a, ravel(weights))
    edges = _edges(a, number, edges, range, dtype_of(a))
    size = shape_of(edges)[0] - 1
    place, inside = _bin_of("histogram", a, edges)
    counts = _tally(select(inside, place, filled(size, place)), weights, size)
    return (counts / diff(edges) / array_sum(counts) if density else counts), edges


def histogram(
    a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, Any]:
    """How many elements lie in each bin, and the edges of the bins.

    Args:
      a: an array.
      bins: the number of bins of equal width, a vector of increasing edges, or the name of one of NumPy's ways to choose
        them.
      range: the outer edges; by default the least and the largest element.
      weights: how much each element counts, in the shape of `a`.
      density: whether to return the density, whose integral is 1, in place of counts.
    Returns:
      the counts, floating-point, and one edge more than there are counts.
    Raises:
      ValueError: `bins` or `range` is none, or the weights are of another shape.
      ConcretizationTypeError: `a` is traced and `bins` is a name.

    >>> import anima.numpy as np
    >>> np.histogram(np.array([1, 2, 1, 5]), bins=2)
    (DeviceArray([3., 1.], dtype=float32), DeviceArray([1., 3., 5.], dtype=float32))
    """
    a = array_like("histogram", a)
    if weights is not None and shape_of(array_like("histogram", weights, "weights")) != shape_of(a):
        raise ValueError(
            f"histogram: weights must have the shape {shape_of(a)} of a, got {shape_of(weights)}"
        )
    number, edges = _number_or_edges("histogram", a, bins, range, weights)
    counts, edges = _histogram(a, edges, _check_range("histogram", range), weights, number, bool(density))
    return counts, edges


@function(static=("numbers", "density"))
def _histogramdd(
    sample: Any, edges: Any, ranges: Any, weights: Any, numbers: tuple[int | None, ...], density: bool
) -> tuple[Any, list[Any]]:
    if weights is None:
        (sample,) = promote_dtypes_inexact("histogramdd", sample)
    else:
        sample, weights = promote_dtypes_inexact("histogramdd", sample, weights)
    count, _ = shape_of(sample)
    flat: Any = full((count,), 0, np.int32)
    inside: Any = full((count,), True, np.dtype(bool))
    found = []
    for i, number in enumerate(numbers):
        column = index_in_dim(sample, i, 1, keepdims=False)
        found.append(_edges(column, number, edges[i], ranges[i], dtype_of(sample)))
        place, valid = _bin_of("histogramdd", column, found[i])
        flat, inside = flat * (shape_of(found[i])[0] - 1) + place, bitwise_and(inside, valid)
    sizes = tuple([shape_of(e)[0] - 1 for e in found])
    size = math.prod(sizes)
    weights = full((count,), 1, dtypes.default_int_dtype()) if weights is None else weights
    counts = reshape_p.bind(_tally(select(inside, flat, filled(size, flat)), weights, size), new_sizes=sizes)
    if density:
        counts = counts / array_sum(counts)
        for i, e in enumerate(found):
            counts = counts / expand_dims(diff(e), [d for d in builtins.range(len(found)) if d != i])
        counts = convert_element_type(counts, dtype_of(sample))
    return counts, found


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, list[Any]]:
    """How many points lie in each bin of a grid, and the edges of the bins along each dimension.

    Args:
      sample: the points, one in each row of a matrix.
      bins: the number of bins along each dimension; or for each dimension their number or edges.
      range: for each dimension the outer edges or None; by default the least and the largest coordinate.
      weights: how much each point counts.
      density: whether to return the density, whose integral is 1, in place of counts.
    Raises:
      ValueError: `sample` is no matrix, `bins` or `range` does not fit it, or weights are of another shape.

    >>> import anima.numpy as np
    >>> counts, edges = np.histogramdd(np.array([[0, 0], [1, 2], [1, 0]]), bins=2)
    >>> print(counts)
    [[1 0]
     [1 1]]
    """
    return _grid("histogramdd", array_like("histogramdd", sample), bins, range, weights, density)


def _grid(
    name: str, sample: Any, bins: Any, range: Any, weights: Any, density: bool | None
) -> tuple[Any, list[Any]]:
    if len(shape_of(sample)) != 2:
        raise ValueError(
            f"{name}: sample must be a matrix with a point in each row, got shape {shape_of(sample)}"
        )
    count, rank = shape_of(sample)
    if weights is not None and shape_of(array_like(name, weights, "weights")) != (count,):
        raise ValueError(f"{name}: weights must have shape {(count,)}, got {shape_of(weights)}")
    whole = not isinstance(bins, (list, tuple)) and not shape_of(array_like(name, bins, "bins"))
    each: Sequence[Any] = [bins] * rank if whole else list(bins)
    ranges: Sequence[Any] = [None] * rank if range is None else list(range)
    if len(each) != rank or len(ranges) != rank:
        raise ValueError(f"{name}: bins and range must have an entry for each of the {rank} dimensions")
    numbers, edges = (
        zip(*[_number_or_edges(name, sample, b, None, weights) for b in each]) if rank else ((), ())
    )
    limits = [_check_range(name, r) for r in ranges]
    counts, found = _histogramdd(sample, list(edges), limits, weights, tuple(numbers), bool(density))
    return counts, list(found)


@function
def _pairs(x: Any, y: Any) -> Any:
    return stack(promote_dtypes("histogram2d", x, y), axis=1)


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, Any, Any]:
    """How many points lie in each bin of a plane grid, and the edges of the bins along both dimensions.

    Args:
      x, y: the coordinates, vectors of equal size.
      bins: the number of bins along both dimensions, their edges, or a pair of those.
      range: for each dimension the outer edges or None; by default the least and the largest coordinate.
      weights: how much each point counts.
      density: whether to return the density, whose integral is 1, in place of counts.
    Raises:
      ValueError: the vectors differ in size, `bins` or `range` does not fit, or weights are of another shape.

    >>> import anima.numpy as np
    >>> counts, xedges, yedges = np.histogram2d(np.array([0, 1, 1]), np.array([0, 2, 0]), bins=2)
    >>> print(counts)
    [[1 0]
     [1 1]]
    """
    x, y = array_like("histogram2d", x), array_like("histogram2d", y, 1)
    if shape_of(x) != shape_of(y) or len(shape_of(x)) != 1:
        raise ValueError(
            f"histogram2d: x and y must be vectors of equal size, got shapes {shape_of(x)} and {shape_of(y)}"
        )
    if not isinstance(bins, (list, tuple)):
        given = shape_of(array_like("histogram2d", bins, "bins"))
        bins = [bins, bins] if given != (2,) else list(bins)
    counts, (xedges, yedges) = _grid("histogram2d", _pairs(x, y), bins, range, weights, density)
    return counts, xedges, yedges
