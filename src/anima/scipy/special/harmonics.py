"""Spherical harmonics.

Invariant: the associated Legendre functions are normalised all along their recurrence, so that none overflows.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import anima.numpy as np
from anima import dtypes
from anima.interpreters.jvp import concrete_of
from anima.lax.control.looping import fori_loop
from anima.numpy.calls import function
from anima.numpy.promotion import array_like, dtype_of


def sph_harm_y(
    n: Any, m: Any, theta: Any, phi: Any, diff_n: int | None = None, n_max: int | None = None
) -> Any:
    """The spherical harmonics of degree `n` and order `m`.

    Args:
      n: integers that are not negative.
      m: integers; the result is 0 where they are larger than `n`.
      theta: the polar angle.
      phi: the azimuth. The operands are broadcast together.
      diff_n: must be None; derivatives come from `grad` and `jvp`.
      n_max: the highest degree, known while tracing; by default the largest of `n`, which must be known then.
    Returns:
      A complex array. Where `n` is above `n_max` the result is NaN.
    Raises:
      TypeError: `n` or `m` is not of an integer dtype. NotImplementedError: `diff_n` is given.
      ValueError: `n_max` is needed, as `n` is not known.

    >>> import anima.numpy as np
    >>> from anima.scipy import special
    >>> print(
    ...     special.sph_harm_y(np.array([1]), np.array([0]), np.array([0.0]), np.array([0.0])).real.round(4)
    ... )
    [0.4886]
    """
    if diff_n is not None:
        raise NotImplementedError("sph_harm_y: diff_n is not supported; differentiate with grad or jvp")
    for name, value in (("n", n), ("m", m)):
        value = array_like("sph_harm_y", value, name)
        if not dtypes.is_int(dtype_of(value)):
            raise TypeError(
                f"sph_harm_y: {name} must be of an integer dtype, got {dtypes.dtype_name(dtype_of(value))}"
            )
    if n_max is None:
        known = concrete_of(n)
        if known is None:
            raise ValueError(
                "sph_harm_y: give n_max where n is traced, as the length of a loop depends on it"
            )
        n_max = int(np.max(np.asarray(known), initial=0))
    return _harmonics(n, m, theta, phi, operator.index(n_max))


@function(static=("n_max",), name="sph_harm_y")
def _harmonics(n: Any, m: Any, theta: Any, phi: Any, n_max: int) -> Any:
    theta, phi = (np.asarray(v) for v in (theta, phi))
    dtype = dtypes.to_inexact_dtype(dtypes.result_type(theta, phi))
    n, m, theta, phi = np.broadcast_arrays(n, m, theta.astype(dtype), phi.astype(dtype))
    order = np.abs(m)
    x, sine = np.cos(theta), np.sin(theta)
    # Beyond pi as in SciPy; a choice and no absolute value, which has no derivative at 0.
    sine = np.where(sine < 0, -sine, sine)
    # P(m, m) = (-1)**m sqrt((2m + 1) / 4pi * (2m - 1)!! / (2m)!!) sin(theta)**m, factor by factor.
    start = np.full_like(x, math.sqrt(1 / (4 * math.pi)))

    def sector(k: Any, value: Any) -> Any:
        factor = np.sqrt((2 * k + 1) / (2 * k)).astype(dtype)
        return np.where(k <= order, -factor * sine * value, value)

    start = fori_loop(1, n_max + 1, sector, start)
    square = (order * order).astype(dtype)

    def ascend(degree: Any, state: Any) -> Any:
        """From the functions of the two degrees below to that of `degree`, kept where it is asked for."""
        before, last, kept = state
        k = degree.astype(dtype)
        above = degree > order
        gap = np.where(above, k * k - square, 1)
        old = np.where(degree > order + 1, (k - 1) ** 2 - square, 0)
        first = np.sqrt((4 * k * k - 1) / gap)
        second = np.sqrt(
            np.where(degree > order + 1, (2 * k + 1) * old / (np.where(degree > 1, 2 * k - 3, 1) * gap), 1)
        )
        value = first * x * last - np.where(degree > order + 1, second, 0) * before
        value = np.where(above, value, start)
        value = np.where(degree < order, 0, value)
        before = np.where(degree <= order, 0, last)
        return before, value, np.where(degree == n, value, kept)

    first = np.where(order == 0, start, 0)
    kept = np.where((n == 0) & (order == 0), start, np.where((n < 0) | (n > n_max), np.nan, 0)).astype(dtype)
    _, _, legendre = fori_loop(1, n_max + 1, ascend, (np.zeros_like(x), first, kept))
    angle = order.astype(dtype) * phi
    legendre = np.where((m < 0) & (order % 2 == 1), -legendre, legendre)
    return legendre * (np.cos(angle) + 1j * np.where(m < 0, -np.sin(angle), np.sin(angle)))
