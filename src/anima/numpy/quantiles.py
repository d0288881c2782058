"""Order statistics: median, quantiles and percentiles, also without counting NaNs.

Invariant: each is a sort along the reduced axes and two reads from what is sorted. Half-precision numbers are interpolated
in single precision.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from anima import dtypes
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import eq, lt, ne
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.cumulative import cumsum_p
from anima.lax.operands import constant, filled
from anima.lax.reductions import reduce_or_p, reduce_sum_p
from anima.lax.selection import select
from anima.lax.shape import broadcast_in_dim, refuse_out_sharding, reshape_p, transpose_p
from anima.lax.slicing import slice_in_dim
from anima.lax.sorting import sort, take_along
from anima.numpy.arithmetic import maximum, minimum, remainder
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, shape_of, stretch
from anima.numpy.reductions import accumulator, axes_of, kept_shape, refuse_out
from anima.numpy.rounding import ceil, floor

# For the continuous methods: how the first and the last elements lie within the quantiles 0 and 1 (Hyndman and Fan 1996).
_CONTINUOUS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "linear": (1.0, 1.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_DISCRETE = (
    "inverted_cdf",
    "averaged_inverted_cdf",
    "closest_observation",
    "lower",
    "higher",
    "nearest",
    "midpoint",
)


# --- where a quantile lies --------------------------------------------------------------------


class _Between(NamedTuple):
    """The places between which a quantile lies, and the share of the upper one; None is all of the lower one."""

    low: Any
    high: Any
    share: Any


def _between(method: str, q: Any, n: Any) -> _Between:
    """Where the quantiles `q` of `n` sorted elements lie; both broadcast."""
    if method in _CONTINUOUS:
        alpha, beta = _CONTINUOUS[method]
        place = _clipped(
            q * (n - 1) if alpha == beta == 1 else n * q + (alpha + q * (1 - alpha - beta)) - 1, n
        )
        return _Between(floor(place), ceil(place), place - floor(place))
    if method in ("lower", "higher", "nearest", "midpoint"):
        place = _clipped(q * (n - 1), n)
        low, high = floor(place), ceil(place)
        if method == "midpoint":
            return _Between(low, high, select(eq(low, high), filled(0, low), filled(0.5, low)))
        if method == "nearest":
            half = place - low
            low = select(lt(filled(0.5, half), half), high, low)
        return _Between(high if method == "higher" else low, None, None)
    place = n * q
    if method == "closest_observation":
        place = place - 1.5
        low = floor(place)
        stays = bitwise_and(eq(place, low), eq(remainder(low, 2), filled(1, low)))
        return _Between(_clipped(select(stays, low, low + 1), n), None, None)
    low = _clipped(ceil(place) - 1, n)
    if method == "inverted_cdf":
        return _Between(low, None, None)
    high = _clipped(floor(place), n)
    return _Between(low, high, select(eq(low, high), filled(0, low), filled(0.5, low)))


def _clipped(place: Any, n: Any) -> Any:
    return maximum(minimum(place, n - 1), 0)


# --- the parts of a computation ---------------------------------------------------------------


class _Rows(NamedTuple):
    """An array with the reduced axes as one at the end, what is left of its shape, and that shape with the axes kept."""

    values: Any
    shape: tuple[int, ...]
    kept: tuple[int, ...]


def _rows(name: str, a: Any, axis: Any) -> _Rows:
    shape = shape_of(a)
    axes = axes_of(name, axis, len(shape))
    rest = tuple([i for i in range(len(shape)) if i not in axes])
    left = tuple([shape[i] for i in rest])
    moved = transpose_p.bind(a, permutation=(*rest, *axes))
    whole = reshape_p.bind(moved, new_sizes=(*left, math.prod([shape[i] for i in axes])))
    return _Rows(whole, left, kept_shape(shape, axes))


def _read(rows: Any, places: Any) -> Any:
    """The elements of each row at its places, which stand along the last dimension."""
    kind = np.dtype(np.int64 if shape_of(rows)[-1] >= 2**31 else np.int32)
    return take_along(rows, convert_element_type(places, kind), len(shape_of(rows)) - 1)


def _interpolated(rows: Any, where: _Between) -> Any:
    low = _read(rows, where.low)
    if where.share is None:
        return low
    share, high = where.share, _read(rows, where.high)
    # Between two infinities an exact place must not multiply one by zero.
    mixed = low * (filled(1, share) - share) + high * share
    return select(eq(share, filled(0, share)), low, mixed)


def _plain(rows: _Rows, q: Any, method: str, squash: bool) -> Any:
    """Quantiles of sorted rows: an array of shape (..., number of quantiles)."""
    n = shape_of(rows.values)[-1]
    ordered = sort(rows.values, -1, False)
    shape = (*rows.shape, *shape_of(q))
    q = stretch(q, shape_of(q), shape)
    if squash:
        counts = reduce_sum_p.bind(
            convert_element_type(eq(ordered, ordered), dtype_of(ordered)), axes=(len(rows.shape),)
        )
        counts = broadcast_in_dim(counts, shape, range(len(rows.shape)))
        return _interpolated(ordered, _between(method, q, counts))
    result = _interpolated(ordered, _between(method, q, filled(n, q)))
    last = slice_in_dim(ordered, n - 1, n, axis=-1)
    return select(
        stretch(ne(last, last), shape_of(last), shape), stretch(last, shape_of(last), shape), result
    )


def _weighted(rows: _Rows, weights: Any, q: Any, squash: bool) -> Any:
    """Quantiles of rows whose elements count by weight: the first element at which their share reaches `q`."""
    axis = len(rows.shape)
    missing = ne(rows.values, rows.values)
    if squash:
        weights = select(missing, filled(0, weights), weights)
    ordered, weights = sort([rows.values, weights], -1, True, 1)
    total = cumsum_p.bind(weights, axis=axis, reverse=False)
    n, k = shape_of(ordered)[-1], shape_of(q)[0]
    share = total / stretch(slice_in_dim(total, n - 1, n, axis=-1), (*rows.shape, 1), shape_of(total))
    # What has no weight yet is not even the quantile 0.
    share = select(eq(share, filled(0, share)), filled(-1, share), share)
    pairs = (*rows.shape, k, n)
    left = broadcast_in_dim(share, pairs, (*range(axis), axis + 1))
    passed = lt(left, broadcast_in_dim(q, pairs, (axis,)))
    places = reduce_sum_p.bind(convert_element_type(passed, np.int32), axes=(axis + 1,))
    result = _read(ordered, minimum(places, filled(n - 1, places)))
    if squash:
        return result
    spoiled = broadcast_in_dim(reduce_or_p.bind(missing, axes=(axis,)), shape_of(result), range(axis))
    return select(spoiled, filled(np.nan, result), result)


def _weights_like(name: str, a: Any, weights: Any, axis: Any) -> Any:
    """The weights in the shape of the array."""
    shape, given = shape_of(a), shape_of(weights)
    if given == shape:
        return weights
    if axis is None:
        raise ValueError(f"{name}: weights of shape {given} must have the shape {shape} of a if axis is None")
    axes = axes_of(name, axis, len(shape))
    if given != tuple([shape[i] for i in axes]):
        raise ValueError(f"{name}: weights of shape {given} do not fit a of shape {shape} along axis {axis}")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    weights = transpose_p.bind(weights, permutation=tuple(order))
    return broadcast_in_dim(weights, shape, [axes[i] for i in order])


def _quantile(
    name: str, a: Any, q: Any, axis: Any, method: str, keepdims: bool, weights: Any = None, squash: bool = False,
    scale: float = 1,
) -> Any:  # fmt: skip
    a, q = array_like(name, a), array_like(name, q, 1)
    if method not in _CONTINUOUS and method not in _DISCRETE:
        raise ValueError(
            f"{name}: method must be one of {', '.join(map(repr, (*_CONTINUOUS, *_DISCRETE)))}, got {method!r}"
        )
    for value in (a, q):
        if dtypes.is_complex(dtype_of(value)):
            raise ValueError(f"{name}: complex numbers have no order; take quantiles of .real and .imag")
    target = dtypes.to_inexact_dtype(dtype_of(a))
    inner = accumulator(target)
    asked = shape_of(q)
    q = reshape_p.bind(convert_element_type(q, inner), new_sizes=(math.prod(asked),))
    q = q / constant(scale, q) if scale != 1 else q
    rows = _rows(name, convert_element_type(a, inner), axis)
    if weights is not None:
        if method != "inverted_cdf":
            raise ValueError(f"{name}: only the method 'inverted_cdf' takes weights, got {method!r}")
        weights = convert_element_type(array_like(name, weights, "weights"), inner)
        weights = _rows(name, _weights_like(name, a, weights, axis), axis).values
    if shape_of(rows.values)[-1] == 0 or 0 in rows.shape:
        result = full((*rows.shape, *shape_of(q)), math.nan, inner)
    elif weights is not None:
        result = _weighted(rows, weights, q, squash)
    else:
        result = _plain(rows, q, method, squash)
    rank = len(rows.shape)
    result = transpose_p.bind(convert_element_type(result, target), permutation=(rank, *range(rank)))
    return reshape_p.bind(result, new_sizes=(*asked, *(rows.kept if keepdims else rows.shape)))


def _refuse(name: str, out: None, overwrite_input: bool) -> None:
    refuse_out(name, out)
    if overwrite_input:
        raise ValueError(f"{name}: overwrite_input is not supported: arrays are immutable")


# --- the functions ----------------------------------------------------------------------------

_SETTINGS = ("axis", "out", "overwrite_input", "method", "keepdims")


@function(static=_SETTINGS)
def quantile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """The numbers below which given shares of the elements lie; NaN if there is one among the elements, or none at all.

    Args:
      a: an array of real numbers.
      q: the shares, between 0 and 1, an array of any shape.
      axis: an integer, a sequence of them, or None for all axes.
      out, overwrite_input: not supported; must be None and False.
      method: what counts as the quantile between two elements. "linear" interpolates; "lower", "higher", "midpoint",
        "nearest" do as they say; the others are those of NumPy.
      keepdims: whether the axes stay, with size 1.
      weights: how much each element counts, in the shape of `a` or of the axes; only for "inverted_cdf".
    Returns:
      an array with the dimensions of `q` before those that are left of `a`.
    Raises:
      ValueError: an axis is out of range, there is no such method, weights do not fit, or a number is complex.

    >>> import anima.numpy as np
    >>> print(np.quantile(np.array([4, 1, 3, 2]), np.array([0.25, 0.5])))
    [1.75 2.5 ]
    """
    _refuse("quantile", out, overwrite_input)
    return _quantile("quantile", a, q, axis, method, keepdims, weights)


@function(static=_SETTINGS)
def nanquantile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """The quantiles of what is not NaN; arguments as for `quantile`.

    >>> import anima.numpy as np
    >>> print(np.nanquantile(np.array([4, np.nan, 2]), 0.5))
    3.0
    """
    _refuse("nanquantile", out, overwrite_input)
    return _quantile("nanquantile", a, q, axis, method, keepdims, weights, squash=True)


@function(static=(*_SETTINGS, "out_sharding"))
def percentile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """The numbers below which given percentages of the elements lie; arguments as for `quantile`, `q` up to 100.

    >>> import anima.numpy as np
    >>> print(np.percentile(np.array([4, 1, 3, 2]), 25))
    1.75
    """
    _refuse("percentile", out, overwrite_input)
    refuse_out_sharding("percentile", out_sharding)
    return _quantile("percentile", a, q, axis, method, keepdims, weights, scale=100)


@function(static=_SETTINGS)
def nanpercentile(
    a: Any, q: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """The percentiles of what is not NaN; arguments as for `quantile`, `q` up to 100.

    >>> import anima.numpy as np
    >>> print(np.nanpercentile(np.array([4, np.nan, 2]), 50))
    3.0
    """
    _refuse("nanpercentile", out, overwrite_input)
    return _quantile("nanpercentile", a, q, axis, method, keepdims, weights, squash=True, scale=100)


@function(static=_SETTINGS[:3] + ("keepdims",))
def median(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The middle of the elements in sorted order, or the mean of the two in the middle; NaN if there is one.

    Args:
      a: an array of real numbers.
      axis: an integer, a sequence of them, or None for all axes.
      out, overwrite_input: not supported; must be None and False.
      keepdims: whether the axes stay, with size 1.
    Raises:
      ValueError: an axis is out of range, or a number is complex.

    >>> import anima.numpy as np
    >>> print(np.median(np.array([4, 1, 2])))
    2.0
    """
    _refuse("median", out, overwrite_input)
    return _quantile("median", a, 0.5, axis, "midpoint", keepdims)


@function(static=_SETTINGS[:3] + ("keepdims",))
def nanmedian(
    a: Any, axis: Any = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The median of what is not NaN; arguments as for `median`.

    >>> import anima.numpy as np
    >>> print(np.nanmedian(np.array([4, np.nan, 2])))
    3.0
    """
    _refuse("nanmedian", out, overwrite_input)
    return _quantile("nanmedian", a, 0.5, axis, "midpoint", keepdims, squash=True)
