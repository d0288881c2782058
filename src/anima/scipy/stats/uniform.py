"""The uniform distribution from `loc` to `loc + scale`.

Invariant: both ends belong to the support.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats.forms import density, evaluate, log_density, quantile, standard


def _logpdf(z: Any) -> Any:
    outside = (z < 0) | (z > 1)
    return np.where(outside, -math.inf, np.where(z == z, 0, z))


def _cdf(z: Any) -> Any:
    return np.where(z < 0, 0, np.where(z > 1, 1, z))


def _ppf(q: Any) -> Any:
    return q


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the uniform distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import uniform
    >>> print(uniform.logpdf(0.25, 0, 2).round(4))
    -0.6931
    """
    return evaluate("uniform.logpdf", log_density(_logpdf), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the uniform distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import uniform
    >>> print(uniform.pdf(0.25, 0, 2).round(4))
    0.5
    """
    return evaluate("uniform.pdf", density(_logpdf), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the uniform distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import uniform
    >>> print(uniform.cdf(0.25, 0, 2).round(4))
    0.125
    """
    return evaluate("uniform.cdf", standard(_cdf), x, loc, scale, strong=True)


@function
def ppf(q: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The quantiles of the uniform distribution, the inverse of `cdf`.

    Args:
      q: probabilities; others give NaN.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import uniform
    >>> print(uniform.ppf(0.25).round(4))
    0.25
    """
    return evaluate("uniform.ppf", quantile(_ppf), q, loc, scale)
