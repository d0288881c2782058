"""The wrapped Cauchy distribution from 0 to `2 * pi`: the density is `(1 - c**2) / (2 * pi * (1 + c**2 - 2 * c * cos(x)))`.

Invariant: the denominator is a sum of squares.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats.forms import evaluate, exponential, within


def _logpdf(x: Any, c: Any) -> Any:
    c = np.where((c > 0) & (c < 1), c, math.nan)

    def inner(x: Any) -> Any:
        half = np.sin(x / 2)
        return np.log((1 - c) * (1 + c) / (2 * math.pi)) - np.log((1 - c) ** 2 + 4 * c * half * half)

    return within((x < 0) | (x > 2 * math.pi), x, 1, inner, -math.inf)


@function
def logpdf(x: Any, c: Any) -> Any:
    """The logarithm of the density at `x` of the wrapped Cauchy distribution.

    Args:
      x: numbers.
      c: the concentration, between 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import wrapcauchy
    >>> print(wrapcauchy.logpdf(1.0, 0.5).round(4))
    -1.7826
    """
    return evaluate("wrapcauchy.logpdf", _logpdf, x, c)


@function
def pdf(x: Any, c: Any) -> Any:
    """The density at `x` of the wrapped Cauchy distribution.

    Args:
      x: numbers.
      c: the concentration, between 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import wrapcauchy
    >>> print(wrapcauchy.pdf(1.0, 0.5).round(4))
    0.1682
    """
    return evaluate("wrapcauchy.pdf", exponential(_logpdf), x, c)
