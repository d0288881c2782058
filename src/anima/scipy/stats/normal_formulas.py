"""The normal distribution of several variables, which densities of points and of samples are made of.

Invariant: a covariance enters through its Cholesky factor alone, so one that is not positive definite gives NaN.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.scipy.linalg.solving import solve_triangular


def single(dtype: Any) -> Any:
    """The dtype in which results of `dtype` are computed: half precision in single precision."""
    return dtype if dtypes.itemsize_bits(dtype) >= 32 else np.float32


def factor(cov: Any) -> Any:
    """The lower triangular factors of covariances, NaN where one is not positive definite."""
    return np.linalg.cholesky(cov)


def squares(lower: Any, deviations: Any) -> Any:
    """`v @ inv(cov) @ v` for vectors `v` along the last axis; stacks of factors and of vectors broadcast."""
    if lower.ndim == 2:
        flat = deviations.reshape(math.prod(deviations.shape[:-1]), deviations.shape[-1])
        solved = solve_triangular(lower, flat.T, lower=True)
        return np.sum(solved * solved, 0).reshape(deviations.shape[:-1])
    solved = solve_triangular(lower, deviations[..., None], lower=True)[..., 0]
    return np.sum(solved * solved, -1)


def log_norm(lower: Any) -> Any:
    """The logarithm of the integral of `exp(-squares(lower, v) / 2)`."""
    diagonal = np.diagonal(lower, axis1=-2, axis2=-1)
    return lower.shape[-1] * (0.5 * math.log(2 * math.pi)) + np.sum(np.log(diagonal), -1)
