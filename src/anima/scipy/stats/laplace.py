"""The Laplace distribution: the density is `exp(-abs(z)) / 2` at `z = (x - loc) / scale`, over `scale`.

Invariant: no probability is a difference of others where it is less than a half.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats.forms import density, evaluate, log_density, standard


def _logpdf(z: Any) -> Any:
    return -np.abs(z) - math.log(2)


def _cdf(z: Any) -> Any:
    half = 0.5 * np.exp(-np.abs(z))
    return np.where(z < 0, half, 1 - half)


@function
def logpdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of the Laplace distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import laplace
    >>> print(laplace.logpdf(1.0).round(4))
    -1.6931
    """
    return evaluate("laplace.logpdf", log_density(_logpdf), x, loc, scale)


@function
def pdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of the Laplace distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import laplace
    >>> print(laplace.pdf(1.0).round(4))
    0.1839
    """
    return evaluate("laplace.pdf", density(_logpdf), x, loc, scale)


@function
def cdf(x: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The probability of at most `x` under the Laplace distribution.

    Args:
      x: numbers.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import laplace
    >>> print(laplace.cdf(1.0).round(4))
    0.8161
    """
    return evaluate("laplace.cdf", standard(_cdf), x, loc, scale)
