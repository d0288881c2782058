"""What functions of distributions have in common: how arguments are promoted, located and scaled, and where the support ends.

Invariant: formulas get arrays of one shape and of one dtype, float32 or float64 (and complex ones only where they say so), and
return one. What is no parameter of a distribution (a negative scale) is NaN before a formula sees it, so its result is NaN. No
formula is evaluated outside of the support, so derivatives there are zero, not NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.lax import convert_element_type_p
from anima.numpy.promotion import aval, avals_of, promote_inexact
from anima.scipy.special.information import xlogy
from anima.scipy.special.operands import whole

Formula = Callable[..., Any]


def evaluate(name: str, formula: Formula, *args: Any, strong: bool = False, analytic: bool = False) -> Any:
    """A formula of arguments that are promoted and broadcast together; half precision is computed in single precision.

    Args:
      name: the function, for messages.
      strong: whether the result is never weakly typed; else it is where all arguments are.
      analytic: whether complex numbers are allowed.
    Raises:
      TypeError: an argument is no array or scalar, or complex, or the shapes do not broadcast.
    """
    operands, avals = avals_of(name, args)
    values = whole(name, promote_inexact(name, *operands))
    dtype = dtypes.lattice_result_type(*[(a.dtype, a.weak_type) for a in avals])[0]
    dtype = dtypes.to_inexact_dtype(dtype)
    if dtypes.is_complex(dtype) and not analytic:
        raise TypeError(f"{name} takes real numbers only, got {dtypes.dtype_name(dtype)}")
    inner = dtype if dtypes.itemsize_bits(dtype) >= 32 else dtypes.float32
    result = formula(*(convert_element_type_p.bind(v, new_dtype=inner, weak_type=False) for v in values))
    weak = not strong and all([a.weak_type for a in avals])
    result, known = aval(name, result)
    if known.dtype == dtype and known.weak_type == weak:
        return result
    return convert_element_type_p.bind(result, new_dtype=dtype, weak_type=weak)


# --- from a formula to that of another location and scale -------------------------------------


def standard(formula: Formula) -> Formula:
    """From a formula of `z` and shape parameters to one of `x`, these, `loc` and `scale`, where `z = (x - loc) / scale`."""

    def located(x: Any, *rest: Any) -> Any:
        *shapes, loc, scale = rest
        return formula((x - loc) / positive(scale), *shapes)

    return located


def log_density(formula: Formula) -> Formula:
    """`standard`, for the logarithm of a density."""
    located = standard(formula)
    return lambda x, *rest: located(x, *rest) - np.log(positive(rest[-1]))


def density(formula: Formula) -> Formula:
    """The density with a given logarithm at standard location and scale."""
    logarithm = log_density(formula)
    return lambda x, *rest: np.exp(logarithm(x, *rest))


def quantile(formula: Formula) -> Formula:
    """From a formula of probabilities to one of these, shape parameters, `loc` and `scale`."""

    def located(q: Any, *rest: Any) -> Any:
        *shapes, loc, scale = rest
        return formula(probability(q), *shapes) * positive(scale) + loc

    return located


def shifted(formula: Formula) -> Formula:
    """From a formula of counts and parameters to one of `k`, these and `loc`."""
    return lambda k, *rest: formula(k - rest[-1], *rest[:-1])


def exponential(formula: Formula) -> Formula:
    """The exponential function of what a formula gives."""
    return lambda *args: np.exp(formula(*args))


# --- parameters and supports ------------------------------------------------------------------


def positive(x: Any) -> Any:
    """`x`, and NaN where it is not positive."""
    return np.where(x > 0, x, math.nan)


def probability(p: Any) -> Any:
    """`p`, and NaN where it is not from 0 to 1."""
    return np.where((p >= 0) & (p <= 1), p, math.nan)


def whole_number(n: Any) -> Any:
    """`n`, and NaN where it is not 0, 1, 2, ..."""
    return np.where((n >= 0) & (n == np.floor(n)), n, math.nan)


def within(outside: Any, z: Any, inner: Any, formula: Formula, other: float) -> Any:
    """A formula of `z`, and `other` outside of the support, unless parameters are NaN.

    Args:
      outside: a mask, False where `z` is NaN.
      inner: a number in the support, where the formula is evaluated instead.
    """
    value = formula(np.where(outside, inner, z))
    return np.where(outside & (value == value), other, value)


def no_count(k: Any) -> Any:
    """Where `k` is none of 0, 1, 2, ... and not NaN."""
    return (k < 0) | (k < np.floor(k)) | (k > np.floor(k)) | (k == math.inf)


# --- logarithms -------------------------------------------------------------------------------


def log_probability(p: Any, rest: Any) -> Any:
    """The logarithm of a probability, from itself where it is small and from `rest = 1 - p` else."""
    small = p < 0.5
    return np.where(small, np.log(np.where(small, p, 0.5)), np.log1p(-np.where(small, 0.5, rest)))


def log_power(c: Any, x: Any) -> Any:
    """The logarithm of `x**c`, 0 for `c` 0, with a derivative of 0 where `x` is 0, too."""
    return xlogy(c, np.where((c == 0) & (x == 0), 1, x))


def log1p_square(u: Any) -> Any:
    """`log(1 + u * u)`, without overflow."""
    large = np.abs(u) > 1
    safe = np.where(large, u, 1)
    inner = np.where(large, 1 / safe, u)
    return np.log1p(inner * inner) + np.where(large, 2 * np.log(np.abs(safe)), 0)
