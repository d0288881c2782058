"""The beta distribution: the density is `z**(a - 1) * (1 - z)**(b - 1) / beta(a, b)` at `z = (x - loc) / scale`, over `scale`.

Invariant: each tail is that incomplete beta function which is computed without a difference where it is small.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.gamma import betainc, betaln
from anima.scipy.stats.beta_formulas import log_weight
from anima.scipy.stats.forms import (
    density,
    evaluate,
    log_density,
    log_power,
    log_probability,
    positive,
    standard,
    within,
)


def _logpdf(z: Any, a: Any, b: Any) -> Any:
    a, b = positive(a), positive(b)
    end = (z <= 0) | (z >= 1)
    inner = np.where(end, 0.5, z)
    value = log_weight(a, b, inner, 1 - inner) - np.log(inner) - np.log1p(-inner)
    edge = np.where(end & (z >= 0) & (z <= 1), z, 0.5)
    at_edge = log_power(a - 1, edge) + log_power(b - 1, 1 - edge) - betaln(a, b)
    outside = (z < 0) | (z > 1)
    found = np.where(end & ~outside, at_edge, value)
    return np.where(outside & (value == value), -math.inf, found)


def _cdf(z: Any, a: Any, b: Any) -> Any:
    a, b = positive(a), positive(b)
    inner = lambda z: betainc(a, b, np.minimum(z, 1))
    return within(z < 0, z, 0.5, inner, 0)


def _sf(z: Any, a: Any, b: Any) -> Any:
    low = z < a / (a + b)  # where the tail is long, and 1 - z may have lost what matters
    return np.where(low, 1 - _cdf(z, a, b), _cdf(1 - z, b, a))


def _logcdf(z: Any, a: Any, b: Any) -> Any:
    return log_probability(_cdf(z, a, b), _sf(z, a, b))


def _logsf(z: Any, a: Any, b: Any) -> Any:
    return log_probability(_sf(z, a, b), _cdf(z, a, b))


@function
def logpdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the beta distribution.

    Args:
      x: numbers.
      a: the first shape, a positive number.
      b: the second shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import beta
    >>> print(beta.logpdf(0.25, 2.0, 3.0).round(4))
    0.5232
    """
    return evaluate("beta.logpdf", log_density(_logpdf), x, a, b, loc, scale)


@function
def pdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the beta distribution.

    Args:
      x: numbers.
      a: the first shape, a positive number.
      b: the second shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import beta
    >>> print(beta.pdf(0.25, 2.0, 3.0).round(4))
    1.6875
    """
    return evaluate("beta.pdf", density(_logpdf), x, a, b, loc, scale)


@function
def cdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the beta distribution.

    Args:
      x: numbers.
      a: the first shape, a positive number.
      b: the second shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import beta
    >>> print(beta.cdf(0.25, 2.0, 3.0).round(4))
    0.2617
    """
    return evaluate("beta.cdf", standard(_cdf), x, a, b, loc, scale)


@function
def logcdf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the beta distribution.

    Args:
      x: numbers.
      a: the first shape, a positive number.
      b: the second shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import beta
    >>> print(beta.logcdf(0.25, 2.0, 3.0).round(4))
    -1.3405
    """
    return evaluate("beta.logcdf", standard(_logcdf), x, a, b, loc, scale)


@function
def sf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the beta distribution.

    Args:
      x: numbers.
      a: the first shape, a positive number.
      b: the second shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import beta
    >>> print(beta.sf(0.25, 2.0, 3.0).round(4))
    0.7383
    """
    return evaluate("beta.sf", standard(_sf), x, a, b, loc, scale)


@function
def logsf(x: Any, a: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the beta distribution.

    Args:
      x: numbers.
      a: the first shape, a positive number.
      b: the second shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import beta
    >>> print(beta.logsf(0.25, 2.0, 3.0).round(4))
    -0.3034
    """
    return evaluate("beta.logsf", standard(_logsf), x, a, b, loc, scale)
