"""Softmax and its relatives, standardisation, one-hot encoding.

Invariant: the largest element is subtracted before anything is exponentiated, and that shift carries no derivative.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima import dtypes, lax
from anima.config import softmax_custom_jvp
from anima.errors import ArgumentError
from anima.lax.shape import check_axis
from anima.lax.softmax import softmax as lax_softmax
from anima.numpy.calls import function, plain
from anima.numpy.promotion import array_like, dtype_of, inexact, shape_of
from anima.numpy.reductions import axes_of, without_names
from anima.transforms.custom_jvp import custom_jvp


def _largest(x: Any, axis: Any, where: Any) -> Any:
    """The largest element along `axis`, as a constant for differentiation."""
    return np.max(lax.stop_gradient(x), axis, where=where, initial=-np.inf, keepdims=True)


def _below_largest(x: Any, axis: Any, where: Any) -> Any:
    """`x` less its largest element; 0 outside of the mask, so that nothing there gets a derivative that is no number."""
    difference = x - _largest(x, axis, where)
    return difference if where is None else np.where(where, difference, 0.0)


def _shift(x: Any, axis: Any, where: Any) -> Any:
    """The largest element along `axis`, or 0 if it is infinite: an infinity minus itself is no number."""
    largest = _largest(x, axis, where)
    return np.where(np.isfinite(largest), largest, np.zeros_like(largest))


@function(static=("axis",))
def softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """Exponentials scaled to sum to 1 along `axis`.

    Args:
      axis: an axis or a tuple of them; also names of axes of a `vmap` around.
      where: a mask of the elements that take part; the others become 0.

    >>> from anima import nn, numpy as np
    >>> print(nn.softmax(np.zeros(4)))
    [0.25 0.25 0.25 0.25]
    """
    x = inexact("softmax", x)
    if not softmax_custom_jvp.value:
        return _softmax(x, axis, where)
    if where is None and dtype_of(x).name in ("float32", "float64") and not without_names(axis)[1]:
        return lax_softmax(x, axes_of("softmax", axis, len(shape_of(x))))
    return _differentiable(x, axis, where)


def _softmax(x: Any, axis: Any, where: Any) -> Any:
    exponentials = np.exp(_below_largest(x, axis, where))
    if where is None:
        return exponentials / np.sum(exponentials, axis, keepdims=True)
    exponentials = np.where(where, exponentials, 0.0)
    total = np.sum(exponentials, axis, keepdims=True)
    # Only a sum of nothing is 0.
    return np.where(where, exponentials / np.where(total == 0, 1.0, total), 0.0)


# Its own derivative needs nothing but the result: the exponentials need not be kept.
_differentiable = custom_jvp(_softmax, nondiff_argnums=(1,))


@_differentiable.defjvp
def _softmax_jvp(axis: Any, primals: Any, tangents: Any) -> tuple[Any, Any]:
    result = _differentiable(primals[0], axis, primals[1])
    slopes = result * tangents[0]
    if primals[1] is not None:
        slopes = np.where(primals[1], slopes, 0)  # what is left out may change by infinities
    return result, slopes - result * np.sum(slopes, axis, keepdims=True)


@function(static=("axis",))
def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """The logarithm of `softmax`, without underflow.

    Args:
      axis: an axis or a tuple of them; also names of axes of a `vmap` around.
      where: a mask of the elements that take part; the others become -inf.

    >>> from anima import nn, numpy as np
    >>> print(nn.log_softmax(np.zeros(2)).round(4))
    [-0.6931 -0.6931]
    """
    x = inexact("log_softmax", x)
    shifted = _below_largest(x, axis, where)
    result = shifted - np.log(np.sum(np.exp(shifted), axis, where=where, keepdims=True))
    return result if where is None else np.where(where, result, -np.inf)


@function(static=("axis", "keepdims", "return_sign"))
def logsumexp(
    a: Any,
    axis: Any = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """`log(sum(b * exp(a)))` along `axis`, without overflow.

    Args:
      axis: an axis, a tuple of them, or None for all; also names of axes of a `vmap` around.
      b: weights; with negative ones ask for the sign, else the logarithm of a negative sum is NaN.
      return_sign: also return the sign of the sum, and the logarithm of its size.
      where: a mask of the elements that take part.

    >>> from anima import nn, numpy as np
    >>> print(nn.logsumexp(np.zeros(4)).round(4))
    1.3863
    """
    a = inexact("logsumexp", a)
    if b is not None:
        a = np.where(b != 0, a, -np.inf)
    if where is not None:
        a = np.where(where, a, -np.inf)
    shift = _shift(np.real(a), axis, where)
    terms = np.exp(a - shift)
    if b is not None:
        terms = terms * b
    total = np.sum(terms, axis, keepdims=True, where=where)
    if return_sign:
        sign = np.sign(total)
        out = np.log(np.abs(total)) + shift
    else:
        sign = None
        out = np.log(total) + shift
    if not keepdims:
        gone = _axes(without_names(axis)[0], len(shape_of(a)))
        out, sign = np.squeeze(out, gone), None if sign is None else np.squeeze(sign, gone)
    return (out, sign) if return_sign else out


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    return tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)


@function(static=("axis", "keepdims"))
def logmeanexp(x: Any, axis: Any = None, where: Any = None, keepdims: bool = False) -> Any:
    """`log(mean(exp(x)))` along `axis`, without overflow.

    >>> from anima import nn, numpy as np
    >>> print(nn.logmeanexp(np.zeros(4)))
    0.0
    """
    x = inexact("logmeanexp", x)
    total = plain(logsumexp)(x, axis, where=where, keepdims=keepdims)
    ones = np.ones(shape_of(x), dtype_of(x))
    return total - np.log(np.sum(ones, axis, where=where, keepdims=keepdims))


@function(static=("axis", "algorithm"))
def standardize(
    x: Any,
    axis: Any = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Any:
    """`x` with mean 0 and variance 1 along `axis`.

    Args:
      mean, variance: those to use instead of `x`'s own.
      epsilon: added to the variance.
      where: a mask of the elements that take part in mean and variance.
      algorithm: "fast" or "stable": the variance is the mean of squared differences from the mean in both.
    Raises:
      ValueError: the algorithm is another.

    >>> from anima import nn, numpy as np
    >>> print(nn.standardize(np.array([1.0, 3.0])).round(3))
    [-1.  1.]
    """
    if algorithm not in ("fast", "stable"):
        raise ValueError(f"standardize: algorithm must be 'fast' or 'stable', got {algorithm!r}")
    x = inexact("standardize", x)
    if mean is None:
        mean = np.mean(x, axis, keepdims=True, where=where)
    if variance is None:
        variance = np.mean(np.square(x - mean), axis, keepdims=True, where=where)
    return (x - mean) * lax.rsqrt(np.asarray(variance + epsilon, dtype=dtype_of(x)))


@function(static=("num_classes", "dtype", "axis"))
def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: int | str = -1) -> Any:
    """Vectors with 1 at the place that `x` names and 0 elsewhere; all 0 for places out of range.

    Args:
      x: an array of integers.
      num_classes: the length of the vectors.
      axis: where the new axis goes; or the name of an axis of a `vmap` around, along which the vectors lie.
    Raises:
      TypeError: `num_classes` is no integer. ArgumentError: it is negative. AxisError: the axis is out of range. ValueError: the
        named axis has another size.

    >>> from anima import nn, numpy as np
    >>> print(nn.one_hot(np.array([0, 2]), 3))
    [[1. 0. 0.]
     [0. 0. 1.]]
    """
    if not hasattr(num_classes, "__index__"):
        raise TypeError(f"one_hot: num_classes must be an integer, got {num_classes!r}")
    if num_classes < 0:
        raise ArgumentError(f"one_hot: num_classes must not be negative, got {num_classes}")
    x = array_like("one_hot", x)
    element = (
        dtypes.default_float_dtype() if dtype is None else dtypes.check_user_dtype_supported(dtype, "one_hot")
    )
    if isinstance(axis, str):
        if lax.axis_size(axis) != num_classes:
            raise ValueError(
                f"one_hot: num_classes must be {lax.axis_size(axis)}, the size of axis {axis!r}, got {num_classes}"
            )
        return (x == lax.axis_index(axis)).astype(element)
    ndim = len(shape_of(x)) + 1
    place = check_axis("one_hot", axis, ndim)
    classes = np.arange(int(num_classes), dtype=dtype_of(x))
    shape = tuple(int(num_classes) if d == place else 1 for d in range(ndim))
    return (np.expand_dims(x, place) == classes.reshape(shape)).astype(element)
