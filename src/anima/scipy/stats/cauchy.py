"""The Cauchy distribution: the density is `1 / (pi * (1 + z**2))` at `z = (x - loc) / scale`, over `scale`.

Invariant: both tails keep their digits, and nothing overflows.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats.forms import (
    density,
    evaluate,
    log1p_square,
    log_density,
    log_probability,
    quantile,
    standard,
)


def _logpdf(z: Any) -> Any:
    return -math.log(math.pi) - log1p_square(z)


def _sf(z: Any) -> Any:
    return np.arctan2(np.ones_like(z), z) / math.pi


def _cdf(z: Any) -> Any:
    return _sf(-z)


def _logsf(z: Any) -> Any:
    return log_probability(_sf(z), _sf(-z))


def _logcdf(z: Any) -> Any:
    return _logsf(-z)


def _isf(q: Any) -> Any:
    """The cotangent of `pi * q`, from the nearer of its pole and its zero."""
    least = np.minimum(q, 1 - q)
    center = np.abs(q - 0.5) < 0.25
    middle = np.tan(math.pi * np.where(center, 0.5 - q, 0))
    tail = 1 / np.tan(math.pi * np.where(center, 0.25, least))
    return np.where(center, middle, np.where(q > 0.5, -tail, tail))


def _ppf(q: Any) -> Any:
    return -_isf(q)


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the Cauchy distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.logpdf(1.0).round(4))
    -1.8379
    """
    return evaluate("cauchy.logpdf", log_density(_logpdf), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the Cauchy distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.pdf(1.0).round(4))
    0.1592
    """
    return evaluate("cauchy.pdf", density(_logpdf), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the Cauchy distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.cdf(1.0).round(4))
    0.75
    """
    return evaluate("cauchy.cdf", standard(_cdf), x, loc, scale)


@function
def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the Cauchy distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.logcdf(1.0).round(4))
    -0.2877
    """
    return evaluate("cauchy.logcdf", standard(_logcdf), x, loc, scale)


@function
def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the Cauchy distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.sf(1.0).round(4))
    0.25
    """
    return evaluate("cauchy.sf", standard(_sf), x, loc, scale)


@function
def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the Cauchy distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.logsf(1.0).round(4))
    -1.3863
    """
    return evaluate("cauchy.logsf", standard(_logsf), x, loc, scale)


@function
def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the Cauchy distribution, the inverse of `cdf`.

    Args:
      q: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.ppf(0.25).round(4))
    -1.0
    """
    return evaluate("cauchy.ppf", quantile(_ppf), q, loc, scale)


@function
def isf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The numbers that the Cauchy distribution exceeds with a probability, the inverse of `sf`.

    Args:
      q: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import cauchy
    >>> print(cauchy.isf(0.25).round(4))
    1.0
    """
    return evaluate("cauchy.isf", quantile(_isf), q, loc, scale)
