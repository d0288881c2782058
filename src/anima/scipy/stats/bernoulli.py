"""The Bernoulli distribution: 1 with probability `p`, else 0.

Invariant: a probability of 0 or 1 gives no NaN, also in derivatives of what is possible.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats.forms import evaluate, exponential, log_power, no_count, probability, shifted, within


def _logpmf(k: Any, p: Any) -> Any:
    p = probability(p)
    outside = no_count(k) | (k > 1)
    return within(outside, k, 0, lambda k: log_power(k, p) + log_power(1 - k, 1 - p), -math.inf)


def _cdf(k: Any, p: Any) -> Any:
    p = probability(p)
    inner = np.where(k == k, 1 - p, k)
    return np.where((k < 0) & (p == p), 0, np.where((k >= 1) & (p == p), 1, inner))


def _ppf(q: Any, p: Any) -> Any:
    q, p = probability(q), probability(p)
    return np.where((q == q) & (p == p), np.where(q <= 1 - p, 0.0, 1.0), math.nan)


@function
def logpmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` under the Bernoulli distribution.

    Args:
      k: counts; other numbers have probability 0.
      p: the probability of 1.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import bernoulli
    >>> print(bernoulli.logpmf(1, 0.25).round(4))
    -1.3863
    """
    return evaluate("bernoulli.logpmf", shifted(_logpmf), k, p, loc)


@function
def pmf(k: Any, p: Any, loc: Any = 0) -> Any:
    """The probability of `k` under the Bernoulli distribution.

    Args:
      k: counts; other numbers have probability 0.
      p: the probability of 1.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import bernoulli
    >>> print(bernoulli.pmf(1, 0.25).round(4))
    0.25
    """
    return evaluate("bernoulli.pmf", exponential(shifted(_logpmf)), k, p, loc)


@function
def cdf(k: Any, p: Any) -> Any:
    """The probability of at most `k` under the Bernoulli distribution.

    Args:
      k: numbers.
      p: the probability of 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import bernoulli
    >>> print(bernoulli.cdf(1, 0.25).round(4))
    1.0
    """
    return evaluate("bernoulli.cdf", _cdf, k, p)


@function
def ppf(q: Any, p: Any) -> Any:
    """The quantiles of the Bernoulli distribution, the inverse of `cdf`.

    Args:
      q: probabilities; others give NaN.
      p: the probability of 1.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import bernoulli
    >>> print(bernoulli.ppf(0.9, 0.25).round(4))
    1.0
    """
    return evaluate("bernoulli.ppf", _ppf, q, p)
