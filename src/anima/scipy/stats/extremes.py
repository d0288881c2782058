"""The Gumbel distribution of largest values, of which that of smallest values is the mirror image.

Invariant: nothing overflows to NaN: where `exp(-z)` is infinite, densities are 0.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.nn import log1mexp

_TAIL = 17.0  # from where on two terms of the series of the tail serve in double precision


def log_density(z: Any) -> Any:
    """The logarithm of the density."""
    end = z == -math.inf
    inner = np.where(end, 0, z)
    return np.where(end, -math.inf, -(inner + np.exp(-inner)))


def log_below(z: Any) -> Any:
    """The logarithm of the probability of at most `z`."""
    return -np.exp(-z)


def below(z: Any) -> Any:
    """The probability of at most `z`."""
    return np.exp(-np.exp(-z))


def above(z: Any) -> Any:
    """The probability of more than `z`."""
    return -np.expm1(-np.exp(-z))


def log_above(z: Any) -> Any:
    """The logarithm of the probability of more than `z`."""
    far = z > _TAIL
    outer = np.where(far, z, _TAIL)
    return np.where(far, -outer - np.exp(-outer) / 2, log1mexp(np.exp(-np.where(far, 0, z))))
