"""Entropies, logistic functions and power transformations: products with logarithms that are 0 where a factor is.

Invariant: values and derivatives are the limits where the formula has none.
"""

from __future__ import annotations

from typing import Any

import anima.numpy as np
from anima.custom_derivatives import custom_jvp
from anima.lax import logistic_p
from anima.numpy.calls import function
from anima.numpy.promotion import inexact, promote_inexact
from anima.scipy.special.operands import real, reals, whole


@function
def expit(x: Any) -> Any:
    """The logistic function `1 / (1 + exp(-x))`.

    >>> from anima.scipy import special
    >>> print(special.expit(0.0))
    0.5
    """
    return logistic_p.bind(inexact("expit", x))


@function
def logit(x: Any) -> Any:
    """`log(x / (1 - x))`, the inverse of `expit`; NaN outside of 0 to 1.

    >>> from anima.scipy import special
    >>> print(special.logit(0.5))
    0.0
    """
    x = inexact("logit", x)
    return _logit(x)


@custom_jvp
def _logit(x: Any) -> Any:
    if np.iscomplexobj(x):
        return np.log(x / (1 - x))
    near = (x > 0.3) & (x < 0.65)
    inner = np.where(near, x, 0.5)
    # log1p of an exact difference near 1/2, where the quotient would be rounded near 1.
    center = np.log1p((2 * inner - 1) / (1 - inner))
    return np.where(near, center, np.log(x) - np.log1p(-x))


@_logit.defjvp
def _logit_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    return _logit(x), t / (x * (1 - x))


@function
def xlogy(x: Any, y: Any) -> Any:
    """`x * log(y)`, and 0 where `x` is 0, unless `y` is NaN.

    >>> from anima.scipy import special
    >>> print(special.xlogy(0.0, 0.0))
    0.0
    """
    return _xlogy(*whole("xlogy", promote_inexact("xlogy", x, y)))


@custom_jvp
def _xlogy(x: Any, y: Any) -> Any:
    zero = (x == 0) & (y == y)
    return np.where(zero, np.zeros_like(x), x * np.log(np.where(zero, 1, y)))


@_xlogy.defjvp
def _xlogy_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    return _xlogy(x, y), dx * np.log(y) + dy * (x / y)


@function
def xlog1py(x: Any, y: Any) -> Any:
    """`x * log(1 + y)`, and 0 where `x` is 0, unless `y` is NaN.

    >>> from anima.scipy import special
    >>> print(special.xlog1py(0.0, -1.0))
    0.0
    """
    return _xlog1py(*whole("xlog1py", promote_inexact("xlog1py", x, y)))


@custom_jvp
def _xlog1py(x: Any, y: Any) -> Any:
    zero = (x == 0) & (y == y)
    return np.where(zero, np.zeros_like(x), x * np.log1p(np.where(zero, 0, y)))


@_xlog1py.defjvp
def _xlog1py_jvp(primals: Any, tangents: Any) -> Any:
    (x, y), (dx, dy) = primals, tangents
    return _xlog1py(x, y), dx * np.log1p(y) + dy * (x / (1 + y))


@function
def entr(x: Any) -> Any:
    """`-x * log(x)`, 0 at 0 and -inf for negative numbers.

    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> print(special.entr(1.0) == 0)
    True
    """
    x = real("entr", x)
    return np.where(x < 0, -np.inf, -_xlogy(x, x))


@function
def rel_entr(p: Any, q: Any) -> Any:
    """`p * log(p / q)` for positive `p` and `q`, 0 where `p` is 0 and `q` not negative, and infinite elsewhere.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.rel_entr(2.0, 1.0).round(4))
    1.3863
    """
    p, q = reals("rel_entr", p, q)
    return _rel_entr(p, q)


def _rel_entr(p: Any, q: Any) -> Any:
    both, none = (p > 0) & (q > 0), (p == 0) & (q >= 0)
    safe_p, safe_q = np.where(both, p, 1), np.where(both, q, 1)
    value = np.where(both, safe_p * (np.log(safe_p) - np.log(safe_q)), np.where(none, 0, np.inf))
    near = both & (np.abs(safe_p - safe_q) < 0.5 * safe_q)
    # A logarithm near 0 keeps its digits.
    close = safe_p * np.log1p(np.where(near, (safe_p - safe_q) / safe_q, 0))
    return np.where((p != p) | (q != q), np.nan, np.where(near, close, value))


@function
def kl_div(p: Any, q: Any) -> Any:
    """`p * log(p / q) - p + q` for positive `p` and `q`, `q` where `p` is 0 and `q` not negative, and infinite elsewhere.

    Raises:
      ValueError: an operand is complex.

    >>> from anima.scipy import special
    >>> print(special.kl_div(2.0, 1.0).round(4))
    0.3863
    """
    p, q = reals("kl_div", p, q)
    inside = (p >= 0) & (q >= 0)
    return np.where(inside, _rel_entr(p, q) + (q - p), np.where((p != p) | (q != q), np.nan, np.inf))


@function
def boxcox(x: Any, lmbda: Any) -> Any:
    """The Box-Cox transformation `(x**lmbda - 1) / lmbda`, and `log(x)` for `lmbda` 0.

    >>> from anima.scipy import special
    >>> print(special.boxcox(3.0, 1.0).round(4))
    2.0
    """
    x, lmbda = whole("boxcox", promote_inexact("boxcox", x, lmbda))
    return _transformed(np.log(x), lmbda)


@function
def boxcox1p(x: Any, lmbda: Any) -> Any:
    """The Box-Cox transformation of `1 + x`, exact also near 0.

    >>> from anima.scipy import special
    >>> print(special.boxcox1p(2.0, 1.0).round(4))
    2.0
    """
    x, lmbda = whole("boxcox1p", promote_inexact("boxcox1p", x, lmbda))
    return _transformed(np.log1p(x), lmbda)


def _transformed(logarithm: Any, lmbda: Any) -> Any:
    """`(exp(lmbda * logarithm) - 1) / lmbda`; near 0 its series, which gives derivatives there."""
    zero = lmbda == 0
    safe = np.where(zero, 1, lmbda)
    u = lmbda * np.where(zero & np.isfinite(logarithm), logarithm, 0)
    near = np.where(zero, logarithm, 0) * (1 + u / 2 + u * u / 6)
    return np.where(zero, near, np.expm1(safe * logarithm) / safe)
