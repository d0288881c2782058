"""Running sums and products, and differences.

Invariant: a scan runs along one axis; without one, along the flattened array.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from anima import dtypes
from anima.lax import (
    add,
    broadcast_in_dim,
    concatenate,
    convert_element_type,
    cumprod as lax_cumprod,
    cumsum as lax_cumsum,
    div,
    mul,
    ne,
    select,
    slice_in_dim,
    sub,
)
from anima.lax.operands import constant, filled
from anima.lax.shape import check_axis
from anima.numpy.calls import function
from anima.numpy.creation import asarray
from anima.numpy.promotion import (
    array_like,
    aval,
    common_is_weak,
    dtype_of,
    inexact,
    promote,
    promote_dtypes,
    promote_dtypes_inexact,
    retyped,
    shape_of,
    stretch,
    weak_of,
)
from anima.numpy.reductions import accumulator, refuse_out
from anima.numpy.shapes import moveaxis, ravel

# --- running sums and products ----------------------------------------------------------------


def _scan(name: str, a: Any, axis: Any, dtype: Any, fold: Any, neutral: int, skip_nan: bool = False) -> Any:
    a, known = aval(name, a)
    if axis is None:
        a, axis = ravel(a), 0
    elif not shape_of(a):
        raise AxisError(f"{name}: axis {axis} is out of bounds for an array of dimension 0")
    along = check_axis(name, axis, len(shape_of(a)))
    if dtype is not None:
        target = dtypes.check_user_dtype_supported(dtype, name)
    else:
        target = dtypes.default_int_dtype() if dtypes.is_bool(known.dtype) else known.dtype
    inner = dtypes.default_int_dtype() if dtypes.is_bool(target) else accumulator(target)
    if skip_nan and dtypes.is_inexact(known.dtype):
        a = select(ne(a, a), filled(neutral, a), a)
    if dtypes.is_bool(target):
        a = convert_element_type(a, target)  # half is true, though as an integer it is 0
    return convert_element_type(fold(convert_element_type(a, inner), axis=along), target)


@function(static=("axis", "dtype", "out"))
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The running sums along an axis: each element is the sum of those up to it.

    Args:
      a: an array.
      axis: the axis; None for the flattened array.
      dtype: the result's dtype; by default that of `a`.
      out: not supported; must be None.

    >>> import anima.numpy as np
    >>> print(np.cumsum(np.array([1, 2, 3])))
    [1 3 6]
    """
    refuse_out("cumsum", out)
    return _scan("cumsum", a, axis, dtype, lax_cumsum, 0)


@function(static=("axis", "dtype", "out"))
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The running products along an axis; arguments as for `cumsum`.

    >>> import anima.numpy as np
    >>> print(np.cumprod(np.array([1, 2, 3])))
    [1 2 6]
    """
    refuse_out("cumprod", out)
    return _scan("cumprod", a, axis, dtype, lax_cumprod, 1)


@function(static=("axis", "dtype", "out"))
def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The running sums along an axis, NaN counting as 0; arguments as for `cumsum`.

    >>> import anima.numpy as np
    >>> print(np.nancumsum(np.array([1.0, np.nan, 3.0])))
    [1. 1. 4.]
    """
    refuse_out("nancumsum", out)
    return _scan("nancumsum", a, axis, dtype, lax_cumsum, 0, skip_nan=True)


@function(static=("axis", "dtype", "out"))
def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """The running products along an axis, NaN counting as 1; arguments as for `cumsum`.

    >>> import anima.numpy as np
    >>> print(np.nancumprod(np.array([1.0, np.nan, 3.0])))
    [1. 1. 3.]
    """
    refuse_out("nancumprod", out)
    return _scan("nancumprod", a, axis, dtype, lax_cumprod, 1, skip_nan=True)


def _cumulative(
    name: str, x: Any, axis: int | None, dtype: Any, include_initial: bool, fold: Any, neutral: int
) -> Any:
    x = array_like(name, x)
    rank = len(shape_of(x))
    if rank == 0:
        raise ValueError(f"{name}: x must have at least one dimension, got a scalar")
    if axis is None:
        if rank > 1:
            raise ValueError(f"{name}: axis must be given for an array of {rank} dimensions")
        axis = 0
    along = check_axis(name, axis, rank)
    wide = dtype
    if dtype is None and dtypes.is_int(dtype_of(x)):
        wide = (
            dtypes.default_int_dtype() if dtypes.is_signed_int(dtype_of(x)) else dtypes.default_uint_dtype()
        )
        wide = dtypes.promote_types(wide, dtype_of(x))
    result = _scan(name, x, along, wide, fold, neutral)
    if not include_initial:
        return result
    first = broadcast_in_dim(
        constant(neutral, result), tuple(1 if i == along else d for i, d in enumerate(shape_of(result))), ()
    )
    return concatenate([first, result], along)


@function(static=("axis", "dtype", "include_initial"))
def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running sums along an axis.

    Args:
      x: an array with at least one dimension.
      axis: the axis; may be left out for a vector.
      dtype: the result's dtype; by default that of `x`, widened if it is of small integers.
      include_initial: whether the result begins with 0.

    >>> import anima.numpy as np
    >>> print(np.cumulative_sum(np.array([1, 2, 3]), include_initial=True))
    [0 1 3 6]
    """
    return _cumulative("cumulative_sum", x, axis, dtype, include_initial, lax_cumsum, 0)


@function(static=("axis", "dtype", "include_initial"))
def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """The running products along an axis; arguments as for `cumulative_sum`, but `include_initial` puts a 1.

    >>> import anima.numpy as np
    >>> print(np.cumulative_prod(np.array([1, 2, 3]), include_initial=True))
    [1 1 2 6]
    """
    return _cumulative("cumulative_prod", x, axis, dtype, include_initial, lax_cumprod, 1)


# --- differences ------------------------------------------------------------------------------


def _subtract(x: Any, y: Any) -> Any:
    return ne(x, y) if dtypes.is_bool(dtype_of(x)) else sub(x, y)


def _border(name: str, a: Any, given: Any, axis: int, argument: str) -> Any:
    """What `diff` puts before or after an array along an axis: a scalar stands for one element everywhere."""
    given = array_like(name, given, argument)
    if shape_of(given):
        return given
    return broadcast_in_dim(given, tuple(1 if i == axis else d for i, d in enumerate(shape_of(a))), ())


@function(static=("n", "axis"))
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbouring elements along an axis.

    Args:
      a: an array.
      n: how often differences are taken.
      axis: the axis.
      prepend, append: elements put before or after `a` first: a scalar, or an array.
    Raises:
      ValueError: `n` is negative, or `a` is a scalar.

    >>> import anima.numpy as np
    >>> print(np.diff(np.array([1, 4, 9])))
    [3 5]
    """
    a, times = array_like("diff", a), operator.index(n)
    if times < 0:
        raise ValueError(f"diff: n must not be negative, got {times}")
    if times == 0:
        return asarray(a)
    if not shape_of(a):
        raise ValueError("diff needs at least one dimension, got a scalar")
    along = check_axis("diff", axis, len(shape_of(a)))
    parts = [a]
    if prepend is not None:
        parts.insert(0, _border("diff", a, prepend, along, "prepend"))
    if append is not None:
        parts.append(_border("diff", a, append, along, "append"))
    a = concatenate(list(promote_dtypes("diff", *parts)), along) if len(parts) > 1 else asarray(a)
    for _ in range(times):
        size = shape_of(a)[along]
        if size == 0:
            return a
        a = _subtract(slice_in_dim(a, 1, size, axis=along), slice_in_dim(a, 0, size - 1, axis=along))
    return a


@function
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbouring elements of the flattened array.

    Args:
      ary: an array.
      to_end, to_begin: elements put after or before the differences.
    Raises:
      TypeError: `ary` is boolean.

    >>> import anima.numpy as np
    >>> print(np.ediff1d(np.array([1, 4, 9]), to_begin=0))
    [0 3 5]
    """
    ary = ravel(array_like("ediff1d", ary))
    if dtypes.is_bool(dtype_of(ary)):
        raise TypeError("ediff1d does not subtract booleans; convert them to integers")
    size = shape_of(ary)[0]
    middle = _subtract(slice_in_dim(ary, min(1, size), size), slice_in_dim(ary, 0, max(size - 1, 0)))
    ends = [
        None if v is None else convert_element_type(ravel(v), dtype_of(middle)) for v in (to_begin, to_end)
    ]
    return concatenate([v for v in (ends[0], middle, ends[1]) if v is not None], 0)


@function(static=("axis",))
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral of sampled values along an axis, by the trapezoidal rule.

    Args:
      y: the values.
      x: where they were sampled; by default `dx` apart. A vector, or an array with the same axis, whose differences
        broadcast with the sums of neighbouring values.
      dx: the distance of samples.
      axis: the axis.
    Raises:
      ValueError: the axis is out of range, or the shapes do not broadcast.

    >>> import anima.numpy as np
    >>> print(np.trapezoid(np.array([1.0, 2.0, 3.0])))
    4.0
    """
    y = array_like("trapezoid", y)
    y = moveaxis(y, check_axis("trapezoid", axis, len(shape_of(y))), -1)
    if x is not None:
        y, x = promote_dtypes_inexact("trapezoid", y, array_like("trapezoid", x, "x"))
        rank = len(shape_of(x))
        steps = diff(x if rank == 1 else moveaxis(x, check_axis("trapezoid", axis, rank), -1), axis=-1)
    else:
        y, steps = promote_dtypes("trapezoid", inexact("trapezoid", y), array_like("trapezoid", dx, "dx"))
    size = shape_of(y)[-1]
    sums = add(slice_in_dim(y, min(1, size), size, axis=-1), slice_in_dim(y, 0, max(size - 1, 0), axis=-1))
    areas = mul(*_whole("trapezoid", sums, steps))
    total = asarray(areas).sum(axis=-1)
    return mul(total, constant(0.5, total))


def _whole(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    x, y = promote(name, x, y)
    shape = shape_of(x) or shape_of(y)
    return stretch(x, shape_of(x), shape), stretch(y, shape_of(y), shape)


def _interior_and_edges(f: Any, h: Any, axis: int) -> Any:
    """Central differences inside, one-sided ones at the two edges; `h` is one distance or those of neighbours."""
    size = shape_of(f)[axis]
    part = lambda lo, hi: slice_in_dim(f, lo, hi, axis=axis)
    if not shape_of(h):
        inside = div(sub(part(2, size), part(0, size - 2)), _like(mul(constant(2, h), h), part(2, size)))
        first = div(sub(part(1, 2), part(0, 1)), _like(h, part(0, 1)))
        last = div(sub(part(size - 1, size), part(size - 2, size - 1)), _like(h, part(0, 1)))
        return concatenate([first, inside, last], axis)
    steps = broadcast_in_dim(h, tuple(size - 1 if i == axis else 1 for i in range(len(shape_of(f)))), (axis,))
    steps = stretch(
        steps, shape_of(steps), tuple(size - 1 if i == axis else d for i, d in enumerate(shape_of(f)))
    )
    slopes = div(sub(part(1, size), part(0, size - 1)), steps)
    cut = lambda v, lo, hi: slice_in_dim(v, lo, hi, axis=axis)
    left, right = cut(steps, 0, size - 2), cut(steps, 1, size - 1)
    weighted = add(mul(cut(slopes, 0, size - 2), right), mul(cut(slopes, 1, size - 1), left))
    return concatenate(
        [cut(slopes, 0, 1), div(weighted, add(left, right)), cut(slopes, size - 2, size - 1)], axis
    )


def _like(scalar: Any, x: Any) -> Any:
    return broadcast_in_dim(scalar, shape_of(x), ())


@function(static=("axis", "edge_order"))
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """The slopes of sampled values along each axis, by central differences; one-sided ones at the edges.

    Args:
      f: the values.
      *varargs: the distance of samples: nothing for 1, one number for all axes, or for each axis a number or the
        coordinates along it.
      axis: an axis, a sequence of them, or None for all.
      edge_order: only 1, the default, is supported.
    Returns:
      an array for one axis, else a list of them.
    Raises:
      ValueError: an axis has fewer than two samples, or there are not as many distances as axes.

    >>> import anima.numpy as np
    >>> print(np.gradient(np.array([1.0, 2.0, 4.0])))
    [1.  1.5 2. ]
    """
    if edge_order not in (None, 1):
        raise ValueError(f"gradient: edge_order must be 1, got {edge_order}")
    given, f = f, inexact("gradient", f)
    rank = len(shape_of(f))
    axes = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    dims = [check_axis("gradient", a, rank) for a in axes]
    if any(shape_of(f)[d] < 2 for d in dims):
        raise ValueError(
            f"gradient: each axis must have at least 2 samples, got shape {shape_of(f)} and axis {axis}"
        )
    spacings = list(varargs) if varargs else [1.0]
    if len(spacings) == 1:
        spacings = spacings * len(dims)
    if len(spacings) != len(dims):
        raise ValueError(f"gradient: {len(spacings)} distances do not fit {len(dims)} axes")
    slopes = [_slope(f, spacing, dim) for spacing, dim in zip(spacings, dims)]
    if varargs:
        slopes = [retyped(s, common_is_weak("gradient", given, h)) for s, h in zip(slopes, spacings)]
    return slopes[0] if len(slopes) == 1 else slopes


def _slope(f: Any, spacing: Any, dim: int) -> Any:
    h = array_like("gradient", spacing, "varargs")
    if shape_of(h):
        if shape_of(h) != (shape_of(f)[dim],):
            raise ValueError(
                f"gradient: coordinates of shape {shape_of(h)} do not fit axis {dim} of shape {shape_of(f)}"
            )
        h = diff(h)
    f, h = promote_dtypes("gradient", f, h)
    return _interior_and_edges(asarray(f), asarray(h), dim)


@function(static=("axis", "period"))
def unwrap(p: Any, discont: Any = None, axis: int = -1, period: float = 2 * np.pi) -> Any:
    """`p` with jumps of more than half a period along an axis taken out by adding multiples of the period.

    Args:
      p: an array of angles.
      discont: the least jump that is taken out; at least half a period.
      axis: the axis.
      period: the period.

    >>> import anima.numpy as np
    >>> print(np.unwrap(np.array([0, 3, 6, 1]), period=8))
    [0 3 6 9]
    """
    p = array_like("unwrap", p)
    weak = weak_of(p) or not dtypes.is_inexact(dtype_of(p))
    if dtypes.is_bool(dtype_of(p)):
        p = convert_element_type(p, dtypes.default_int_dtype())
    whole = dtypes.is_int(dtype_of(p)) and float(period).is_integer()
    p = asarray(p) if whole else asarray(inexact("unwrap", p))
    unit = int(period) if whole else period
    along = check_axis("unwrap", axis, p.ndim)
    steps = diff(p, axis=axis)
    half = unit // 2 if whole else unit / 2
    folded = (steps + half) % unit - half
    if not whole or unit % 2 == 0:  # a jump of exactly half a period keeps its direction
        folded = _choose((folded == -half) & (steps > 0), filled(half, folded), folded)
    limit = half if discont is None else discont
    corrections = _choose(abs(steps) < limit, filled(0, steps), folded - steps)
    size = p.shape[along]
    moved = slice_in_dim(p, min(1, size), size, axis=along) + cumsum(corrections, axis=along)
    result = concatenate([slice_in_dim(p, 0, min(1, size), axis=along), moved], along)
    return retyped(result, weak and not whole and not size)  # as JAX


def _choose(mask: Any, x: Any, y: Any) -> Any:
    return select(mask, x, y)
