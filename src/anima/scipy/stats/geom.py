"""The geometric distribution, that of the number of trials up to the first success.

Invariant: a probability of 1 gives no NaN, also in derivatives of what is possible.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.information import xlog1py
from anima.scipy.stats.forms import evaluate, exponential, no_count, positive, probability, shifted, within


def _logpmf(k: Any, p: Any) -> Any:
    p = probability(positive(p))
    inner = lambda k: xlog1py(k - 1, np.where(k == 1, 0, -p)) + np.log(p)
    return within(no_count(k) | (k < 1), k, 1, inner, -math.inf)


@function
def logpmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` under the geometric distribution.

    Args:
      k: counts; other numbers have probability 0.
      p: the probability of a success, not 0.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import geom
    >>> print(geom.logpmf(2, 0.25).round(4))
    -1.674
    """
    return evaluate("geom.logpmf", shifted(_logpmf), k, p, loc)


@function
def pmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """The probability of `k` under the geometric distribution.

    Args:
      k: counts; other numbers have probability 0.
      p: the probability of a success, not 0.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import geom
    >>> print(geom.pmf(2, 0.25).round(4))
    0.1875
    """
    return evaluate("geom.pmf", exponential(shifted(_logpmf)), k, p, loc)
