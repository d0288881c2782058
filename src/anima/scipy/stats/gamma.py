"""The gamma distribution: the density is `z**(a - 1) * exp(-z) / gamma(a)` at `z = (x - loc) / scale`, not negative, over `scale`.

Invariant: the formulas, and their sources, are those of `gamma_formulas`.
"""

from __future__ import annotations

from typing import Any

from anima.numpy.calls import function
from anima.scipy.stats import gamma_formulas
from anima.scipy.stats.forms import density, evaluate, log_density, standard


@function
def logpdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the gamma distribution.

    Args:
      x: numbers.
      a: the shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gamma
    >>> print(gamma.logpdf(2.0, 3.0).round(4))
    -1.3069
    """
    return evaluate("gamma.logpdf", log_density(gamma_formulas.log_density), x, a, loc, scale)


@function
def pdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the gamma distribution.

    Args:
      x: numbers.
      a: the shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gamma
    >>> print(gamma.pdf(2.0, 3.0).round(4))
    0.2707
    """
    return evaluate("gamma.pdf", density(gamma_formulas.log_density), x, a, loc, scale)


@function
def cdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the gamma distribution.

    Args:
      x: numbers.
      a: the shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gamma
    >>> print(gamma.cdf(2.0, 3.0).round(4))
    0.3233
    """
    return evaluate("gamma.cdf", standard(gamma_formulas.below), x, a, loc, scale)


@function
def logcdf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of at most `x` under the gamma distribution.

    Args:
      x: numbers.
      a: the shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gamma
    >>> print(gamma.logcdf(2.0, 3.0).round(4))
    -1.1291
    """
    return evaluate("gamma.logcdf", standard(gamma_formulas.log_below), x, a, loc, scale)


@function
def sf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of more than `x` under the gamma distribution.

    Args:
      x: numbers.
      a: the shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gamma
    >>> print(gamma.sf(2.0, 3.0).round(4))
    0.6767
    """
    return evaluate("gamma.sf", standard(gamma_formulas.above), x, a, loc, scale)


@function
def logsf(x: Any, a: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the probability of more than `x` under the gamma distribution.

    Args:
      x: numbers.
      a: the shape, a positive number.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import gamma
    >>> print(gamma.logsf(2.0, 3.0).round(4))
    -0.3906
    """
    return evaluate("gamma.logsf", standard(gamma_formulas.log_above), x, a, loc, scale)
