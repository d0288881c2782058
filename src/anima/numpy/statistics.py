"""Covariances, correlations and weighted means.

Invariant: half-precision numbers are summed in single precision.
"""

from __future__ import annotations

import math
from typing import Any

from anima import dtypes
from anima.lax.arithmetic import div, mul
from anima.lax.complex_parts import complex as lax_complex, conj, imag, real
from anima.lax.contraction import dot_general
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.joining import concatenate
from anima.lax.powers import sqrt
from anima.lax.shape import broadcast_in_dim, reshape, transpose
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of, promote_dtypes_inexact, shape_of
from anima.numpy.ranges import diagonal
from anima.numpy.reductions import accumulator, axes_of, mean_of, sum as array_sum
from anima.numpy.selection import clip


def _variables(name: str, m: Any, in_rows: bool) -> Any:
    """Observations as a matrix with a variable in each row."""
    shape = shape_of(m)
    if len(shape) > 2:
        raise ValueError(f"{name}: observations must be a vector or a matrix, got shape {shape}")
    if len(shape) < 2:
        return reshape(m, (1, shape[0] if shape else 1))
    return m if in_rows else transpose(m, (1, 0))


def _weights(name: str, weights: Any, count: int, dtype: Any, argument: str, whole: bool) -> Any:
    weights = array_like(name, weights, argument)
    if whole and not dtypes.is_int(dtype_of(weights)):
        raise TypeError(
            f"{name}: {argument} must be integers, got dtype {dtypes.dtype_name(dtype_of(weights))}"
        )
    if shape_of(weights) != (count,):
        raise ValueError(
            f"{name}: {argument} must have shape {(count,)}, one weight an observation, got {shape_of(weights)}"
        )
    return convert_element_type(weights, dtype)


def _covariance(
    name: str, m: Any, y: Any, rowvar: bool, ddof: int, fweights: Any, aweights: Any, dtype: Any
) -> Any:
    given = [array_like(name, m)] + ([] if y is None else [array_like(name, y, 1)])
    given = list(promote_dtypes_inexact(name, *given))
    target = dtype_of(given[0]) if dtype is None else dtypes.check_user_dtype_supported(dtype, name)
    if dtype is None and aweights is not None:
        target = dtypes.promote_types(target, dtype_of(array_like(name, aweights, "aweights")))
    inner = accumulator(target)
    # As in NumPy, a second argument with a single row stays a row.
    in_rows = [rowvar, rowvar or shape_of(given[-1])[:1] == (1,)]
    rows = [convert_element_type(_variables(name, g, r), inner) for g, r in zip(given, in_rows)]
    if len(rows) == 2 and shape_of(rows[0])[1] != shape_of(rows[1])[1]:
        raise ValueError(
            f"{name}: m and y have {shape_of(rows[0])[1]} and {shape_of(rows[1])[1]} observations"
        )
    x = concatenate(rows, 0)
    n, count = shape_of(x)
    if count == 0:
        return full((n, n) if n != 1 else (), math.nan, target)
    plain = dtypes.to_real_dtype(inner)
    w = None if fweights is None else _weights(name, fweights, count, plain, "fweights", True)
    if aweights is not None:
        a = _weights(name, aweights, count, plain, "aweights", False)
        w = a if w is None else w * a
    weighted = x if w is None else x * broadcast_in_dim(convert_element_type(w, inner), (n, count), (1,))
    total: Any = count if w is None else array_sum(w)
    free = total - ddof
    if aweights is not None and ddof:
        free = total - ddof * array_sum(w * a) / total
    mean = array_sum(weighted, 1, keepdims=True) / total
    centered = x - mean
    weighted = (
        centered
        if w is None
        else centered * broadcast_in_dim(convert_element_type(w, inner), (n, count), (1,))
    )
    result = dot_general(
        weighted, conj(centered) if dtypes.is_complex(inner) else centered, (((1,), (1,)), ((), ()))
    )
    result = convert_element_type(result / free, target)
    return reshape(result, ()) if n == 1 else result


_SETTINGS = ("rowvar", "bias", "ddof", "dtype")


@function(static=_SETTINGS)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
    aweights: Any = None, dtype: Any = None,
) -> Any:  # fmt: skip
    """The covariances of variables, of which each was observed several times.

    Args:
      m: the observations of one variable, a vector, or of several, a matrix.
      y: observations of further variables, of the same form.
      rowvar: whether a row of a matrix is a variable, rather than a column.
      bias: whether sums are divided by the number of observations, rather than by one less.
      ddof: what is subtracted from the number of observations instead.
      fweights: how often each observation was made, integers.
      aweights: how much each observation counts.
      dtype: the result's dtype.
    Returns:
      a matrix; a number for one variable.
    Raises:
      ValueError: shapes do not fit. TypeError: `fweights` are no integers.

    >>> import anima.numpy as np
    >>> print(np.cov(np.array([[0, 1, 2], [2, 1, 0]])))
    [[ 1. -1.]
     [-1.  1.]]
    """
    if ddof is None:
        ddof = 0 if bias else 1
    return _covariance("cov", m, y, rowvar, ddof, fweights, aweights, dtype)


@function(static=("rowvar", "dtype"))
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """The correlation coefficients of variables, of which each was observed several times.

    Args:
      x: the observations of one variable, a vector, or of several, a matrix.
      y: observations of further variables, of the same form.
      rowvar: whether a row of a matrix is a variable, rather than a column.
      dtype: the result's dtype.
    Returns:
      a matrix; a number for one variable.
    Raises:
      ValueError: shapes do not fit.

    >>> import anima.numpy as np
    >>> print(np.corrcoef(np.array([[0, 1, 2], [2, 1, 0]])))
    [[ 1. -1.]
     [-1.  1.]]
    """
    c = _covariance("corrcoef", x, y, rowvar, 1, None, None, dtype)
    if not shape_of(c):
        return c / c
    deviation = convert_element_type(
        sqrt(real(diagonal(c)) if dtypes.is_complex(dtype_of(c)) else diagonal(c)), dtype_of(c)
    )
    n = shape_of(c)[0]
    c = c / broadcast_in_dim(deviation, (n, n), (0,)) / broadcast_in_dim(deviation, (n, n), (1,))
    if dtypes.is_complex(dtype_of(c)):
        return lax_complex(clip(real(c), -1, 1), clip(imag(c), -1, 1))
    return clip(c, -1, 1)


# --- weighted means ---------------------------------------------------------------------------


@function(static=("axis", "returned", "keepdims"))
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The weighted mean of the elements along some axes.

    Args:
      a: an array.
      axis: an integer, a sequence of them, or None for all axes.
      weights: of the shape of `a`, or of its sizes along the axes; by default all are equal.
      returned: whether the sum of the weights is returned too.
      keepdims: whether the axes stay, with size 1.
    Raises:
      TypeError: an argument is no array. ValueError: the weights do not fit.

    >>> import anima.numpy as np
    >>> print(np.average(np.array([1.0, 3.0]), weights=np.array([3.0, 1.0])))
    1.5
    """
    a = array_like("average", a)
    if weights is None:
        result = mean_of("average", a, axis, dtypes.to_inexact_dtype(dtype_of(a)), keepdims, None)
        shape = shape_of(a)
        count = math.prod([shape[i] for i in axes_of("average", axis, len(shape))])
        total = full(shape_of(result), count, dtype_of(result))
    else:
        a, weights = promote_dtypes_inexact("average", a, array_like("average", weights, "weights"))
        a, weights = (convert_element_type(x, dtype_of(a)) for x in (a, weights))
        shape = shape_of(a)
        if shape_of(weights) != shape:
            weights = _spread_weights(weights, shape, axis)
        total = array_sum(weights, axis, keepdims=keepdims)
        result = div(array_sum(mul(a, weights), axis, keepdims=keepdims), total)
    return (result, total) if returned else result


def _spread_weights(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    given = shape_of(weights)
    if axis is None:
        raise ValueError(
            f"average: axis must be given when weights of shape {given} and a of shape {shape} differ"
        )
    axes = axes_of("average", axis, len(shape))
    if given != tuple([shape[i] for i in axes]):
        raise ValueError(f"average: weights of shape {given} do not fit axis {axis} of shape {shape}")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return broadcast_in_dim(transpose(weights, order), shape, sorted(axes))
