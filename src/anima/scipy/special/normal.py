"""The error functions and the normal distribution.

Invariant: tails are computed as such, never as a difference from 1.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.lax import erf_inv_p, erf_p, erfc_p
from anima.lax.special.complex_functions import wofz_p
from anima.lax.special.error_integrals import dawsn_p, erfcx_p, log_ndtr_p, ndtri_p, owens_t_p
from anima.numpy.calls import function
from anima.numpy.promotion import dtype_of, inexact, strong_inexact
from anima.scipy.special.operands import real, reals, single_or_double


@function
def erf(x: Any) -> Any:
    """The error function, 2/sqrt(pi) times the integral of `exp(-t**2)` from 0 to `x`.

    >>> from anima.scipy import special
    >>> print(special.erf(0.0))
    0.0
    """
    return erf_p.bind(inexact("erf", x))


@function
def erfc(x: Any) -> Any:
    """The complementary error function `1 - erf(x)`.

    >>> from anima.scipy import special
    >>> print(special.erfc(0.0))
    1.0
    """
    return erfc_p.bind(inexact("erfc", x))


@function
def erfinv(x: Any) -> Any:
    """The inverse of `erf`; NaN beyond -1 and 1.

    >>> from anima.scipy import special
    >>> print(special.erfinv(0.0))
    0.0
    """
    return erf_inv_p.bind(inexact("erfinv", x))


@function
def erfcx(x: Any) -> Any:
    """The scaled complementary error function `exp(x**2) * erfc(x)`, of real or complex numbers.

    >>> from anima.scipy import special
    >>> print(special.erfcx(0.0).round(4))
    1.0
    """
    x = strong_inexact("erfcx", x)
    if dtypes.is_complex(dtype_of(x)):
        return wofz_p.bind(x * 1j)
    return erfcx_p.bind(x)


@function
def wofz(z: Any) -> Any:
    """The Faddeeva function `exp(-z**2) * erfc(-i z)`; complex, also of real numbers.

    >>> from anima.scipy import special
    >>> print(special.wofz(0.0).real.round(4))
    1.0
    """
    z = strong_inexact("wofz", z)
    return wofz_p.bind(np.asarray(z, dtypes.to_complex_dtype(dtype_of(z))))


@function
def dawsn(x: Any) -> Any:
    """Dawson's integral, `exp(-x**2)` times the integral of `exp(t**2)` from 0 to `x`.

    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> print(special.dawsn(1.0).round(4))
    0.5381
    """
    return dawsn_p.bind(real("dawsn", x, strong=True))


@function
def ndtr(x: Any) -> Any:
    """The distribution function of the normal distribution.

    Args:
      x: an array of float32 or float64.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima.scipy import special
    >>> print(special.ndtr(0.0))
    0.5
    """
    x = single_or_double("ndtr", x)
    return erfc_p.bind(x * -math.sqrt(0.5)) * 0.5


@function
def ndtri(p: Any) -> Any:
    """The quantiles of the normal distribution, the inverse of `ndtr`.

    Args:
      p: an array of float32 or float64, from 0 to 1; others give NaN.
    Raises:
      TypeError: `p` is of another dtype.

    >>> from anima.scipy import special
    >>> print(special.ndtri(0.5))
    0.0
    """
    return ndtri_p.bind(single_or_double("ndtri", p))


@function(static=("series_order",))
def log_ndtr(x: Any, series_order: int = 3) -> Any:
    """The logarithm of `ndtr`, without underflow.

    Args:
      x: an array of float32 or float64.
      series_order: from 0 to 30. It is checked, and has no effect: no asymptotic series is cut off here.
    Raises:
      TypeError: `x` is of another dtype, or `series_order` no integer. ValueError: `series_order` is out of range.

    >>> from anima.scipy import special
    >>> print(special.log_ndtr(0.0).round(4))
    -0.6931
    """
    if not isinstance(series_order, int):
        raise TypeError(f"log_ndtr: series_order must be a Python integer, got {series_order!r}")
    if not 0 <= series_order <= 30:
        raise ValueError(f"log_ndtr: series_order must be from 0 to 30, got {series_order}")
    return log_ndtr_p.bind(single_or_double("log_ndtr", np.asarray(x)))


@function
def owens_t(h: Any, a: Any) -> Any:
    """Owen's T function, the probability that `X > h` and `0 < Y < a * X` for independent normal `X` and `Y`.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.owens_t(0.0, 1.0).round(4))
    0.125
    """
    h, a = reals("owens_t", h, a, strong=True)
    if dtypes.itemsize_bits(dtype_of(h)) < 32:
        h, a = h.astype(np.float32), a.astype(np.float32)
    return owens_t_p.bind(h, a)
