"""Padding: `pad`, in every mode of NumPy.

Invariant: axes are padded one after the other, so the corners are what the padding of an axis makes of the padding of those
before it. What is padded with is read in slices where its places are a run, in a gather otherwise; the array itself is
only copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from anima import dtypes
from anima.core.trace import Tracer
from anima.errors import ShapeConcretizationError
from anima.lax.convert import convert_element_type, convert_to
from anima.lax.create import full
from anima.lax.joining import concatenate, pad as lax_pad
from anima.lax.shape import broadcast_in_dim, reshape_p, rev_p
from anima.lax.slicing import index_in_dim, slice_in_dim
from anima.numpy import reductions
from anima.numpy.arithmetic import floor_divide
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.mapping import apply_along_axis
from anima.numpy.promotion import array_like, dtype_of, shape_of, weak_of
from anima.numpy.quantiles import median
from anima.numpy.rounding import rint
from anima.numpy.shapes import broadcast_to
from anima.numpy.taking import take

Widths = tuple[tuple[int, int], ...]


# --- what the arguments say -------------------------------------------------------------------


def _pairs(argument: str, value: Any, rank: int) -> Widths:
    """Numbers before and after each axis."""
    if isinstance(value, dict):
        each: list[Any] = [(0, 0)] * rank
        for axis, width in value.items():
            each[axis] = width if np.ndim(width) else (width, width)
        value = each
    if isinstance(value, Tracer) or any(isinstance(v, Tracer) for v in np.ravel(np.asarray(value, object))):
        raise ShapeConcretizationError("pad", value)
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise TypeError(f"pad: {argument} must be integers, got {value!r}")
    if (numbers < 0).any():
        raise ValueError(f"pad: {argument} must not be negative, got {value!r}")
    try:
        spread = np.broadcast_to(numbers, (rank, 2)).tolist()
    except ValueError:
        raise ValueError(
            f"pad: {argument} must be a number, a pair, or a pair for each of the {rank} axes, got shape {numbers.shape}"
        ) from None
    return tuple([(int(low), int(high)) for low, high in spread])


def _values(argument: str, value: Any, rank: int, dtype: Any) -> Any:
    """Values before and after each axis, as an array of shape (rank, 2); a scalar if all are the same."""
    array = asarray(value)
    if dtypes.is_complex(dtype_of(array)) and not dtypes.is_complex(dtype):
        array = array.real
    array = convert_element_type(array, dtype)
    if not shape_of(array):
        return array
    try:
        return broadcast_to(array, (rank, 2))
    except ValueError:
        raise ValueError(
            f"pad: {argument} must be a number, a pair, or a pair for each of the {rank} axes, got shape {shape_of(array)}"
        ) from None


# --- pieces along an axis ---------------------------------------------------------------------


def _stretched(x: Any, axis: int, size: int) -> Any:
    """An array of size 1 along an axis, repeated along it."""
    shape = shape_of(x)
    target = (*shape[:axis], size, *shape[axis + 1 :])
    kept = [i for i in range(len(shape)) if i != axis]
    return broadcast_in_dim(reshape_p.bind(x, new_sizes=tuple([shape[i] for i in kept])), target, kept)


def _read(x: Any, places: np.ndarray[Any, Any], axis: int) -> Any:
    """The parts of `x` along an axis at known places: a slice, possibly reversed, if they are a run."""
    steps = np.diff(places)
    if places.size and (steps == 1).all():
        return slice_in_dim(x, int(places[0]), int(places[-1]) + 1, axis=axis)
    if places.size and (steps == -1).all():
        return rev_p.bind(slice_in_dim(x, int(places[-1]), int(places[0]) + 1, axis=axis), dimensions=(axis,))
    return take(x, places.astype(np.int32), axis, mode="clip")


def _edge(x: Any, axis: int, last: bool) -> Any:
    n = shape_of(x)[axis]
    return slice_in_dim(x, n - 1, n, axis=axis) if last else slice_in_dim(x, 0, 1, axis=axis)


class _Sides(NamedTuple):
    """What stands before and after an array along an axis; None for nothing."""

    low: Any
    high: Any


def _join(sides: _Sides, x: Any, axis: int) -> Any:
    return concatenate([part for part in (sides.low, x, sides.high) if part is not None], axis)


# --- the modes: what to put beside an array along an axis -------------------------------------


def _repeated(x: Any, axis: int, width: tuple[int, int]) -> _Sides:
    return _Sides(
        *[_stretched(_edge(x, axis, bool(last)), axis, w) if w else None for last, w in enumerate(width)]
    )


def _ramps(x: Any, axis: int, width: tuple[int, int], ends: Any) -> _Sides:
    sides: list[Any] = []
    for last, w in enumerate(width):
        end = ends if not shape_of(ends) else index_in_dim(index_in_dim(ends, axis, 0, False), last, 0, False)
        sides.append(_ramp(_edge(x, axis, bool(last)), axis, w, end, bool(last)) if w else None)
    return _Sides(*sides)


def _ramp(edge: Any, axis: int, width: int, end: Any, outward: bool) -> Any:
    """Evenly spaced values from an end value on, up to but without the edge; integers are rounded down."""
    dtype = dtype_of(edge)
    whole = dtypes.is_int(dtype) or dtypes.is_bool(dtype)
    inner = dtypes.promote_types(dtype, np.int32) if whole else dtype
    shape = (*shape_of(edge)[:axis], width, *shape_of(edge)[axis + 1 :])
    counts = np.arange(width)[::-1] if outward else np.arange(width)
    steps = asarray(counts.astype(np.int32) if whole else (counts / width).astype(np.float64))
    steps = broadcast_in_dim(convert_element_type(steps, inner), shape, (axis,))
    start = broadcast_in_dim(convert_element_type(end, inner), shape, ())
    way = (_stretched(convert_element_type(edge, inner), axis, width) - start) * steps
    return convert_element_type(start + (floor_divide(way, width) if whole else way), dtype)


_STATISTICS: dict[str, Callable[..., Any]] = {
    "maximum": reductions.max, "minimum": reductions.min, "mean": reductions.mean, "median": median,
}  # fmt: skip


def _statistics(
    x: Any, axis: int, width: tuple[int, int], mode: str, lengths: tuple[int, int] | None
) -> _Sides:
    n, dtype = shape_of(x)[axis], dtype_of(x)
    sides: list[Any] = []
    for last, w in enumerate(width):
        if not w:
            sides.append(None)
            continue
        count = n if lengths is None else min(lengths[last], n)
        if not count:
            raise ValueError("pad: a stat_length of 0 leaves nothing to pad with")
        part = slice_in_dim(x, n - count, n, axis=axis) if last else slice_in_dim(x, 0, count, axis=axis)
        value = _STATISTICS[mode](part, axis, keepdims=True)
        if not dtypes.is_inexact(dtype) and dtypes.is_inexact(dtype_of(value)):
            value = rint(value)
        sides.append(_stretched(convert_element_type(value, dtype), axis, w))
    return _Sides(*sides)


def _mirrored(x: Any, axis: int, width: tuple[int, int], mode: str, odd: bool) -> _Sides:
    n = shape_of(x)[axis]
    # The extended array is periodic, but for the drift of an odd one; `inset` is whether its edges are not repeated.
    inset = 1 if mode == "reflect" else 0
    period = 1 if n == 1 and inset else n if mode == "wrap" else 2 * (n - inset)
    sides: list[Any] = []
    for places in (np.arange(-width[0], 0), np.arange(n, n + width[1])):
        round_, within = np.divmod(places, period)
        back = within >= n
        read = np.where(back, period - 1 + inset - within, within)
        part = _read(x, read, axis) if places.size else None
        sides.append(_drifted(x, part, axis, back, round_) if odd and part is not None and n > 1 else part)
    return _Sides(*sides)


def _drifted(x: Any, part: Any, axis: int, back: np.ndarray[Any, Any], round_: np.ndarray[Any, Any]) -> Any:
    """A mirrored part with values mirrored at the edges' values, too: those going back, each round further on."""
    shape, dtype = shape_of(part), dtype_of(x)
    first, last = (_stretched(_edge(x, axis, end), axis, shape[axis]) for end in (False, True))

    def along(values: np.ndarray[Any, Any]) -> Any:
        return broadcast_in_dim(convert_element_type(asarray(values.astype(np.int32)), dtype), shape, (axis,))

    sign, turns = along(np.where(back, -1, 1)), along(2 * round_)
    return sign * part + along(2 * back) * last + turns * (last - first)


# --- the function -----------------------------------------------------------------------------

# The keyword arguments that belong to each mode.
_KEYWORDS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",),
    "edge": (),
    "empty": (),
    "linear_ramp": ("end_values",),
    "maximum": ("stat_length",),
    "mean": ("stat_length",),
    "median": ("stat_length",),
    "minimum": ("stat_length",),
    "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
    "wrap": (),
}


def _constant(x: Any, widths: Widths, values: Any) -> Any:
    if not shape_of(values):
        return lax_pad(x, values, [(low, high, 0) for low, high in widths])
    for axis, width in enumerate(widths):
        for last, w in enumerate(width):
            value = index_in_dim(index_in_dim(values, axis, 0, False), last, 0, False)
            config = [(0, 0, 0)] * len(widths)
            config[axis] = (0, w, 0) if last else (w, 0, 0)
            x = lax_pad(x, value, config) if w else x
    return x


@function(static=("widths", "mode", "lengths", "odd"))
def _padded(x: Any, values: Any, widths: Widths, mode: str, lengths: Widths | None, odd: bool) -> Any:
    # As weakly typed as the array: what is added never makes it wider.
    dtype, weak = dtype_of(x), weak_of(x)
    if mode in ("constant", "empty"):
        return convert_to(_constant(x, widths, values), dtype, weak)
    for axis, width in enumerate(widths):
        if width == (0, 0):
            continue
        if shape_of(x)[axis] == 0:
            raise ValueError(
                f"pad: axis {axis} is empty and cannot be padded with mode {mode!r}; use 'constant'"
            )
        if mode == "edge":
            sides = _repeated(x, axis, width)
        elif mode == "linear_ramp":
            sides = _ramps(x, axis, width, values)
        elif mode in _STATISTICS:
            sides = _statistics(x, axis, width, mode, None if lengths is None else lengths[axis])
        else:
            sides = _mirrored(x, axis, width, mode, odd)
        x = _join(sides, x, axis)
    return convert_to(x, dtype, weak)


def _by_function(x: Any, widths: Widths, fill: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    x = _constant(x, widths, full((), 0, dtype_of(x)))
    for axis, width in enumerate(widths):
        x = apply_along_axis(lambda v, width=width, axis=axis: fill(v, width, axis, kwargs), axis, x)
    return x


def pad(array: Any, pad_width: Any, mode: str | Callable[..., Any] = "constant", **kwargs: Any) -> Any:
    """`array` with elements added before and after it along each axis.

    Args:
      array: an array.
      pad_width: how many: a number, a pair (before, after) for all axes, or a pair for each axis. It must not be traced.
      mode: what they are.
        "constant": `constant_values`, 0 by default, given as `pad_width` is.
        "edge": the element at the edge. "empty": what does not matter.
        "linear_ramp": evenly spaced values between the edge and `end_values`, 0 by default.
        "maximum", "mean", "median", "minimum": that of the axis, or of its `stat_length` elements next to the edge.
        "reflect": the array mirrored at its edges, which are not repeated; "symmetric": these are repeated.
        With `reflect_type="odd"` the values are mirrored at the values of the edges, too.
        "wrap": the array again and again.
        A function: called as `mode(vector, width, axis, kwargs)` with each vector along each axis, padded with zeros; it
        returns the vector with what it puts into the padding.
      **kwargs: `constant_values`, `end_values`, `stat_length` or `reflect_type`; for a function any.
    Raises:
      NotImplementedError: there is no such mode. ValueError: a keyword does not belong to it, a width is negative, or an
        axis is empty.
      ShapeConcretizationError: a width is traced.

    >>> import anima.numpy as np
    >>> print(np.pad(np.array([1, 2, 3]), (1, 2)))
    [0 1 2 3 0 0]
    >>> print(np.pad(np.array([1, 2, 3]), 2, mode="reflect"))
    [3 2 1 2 3 2 1]
    """
    x = asarray(array_like("pad", array))
    rank, dtype = len(shape_of(x)), dtype_of(x)
    if not callable(mode):
        _check_mode(mode, kwargs)
    if not rank:
        return x
    widths = _pairs("pad_width", pad_width, rank)
    if callable(mode):
        return _by_function(x, widths, mode, kwargs)
    if kwargs.get("reflect_type", "even") not in ("even", "odd"):
        raise ValueError(f"pad: reflect_type must be 'even' or 'odd', got {kwargs['reflect_type']!r}")
    lengths = kwargs.get("stat_length")
    lengths = None if lengths is None else _pairs("stat_length", lengths, rank)
    given = [name for name in ("constant_values", "end_values") if name in kwargs]
    if dtypes.is_extended(dtype):
        _check_moves_only(mode, kwargs, dtype)
        given = []
    fill = np.zeros((), np.int32 if dtypes.is_extended(dtype) else dtype)
    values = _values(given[0], kwargs[given[0]], rank, dtype) if given else asarray(fill)
    return _padded(x, values, widths, mode, lengths, kwargs.get("reflect_type") == "odd")


def _check_mode(mode: str, kwargs: dict[str, Any]) -> None:
    if mode not in _KEYWORDS:
        raise NotImplementedError(  # as JAX
            f"pad: mode must be one of {', '.join(map(repr, _KEYWORDS))}, or a function, got {mode!r}"
        )
    for name in kwargs:
        if name not in _KEYWORDS[mode]:
            raise ValueError(f"pad: keyword {name!r} does not belong to mode {mode!r}")


def _check_moves_only(mode: str, kwargs: dict[str, Any], dtype: Any) -> None:
    """Raise unless the mode does nothing but repeat elements, which are no numbers."""
    if mode not in ("edge", "wrap", "reflect", "symmetric") or kwargs.get("reflect_type", "even") == "odd":
        raise TypeError(
            f"pad: an array of dtype {dtype} holds no numbers to make others of; give a mode that repeats its elements, "
            'as mode="edge" does'
        )
