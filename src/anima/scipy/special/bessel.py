"""Bessel functions.

Invariant: real numbers only.
"""

from __future__ import annotations

import operator
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.lax import bessel_i0e_p, bessel_i1e_p
from anima.lax.control.looping import fori_loop
from anima.lax.special.bessel import bessel_i0_p, bessel_i1_p
from anima.numpy.calls import function
from anima.numpy.promotion import dtype_of, inexact
from anima.scipy.special.operands import real


@function
def i0e(x: Any) -> Any:
    """The modified Bessel function of order 0, times `exp(-|x|)`.

    >>> from anima.scipy import special
    >>> print(special.i0e(0.0))
    1.0
    """
    return bessel_i0e_p.bind(inexact("i0e", x))


@function
def i1e(x: Any) -> Any:
    """The modified Bessel function of order 1, times `exp(-|x|)`.

    >>> from anima.scipy import special
    >>> print(special.i1e(0.0))
    0.0
    """
    return bessel_i1e_p.bind(inexact("i1e", x))


@function
def i0(x: Any) -> Any:
    """The modified Bessel function of order 0.

    Raises:
      ValueError: `x` is complex.

    >>> from anima.scipy import special
    >>> print(special.i0(0.0))
    1.0
    """
    x = inexact("i0", x)
    if dtypes.is_complex(dtype_of(x)):
        raise ValueError(f"i0 takes real numbers, got dtype {dtypes.dtype_name(dtype_of(x))}")
    return bessel_i0_p.bind(x)


@function
def i1(x: Any) -> Any:
    """The modified Bessel function of order 1.

    >>> from anima.scipy import special
    >>> print(special.i1(0.0))
    0.0
    """
    return bessel_i1_p.bind(inexact("i1", x))


@function(static=("v", "n_iter"))
def bessel_jn(z: Any, *, v: int, n_iter: int = 50) -> Any:
    """The Bessel functions of the first kind of orders 0 to `v`.

    Args:
      z: real numbers.
      v: the highest order.
      n_iter: from where the recurrence runs down; it should be well above `v` and the largest `|z|`.
    Returns:
      An array of shape `(v + 1, *z.shape)`.
    Raises:
      TypeError: `v` or `n_iter` is no integer. ValueError: `z` is complex.

    J. C. P. Miller's backward recurrence, normalised by `J0 + 2 J2 + 2 J4 + ... = 1`.

    >>> from anima.scipy import special
    >>> print(special.bessel_jn(1.0, v=2).round(4))
    [0.7652 0.4401 0.1149]
    """
    count, start = operator.index(v) + 1, operator.index(n_iter)
    z = np.asarray(real("bessel_jn", z, strong=True))
    if count <= 0:
        return np.zeros((0, *z.shape), z.dtype)
    zero = z == 0
    safe = np.where(zero, 1, z)
    start = max(start, count)
    # Numbers of order 1e-30 at first, scaled down together when they grow large.
    tiny, huge = 1e-30, 1e30

    def step(i: Any, state: Any) -> Any:
        after, now, total, kept = state
        order = start - i  # of `now`
        kept = np.where((np.arange(count) == order).reshape(-1, *[1] * z.ndim), now, kept)
        total = total + np.where(order == 0, 1, np.where(order % 2 == 0, 2, 0)).astype(z.dtype) * now
        before = 2 * order.astype(z.dtype) / safe * now - after
        scale = np.where(np.abs(before) > huge, tiny, 1).astype(z.dtype)
        return now * scale, before * scale, total * scale, kept * scale

    zeros = np.zeros_like(z)
    init = (zeros, np.full_like(z, tiny), zeros, np.zeros((count, *z.shape), z.dtype))
    _, _, total, kept = fori_loop(0, start + 1, step, init)
    at_zero = (np.arange(count) == 0).reshape(-1, *[1] * z.ndim).astype(z.dtype)
    return np.where(zero, at_zero, kept / total)
