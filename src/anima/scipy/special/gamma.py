"""The gamma and beta functions, their logarithms, derivatives and ratios, and numbers made from them.

Invariant: what has a representable value is computed without overflow on the way.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from typing import Any

import anima.numpy as np
from anima import dtypes, lax
from anima.lax import (
    digamma_p,
    igamma_p,
    igammac_p,
    lgamma_p,
    polygamma_p,
    regularized_incomplete_beta_p,
    zeta_p,
)
from anima.lax.special.complex_functions import log_gamma_p
from anima.lax.special.gamma import beta_p, gamma_p, gamma_sign, is_pole, log_beta_p, poch_p
from anima.numpy.calls import function
from anima.numpy.promotion import aval, dtype_of, inexact, promote_inexact, strong_inexact
from anima.scipy.special.operands import real, reals, whole


@function
def gamma(x: Any) -> Any:
    """The gamma function; NaN at -1, -2, ..., infinite at 0.

    >>> from anima.scipy import special
    >>> print(special.gamma(5.0))
    24.0
    """
    x = strong_inexact("gamma", x)
    if dtypes.is_complex(dtype_of(x)):
        return np.where((x.imag == 0) & is_pole(x.real), np.nan, np.exp(log_gamma_p.bind(x, order=0)))
    return gamma_p.bind(x)


@function
def gammaln(x: Any) -> Any:
    """The logarithm of the absolute value of the gamma function.

    >>> from anima.scipy import special
    >>> print(special.gammaln(5.0).round(4))
    3.1781
    """
    return lgamma_p.bind(inexact("gammaln", x))


@function
def loggamma(x: Any) -> Any:
    """The logarithm of the gamma function, continuous off the negative real axis; of negative real numbers NaN.

    >>> from anima.scipy import special
    >>> print(special.loggamma(5.0).round(4))
    3.1781
    """
    x = inexact("loggamma", x)
    if dtypes.is_complex(dtype_of(x)):
        return log_gamma_p.bind(x, order=0)
    return np.where((x > 0) | (x != x), lgamma_p.bind(x), np.nan)


@function
def gammasgn(x: Any) -> Any:
    """The sign of the gamma function; NaN at -1, -2, ..., the sign of the zero at 0.

    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> print(special.gammasgn(-0.5))
    -1.0
    """
    x = real("gammasgn", x, strong=True)
    return gamma_sign(lax.stop_gradient(np.asarray(x)))


@function
def digamma(x: Any) -> Any:
    """The derivative of the logarithm of the gamma function.

    >>> from anima.scipy import special
    >>> print(special.digamma(1.0).round(4))
    -0.5772
    """
    return digamma_p.bind(inexact("digamma", x))


@function
def polygamma(n: Any, x: Any) -> Any:
    """The `n`-th derivative of `digamma`.

    Args:
      n: integers; negative ones give NaN.
      x: real numbers.
    Raises:
      ValueError: `n` is not of an integer dtype.

    >>> from anima.scipy import special
    >>> print(special.polygamma(1, 1.0).round(4))
    1.6449
    """
    n, known = aval("polygamma", n)
    if not dtypes.is_int(known.dtype):
        raise ValueError(f"polygamma: n must be of an integer dtype, got {dtypes.dtype_name(known.dtype)}")
    return polygamma_p.bind(*whole("polygamma", promote_inexact("polygamma", n, x)))


@function
def zeta(x: Any, q: Any = None) -> Any:
    """The Hurwitz zeta function, the sum of `(q + n)**-x` over `n = 0, 1, ...`; without `q`, Riemann's zeta function.

    Args:
      x: the exponent; above 1 for Hurwitz's, any real number for Riemann's.
      q: real numbers.

    >>> from anima.scipy import special
    >>> print(special.zeta(2.0, 1.0).round(4), special.zeta(2.0).round(4))
    1.6449 1.6449
    """
    if q is None:
        return _riemann(real("zeta", x))
    return zeta_p.bind(*whole("zeta", promote_inexact("zeta", x, q)))


def _riemann(s: Any) -> Any:
    """P. Borwein's algorithm for `s >= 0`, and the functional equation.

    An efficient algorithm for the Riemann zeta function (2000), algorithm 2.
    """
    terms = 24
    sums, total = [], Fraction(0)
    for k in range(terms + 1):
        part = Fraction(
            math.factorial(terms + k - 1) * 4**k, math.factorial(terms - k) * math.factorial(2 * k)
        )
        total += terms * part
        sums.append(total)
    weights = [float((-1) ** k * (1 - d / total)) for k, d in enumerate(sums[:-1])]

    def positive(s: Any) -> Any:
        alternating = np.zeros_like(s)
        for k in range(terms - 1, -1, -1):
            alternating = alternating + weights[k] * np.exp(-s * math.log(k + 1))
        return alternating / -np.expm1((1 - s) * math.log(2))

    below = s < 0
    mirrored = np.where(below, 1 - s, np.where(s == np.inf, 50, s))
    value = positive(mirrored)
    half = np.where(below, s, 2) / 2
    sine = np.sin(math.pi * (half - 2 * np.round(half / 2)))
    factor = 2 * np.exp(-mirrored * math.log(2 * math.pi)) * sine * gamma_p.bind(np.where(below, mirrored, 1))
    return np.where(below, factor * value, value)


@function
def gammainc(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function.

    >>> from anima.scipy import special
    >>> print(special.gammainc(1.0, 2.0).round(4))
    0.8647
    """
    return igamma_p.bind(*promote_inexact("gammainc", a, x))


@function
def gammaincc(a: Any, x: Any) -> Any:
    """The regularised upper incomplete gamma function.

    >>> from anima.scipy import special
    >>> print(special.gammaincc(1.0, 2.0).round(4))
    0.1353
    """
    return igammac_p.bind(*promote_inexact("gammaincc", a, x))


@function
def beta(a: Any, b: Any) -> Any:
    """The beta function `gamma(a) * gamma(b) / gamma(a + b)`.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.beta(2.0, 3.0).round(4))
    0.0833
    """
    return beta_p.bind(*reals("beta", a, b, strong=True))


@function
def betaln(a: Any, b: Any) -> Any:
    """The logarithm of the absolute value of the beta function.

    >>> from anima.scipy import special
    >>> print(special.betaln(2.0, 3.0).round(4))
    -2.4849
    """
    return log_beta_p.bind(*promote_inexact("betaln", a, b))


@function
def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularised incomplete beta function.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.betainc(1.0, 2.0, 0.5))
    0.75
    """
    return regularized_incomplete_beta_p.bind(*reals("betainc", a, b, x))


@function
def poch(z: Any, m: Any) -> Any:
    """The Pochhammer symbol, the rising factorial `gamma(z + m) / gamma(z)`.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.poch(3.0, 2.0))
    12.0
    """
    return poch_p.bind(*reals("poch", z, m, strong=True))


@function(static=("exact",))
def factorial(n: Any, exact: bool = False) -> Any:
    """The factorial, `gamma(n + 1)`; 0 for negative numbers.

    Args:
      exact: must be False: integers of arbitrary size are no arrays; `math.factorial` computes them.
    Raises:
      NotImplementedError: `exact` is true.

    >>> from anima.scipy import special
    >>> print(special.factorial(5))
    120.0
    """
    if exact:
        raise NotImplementedError("factorial: exact=True asks for Python integers; use math.factorial")
    n = inexact("factorial", n)
    value = gamma_p.bind(np.where(n < 0, 0, n) + 1)
    return np.where(n < 0, 0, value)


@function(static=("repetition",))
def comb(N: Any, k: Any, *, repetition: bool = False) -> Any:
    """The number of ways to choose `k` of `N` things; 0 unless `0 <= k <= N`.

    Args:
      repetition: whether a thing may be chosen several times.

    >>> from anima.scipy import special
    >>> print(special.comb(5, 2), special.comb(5, 2, repetition=True))
    10.0 15.0
    """
    n, k = whole("comb", promote_inexact("comb", N, k))
    if repetition:
        possible, n = (k >= 0) & ((n > 0) | ((n == 0) & (k == 0))), n + k - 1
        n = np.where(possible & (n < k), k, n)
    else:
        possible = (k >= 0) & (n >= 0) & (k <= n)
    n, k = np.where(possible, n, 1), np.where(possible, k, 0)
    value = 1 / ((n + 1) * beta_p.bind(n - k + 1, k + 1))
    exact = (np.floor(n) == n) & (np.floor(k) == k) & np.isfinite(value)
    value = value + lax.stop_gradient(np.where(exact, np.round(value) - value, 0))
    return np.where(possible, value, 0)


def multigammaln(a: Any, d: Any) -> Any:
    """The logarithm of the multivariate gamma function of dimension `d`.

    Args:
      a: real numbers, above `(d - 1) / 2`.
      d: an integer that is known while tracing.
    Raises:
      TypeError: `d` is no number that is known.

    >>> from anima.scipy import special
    >>> print(special.multigammaln(3.0, 2).round(4))
    1.5502
    """
    return _multigammaln(a, int(d))


@function(static=("d",), name="multigammaln")
def _multigammaln(a: Any, d: int) -> Any:
    a = strong_inexact("multigammaln", a)
    total = np.full_like(a, math.log(math.pi) * (d * (d - 1) / 4))
    for i in range(d):
        total = total + lgamma_p.bind(a - 0.5 * i)
    return total


def bernoulli(n: int) -> Any:
    """The Bernoulli numbers `B(0)` to `B(n)`, with `B(1) = -1/2`.

    Args:
      n: an integer.
    Raises:
      TypeError: `n` is no integer. ValueError: it is negative.

    >>> from anima.scipy import special
    >>> print(special.bernoulli(4).round(4))
    [ 1.     -0.5     0.1667  0.     -0.0333]
    """
    count = operator.index(n)
    if count < 0:
        raise ValueError(f"bernoulli: n must not be negative, got {count}")
    numbers: list[Fraction] = []
    for m in range(count + 1):
        if m > 1 and m % 2:
            numbers.append(Fraction(0))
            continue
        rest = sum((math.comb(m + 1, k) * number for k, number in enumerate(numbers)), Fraction(0))
        numbers.append(1 - rest if m == 0 else -rest / (m + 1))
    return np.asarray([_nearest(v) for v in numbers], dtype=dtypes.default_float_dtype())


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
