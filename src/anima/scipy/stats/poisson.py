"""The Poisson distribution of mean `mu`.

Invariant: large means lose no digits: the logarithm is a deviance, not a difference of large logarithms. The entropy is a sum for
small means and an asymptotic series for large ones (R. J. Evans, J. Boersma, N. M. Blachman and A. A. Jagers, "The entropy of a
Poisson distribution", SIAM Review 30, 1988).
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.special.gamma import gammaincc
from anima.scipy.stats.forms import evaluate, exponential, no_count, shifted, within
from anima.scipy.stats.gamma_formulas import log_weight

_SERIES_FROM = 100.0  # from this mean on these terms of the series serve in double precision
_SERIES = (-1 / 12, -1 / 24, -19 / 360, -9 / 80, -863 / 2520, -1375 / 1008, -33953 / 5040)
_COUNTS = 220  # what is greater has no weight below that mean


def _mean(mu: Any) -> Any:
    return np.where(mu >= 0, mu, math.nan)


def _logpmf(k: Any, mu: Any) -> Any:
    mu = _mean(mu)
    return within(no_count(k), k, 0, lambda k: log_weight(k, mu), -math.inf)


def _cdf(k: Any, mu: Any) -> Any:
    mu = _mean(mu)
    return within(k < 0, k, 0, lambda k: gammaincc(np.floor(k) + 1, mu), 0)


def _entropy(mu: Any) -> Any:
    mu = _mean(mu)
    return np.where(mu >= _SERIES_FROM, _series(np.maximum(mu, _SERIES_FROM)), _sum(mu))


def _series(mu: Any) -> Any:
    inverse = 1 / mu
    total = np.zeros_like(mu)
    for coefficient in _SERIES[::-1]:
        total = (total + coefficient) * inverse
    return 0.5 * np.log(2 * math.pi * math.e * mu) + total


def _sum(mu: Any) -> Any:
    """Minus the sum of `p * log(p)` over the counts that have a probability."""
    mean = np.where(mu < _SERIES_FROM, mu, 0)[..., None]
    counts = np.arange(_COUNTS, dtype=mean.dtype)
    logarithms = log_weight(
        np.broadcast_to(counts, (*mu.shape, _COUNTS)), np.broadcast_to(mean, (*mu.shape, _COUNTS))
    )
    possible = logarithms > -math.inf
    terms = np.where(possible, -np.exp(logarithms) * np.where(possible, logarithms, 0), 0)
    return np.where(mu == mu, np.sum(terms, -1), mu)


@function
def logpmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` under the Poisson distribution.

    Args:
      k: counts; other numbers have probability 0.
      mu: the mean, not negative.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import poisson
    >>> print(poisson.logpmf(2, 3.0).round(4))
    -1.4959
    """
    return evaluate("poisson.logpmf", shifted(_logpmf), k, mu, loc)


@function
def pmf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The probability of `k` under the Poisson distribution.

    Args:
      k: counts; other numbers have probability 0.
      mu: the mean, not negative.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import poisson
    >>> print(poisson.pmf(2, 3.0).round(4))
    0.224
    """
    return evaluate("poisson.pmf", exponential(shifted(_logpmf)), k, mu, loc)


@function
def cdf(k: Any, mu: Any, loc: Any = 0) -> Any:
    """The probability of at most `k` under the Poisson distribution.

    Args:
      k: numbers.
      mu: the mean, not negative.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import poisson
    >>> print(poisson.cdf(2, 3.0).round(4))
    0.4232
    """
    return evaluate("poisson.cdf", shifted(_cdf), k, mu, loc)


@function
def entropy(mu: Any, loc: Any = 0) -> Any:
    """The entropy of the Poisson distribution, in natural units.

    Args:
      mu: the mean, not negative.
      loc: what is added to the counts; it does not matter.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import poisson
    >>> print(poisson.entropy(3.0).round(4))
    1.9315
    """
    return evaluate("poisson.entropy", shifted(_entropy), mu, loc, strong=True)
