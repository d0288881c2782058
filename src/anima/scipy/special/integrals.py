"""Exponential, sine, cosine and Fresnel integrals and the dilogarithm.

Invariant: real numbers only.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.lax.special.integrals import (
    cosine_integral_p,
    exp1_p,
    expi_p,
    expn_p,
    fresnel_cosine_p,
    fresnel_sine_p,
    sine_integral_p,
    spence_p,
)
from anima.numpy.calls import function
from anima.scipy.special.operands import real, reals, single_or_double


@function
def expi(x: Any) -> Any:
    """The exponential integral Ei, the principal value of the integral of `exp(t) / t` up to `x`.

    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> print(special.expi(1.0).round(4))
    1.8951
    """
    return expi_p.bind(real("expi", x, strong=True))


@function
def exp1(x: Any) -> Any:
    """The exponential integral E1, the integral of `exp(-t) / t` from `x` on; NaN for negative numbers.

    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> print(special.exp1(1.0).round(4))
    0.2194
    """
    return exp1_p.bind(real("exp1", x, strong=True))


@function
def expn(n: Any, x: Any) -> Any:
    """The exponential integral of order `n`, the integral of `exp(-x * t) / t**n` from 1 on.

    Args:
      n: whole numbers that are not negative; others give NaN. It has no derivative.
      x: real numbers that are not negative; others give NaN.
    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.expn(2, 1.0).round(4))
    0.1485
    """
    return expn_p.bind(*reals("expn", np.asarray(n), np.asarray(x), strong=True))


@function
def sici(x: Any) -> Any:
    """The sine integral and the cosine integral.

    Returns:
      `Si(x)` and `Ci(|x|)`.
    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> si, ci = special.sici(1.0)
    >>> print(si.round(4), ci.round(4))
    0.9461 0.3374
    """
    x = real("sici", x, strong=True)
    return sine_integral_p.bind(x), cosine_integral_p.bind(x)


@function
def fresnel(x: Any) -> Any:
    """The Fresnel integrals.

    Returns:
      The integrals of `sin(pi t**2 / 2)` and of `cos(pi t**2 / 2)` from 0 to `x`.
    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> s, c = special.fresnel(1.0)
    >>> print(s.round(4), c.round(4))
    0.4383 0.7799
    """
    x = real("fresnel", x, strong=True)
    return fresnel_sine_p.bind(x), fresnel_cosine_p.bind(x)


@function
def spence(x: Any) -> Any:
    """The dilogarithm of `1 - x`, the integral of `log(t) / (1 - t)` from 1 to `x`; NaN for negative numbers.

    Args:
      x: an array of float32 or float64.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima.scipy import special
    >>> print(special.spence(0.0).round(4))
    1.6449
    """
    return spence_p.bind(single_or_double("spence", np.asarray(x)))
