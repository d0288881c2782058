"""Sampled functions: interpolation, convolution and correlation; and the cross product.

Invariant: a convolution is computed as it is defined, so infinities and NaNs reach the elements whose sums hold them and no
others. Half-precision numbers are summed in single precision.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.lax.arithmetic import abs as lax_abs, add, mul, sub
from anima.lax.compare import gt, le, lt
from anima.lax.complex_parts import conj
from anima.lax.control.scanning import scan
from anima.lax.convert import convert_element_type
from anima.lax.create import full, iota
from anima.lax.joining import concatenate, pad
from anima.lax.operands import constant, filled
from anima.lax.precision import canonical_precision
from anima.lax.selection import clamp, select
from anima.lax.shape import reshape_p, rev_p
from anima.lax.slicing import dynamic_slice_in_dim, index_in_dim, slice_in_dim
from anima.lax.sorting import sort
from anima.numpy.arithmetic import remainder
from anima.numpy.calls import function
from anima.numpy.joining import stack
from anima.numpy.promotion import (
    array_like,
    dtype_of,
    promote_dtypes,
    promote_dtypes_inexact,
    shape_of,
    stretch,
)
from anima.numpy.reductions import accumulator
from anima.numpy.shapes import broadcast_shapes, moveaxis
from anima.numpy.sorting import search
from anima.numpy.taking import pick

# --- interpolation ----------------------------------------------------------------------------


def _end(name: str, argument: str, value: Any) -> tuple[Any, bool]:
    """The value on one side, None for that of the outermost point, and whether to extrapolate instead."""
    if isinstance(value, str):
        if value != "extrapolate":
            raise ValueError(f"{name}: {argument} must be a number or 'extrapolate', got {value!r}")
        return None, True
    return value, False


def _unrolled(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """Points within one period, sorted, with a neighbour from the next period on each side."""
    period = lax_abs(convert_element_type(array_like("interp", period, "period"), dtype_of(xp)))
    x, xp = remainder(x, period), remainder(xp, period)
    xp, fp = sort([xp, fp], 0, True, 1)
    n = shape_of(xp)[0]
    first, last = (slice_in_dim(xp, i, i + 1) for i in (0, n - 1))
    around = stretch(period, (), (1,))
    xp = concatenate([sub(last, around), xp, add(first, around)], 0)
    return x, xp, concatenate([slice_in_dim(fp, n - 1, n), fp, slice_in_dim(fp, 0, 1)], 0)


@function(static=("beyond",))
def _interp(x: Any, xp: Any, fp: Any, left: Any, right: Any, period: Any, beyond: tuple[bool, bool]) -> Any:
    x, xp = promote_dtypes_inexact("interp", x, xp)
    (fp,) = promote_dtypes_inexact("interp", fp)
    target = dtypes.promote_types(dtype_of(xp), dtype_of(fp))
    inner = dtypes.promote_types(accumulator(dtypes.to_real_dtype(target)), dtype_of(xp))
    x, xp = convert_element_type(x, inner), convert_element_type(xp, inner)
    fp = convert_element_type(fp, dtypes.promote_types(dtype_of(fp), inner))
    if period is not None:
        x, xp, fp = _unrolled(x, xp, fp, period)
    n = shape_of(xp)[0]
    if n == 1:
        result = stretch(pick(fp, 0), (), shape_of(x))
    else:
        result = _between_points(x, xp, fp, n)
    if period is None:
        for side, value, place in ((0, left, 0), (1, right, n - 1)):
            outside = (gt if side else lt)(x, stretch(index_in_dim(xp, place, 0, False), (), shape_of(x)))
            value = (
                index_in_dim(fp, place, 0, False) if value is None else array_like("interp", value, "left")
            )
            value = stretch(convert_element_type(value, dtype_of(result)), shape_of(value), shape_of(x))
            result = result if beyond[side] else select(outside, value, result)
    return convert_element_type(result, target)


def _between_points(x: Any, xp: Any, fp: Any, n: int) -> Any:
    """The straight line through the points on either side of each place; the outermost two for those outside."""
    after = search("interp", xp, x, True, "scan")
    after = clamp(constant(1, after), after, constant(n - 1, after))
    before = sub(after, filled(1, after))
    low, start = pick(xp, before), pick(fp, before)
    width = sub(pick(xp, after), low)
    # Between points at one place there is no slope; a division by zero there would spoil derivatives, too.
    tiny = float(dtypes.finfo(dtype_of(xp)).tiny)
    together = le(lax_abs(width), filled(tiny, width))
    share = sub(x, low) / select(together, filled(1, width), width)
    rise = mul(convert_element_type(share, dtype_of(fp)), sub(pick(fp, after), start))
    return select(together, start, add(start, rise))


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Any:
    """Values of the polygonal line through given points.

    Args:
      x: the places.
      xp: the points' places, a vector that increases, unless there is a period.
      fp: the points' values, a vector of the same size.
      left, right: what values are before the first and after the last point: by default those of these points;
        "extrapolate" continues the line.
      period: the period of the places: then the points may be in any order, and `left` and `right` are not used.
    Raises:
      ValueError: `xp` and `fp` are not vectors of one size, or empty, or the period is 0.

    >>> import anima.numpy as np
    >>> print(np.interp(np.array([0.5, 3.0]), np.array([0, 1, 2]), np.array([1, 3, 2])))
    [2. 2.]
    """
    x, xp, fp = (array_like("interp", v, i) for i, v in enumerate((x, xp, fp)))
    if len(shape_of(xp)) != 1 or shape_of(xp) != shape_of(fp):
        raise ValueError(
            f"interp: xp and fp must be vectors of one size, got shapes {shape_of(xp)} and {shape_of(fp)}"
        )
    if not shape_of(xp)[0]:
        raise ValueError("interp: xp and fp must not be empty")
    if isinstance(period, (int, float)) and period == 0:
        raise ValueError("interp: period must not be 0")
    (left, left_on), (right, right_on) = _end("interp", "left", left), _end("interp", "right", right)
    return _interp(x, xp, fp, left, right, period, (left_on, right_on))


# --- convolution ------------------------------------------------------------------------------

# So many products are summed in one pass over the longer operand.
_TAPS = 16


def _weighted_windows(x: Any, v: Any, count: int) -> Any:
    """The sums of `v` times each of the first `count` windows of `x`; both are vectors."""
    total = None
    for i in range(shape_of(v)[0]):
        weight = stretch(index_in_dim(v, i, 0, False), (), (count,))
        part = mul(slice_in_dim(x, i, i + count), weight)
        total = part if total is None else add(total, part)
    return total


def sliding_sums(x: Any, v: Any) -> Any:
    """The sums of `v` times each window of `x` of its size."""
    m = shape_of(v)[0]
    count = shape_of(x)[0] - m + 1
    if m <= 2 * _TAPS:
        return _weighted_windows(x, v, count)
    rest = m % _TAPS
    start = _weighted_windows(x, slice_in_dim(v, 0, rest), count) if rest else full((count,), 0, dtype_of(x))
    blocks = reshape_p.bind(slice_in_dim(v, rest, m), new_sizes=(m // _TAPS, _TAPS))

    def step(total: Any, row: Any) -> tuple[Any, None]:
        number, weights = row
        window = dynamic_slice_in_dim(x, add(mul(number, _TAPS), rest), count + _TAPS - 1)
        return add(total, _weighted_windows(window, weights, count)), None

    return scan(step, start, (iota("int32", m // _TAPS), blocks))[0]


def _convolved(name: str, a: Any, v: Any, mode: str, precision: Any, preferred: Any, flip: bool) -> Any:
    """The convolution of `a` with `v`, or with `v` reversed and conjugated."""
    a, v = array_like(name, a), array_like(name, v, 1)
    if len(shape_of(a)) != 1 or len(shape_of(v)) != 1:
        raise ValueError(
            f"{name}: a and v must be one-dimensional, got shapes {shape_of(a)} and {shape_of(v)}"
        )
    if not shape_of(a)[0] or not shape_of(v)[0]:
        raise ValueError(f"{name}: a and v must not be empty, got shapes {shape_of(a)} and {shape_of(v)}")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"{name}: mode must be 'full', 'same' or 'valid', got {mode!r}")
    canonical_precision(precision)
    a, v = promote_dtypes_inexact(name, a, v)
    target = dtype_of(a) if preferred is None else dtypes.check_user_dtype_supported(preferred, name)
    inner = accumulator(dtypes.promote_types(target, dtype_of(a)))
    a, v = convert_element_type(a, inner), convert_element_type(v, inner)
    if flip:
        v = rev_p.bind(conj(v) if dtypes.is_complex(inner) else v, dimensions=(0,))
    swapped = shape_of(a)[0] < shape_of(v)[0]
    long, short = (v, a) if swapped else (a, v)
    m = shape_of(short)[0]
    low = {"full": m - 1, "same": m // 2, "valid": 0}[mode]
    high = {"full": m - 1, "same": m - 1 - m // 2, "valid": 0}[mode]
    if flip and swapped:
        low, high = high, low
    long = pad(long, constant(0, long), [(low, high, 0)])
    return convert_element_type(sliding_sums(long, rev_p.bind(short, dimensions=(0,))), target)


_CONVOLVE_SETTINGS = ("mode", "precision", "preferred_element_type")


@function(static=_CONVOLVE_SETTINGS)
def convolve(
    a: Any, v: Any, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The convolution of two vectors: `result[k]` is the sum over `i` of `a[i] * v[k - i]`.

    Args:
      a, v: vectors.
      mode: "full" for all places where they overlap, "same" for as many places in the middle as the longer one has, "valid"
        for those where they overlap completely.
      precision: accepted; products are computed in full precision.
      preferred_element_type: the result's dtype.
    Raises:
      ValueError: an operand is no vector, or empty, or there is no such mode.

    >>> import anima.numpy as np
    >>> print(np.convolve(np.array([1, 2, 3]), np.array([1, 10])))
    [ 1. 12. 23. 30.]
    """
    return _convolved("convolve", a, v, mode, precision, preferred_element_type, False)


@function(static=_CONVOLVE_SETTINGS)
def correlate(
    a: Any, v: Any, mode: str = "valid", *, precision: Any = None, preferred_element_type: Any = None
) -> Any:
    """The correlation of two vectors: the convolution of `a` with `v` reversed and conjugated; arguments as there.

    >>> import anima.numpy as np
    >>> print(np.correlate(np.array([1, 2, 3]), np.array([1, 10])))
    [21. 32.]
    """
    return _convolved("correlate", a, v, mode, precision, preferred_element_type, True)


# --- cross product ----------------------------------------------------------------------------


@function(static=("axisa", "axisb", "axisc", "axis"))
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """The cross product of vectors with three components; those with two have a third that is zero.

    Args:
      a, b: arrays of vectors; besides the vectors' axes they broadcast.
      axisa, axisb: the axes along which the components of `a` and `b` stand.
      axisc: that of the result.
      axis: one axis for all of them.
    Returns:
      an array of vectors; of the third components alone if all vectors have two.
    Raises:
      ValueError: vectors do not have two or three components, or shapes do not broadcast.

    >>> import anima.numpy as np
    >>> print(np.cross(np.array([1, 0, 0]), np.array([0, 1, 0])))
    [0 0 1]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = promote_dtypes("cross", array_like("cross", a), array_like("cross", b, 1))
    parts = []
    for value, along in ((a, axisa), (b, axisb)):
        value = moveaxis(value, along, -1)
        size = shape_of(value)[-1]
        if size not in (2, 3):
            raise ValueError(f"cross: vectors must have two or three components, got {size}")
        parts.append([index_in_dim(value, i, -1, False) for i in range(size)])
    shape = broadcast_shapes(shape_of(parts[0][0]), shape_of(parts[1][0]))
    parts = [[stretch(p, shape_of(p), shape) for p in vector] for vector in parts]
    flat = len(parts[0]) == len(parts[1]) == 2
    x, y = ([*vector, filled(0, vector[0])][:3] for vector in parts)

    def component(i: int, j: int) -> Any:
        return sub(mul(x[i], y[j]), mul(x[j], y[i]))

    if flat:
        return component(0, 1)
    return moveaxis(stack([component(1, 2), component(2, 0), component(0, 1)], axis=-1), -1, axisc)
