"""The logistic distribution: the distribution function is `1 / (1 + exp(-z))` at `z = (x - loc) / scale`.

Invariant: nothing overflows, and both tails keep their digits.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.information import expit, logit
from anima.scipy.stats.forms import density, evaluate, log_density, quantile, standard


def _logpdf(z: Any) -> Any:
    return -np.abs(z) - 2 * np.log1p(np.exp(-np.abs(z)))


def _sf(z: Any) -> Any:
    return expit(-z)


def _isf(q: Any) -> Any:
    return -logit(q)


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the logistic distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import logistic
    >>> print(logistic.logpdf(1.0).round(4))
    -1.6265
    """
    return evaluate("logistic.logpdf", log_density(_logpdf), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the logistic distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import logistic
    >>> print(logistic.pdf(1.0).round(4))
    0.1966
    """
    return evaluate("logistic.pdf", density(_logpdf), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the logistic distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import logistic
    >>> print(logistic.cdf(1.0).round(4))
    0.7311
    """
    return evaluate("logistic.cdf", standard(expit), x, loc, scale)


@function
def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the logistic distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import logistic
    >>> print(logistic.sf(1.0).round(4))
    0.2689
    """
    return evaluate("logistic.sf", standard(_sf), x, loc, scale)


@function
def ppf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the logistic distribution, the inverse of `cdf`.

    Args:
      x: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import logistic
    >>> print(logistic.ppf(0.25).round(4))
    -1.0986
    """
    return evaluate("logistic.ppf", quantile(logit), x, loc, scale)


@function
def isf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The numbers that the logistic distribution exceeds with a probability, the inverse of `sf`.

    Args:
      x: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import logistic
    >>> print(logistic.isf(0.25).round(4))
    1.0986
    """
    return evaluate("logistic.isf", quantile(_isf), x, loc, scale)
