"""The Pareto distribution: the survival function is `z**-b` at `z = (x - loc) / scale`, at least 1.

Invariant: probabilities near 0 and near 1 keep their digits.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.nn import log1mexp
from anima.numpy.calls import function
from anima.scipy.stats.forms import density, evaluate, log_density, positive, quantile, standard, within


def _logpdf(z: Any, b: Any) -> Any:
    b = positive(b)
    return within(z < 1, z, 2, lambda z: np.log(b) - (b + 1) * np.log(z), -math.inf)


def _logsf(z: Any, b: Any) -> Any:
    b = positive(b)
    return within(z < 1, z, 2, lambda z: -b * np.log(z), 0)


def _sf(z: Any, b: Any) -> Any:
    return np.exp(_logsf(z, b))


def _cdf(z: Any, b: Any) -> Any:
    return -np.expm1(_logsf(z, b))


def _logcdf(z: Any, b: Any) -> Any:
    b = positive(b)
    return within(z < 1, z, 2, lambda z: log1mexp(b * np.log(z)), -math.inf)


def _ppf(q: Any, b: Any) -> Any:
    return np.exp(-np.log1p(-q) / positive(b))


@function
def logpdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the Pareto distribution.

    Args:
      x: numbers.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.logpdf(2.0, 3.0).round(4))
    -1.674
    """
    return evaluate("pareto.logpdf", log_density(_logpdf), x, b, loc, scale)


@function
def pdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the Pareto distribution.

    Args:
      x: numbers.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.pdf(2.0, 3.0).round(4))
    0.1875
    """
    return evaluate("pareto.pdf", density(_logpdf), x, b, loc, scale)


@function
def cdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the Pareto distribution.

    Args:
      x: numbers.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.cdf(2.0, 3.0).round(4))
    0.875
    """
    return evaluate("pareto.cdf", standard(_cdf), x, b, loc, scale)


@function
def logcdf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the Pareto distribution.

    Args:
      x: numbers.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.logcdf(2.0, 3.0).round(4))
    -0.1335
    """
    return evaluate("pareto.logcdf", standard(_logcdf), x, b, loc, scale)


@function
def sf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the Pareto distribution.

    Args:
      x: numbers.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.sf(2.0, 3.0).round(4))
    0.125
    """
    return evaluate("pareto.sf", standard(_sf), x, b, loc, scale)


@function
def logsf(x: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the Pareto distribution.

    Args:
      x: numbers.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.logsf(2.0, 3.0).round(4))
    -2.0794
    """
    return evaluate("pareto.logsf", standard(_logsf), x, b, loc, scale)


@function
def ppf(q: Any, b: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the Pareto distribution, the inverse of `cdf`.

    Args:
      q: probabilities; others give NaN.
      b: the exponent, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import pareto
    >>> print(pareto.ppf(0.25, 3.0).round(4))
    1.1006
    """
    return evaluate("pareto.ppf", quantile(_ppf), q, b, loc, scale)
