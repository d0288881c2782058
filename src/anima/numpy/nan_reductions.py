"""Reductions that pass over NaN.

Invariant: each is the plain reduction with NaN replaced by what does not change it; where there is nothing else, means and
extremes are NaN, and the index of an extreme is -1.
"""

from __future__ import annotations

import math
from typing import Any

from anima import dtypes
from anima.lax import convert_element_type, ne, select, sqrt_p
from anima.lax.operands import filled
from anima.lax.reductions import extreme
from anima.numpy import reductions
from anima.numpy.calls import function
from anima.numpy.logic import logical_and, logical_not
from anima.numpy.promotion import array_like, aval, dtype_of
from anima.numpy.reductions import refuse_out

_FOLD = ("axis", "dtype", "out", "keepdims")


def _without_nan(name: str, a: Any, neutral: Any) -> tuple[Any, Any]:
    """`a` with NaN replaced, and where it was; None if the dtype has no NaN."""
    a, known = aval(name, a)
    if not dtypes.is_inexact(known.dtype):
        return a, None
    nan = ne(a, a)
    return select(nan, filled(neutral, a), a), nan


@function(static=_FOLD)
def nansum(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None,
) -> Any:  # fmt: skip
    """The sum of the elements along some axes, NaN counting as 0; arguments as for `sum`.

    >>> import anima.numpy as np
    >>> print(np.nansum(np.array([1.0, np.nan, 2.0])))
    3.0
    """
    refuse_out("nansum", out)
    a, _ = _without_nan("nansum", a, 0)
    return reductions.sum(a, axis, dtype, keepdims=keepdims, initial=initial, where=where)


@function(static=_FOLD)
def nanprod(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: Any = None,
) -> Any:  # fmt: skip
    """The product of the elements along some axes, NaN counting as 1; arguments as for `prod`.

    >>> import anima.numpy as np
    >>> print(np.nanprod(np.array([3.0, np.nan, 2.0])))
    6.0
    """
    refuse_out("nanprod", out)
    a, _ = _without_nan("nanprod", a, 1)
    return reductions.prod(a, axis, dtype, keepdims=keepdims, initial=initial, where=where)


def _extreme(name: str, a: Any, axis: Any, keepdims: bool, initial: Any, where: Any, lowest: bool) -> Any:
    reduce = reductions.max if lowest else reductions.min
    dtype = dtype_of(array_like(name, a))
    a, nan = _without_nan(name, a, extreme(dtype, lowest))
    result = reduce(a, axis, keepdims=keepdims, initial=initial, where=where)
    if nan is None:
        return result
    if initial is not None:
        return result
    nothing = reductions.all(nan, axis, keepdims=keepdims)
    return select(nothing, filled(math.nan, result), result)


@function(static=("axis", "out", "keepdims"))
def nanmax(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The largest element along some axes that is not NaN; arguments as for `max`.

    >>> import anima.numpy as np
    >>> print(np.nanmax(np.array([1.0, np.nan, 2.0])))
    2.0
    """
    refuse_out("nanmax", out)
    return _extreme("nanmax", a, axis, keepdims, initial, where, True)


@function(static=("axis", "out", "keepdims"))
def nanmin(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, initial: Any = None, where: Any = None
) -> Any:
    """The smallest element along some axes that is not NaN; arguments as for `min`.

    >>> import anima.numpy as np
    >>> print(np.nanmin(np.array([1.0, np.nan, 2.0])))
    1.0
    """
    refuse_out("nanmin", out)
    return _extreme("nanmin", a, axis, keepdims, initial, where, False)


def _place(name: str, a: Any, axis: int | None, keepdims: Any, lowest: bool) -> Any:
    find = reductions.argmax if lowest else reductions.argmin
    a, nan = _without_nan(name, a, extreme(dtype_of(array_like(name, a)), lowest))
    result = find(a, axis, keepdims=keepdims)
    if nan is None:
        return result
    nothing = reductions.all(nan, axis, keepdims=bool(keepdims))
    return select(nothing, filled(-1, result), result)


@function(static=("axis", "out", "keepdims"))
def nanargmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the largest element along an axis that is not NaN, or -1; arguments as for `argmax`.

    >>> import anima.numpy as np
    >>> print(np.nanargmax(np.array([1.0, np.nan, 2.0])))
    2
    """
    refuse_out("nanargmax", out)
    return _place("nanargmax", a, axis, keepdims, True)


@function(static=("axis", "out", "keepdims"))
def nanargmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """The index of the smallest element along an axis that is not NaN, or -1; arguments as for `argmin`.

    >>> import anima.numpy as np
    >>> print(np.nanargmin(np.array([1.0, np.nan, 2.0])))
    0
    """
    refuse_out("nanargmin", out)
    return _place("nanargmin", a, axis, keepdims, False)


def _present(name: str, a: Any, where: Any) -> Any:
    """Which elements count, of an array that may have NaN."""
    present = logical_not(ne(a, a))
    return present if where is None else logical_and(present, array_like(name, where, "where"))


@function(static=_FOLD)
def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: bool = False, where: Any = None
) -> Any:
    """The mean of the elements along some axes that are not NaN; arguments as for `mean`.

    >>> import anima.numpy as np
    >>> print(np.nanmean(np.array([1.0, np.nan, 2.0])))
    1.5
    """
    refuse_out("nanmean", out)
    a = array_like("nanmean", a)
    if not dtypes.is_inexact(dtype_of(a)):
        return reductions.mean(a, axis, dtype, keepdims=keepdims, where=where)
    return reductions.mean(a, axis, dtype, keepdims=keepdims, where=_present("nanmean", a, where))


def _spread(
    name: str, a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: bool, where: Any, mean: Any
) -> tuple[Any, Any]:
    a = array_like(name, a)
    if dtypes.is_inexact(dtype_of(a)):
        where = _present(name, a, where)
    result, target = reductions.variance(name, a, axis, dtype, ddof, keepdims, where, mean, None)
    return result, target


@function(static=(*_FOLD, "ddof"))
def nanvar(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False,
    where: Any = None, mean: Any = None,
) -> Any:  # fmt: skip
    """The variance of the elements along some axes that are not NaN; arguments as for `var`.

    >>> import anima.numpy as np
    >>> print(np.nanvar(np.array([1.0, np.nan, 3.0])))
    1.0
    """
    refuse_out("nanvar", out)
    result, target = _spread("nanvar", a, axis, dtype, ddof, keepdims, where, mean)
    return convert_element_type(result, target)


@function(static=(*_FOLD, "ddof"))
def nanstd(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: float = 0, keepdims: bool = False,
    where: Any = None, mean: Any = None,
) -> Any:  # fmt: skip
    """The standard deviation along some axes of the elements that are not NaN; arguments as for `std`.

    >>> import anima.numpy as np
    >>> print(np.nanstd(np.array([1.0, np.nan, 3.0])))
    1.0
    """
    refuse_out("nanstd", out)
    result, target = _spread("nanstd", a, axis, dtype, ddof, keepdims, where, mean)
    return convert_element_type(sqrt_p.bind(result), target)
