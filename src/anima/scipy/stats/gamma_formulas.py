"""The gamma distribution of scale 1, which the chi-squared and the Poisson distribution are made of.

Invariant: what is a small difference of large logarithms is computed as such: by the deviance `x - log1p(x)` and the error of
Stirling's formula (C. Loader, "Fast and accurate computation of binomial probabilities", 2000).
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.lax.special.parts import LARGE, log1p_excess, scaled_gamma
from anima.scipy.special.gamma import gammainc, gammaincc, gammaln
from anima.scipy.stats.forms import log_power, log_probability, positive, within


def log_weight(a: Any, x: Any) -> Any:
    """The logarithm of `x**a * exp(-x) / gamma(a + 1)` for `a > -1` and `x >= 0`."""
    large = a >= LARGE
    big, small = np.where(large, a, LARGE), np.where(large, 1, a)
    far = np.where(large, x, LARGE)
    deviance = big * log1p_excess((far - big) / big, far / big)
    by_stirling = -deviance - np.log(scaled_gamma(big)) - 0.5 * np.log(2 * math.pi * big)
    near = np.where(large, 1, x)
    return np.where(large, by_stirling, log_power(small, near) - near - gammaln(small + 1))


def log_density(z: Any, a: Any) -> Any:
    """The logarithm of the density."""
    a = positive(a)
    return within((z < 0) | (z == math.inf), z, 1, lambda z: log_weight(a - 1, z), -math.inf)


def below(z: Any, a: Any) -> Any:
    """The probability of at most `z`."""
    a = positive(a)
    return within(z < 0, z, 1, lambda z: gammainc(a, z), 0)


def above(z: Any, a: Any) -> Any:
    """The probability of more than `z`."""
    a = positive(a)
    return within(z < 0, z, 1, lambda z: gammaincc(a, z), 1)


def log_below(z: Any, a: Any) -> Any:
    """The logarithm of `below`."""
    return log_probability(below(z, a), above(z, a))


def log_above(z: Any, a: Any) -> Any:
    """The logarithm of `above`."""
    return log_probability(above(z, a), below(z, a))
