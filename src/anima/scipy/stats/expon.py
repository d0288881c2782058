"""The exponential distribution: the density is `exp(-z)` at `z = (x - loc) / scale`, not negative, over `scale`.

Invariant: probabilities near 0 and near 1 keep their digits.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.nn import log1mexp
from anima.numpy.calls import function
from anima.scipy.stats.forms import density, evaluate, log_density, quantile, standard, within


def _logpdf(z: Any) -> Any:
    return np.where(z < 0, -math.inf, -z)


def _logsf(z: Any) -> Any:
    return np.where(z < 0, 0, -z)


def _sf(z: Any) -> Any:
    return np.exp(_logsf(z))


def _cdf(z: Any) -> Any:
    return -np.expm1(_logsf(z))


def _logcdf(z: Any) -> Any:
    return within(z < 0, z, 1, log1mexp, -math.inf)


def _ppf(q: Any) -> Any:
    return -np.log1p(-q)


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the exponential distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.logpdf(2.0).round(4))
    -2.0
    """
    return evaluate("expon.logpdf", log_density(_logpdf), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the exponential distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.pdf(2.0).round(4))
    0.1353
    """
    return evaluate("expon.pdf", density(_logpdf), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the exponential distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.cdf(2.0).round(4))
    0.8647
    """
    return evaluate("expon.cdf", standard(_cdf), x, loc, scale)


@function
def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the exponential distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.logcdf(2.0).round(4))
    -0.1454
    """
    return evaluate("expon.logcdf", standard(_logcdf), x, loc, scale)


@function
def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the exponential distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.sf(2.0).round(4))
    0.1353
    """
    return evaluate("expon.sf", standard(_sf), x, loc, scale)


@function
def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the exponential distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.logsf(2.0).round(4))
    -2.0
    """
    return evaluate("expon.logsf", standard(_logsf), x, loc, scale)


@function
def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the exponential distribution, the inverse of `cdf`.

    Args:
      q: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import expon
    >>> print(expon.ppf(0.25).round(4))
    0.2877
    """
    return evaluate("expon.ppf", quantile(_ppf), q, loc, scale)
