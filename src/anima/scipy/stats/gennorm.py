"""The generalised normal distribution: the density is `exp(-abs(x)**beta) / (2 * gamma(1 + 1 / beta))`.

Invariant: each tail is an incomplete gamma function that is computed as such.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.gamma import gammaincc, gammaln
from anima.scipy.stats.forms import evaluate, exponential, positive


def _power(x: Any, beta: Any) -> Any:
    """`abs(x)**beta`, with derivatives of 0 at 0."""
    zero = x == 0
    return np.where(zero, 0, np.abs(np.where(zero, 1, x)) ** beta)


def _logpdf(x: Any, beta: Any) -> Any:
    beta = positive(beta)
    return -math.log(2) - gammaln(1 + 1 / beta) - _power(x, beta)


def _cdf(x: Any, beta: Any) -> Any:
    beta = positive(beta)
    half = gammaincc(1 / beta, _power(x, beta)) / 2
    return np.where(x < 0, half, 1 - half)


@function
def logpdf(x: Any, beta: Any) -> Any:
    """The logarithm of the density at `x` of the generalised normal distribution.

    Args:
      x: numbers.
      beta: the exponent, a positive number.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gennorm
    >>> print(gennorm.logpdf(1.0, 1.5).round(4))
    -1.5908
    """
    return evaluate("gennorm.logpdf", _logpdf, x, beta)


@function
def pdf(x: Any, beta: Any) -> Any:
    """The density at `x` of the generalised normal distribution.

    Args:
      x: numbers.
      beta: the exponent, a positive number.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gennorm
    >>> print(gennorm.pdf(1.0, 1.5).round(4))
    0.2038
    """
    return evaluate("gennorm.pdf", exponential(_logpdf), x, beta)


@function
def cdf(x: Any, beta: Any) -> Any:
    """The probability of at most `x` under the generalised normal distribution.

    Args:
      x: numbers.
      beta: the exponent, a positive number.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gennorm
    >>> print(gennorm.cdf(1.0, 1.5).round(4))
    0.8876
    """
    return evaluate("gennorm.cdf", _cdf, x, beta)
