"""What describes samples: the most frequent value, ranks, the standard error of the mean.

Invariant: equal elements are neighbours once sorted, so runs of them are found with one sort and two running maxima, along any axis.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import anima.numpy as np
from anima import dtypes
from anima.lax import cummax
from anima.lax.shape import check_axis
from anima.numpy.calls import function
from anima.numpy.promotion import array_like

_NAN_POLICIES = ("propagate", "omit", "raise")
_METHODS = ("average", "min", "max", "dense", "ordinal")


class ModeResult(NamedTuple):
    """The most frequent values, and how often they occur."""

    mode: Any
    count: Any


def _check_policy(name: str, policy: str) -> None:
    if policy not in _NAN_POLICIES:
        raise ValueError(f"{name}: nan_policy must be 'propagate', 'omit' or 'raise', got {policy!r}")
    if policy != "propagate":
        raise NotImplementedError(
            f"{name}: with nan_policy={policy!r} the shape or an error would depend on values, which are not known "
            "while tracing; remove NaNs first, or use 'propagate'"
        )


def _starts(x: Any) -> Any:
    """Where runs of equal elements begin, along the last axis of sorted ones; NaNs equal each other."""
    before, after = x[..., :-1], x[..., 1:]
    same = (before == after) | ((before != before) & (after != after))
    return np.concatenate([np.ones_like(x[..., :1], bool), ~same], -1)


def _first(starts: Any, places: Any) -> Any:
    """For each element of sorted ones, the place where its run begins."""
    return cummax(np.where(starts, places, 0), axis=starts.ndim - 1)


# --- mode -------------------------------------------------------------------------------------


@function(static=("axis", "keepdims"))
def _mode(a: Any, axis: int | None, keepdims: bool) -> tuple[Any, Any]:
    a = np.asarray(a)
    rank = a.ndim
    # A number is a vector of one.
    place = 0 if axis is None else check_axis("mode", axis, max(rank, 1))
    a = a.reshape(-1) if axis is None or not rank else a
    a = np.moveaxis(a, place, -1)
    outer, size = a.shape[:-1], a.shape[-1]
    if size:
        ordered = np.sort(a, axis=-1)
        places = np.arange(size)
        lengths = places - _first(_starts(ordered), np.broadcast_to(places, a.shape)) + 1
        best = np.argmax(lengths, axis=-1, keepdims=True)
        value = np.take_along_axis(ordered, best, -1)[..., 0]
        count = np.max(lengths, axis=-1)
    elif math.prod(outer):
        # There is no value: SciPy's answer is NaN, 0 times, both in floating point.
        count = np.zeros(outer)
        value = np.full_like(count, math.nan)
    else:
        value, count = np.zeros(outer, a.dtype), np.zeros(outer, np.arange(0).dtype)
    if not keepdims:
        return value, count
    if axis is None or not rank:
        shape = (1,) * max(rank, 1)
        return value.reshape(shape), count.reshape(shape)
    return np.expand_dims(value, place), np.expand_dims(count, place)


def mode(a: Any, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False) -> ModeResult:
    """The most frequent values along an axis; the smallest of them where several are.

    Args:
      a: numbers of any dtype; a NaN is a value like others, greater than all.
      axis: the axis; None for the elements of all.
      nan_policy: must be "propagate".
      keepdims: keep the axis, with length 1.
    Returns:
      The values, of the dtype of `a`, and their integer counts. Without elements the value is NaN, and the count 0, in floating
      point.
    Raises:
      ValueError: the axis is out of bounds, or there is no such policy. NotImplementedError: the policy is another than "propagate".
      TypeError: the axis is no integer, or `a` no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import stats
    >>> found = stats.mode(np.array([3, 1, 3, 2]))
    >>> print(found.mode, found.count)
    3 2
    """
    _check_policy("mode", nan_policy)
    axis = None if axis is None else operator.index(axis)
    return ModeResult(*_mode(array_like("mode", a), axis, bool(keepdims)))


# --- ranks ------------------------------------------------------------------------------------


@function(static=("method", "axis"))
def _ranks(a: Any, method: str, axis: int | None) -> Any:
    a = np.asarray(a)
    if axis is None:
        a, place = a.reshape(-1), 0
    else:
        place = check_axis("rankdata", axis, a.ndim)
    a = np.moveaxis(a, place, -1)
    size = a.shape[-1]
    if not a.size:
        return np.moveaxis(np.zeros(a.shape), -1, place)
    places = np.broadcast_to(np.arange(size), a.shape)
    order = np.argsort(a, axis=-1, stable=True)
    if method == "ordinal":
        found = places + 1
    else:
        starts = _starts(np.take_along_axis(a, order, -1))
        if method == "dense":
            found = np.cumsum(starts, axis=-1)
        else:
            first = _first(starts, places) + 1
            ends = np.concatenate([starts[..., 1:], np.ones_like(starts[..., :1])], -1)
            last = size - np.flip(_first(np.flip(ends, -1), places), -1)
            found = {"min": first, "max": last, "average": 0.5 * (first + last)}[method]
    inverse = np.argsort(order, axis=-1, stable=True)
    ranks = np.take_along_axis(found, inverse, -1).astype(float)
    ranks = np.where(np.any(a != a, axis=-1, keepdims=True), math.nan, ranks)
    return np.moveaxis(ranks, -1, place)


def rankdata(
    a: Any, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"
) -> Any:
    """The ranks of elements along an axis, from 1; all are NaN where one of the elements is.

    Args:
      a: numbers of any dtype; complex ones are ordered by their real part, then by their imaginary part.
      method: which ranks equal elements get: the "average" of the ranks that they have together, the "min" or the "max" of them,
        "dense" for "min" without gaps, or "ordinal" for different ones, in the order in which they stand.
      axis: the axis; None for one row of all elements.
      nan_policy: must be "propagate".
    Returns:
      floating-point numbers of the shape of `a`, or a vector if `axis` is None.
    Raises:
      ValueError: there is no such method or policy, or the axis is out of bounds. NotImplementedError: the policy is another than
        "propagate". TypeError: the axis is no integer, or `a` no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import stats
    >>> print(stats.rankdata(np.array([3.0, 1.0, 3.0, 2.0])))
    [3.5 1.  3.5 2. ]
    """
    _check_policy("rankdata", nan_policy)
    if method not in _METHODS:
        raise ValueError(f"rankdata: unknown method {method!r}; use one of {', '.join(_METHODS)}")
    axis = None if axis is None else operator.index(axis)
    return _ranks(array_like("rankdata", a), method, axis)


# --- the standard error -----------------------------------------------------------------------


@function(static=("axis", "ddof", "omit", "keepdims"))
def _sem(a: Any, axis: int | None, ddof: Any, omit: bool, keepdims: bool) -> Any:
    a = np.asarray(a)
    if axis is not None:
        check_axis("sem", axis, a.ndim)
    where = a == a if omit else np.ones((1,) * a.ndim, bool)
    count = np.sum(np.broadcast_to(where, a.shape), axis=axis, keepdims=keepdims)
    deviation = np.std(a, axis=axis, ddof=ddof, keepdims=keepdims, where=where if omit else None)
    deviation = np.where(count > ddof, deviation, math.nan)
    result = deviation / np.sqrt(count.astype(deviation.dtype))
    return result.astype(a.dtype) if dtypes.is_complex(a.dtype) else result


def sem(
    a: Any,
    axis: int | None = 0,
    ddof: int = 1,
    nan_policy: str = "propagate",
    *,
    keepdims: bool = False,
) -> Any:
    """The standard error of the mean: the standard deviation divided by the square root of the number of elements.

    Args:
      a: numbers of any dtype.
      axis: the axis; None for the elements of all.
      ddof: what is subtracted from the number of elements in the variance.
      nan_policy: "propagate", or "omit" to leave NaNs out.
      keepdims: keep the axis, with length 1.
    Returns:
      numbers of the inexact dtype of `a`; NaN where there are not more elements than `ddof`.
    Raises:
      ValueError: there is no such policy, or the axis is out of bounds. TypeError: the axis is no integer, or `a` no array.

    >>> import anima.numpy as np
    >>> from anima.scipy import stats
    >>> print(stats.sem(np.array([1.0, 2.0, 3.0, 6.0])).round(4))
    1.0801
    """
    if nan_policy not in ("propagate", "omit"):
        raise ValueError(f"sem: nan_policy must be 'propagate' or 'omit', got {nan_policy!r}")
    axis = None if axis is None else operator.index(axis)
    return _sem(array_like("sem", a), axis, ddof, nan_policy == "omit", bool(keepdims))
