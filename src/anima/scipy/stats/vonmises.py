"""The von Mises distribution on a circle: the density is `exp(kappa * cos(x)) / (2 * pi * i0(kappa))`.

Invariant: large exponents are divided out before anything is exponentiated.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.bessel import i0e
from anima.scipy.stats.forms import evaluate, exponential


def _logpdf(x: Any, kappa: Any) -> Any:
    kappa = np.where(kappa >= 0, kappa, math.nan)
    half = np.sin(x / 2)
    return -2 * kappa * half * half - np.log(2 * math.pi * i0e(kappa))


@function
def logpdf(x: Any, kappa: Any) -> Any:
    """The logarithm of the density at `x` of the von Mises distribution.

    Args:
      x: numbers.
      kappa: the concentration, not negative.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import vonmises
    >>> print(vonmises.logpdf(1.0, 2.0).round(4))
    -1.5813
    """
    return evaluate("vonmises.logpdf", _logpdf, x, kappa)


@function
def pdf(x: Any, kappa: Any) -> Any:
    """The density at `x` of the von Mises distribution.

    Args:
      x: numbers.
      kappa: the concentration, not negative.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import vonmises
    >>> print(vonmises.pdf(1.0, 2.0).round(4))
    0.2057
    """
    return evaluate("vonmises.pdf", exponential(_logpdf), x, kappa)
