"""The Dirichlet distribution of proportions.

Invariant: proportions are at least 0, and their sum is 1 to within rounding; the density of others is 0.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.numpy.calls import function
from anima.numpy.promotion import promote_dtypes_inexact
from anima.scipy.special.gamma import gammaln
from anima.scipy.stats.forms import log_power, positive
from anima.scipy.stats.normal_formulas import single

_ROUNDING = 1e-6  # how far from 1 a sum of proportions may be


def _logpdf(name: str, x: Any, alpha: Any) -> Any:
    x, alpha = (np.asarray(a) for a in promote_dtypes_inexact(name, x, alpha))
    dtype = x.dtype
    if dtypes.is_complex(dtype):
        raise TypeError(f"{name} takes real numbers only, got {dtypes.dtype_name(dtype)}")
    if alpha.ndim != 1:
        raise ValueError(f"{name}: alpha must be a vector, got shape {alpha.shape}")
    size = alpha.shape[0]
    if not x.ndim or x.shape[0] not in (size, size - 1):
        raise ValueError(
            f"{name}: the first axis of x must be as long as alpha, {size}, or one shorter, got shape {x.shape}"
        )
    x, alpha = x.astype(single(dtype)), positive(alpha.astype(single(dtype)))
    if x.shape[0] == size - 1:
        x = np.concatenate([x, 1 - np.sum(x, 0, keepdims=True)])
    rounding = max(_ROUNDING, 4 * float(dtypes.finfo(dtype).eps))
    outside = np.any(x < 0, 0) | (np.abs(np.sum(x, 0) - 1) > rounding)
    powers = alpha.reshape(size, *(1,) * (x.ndim - 1)) - 1
    # Outside, a point inside stands for x, for the sake of derivatives.
    inner = np.where(outside, 1 / max(size, 1), x)
    normalizer = np.sum(gammaln(alpha)) - gammaln(np.sum(alpha))
    value = np.sum(log_power(powers, inner), 0) - normalizer
    return np.where(outside & (value == value), -math.inf, value).astype(dtype)


@function
def logpdf(x: Any, alpha: Any) -> Any:
    """The logarithm of the density at `x` of the Dirichlet distribution.

    Args:
      x: proportions along the first axis, of which the last may be left out: it is what the others leave of 1.
      alpha: a vector of positive numbers, one for each proportion.
    Returns:
      floating-point numbers of the shape of the other axes of `x`: -inf where these are no proportions, NaN where `alpha` is
      not positive.
    Raises:
      ValueError: `alpha` is no vector, or `x` has another length. TypeError: an argument is complex.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import dirichlet
    >>> print(dirichlet.logpdf(np.array([0.2, 0.8]), np.array([1.0, 2.0])).round(4))
    0.47
    """
    return _logpdf("dirichlet.logpdf", x, alpha)


@function
def pdf(x: Any, alpha: Any) -> Any:
    """The density at `x` of the Dirichlet distribution.

    Args:
      x: proportions along the first axis, of which the last may be left out: it is what the others leave of 1.
      alpha: a vector of positive numbers, one for each proportion.
    Returns:
      floating-point numbers of the shape of the other axes of `x`: 0 where these are no proportions, NaN where `alpha` is not
      positive.
    Raises:
      ValueError: `alpha` is no vector, or `x` has another length. TypeError: an argument is complex.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import dirichlet
    >>> print(dirichlet.pdf(np.array([0.2, 0.8]), np.array([1.0, 2.0])).round(4))
    1.6
    """
    return np.exp(_logpdf("dirichlet.pdf", x, alpha))
