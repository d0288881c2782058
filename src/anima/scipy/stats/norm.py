"""The normal distribution: the density is `exp(-z**2 / 2) / sqrt(2 * pi)` at `z = (x - loc) / scale`, over `scale`.

Invariant: each tail is computed as such, and no logarithm of a probability underflows.
"""

from __future__ import annotations

import math
from typing import Any

from anima.numpy.calls import function
from anima.scipy.special.normal import log_ndtr, ndtr, ndtri
from anima.scipy.stats.forms import density, evaluate, log_density, quantile, standard


def _logpdf(z: Any) -> Any:
    return -(z * z) / 2 - math.log(2 * math.pi) / 2


def _sf(z: Any) -> Any:
    return ndtr(-z)


def _logsf(z: Any) -> Any:
    return log_ndtr(-z)


def _isf(q: Any) -> Any:
    return -ndtri(q)


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the normal distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point or complex numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.logpdf(1.0).round(4))
    -1.4189
    """
    return evaluate("norm.logpdf", log_density(_logpdf), x, loc, scale, analytic=True)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the normal distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point or complex numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.pdf(1.0).round(4))
    0.242
    """
    return evaluate("norm.pdf", density(_logpdf), x, loc, scale, analytic=True)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the normal distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.cdf(1.0).round(4))
    0.8413
    """
    return evaluate("norm.cdf", standard(ndtr), x, loc, scale, strong=True)


@function
def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the normal distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.logcdf(1.0).round(4))
    -0.1728
    """
    return evaluate("norm.logcdf", standard(log_ndtr), x, loc, scale, strong=True)


@function
def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the normal distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.sf(1.0).round(4))
    0.1587
    """
    return evaluate("norm.sf", standard(_sf), x, loc, scale, strong=True)


@function
def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the normal distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.logsf(1.0).round(4))
    -1.841
    """
    return evaluate("norm.logsf", standard(_logsf), x, loc, scale, strong=True)


@function
def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the normal distribution, the inverse of `cdf`.

    Args:
      q: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.ppf(0.25).round(4))
    -0.6745
    """
    return evaluate("norm.ppf", quantile(ndtri), q, loc, scale, strong=True)


@function
def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The numbers that the normal distribution exceeds with a probability, the inverse of `sf`.

    Args:
      q: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import norm
    >>> print(norm.isf(0.25).round(4))
    0.6745
    """
    return evaluate("norm.isf", quantile(_isf), q, loc, scale, strong=True)
