"""The Gumbel distribution of smallest values: the survival function is `exp(-exp(z))` at `z = (x - loc) / scale`.

Invariant: it is the mirror image of `gumbel_r`, so both tails keep their digits.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats import extremes
from anima.scipy.stats.forms import density, evaluate, log_density, quantile, standard


def _mirrored(formula: Any) -> Any:
    return lambda z: formula(-z)


def _ppf(p: Any) -> Any:
    return np.log(-np.log1p(-p))


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the Gumbel distribution of smallest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.logpdf(1.0).round(4))
    -1.7183
    """
    return evaluate("gumbel_l.logpdf", log_density(_mirrored(extremes.log_density)), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the Gumbel distribution of smallest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.pdf(1.0).round(4))
    0.1794
    """
    return evaluate("gumbel_l.pdf", density(_mirrored(extremes.log_density)), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the Gumbel distribution of smallest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.cdf(1.0).round(4))
    0.934
    """
    return evaluate("gumbel_l.cdf", standard(_mirrored(extremes.above)), x, loc, scale)


@function
def logcdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the Gumbel distribution of smallest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.logcdf(1.0).round(4))
    -0.0683
    """
    return evaluate("gumbel_l.logcdf", standard(_mirrored(extremes.log_above)), x, loc, scale)


@function
def sf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the Gumbel distribution of smallest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.sf(1.0).round(4))
    0.066
    """
    return evaluate("gumbel_l.sf", standard(_mirrored(extremes.below)), x, loc, scale)


@function
def logsf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the Gumbel distribution of smallest values.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.logsf(1.0).round(4))
    -2.7183
    """
    return evaluate("gumbel_l.logsf", standard(_mirrored(extremes.log_below)), x, loc, scale)


@function
def ppf(p: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the Gumbel distribution of smallest values, the inverse of `cdf`.

    Args:
      p: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gumbel_l
    >>> print(gumbel_l.ppf(0.25).round(4))
    -1.2459
    """
    return evaluate("gumbel_l.ppf", quantile(_ppf), p, loc, scale)
