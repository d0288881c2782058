"""The weights of the beta and of the binomial distributions.

Invariant: what is a small difference of large logarithms is computed as such: by the deviance `x - log1p(x)` and the error of
Stirling's formula (C. Loader, "Fast and accurate computation of binomial probabilities", 2000).
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima.lax.special.parts import log1p_excess, scaled_gamma


def log_weight(a: Any, b: Any, x: Any, y: Any) -> Any:
    """The logarithm of `x**a * y**b / beta(a, b)` for positive `a` and `b`, where `x + y` is 1."""
    total = a + b
    difference = x * b - y * a
    deviance = a * log1p_excess(difference / a, x * total / a)
    deviance += b * log1p_excess(-difference / b, y * total / b)
    correction = scaled_gamma(total) / (scaled_gamma(a) * scaled_gamma(b))
    return np.log(correction) + 0.5 * np.log(a / (2 * math.pi) * (b / total)) - deviance
