"""The normal distribution within `loc + a * scale` and `loc + b * scale`.

Invariant: the probability of an interval is a difference of tails on the side where they are small, or of both from 1.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.nn import log1mexp
from anima.numpy.calls import function
from anima.scipy.special.normal import log_ndtr, ndtr
from anima.scipy.stats.forms import density, evaluate, log_density, standard


def _log_interval(low: Any, high: Any) -> Any:
    """The logarithm of the probability of the interval of a normal number."""
    right, left = low > 0, high <= 0
    # The interval or its mirror image, whichever has the smaller tails.
    start, end = np.where(right, -high, low), np.where(right, -low, high)
    one_side = right | left
    most = log_ndtr(np.where(one_side, end, 0))
    least = log_ndtr(np.where(one_side, start, -1))
    bare = least == -math.inf
    difference = np.where(bare, 1, most - np.where(bare, -1, least))
    tail = most + np.where(bare, 0, log1mexp(difference))
    middle = np.log1p(-ndtr(np.where(one_side, -1, low)) - ndtr(np.where(one_side, -1, -high)))
    return np.where(one_side, tail, middle)


def _ends(z: Any, a: Any, b: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The number moved into the support, the ends, and the masks of what was below and above."""
    a = np.where(a < b, a, math.nan)
    below, above = z < a, z > b
    inner = np.where(below, a, np.where(above, b, z))
    return np.where(b == b, inner, math.nan), a, b, below, above


def _logpdf(z: Any, a: Any, b: Any) -> Any:
    z, a, b, below, above = _ends(z, a, b)
    outside = below | above
    inner = np.where(outside, 0, z)
    value = -inner * inner / 2 - math.log(2 * math.pi) / 2 - _log_interval(a, b)
    return np.where(outside & (value == value), -math.inf, value)


def _logcdf(z: Any, a: Any, b: Any) -> Any:
    return _log_part(z, a, b, False)


def _logsf(z: Any, a: Any, b: Any) -> Any:
    return _log_part(z, a, b, True)


def _log_part(z: Any, a: Any, b: Any, upper: bool) -> Any:
    z, a, b, *_ = _ends(z, a, b)
    none, all_of_it = (z >= b, z <= a) if upper else (z <= a, z >= b)
    inner = np.where(none | all_of_it, _inside(a, b), z)
    whole = _log_interval(a, b)
    lower_part, upper_part = _log_interval(a, inner) - whole, _log_interval(inner, b) - whole
    part, rest = (upper_part, lower_part) if upper else (lower_part, upper_part)
    near_one = part > -math.log(2)
    value = np.where(near_one, np.log1p(-np.exp(np.where(near_one, rest, -1))), part)
    value = np.where(none, -math.inf, np.where(all_of_it, 0, value))
    return np.where(whole == whole, value, math.nan)


def _inside(a: Any, b: Any) -> Any:
    """A number between the ends, not far from 0."""
    low, high = np.maximum(a, np.minimum(b, 0) - 1), np.minimum(b, np.maximum(a, 0) + 1)
    return (low + high) / 2


def _cdf(z: Any, a: Any, b: Any) -> Any:
    return np.exp(_logcdf(z, a, b))


def _sf(z: Any, a: Any, b: Any) -> Any:
    return np.exp(_logsf(z, a, b))


@function
def logpdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the truncated normal distribution.

    Args:
      x: numbers.
      a: the lower end, in scales from the location.
      b: the upper end, which is greater.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import truncnorm
    >>> print(truncnorm.logpdf(0.5, -1.0, 2.0).round(4))
    -0.8438
    """
    return evaluate("truncnorm.logpdf", log_density(_logpdf), x, a, b, loc, scale, strong=True)


@function
def pdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the truncated normal distribution.

    Args:
      x: numbers.
      a: the lower end, in scales from the location.
      b: the upper end, which is greater.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import truncnorm
    >>> print(truncnorm.pdf(0.5, -1.0, 2.0).round(4))
    0.4301
    """
    return evaluate("truncnorm.pdf", density(_logpdf), x, a, b, loc, scale, strong=True)


@function
def cdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the truncated normal distribution.

    Args:
      x: numbers.
      a: the lower end, in scales from the location.
      b: the upper end, which is greater.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import truncnorm
    >>> print(truncnorm.cdf(0.5, -1.0, 2.0).round(4))
    0.6509
    """
    return evaluate("truncnorm.cdf", standard(_cdf), x, a, b, loc, scale, strong=True)


@function
def logcdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the truncated normal distribution.

    Args:
      x: numbers.
      a: the lower end, in scales from the location.
      b: the upper end, which is greater.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import truncnorm
    >>> print(truncnorm.logcdf(0.5, -1.0, 2.0).round(4))
    -0.4294
    """
    return evaluate("truncnorm.logcdf", standard(_logcdf), x, a, b, loc, scale, strong=True)


@function
def sf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the truncated normal distribution.

    Args:
      x: numbers.
      a: the lower end, in scales from the location.
      b: the upper end, which is greater.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import truncnorm
    >>> print(truncnorm.sf(0.5, -1.0, 2.0).round(4))
    0.3491
    """
    return evaluate("truncnorm.sf", standard(_sf), x, a, b, loc, scale, strong=True)


@function
def logsf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the truncated normal distribution.

    Args:
      x: numbers.
      a: the lower end, in scales from the location.
      b: the upper end, which is greater.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import truncnorm
    >>> print(truncnorm.logsf(0.5, -1.0, 2.0).round(4))
    -1.0523
    """
    return evaluate("truncnorm.logsf", standard(_logsf), x, a, b, loc, scale, strong=True)
