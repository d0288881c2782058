"""The negative binomial distribution, that of the number of failures before success `n`.

Invariant: large counts lose no digits: the logarithm is a deviance, not a difference of logarithms of factorials.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.numpy.calls import function
from anima.scipy.stats.beta_formulas import log_weight
from anima.scipy.stats.forms import evaluate, exponential, no_count, positive, probability, shifted, within


def _logpmf(k: Any, n: Any, p: Any) -> Any:
    n, p = positive(n), probability(positive(p))

    def inner(k: Any) -> Any:
        none = k == 0
        count, chance = np.where(none, 1, k), np.where(none, 0.5, p)
        value = log_weight(n, count, chance, 1 - chance) - np.log(count)
        return np.where(none, n * np.log(p), value)

    return within(no_count(k), k, 0, inner, -math.inf)


@function
def logpmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """The logarithm of the probability of `k` under the negative binomial distribution.

    Args:
      k: counts; other numbers have probability 0.
      n: the number of successes, positive; it need not be whole.
      p: the probability of a success, not 0.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import nbinom
    >>> print(nbinom.logpmf(2, 5, 0.75).round(4))
    -1.5029
    """
    return evaluate("nbinom.logpmf", shifted(_logpmf), k, n, p, loc)


@function
def pmf(k: Any, n: Any, p: Any, loc: Any = 0) -> Any:
    """The probability of `k` under the negative binomial distribution.

    Args:
      k: counts; other numbers have probability 0.
      n: the number of successes, positive; it need not be whole.
      p: the probability of a success, not 0.
      loc: what is added to the counts.
    Returns:
      floating-point numbers of the arguments' common shape; NaN where one is no parameter.
    Raises:
      TypeError: an argument is complex, or the shapes do not broadcast.

    >>> from anima.scipy.stats import nbinom
    >>> print(nbinom.pmf(2, 5, 0.75).round(4))
    0.2225
    """
    return evaluate("nbinom.pmf", exponential(shifted(_logpmf)), k, n, p, loc)
