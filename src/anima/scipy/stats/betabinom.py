"""The beta-binomial distribution: binomial, with a probability of success that has a beta distribution.

Invariant: binomial coefficients are beta functions, whose logarithms are computed as such.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.gamma import betaln
from anima.scipy.stats.forms import evaluate, exponential, no_count, positive, shifted, whole_number, within


def _logpmf(k: Any, n: Any, a: Any, b: Any) -> Any:
    n, a, b = whole_number(n), positive(a), positive(b)

    def inner(k: Any) -> Any:
        coefficient = -np.log1p(n) - betaln(n - k + 1, k + 1)
        return coefficient + betaln(k + a, n - k + b) - betaln(a, b)

    return within(no_count(k) | (k > n), k, 0, inner, -math.inf)


@function
def logpmf(k: Any, n: Any, a: Any, b: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` under the beta-binomial distribution.

    Args:
      k: counts; other numbers have probability 0.
      n: the number of trials, 0, 1, 2, ...
      a: the first shape of the beta distribution, a positive number.
      b: its second shape, a positive number.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import betabinom
    >>> print(betabinom.logpmf(2, 5, 2.0, 3.0).round(4))
    -1.4351
    """
    return evaluate("betabinom.logpmf", shifted(_logpmf), k, n, a, b, loc)


@function
def pmf(k: Any, n: Any, a: Any, b: Any, loc: Any = 0) -> Any:
    """The probability of `k` under the beta-binomial distribution.

    Args:
      k: counts; other numbers have probability 0.
      n: the number of trials, 0, 1, 2, ...
      a: the first shape of the beta distribution, a positive number.
      b: its second shape, a positive number.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import betabinom
    >>> print(betabinom.pmf(2, 5, 2.0, 3.0).round(4))
    0.2381
    """
    return evaluate("betabinom.pmf", exponential(shifted(_logpmf)), k, n, a, b, loc)
