"""Student's t distribution: the density is `(1 + z**2 / df)**(-(df + 1) / 2) / (sqrt(df) * beta(1 / 2, df / 2))`, over `scale`.

Invariant: the logarithm of the beta function is computed as such, not as a difference of large logarithms.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.gamma import betaln
from anima.scipy.stats.forms import density, evaluate, log1p_square, log_density, positive


def _logpdf(z: Any, df: Any) -> Any:
    df = positive(df)
    normal = df == math.inf
    finite = np.where(normal, 1, df)
    tail = log1p_square(np.where(normal, 0, z) / np.sqrt(finite))
    value = -betaln(np.full_like(finite, 0.5), finite / 2) - 0.5 * np.log(finite) - (finite + 1) / 2 * tail
    bell = np.where(normal, z, 0)
    return np.where(normal, -bell * bell / 2 - math.log(2 * math.pi) / 2, value)


@function
def logpdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The logarithm of the density at `x` of Student's t distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number or infinity.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import t
    >>> print(t.logpdf(1.0, 4.0).round(4))
    -1.5387
    """
    return evaluate("t.logpdf", log_density(_logpdf), x, df, loc, scale)


@function
def pdf(x: Any, df: Any, loc: Any = 0, scale: Any = 1) -> Any:
    """The density at `x` of Student's t distribution.

    Args:
      x: numbers.
      df: the degrees of freedom, a positive number or infinity.
      loc, scale: the location and the scale, a positive number; by default 0 and 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import t
    >>> print(t.pdf(1.0, 4.0).round(4))
    0.2147
    """
    return evaluate("t.pdf", density(_logpdf), x, df, loc, scale)
