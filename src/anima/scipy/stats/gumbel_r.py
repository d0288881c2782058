"""The Gumbel distribution of largest values: the distribution function is `exp(-exp(-z))` at `z = (x - loc) / scale`.

Invariant: both tails keep their digits.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats import extremes
from anima.scipy.stats.forms import density, evaluate, log_density, quantile, standard


def _ppf(p: Any) -> Any:
    return -np.log(-np.log(p))


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the Gumbel distribution of largest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.logpdf(1.0).round(4))
    -1.3679
    """
    return evaluate("gumbel_r.logpdf", log_density(extremes.log_density), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the Gumbel distribution of largest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.pdf(1.0).round(4))
    0.2546
    """
    return evaluate("gumbel_r.pdf", density(extremes.log_density), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the Gumbel distribution of largest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.cdf(1.0).round(4))
    0.6922
    """
    return evaluate("gumbel_r.cdf", standard(extremes.below), x, loc, scale)


@function
def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the Gumbel distribution of largest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.logcdf(1.0).round(4))
    -0.3679
    """
    return evaluate("gumbel_r.logcdf", standard(extremes.log_below), x, loc, scale)


@function
def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the Gumbel distribution of largest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.sf(1.0).round(4))
    0.3078
    """
    return evaluate("gumbel_r.sf", standard(extremes.above), x, loc, scale)


@function
def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the Gumbel distribution of largest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.logsf(1.0).round(4))
    -1.1783
    """
    return evaluate("gumbel_r.logsf", standard(extremes.log_above), x, loc, scale)


@function
def ppf(p: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the Gumbel distribution of largest values, the inverse of `cdf`.

    Args:
      p: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_r
    >>> print(gumbel_r.ppf(0.25).round(4))
    -0.3266
    """
    return evaluate("gumbel_r.ppf", quantile(_ppf), p, loc, scale)
