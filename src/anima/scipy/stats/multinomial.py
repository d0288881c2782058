"""The multinomial distribution, that of counts of several kinds of outcomes in `n` trials.

Invariant: large counts lose no digits: the distribution is that of independent Poisson counts whose sum is known, so the
logarithm is a difference of deviances, not of logarithms of factorials.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.numpy.calls import function
from anima.numpy.promotion import avals_of, inexact
from anima.scipy.stats.forms import probability
from anima.scipy.stats.gamma_formulas import log_weight
from anima.scipy.stats.normal_formulas import single


def _logpmf(name: str, x: Any, n: Any, p: Any) -> Any:
    (x, n, p), avals = avals_of(name, (x, n, p))
    for argument, known in zip(("x", "n"), avals):
        if not (dtypes.is_int(known.dtype) or dtypes.is_bool(known.dtype)):
            raise ValueError(
                f"{name}: x and n must be integers, got {dtypes.dtype_name(known.dtype)} for {argument}"
            )
    x, n, p = np.asarray(x), np.asarray(n), np.asarray(inexact(name, p))
    dtype = p.dtype
    if dtypes.is_complex(dtype):
        raise TypeError(f"{name} takes real numbers only, got {dtypes.dtype_name(dtype)}")
    if not x.ndim or not p.ndim:
        raise ValueError(
            f"{name}: x and p must have an axis for the kinds of outcomes, got shapes {x.shape} and {p.shape}"
        )
    shape = np.broadcast_shapes(x.shape, p.shape)
    outside = np.any(x < 0, -1) | (np.sum(x.astype(int), -1) != n)
    inner = single(dtype)
    counts = np.broadcast_to(np.where(outside[..., None], 0, x).astype(inner), (*outside.shape, x.shape[-1]))
    total = np.where(n >= 0, n, math.nan).astype(inner)
    p = probability(p.astype(inner))
    means = total[..., None] * p
    both = np.broadcast_shapes(counts.shape, means.shape, shape)
    weights = np.sum(log_weight(np.broadcast_to(counts, both), np.broadcast_to(means, both)), -1)
    # What the sum of p lacks of 1 would count as outcomes of a further kind.
    value = weights - log_weight(total, total) + total * (np.sum(p, -1) - 1)
    return np.where(outside & (value == value), -math.inf, value).astype(dtype)


@function
def logpmf(x: Any, n: Any, p: Any) -> Any:
    """The logarithm of the probability of the counts `x` under the multinomial distribution.

    Args:
      x: counts of each kind of outcomes, along the last axis; integers.
      n: the number of trials, an integer; counts of another sum have probability 0.
      p: the probability of each kind, along the last axis.
    Returns:
      floating-point numbers of the shape to which `n` and the other axes broadcast; NaN where one is no parameter.
    Raises:
      ValueError: `x` or `n` is not of integers, has no axis, or the shapes do not broadcast. TypeError: `p` is complex.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import multinomial
    >>> print(multinomial.logpmf(np.array([1, 2]), 3, np.array([0.25, 0.75])).round(4))
    -0.863
    """
    return _logpmf("multinomial.logpmf", x, n, p)


@function
def pmf(x: Any, n: Any, p: Any) -> Any:
    """The probability of the counts `x` under the multinomial distribution.

    Args:
      x: counts of each kind of outcomes, along the last axis; integers.
      n: the number of trials, an integer; counts of another sum have probability 0.
      p: the probability of each kind, along the last axis.
    Returns:
      floating-point numbers of the shape to which `n` and the other axes broadcast; NaN where one is no parameter.
    Raises:
      ValueError: `x` or `n` is not of integers, has no axis, or the shapes do not broadcast. TypeError: `p` is complex.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import multinomial
    >>> print(multinomial.pmf(np.array([1, 2]), 3, np.array([0.25, 0.75])).round(4))
    0.4219
    """
    return np.exp(_logpmf("multinomial.pmf", x, n, p))
