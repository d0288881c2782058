"""Reductions: sums, products, extremes and their places, means, "all" and "any".

Invariant: results are strongly typed. Sums and products of half-precision numbers accumulate in single precision; those of
small integers in the default integer dtype.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from anima import dtypes
from anima.errors import ArgumentError
from anima.lax import (
    add,
    argmax_p,
    argmin_p,
    bitwise_or,
    conj as lax_conj,
    convert_element_type,
    div,
    eq,
    lt,
    max as lax_max,
    min as lax_min,
    mul,
    ne,
    real,
    reduce_and_p,
    reduce_max_p,
    reduce_min_p,
    reduce_or_p,
    reduce_prod_p,
    reduce_sum_p,
    reshape_p,
    select,
    sqrt_p,
    sub,
)
from anima.lax.axis_names import axis_size
from anima.lax.collectives import pmax, pmin, psum
from anima.lax.declare import ANY, check_dtype
from anima.lax.operands import constant, filled
from anima.lax.reductions import extreme
from anima.lax.shape import check_axes, check_axis
from anima.numpy.calls import function
from anima.numpy.logic import truth
from anima.numpy.promotion import array_like, aval, dtype_of, shape_of, stretch

_SETTINGS = ("axis", "dtype", "out", "keepdims", "promote_integers")


def axes_of(name: str, axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that an `axis` argument means: None is all of them.

    Raises:
      TypeError: it is no integer or sequence of them. ValueError: one is out of range or repeated.
    """
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, (tuple, list)):
        return check_axes(name, axis, ndim, "axis", negative=True)
    return (check_axis(name, axis, ndim),)


def without_names(axis: Any) -> tuple[Any, tuple[str, ...]]:
    """An `axis` argument without the names in it, and those: of axes of `vmap` and `shard_map`, along which sums go on."""
    if isinstance(axis, str):
        return (), (axis,)
    if not isinstance(axis, (tuple, list)):
        return axis, ()
    names = tuple([a for a in axis if isinstance(a, str)])
    return tuple([a for a in axis if not isinstance(a, str)]) if names else axis, names


def refuse_out(name: str, out: Any) -> None:
    """Raise if an `out` argument is given."""
    if out is not None:
        raise ValueError(f"{name}: out is not supported: arrays are immutable; use the result")


def kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with size 1 in place of `axes`."""
    return tuple([1 if i in axes else d for i, d in enumerate(shape)])


def _keep(result: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    return reshape_p.bind(result, new_sizes=kept_shape(shape, axes)) if keepdims and axes else result


def _mask(name: str, where: Any) -> Any:
    mask = array_like(name, where, "where")
    if not dtypes.is_bool(dtype_of(mask)):
        raise ArgumentError(
            f"{name}: where must hold booleans, got {dtypes.dtype_name(dtype_of(mask))}; compare with 0"
        )
    return mask


def _masked(name: str, a: Any, where: Any, neutral: Any) -> Any:
    """`a`, with the neutral element where `where` is False."""
    if where is None:
        return a
    mask = _mask(name, where)
    shape = np.broadcast_shapes(shape_of(a), shape_of(mask))
    a = stretch(a, shape_of(a), shape)
    return select(stretch(mask, shape_of(mask), shape), a, filled(neutral, a))


def _strong(a: Any, dtype: Any) -> Any:
    return convert_element_type(a, dtype)


def _widest(dtype: Any, promote_integers: bool) -> Any:
    """The dtype of the sum or product of elements of a dtype."""
    kind = dtypes.kind_of(dtype)
    if kind == "b":
        return dtypes.default_int_dtype()
    if promote_integers and kind in ("i", "u"):
        wide = dtypes.default_int_dtype() if kind == "i" else dtypes.default_uint_dtype()
        return wide if dtypes.itemsize_bits(wide) > dtypes.itemsize_bits(dtype) else dtype
    return dtype


def accumulator(dtype: Any) -> Any:
    """The dtype in which a sum of numbers of `dtype` is computed."""
    half = dtypes.kind_of(dtype) == "f" and dtypes.itemsize_bits(dtype) <= 16
    return dtypes.float32 if half else dtype


def _fold(
    name: str, a: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any, promote_integers: bool,
    primitive: Any, combine: Callable[[Any, Any], Any], neutral: int,
) -> Any:  # fmt: skip
    """A sum or a product."""
    a, known = aval(name, a)
    check_dtype(name, known, ANY)
    if dtype is not None:
        target = dtypes.check_user_dtype_supported(dtype, name)
    else:
        target = _widest(known.dtype, promote_integers)
    inner = accumulator(target)
    if dtypes.is_bool(target):  # the sum of truth values is "any", their product "all"
        a, inner = _strong(a, target), dtypes.default_int_dtype()
    a = _masked(name, _strong(a, inner), where, neutral)
    shape = shape_of(a)
    axis, names = without_names(axis) if primitive is reduce_sum_p else (axis, ())
    axes = axes_of(name, axis, len(shape))
    result = primitive.bind(a, axes=axes) if axes else a
    result = psum(result, names) if names else result
    if initial is not None:
        result = combine(_strong(_strong(array_like(name, initial, "initial"), target), inner), result)
    if inner != target:
        result = _strong(result, target)
    return _keep(result, shape, axes, keepdims)


@function(static=_SETTINGS)
def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None, promote_integers: bool = True,
) -> Any:  # fmt: skip
    """The sum of the elements along some axes.

    Args:
      a: an array.
      axis: an integer, a sequence of them, or None for all axes; also names of axes of a `vmap` around.
      dtype: the result's dtype; by default that of `a`, widened if it is of small integers.
      out: not supported; must be None.
      keepdims: whether the axes stay, with size 1.
      initial: a number to start from.
      where: which elements count.
      promote_integers: whether small integers are widened.
    Raises:
      TypeError: `a` is no array. ValueError: an axis is out of range or repeated.

    >>> import anima.numpy as np
    >>> print(np.sum(np.array([[1, 2], [3, 4]]), axis=0))
    [4 6]
    """
    refuse_out("sum", out)
    return _fold("sum", a, axis, dtype, keepdims, initial, where, promote_integers, reduce_sum_p, add, 0)


@function(static=_SETTINGS)
def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None, promote_integers: bool = True,
) -> Any:  # fmt: skip
    """The product of the elements along some axes; arguments as for `sum`.

    >>> import anima.numpy as np
    >>> print(np.prod(np.array([[1, 2], [3, 4]]), axis=0))
    [3 8]
    """
    refuse_out("prod", out)
    return _fold("prod", a, axis, dtype, keepdims, initial, where, promote_integers, reduce_prod_p, mul, 1)


# --- extremes ---------------------------------------------------------------------------------


def _extreme(
    name: str,
    a: Any,
    axis: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
    primitive: Any,
    combine: Any,
    lowest: bool,
) -> Any:
    a, known = aval(name, a)
    check_dtype(name, known, ANY)
    if initial is None and where is not None:
        raise ValueError(f"{name} has no identity, so it needs initial= beside where=")
    a = _masked(name, _strong(a, known.dtype), where, extreme(known.dtype, lowest))
    shape = shape_of(a)
    axis, names = without_names(axis)
    axes = axes_of(name, axis, len(shape))
    if initial is None and builtins.any([shape[i] == 0 for i in axes]):
        raise ValueError(
            f"zero-size array to reduction operation {name} which has no identity; give initial="
        )
    result = primitive.bind(a, axes=axes) if axes else a
    if names:
        result = pmax(result, names) if lowest else pmin(result, names)
    if initial is not None:
        start = _strong(array_like(name, initial, "initial"), known.dtype)
        result = combine(start, result)
    return _keep(result, shape, axes, keepdims)


@function(static=("axis", "out", "keepdims"))
def max(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The largest element along some axes; NaN if there is one.

    Args:
      a: an array.
      axis: an integer, a sequence of them, or None for all axes; also names of axes of a `vmap` around.
      out: not supported; must be None.
      keepdims: whether the axes stay, with size 1.
      initial: the least value of the result; needed for empty axes and with `where`.
      where: which elements count.
    Raises:
      ValueError: an axis is out of range, or empty while there is no `initial`.

    >>> import anima.numpy as np
    >>> print(np.max(np.array([[1, 2], [3, 4]]), axis=0))
    [3 4]
    """
    refuse_out("max", out)
    return _extreme("max", a, axis, keepdims, initial, where, reduce_max_p, lax_max, True)


@function(static=("axis", "out", "keepdims"))
def min(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The smallest element along some axes; NaN if there is one. Arguments as for `max`.

    >>> import anima.numpy as np
    >>> print(np.min(np.array([[1, 2], [3, 4]]), axis=0))
    [1 2]
    """
    refuse_out("min", out)
    return _extreme("min", a, axis, keepdims, initial, where, reduce_min_p, lax_min, False)


@function(static=("axis", "out", "keepdims"))
def amax(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The largest element along some axes: the same as `max`.

    >>> import anima.numpy as np
    >>> print(np.amax(np.array([1, 3, 2])))
    3
    """
    refuse_out("amax", out)
    return _extreme("amax", a, axis, keepdims, initial, where, reduce_max_p, lax_max, True)


@function(static=("axis", "out", "keepdims"))
def amin(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The smallest element along some axes: the same as `min`.

    >>> import anima.numpy as np
    >>> print(np.amin(np.array([1, 3, 2])))
    1
    """
    refuse_out("amin", out)
    return _extreme("amin", a, axis, keepdims, initial, where, reduce_min_p, lax_min, False)


@function(static=("axis", "out", "keepdims"))
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """The range of the elements along some axes: the largest less the smallest.

    >>> import anima.numpy as np
    >>> print(np.ptp(np.array([1, 5, 2])))
    4
    """
    refuse_out("ptp", out)
    largest = _extreme("ptp", a, axis, keepdims, None, None, reduce_max_p, lax_max, True)
    return sub(largest, _extreme("ptp", a, axis, keepdims, None, None, reduce_min_p, lax_min, False))


def _place(name: str, a: Any, axis: Any, keepdims: Any, primitive: Any) -> Any:
    a, known = aval(name, a)
    shape = known.shape
    if axis is None:
        a = reshape_p.bind(a, new_sizes=(math.prod(shape),)) if len(shape) != 1 else a
        axes: tuple[int, ...] = tuple(range(len(shape)))
        along = 0
    else:
        along = check_axis(name, axis, len(shape))
        axes = (along,)
    if shape_of(a)[along] == 0:
        raise ValueError(f"attempt to get {name} of an empty sequence")
    if dtypes.is_complex(known.dtype):
        a, primitive = _where_extreme(name, a, along, primitive is argmax_p), argmax_p
    result = primitive.bind(a, axes=(along,), index_dtype=dtypes.default_int_dtype())
    return _keep(result, shape, axes, bool(keepdims))


def _where_extreme(name: str, a: Any, axis: int, lowest: bool) -> Any:
    """Where complex numbers equal the extreme along an axis, in the order of real parts, then of imaginary ones."""
    primitive, combine = (reduce_max_p, lax_max) if lowest else (reduce_min_p, lax_min)
    found = _extreme(name, a, axis, True, None, None, primitive, combine, lowest)
    return bitwise_or(eq(a, stretch(found, shape_of(found), shape_of(a))), ne(a, a))


@function(static=("axis", "out", "keepdims"))
def argmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the largest element along an axis: of equal ones the first; of the first NaN if there is one.

    Args:
      a: an array; complex numbers are ordered by their real parts, then by their imaginary ones.
      axis: an axis, or None for the index in the flattened array.
      out: not supported; must be None.
      keepdims: whether the axis stays, with size 1.
    Raises:
      ValueError: the axis is out of range or empty.

    >>> import anima.numpy as np
    >>> print(np.argmax(np.array([[1, 9], [3, 4]]), axis=1))
    [1 1]
    """
    refuse_out("argmax", out)
    return _place("argmax", a, axis, keepdims, argmax_p)


@function(static=("axis", "out", "keepdims"))
def argmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the smallest element along an axis; arguments as for `argmax`.

    >>> import anima.numpy as np
    >>> print(np.argmin(np.array([[1, 9], [3, 4]]), axis=1))
    [0 0]
    """
    refuse_out("argmin", out)
    return _place("argmin", a, axis, keepdims, argmin_p)


# --- truth ------------------------------------------------------------------------------------


def _logical(name: str, a: Any, axis: Any, keepdims: bool, where: Any, primitive: Any, neutral: bool) -> Any:
    a = _masked(name, truth(name, a), where, neutral)
    shape = shape_of(a)
    axes = axes_of(name, axis, len(shape))
    return _keep(primitive.bind(a, axes=axes), shape, axes, keepdims)


@function(static=("axis", "out", "keepdims"))
def all(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether all elements along some axes are nonzero.

    Args:
      a: an array.
      axis: an integer, a sequence of them, or None for all axes.
      out: not supported; must be None.
      keepdims: whether the axes stay, with size 1.
      where: which elements count.
    Raises:
      ValueError: an axis is out of range or repeated.

    >>> import anima.numpy as np
    >>> print(np.all(np.array([[1, 0], [3, 4]]), axis=0))
    [ True False]
    """
    refuse_out("all", out)
    return _logical("all", a, axis, keepdims, where, reduce_and_p, True)


@function(static=("axis", "out", "keepdims"))
def any(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
    """Whether any element along some axes is nonzero; arguments as for `all`.

    >>> import anima.numpy as np
    >>> print(np.any(np.array([[1, 0], [3, 0]]), axis=0))
    [ True False]
    """
    refuse_out("any", out)
    return _logical("any", a, axis, keepdims, where, reduce_or_p, False)


@function(static=("axis", "keepdims"))
def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements along some axes are nonzero.

    >>> import anima.numpy as np
    >>> print(np.count_nonzero(np.array([1, 0, 2])))
    2
    """
    return _count("count_nonzero", truth("count_nonzero", a), axis, keepdims)


def _count(name: str, mask: Any, axis: Any, keepdims: bool) -> Any:
    return _fold(name, mask, axis, None, keepdims, None, None, True, reduce_sum_p, add, 0)


# --- means ------------------------------------------------------------------------------------


def _mean_dtypes(name: str, a: Any, dtype: Any) -> tuple[Any, Any]:
    """The dtype of a mean, and that in which it is computed."""
    if dtype is None:
        target = dtypes.to_inexact_dtype(dtype_of(a))
    else:
        target = dtypes.check_user_dtype_supported(dtype, name)
        if dtypes.is_bool(target):
            raise TypeError(f"{name}: dtype must be one of numbers, got bool")
    return target, accumulator(dtypes.to_inexact_dtype(target))


def _amount(a: Any, axis: Any, where: Any, keepdims: bool, name: str) -> Any:
    """How many elements are summed: a number, or an array if a mask decides."""
    shape = shape_of(a)
    axis, names = without_names(axis)
    axes = axes_of(name, axis, len(shape))
    if where is None:
        return math.prod([shape[i] for i in axes]) * (axis_size(names) if names else 1)
    mask = _mask(name, where)
    shape = np.broadcast_shapes(shape, shape_of(mask))
    every = (*axes_of(name, axis, len(shape)), *names)
    return _count(name, stretch(mask, shape_of(mask), shape), every, keepdims)


def _divided(total: Any, amount: Any) -> Any:
    """A sum divided by a count."""
    if isinstance(amount, (int, float)):
        return div(total, constant(amount, total))
    return div(total, convert_element_type(amount, dtype_of(total)))


def mean_of(name: str, a: Any, axis: Any, dtype: Any, keepdims: bool, where: Any) -> Any:
    """The mean, in the dtype in which it is computed."""
    total = _fold(name, a, axis, dtype, keepdims, None, where, False, reduce_sum_p, add, 0)
    return _divided(total, _amount(a, axis, where, keepdims, name))


@function(static=("axis", "dtype", "out", "keepdims"))
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """The mean of the elements along some axes; NaN if there are none.

    Args:
      a: an array.
      axis: an integer, a sequence of them, or None for all axes; also names of axes of a `vmap` around.
      dtype: the result's dtype; by default that of `a`, or floating-point.
      out: not supported; must be None.
      keepdims: whether the axes stay, with size 1.
      where: which elements count.
    Raises:
      TypeError: `a` is no array. ValueError: an axis is out of range or repeated.

    >>> import anima.numpy as np
    >>> print(np.mean(np.array([[1, 2], [3, 4]]), axis=0))
    [2. 3.]
    """
    refuse_out("mean", out)
    a = array_like("mean", a)
    target, inner = _mean_dtypes("mean", a, dtype)
    return _strong(mean_of("mean", a, axis, inner, keepdims, where), target)


def variance(
    name: str,
    a: Any,
    axis: Any,
    dtype: Any,
    ddof: Any,
    keepdims: bool,
    where: Any,
    mean: Any,
    correction: Any,
) -> Any:
    """The variance, and the dtype that the result should have."""
    if correction is not None:
        if not isinstance(ddof, int) or ddof != 0:
            raise ValueError(f"{name}: ddof and correction mean the same; give only one of them")
        ddof = correction
    a, known = aval(name, a)
    target, inner = _mean_dtypes(name, a, dtype)
    computed = dtypes.to_complex_dtype(inner) if dtypes.is_complex(known.dtype) else inner
    if dtype is None:
        target = dtypes.to_real_dtype(target)
    elif dtypes.is_complex(known.dtype) and not dtypes.is_complex(target):
        raise ValueError(f"{name}: dtype must be complex, as the array is, got {dtypes.dtype_name(target)}")
    if mean is None:
        mean = mean_of(name, a, axis, computed, True, where)
    centered = sub(*_together(_strong(a, computed), _strong(array_like(name, mean, "mean"), computed)))
    square = (
        real(mul(centered, lax_conj(centered))) if dtypes.is_complex(computed) else mul(centered, centered)
    )
    total = _fold(name, square, axis, None, keepdims, None, where, False, reduce_sum_p, add, 0)
    amount = _amount(a, axis, where, keepdims, name)
    if isinstance(amount, int):
        free: Any = amount - ddof
        if isinstance(free, (int, float)) and free <= 0:
            free = math.nan  # nothing is known of the spread
    else:
        free = sub(convert_element_type(amount, dtype_of(total)), constant(ddof, total))
        free = select(lt(filled(0, free), free), free, filled(math.nan, free))
    return _divided(total, free), target


def _together(x: Any, y: Any) -> tuple[Any, Any]:
    shape = np.broadcast_shapes(shape_of(x), shape_of(y))
    return stretch(x, shape_of(x), shape), stretch(y, shape_of(y), shape)


_VAR_SETTINGS = ("axis", "dtype", "out", "ddof", "keepdims", "correction")


@function(static=_VAR_SETTINGS)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False, *,
    where: Any = None, mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    """The variance of the elements along some axes: the mean squared distance from the mean.

    Args:
      a: an array.
      axis: an integer, a sequence of them, or None for all axes; also names of axes of a `vmap` around.
      dtype: the dtype of the result and in which it is computed.
      out: not supported; must be None.
      ddof: what is subtracted from the number of elements before dividing by it; `correction` is the same.
      keepdims: whether the axes stay, with size 1.
      where: which elements count.
      mean: the mean, if it is known, with the axes kept.
    Raises:
      ValueError: an axis is out of range or repeated, both `ddof` and `correction` are given, or `dtype` is real and
        `a` complex. TypeError: `dtype` is boolean.

    >>> import anima.numpy as np
    >>> print(np.var(np.array([1, 2, 3, 4])))
    1.25
    """
    refuse_out("var", out)
    result, target = variance("var", a, axis, dtype, ddof, keepdims, where, mean, correction)
    return _strong(result, target)


@function(static=_VAR_SETTINGS)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False, *,
    where: Any = None, mean: Any = None, correction: float | None = None,
) -> Any:  # fmt: skip
    """The standard deviation along some axes: the square root of the variance. Arguments as for `var`.

    >>> import anima.numpy as np
    >>> print(np.std(np.array([1.0, 3.0])))
    1.0
    """
    refuse_out("std", out)
    result, target = variance("std", a, axis, dtype, ddof, keepdims, where, mean, correction)
    return _strong(sqrt_p.bind(result), target)
