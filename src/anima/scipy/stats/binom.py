"""The binomial distribution, that of the number of successes in `n` trials.

Invariant: large counts lose no digits: the logarithm is a deviance, not a difference of logarithms of factorials.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.information import xlog1py
from anima.scipy.stats.beta_formulas import log_weight
from anima.scipy.stats.forms import (
    evaluate,
    exponential,
    log_power,
    no_count,
    probability,
    shifted,
    whole_number,
    within,
)


def _logpmf(k: Any, n: Any, p: Any) -> Any:
    n, p = whole_number(n), probability(p)
    return within(no_count(k) | (k > n), k, 0, lambda k: _inner(k, n, p), -math.inf)


def _inner(k: Any, n: Any, p: Any) -> Any:
    rest = n - k
    end = (k == 0) | (rest == 0)
    a, b = np.where(end, 1, k), np.where(end, 1, rest)
    inner = np.where(end, 0.5, p)
    value = log_weight(a, b, inner, 1 - inner) + np.log(1 / a + 1 / b)
    return np.where(end, log_power(k, p) + xlog1py(rest, np.where(rest == 0, 0, -p)), value)


@function
def logpmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` under the binomial distribution.

    Args:
      k: counts; other numbers have probability 0.
      n: the number of trials, 0, 1, 2, ...
      p: the probability of a success.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import binom
    >>> print(binom.logpmf(2, 5, 0.25).round(4))
    -1.333
    """
    return evaluate("binom.logpmf", shifted(_logpmf), k, n, p, loc)


@function
def pmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """The probability of `k` under the binomial distribution.

    Args:
      k: counts; other numbers have probability 0.
      n: the number of trials, 0, 1, 2, ...
      p: the probability of a success.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import binom
    >>> print(binom.pmf(2, 5, 0.25).round(4))
    0.2637
    """
    return evaluate("binom.pmf", exponential(shifted(_logpmf)), k, n, p, loc)
