"""The normal distribution of several variables.

Invariant: one number for the mean, or for the covariance, stands for as many equal and independent ones as there are variables.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.numpy.calls import function
from anima.numpy.promotion import promote_dtypes_inexact
from anima.scipy.stats.forms import evaluate, positive
from anima.scipy.stats.normal_formulas import factor, log_norm, single, squares


def _of_numbers(x: Any, mean: Any, cov: Any) -> Any:
    cov = positive(cov)
    deviation = x - mean
    return -0.5 * (deviation * deviation / cov + np.log(cov) + math.log(2 * math.pi))


def _logpdf(name: str, x: Any, mean: Any, cov: Any) -> Any:
    operands = [np.asarray(a) for a in promote_dtypes_inexact(name, x, mean, cov)]
    dtype = operands[0].dtype
    if dtypes.is_complex(dtype):
        raise TypeError(f"{name} takes real numbers only, got {dtypes.dtype_name(dtype)}")
    if np.ndim(mean) == 0 and np.ndim(cov) < 2:
        return evaluate(name, _of_numbers, x, mean, cov)
    x, mean, cov = (a.astype(single(dtype)) for a in operands)
    size = cov.shape[-1] if cov.ndim else mean.shape[-1]
    if (
        cov.ndim == 1
        or (cov.ndim and cov.shape[-2] != size)
        or (mean.ndim and mean.shape[-1] != size)
        or (x.ndim and x.shape[-1] != size)
    ):
        raise ValueError(
            f"{name}: the last axes of x and mean and the last two of cov must be of one length, "
            f"got shapes {x.shape}, {mean.shape} and {cov.shape}"
        )
    deviations = np.broadcast_to(x - mean, np.broadcast_shapes(x.shape, mean.shape, (size,)))
    if not cov.ndim:
        # The covariance is a multiple of the identity.
        cov = positive(cov)
        distance = np.sum(deviations * deviations, -1) / cov
        return (-0.5 * (distance + size * np.log(2 * math.pi * cov))).astype(dtype)
    lower = factor(cov)
    return (-0.5 * squares(lower, deviations) - log_norm(lower)).astype(dtype)


@function
def _logarithm(x: Any, mean: Any, cov: Any) -> Any:
    return _logpdf("multivariate_normal.logpdf", x, mean, cov)


def logpdf(x: Any, mean: Any, cov: Any, allow_singular: None = None) -> Any:
    """The logarithm of the density at `x` of the normal distribution of several variables.

    Args:
      x: points, of shape `(..., n)`.
      mean: the means, of shape `(..., n)`; or one number.
      cov: the covariances, of shape `(..., n, n)`, of which the lower triangles are read; or the variance of each variable. With
        numbers for `mean` and `cov`, elements of `x` are points of one variable.
      allow_singular: must be None: densities exist for positive definite covariances only.
    Returns:
      floating-point numbers of the shape to which the leading axes broadcast; NaN where a covariance is not positive definite.
    Raises:
      ValueError: shapes do not fit. TypeError: an argument is complex. NotImplementedError: `allow_singular` is given.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import multivariate_normal
    >>> print(multivariate_normal.logpdf(np.array([1.0, 0.0]), np.zeros(2), np.eye(2)).round(4))
    -2.3379
    """
    if allow_singular is not None:
        raise NotImplementedError(
            "multivariate_normal.logpdf: a singular covariance has no density; leave allow_singular at None"
        )
    return _logarithm(x, mean, cov)


@function
def pdf(x: Any, mean: Any, cov: Any) -> Any:
    """The density at `x` of the normal distribution of several variables.

    Args:
      x: points, of shape `(..., n)`.
      mean: the means, of shape `(..., n)`; or one number.
      cov: the covariances, of shape `(..., n, n)`; or the variance of each variable. With numbers for `mean` and `cov`, elements
        of `x` are points of one variable.
    Returns:
      floating-point numbers of the shape to which the leading axes broadcast; NaN where a covariance is not positive definite.
    Raises:
      ValueError: shapes do not fit. TypeError: an argument is complex.

    >>> import anima.numpy as np
    >>> from anima.scipy.stats import multivariate_normal
    >>> print(multivariate_normal.pdf(np.array([1.0, 0.0]), np.zeros(2), np.eye(2)).round(4))
    0.0965
    """
    return np.exp(_logpdf("multivariate_normal.pdf", x, mean, cov))
