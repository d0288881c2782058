"""The chi-squared distribution, that of the sum of `df` squares of normal numbers: a gamma distribution.

Invariant: the formulas are those of the gamma distribution of shape `df / 2` at half the number.
"""

from __future__ import annotations

import math
from typing import Any

from anima.numpy.calls import function
from anima.scipy.stats import gamma_formulas
from anima.scipy.stats.forms import density, evaluate, log_density, standard


def _halved(formula: Any) -> Any:
    return lambda z, df: formula(z / 2, df / 2)


def _logpdf(z: Any, df: Any) -> Any:
    return gamma_formulas.log_density(z / 2, df / 2) - math.log(2)


@function
def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the chi-squared distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import chi2
    >>> print(chi2.logpdf(2.0, 3.0).round(4))
    -1.5724
    """
    return evaluate("chi2.logpdf", log_density(_logpdf), x, df, loc, scale)


@function
def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the chi-squared distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import chi2
    >>> print(chi2.pdf(2.0, 3.0).round(4))
    0.2076
    """
    return evaluate("chi2.pdf", density(_logpdf), x, df, loc, scale)


@function
def cdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the chi-squared distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import chi2
    >>> print(chi2.cdf(2.0, 3.0).round(4))
    0.4276
    """
    return evaluate("chi2.cdf", standard(_halved(gamma_formulas.below)), x, df, loc, scale)


@function
def logcdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the chi-squared distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import chi2
    >>> print(chi2.logcdf(2.0, 3.0).round(4))
    -0.8496
    """
    return evaluate("chi2.logcdf", standard(_halved(gamma_formulas.log_below)), x, df, loc, scale)


@function
def sf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the chi-squared distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import chi2
    >>> print(chi2.sf(2.0, 3.0).round(4))
    0.5724
    """
    return evaluate("chi2.sf", standard(_halved(gamma_formulas.above)), x, df, loc, scale)


@function
def logsf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the chi-squared distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import chi2
    >>> print(chi2.logsf(2.0, 3.0).round(4))
    -0.5579
    """
    return evaluate("chi2.logsf", standard(_halved(gamma_formulas.log_above)), x, df, loc, scale)
