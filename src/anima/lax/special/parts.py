"""What formulas of special functions are made of: series with tables, loops that end when all elements have converged.

Invariant: values are tracers of float32 or float64. Every function here is smooth wherever the true function is, so formulas
can be pushed forward as they stand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.core.trace import aval_of
from anima.interpreters.jvp import jvp_flat
from anima.interpreters.zeros import instantiate
from anima.lax.arithmetic import abs, min
from anima.lax.control.looping import while_loop
from anima.lax.convert import convert_element_type
from anima.lax.exponential import exp, log, log1p
from anima.lax.operands import filled
from anima.lax.powers import sqrt
from anima.lax.reductions import reduce_or
from anima.lax.rounding import floor
from anima.lax.selection import select
from anima.lax.special.tables import DIGAMMA, ERFCX, RECIPROCAL_GAMMA, STIRLING


def where(condition: Any, x: Any, y: Any) -> Any:
    """`select` that takes Python numbers for one of the values."""
    like = y if isinstance(x, (int, float)) else x
    return select(condition, *(filled(v, like) if isinstance(v, (int, float)) else v for v in (x, y)))


def epsilon(x: Any) -> float:
    """The distance from 1 to the next number."""
    return float(np.finfo(aval_of(x).dtype).eps)  # type: ignore[attr-defined]


def is_double(x: Any) -> bool:
    """Whether `x` is of float64."""
    return aval_of(x).dtype == np.float64  # type: ignore[attr-defined]


def chebyshev(t: Any, table: Sequence[float]) -> Any:
    """The sum of `table[k]` times the Chebyshev polynomial `T_k(t)`, by Clenshaw's recurrence.

    Terms that do not matter in the dtype of `t` are left out.
    """
    least = epsilon(t) / 64 * max(map(math.fabs, table))
    used = list(table)
    while math.fabs(used[-1]) < least:
        used.pop()
    twice = t + t
    last, before = filled(used[-1], t), filled(0, t)
    for coefficient in used[-2:0:-1]:
        last, before = twice * last - before + coefficient, last
    return t * last - before + used[0]


def polynomial(x: Any, coefficients: Sequence[float], reach: float) -> Any:
    """The sum of `coefficients[k] * x**k`; terms that do not matter where `|x| <= reach` are left out."""
    least = epsilon(x) / 64 * max(math.fabs(c) * reach**k for k, c in enumerate(coefficients))
    used = list(coefficients)
    while math.fabs(used[-1]) * reach ** (len(used) - 1) < least:
        used.pop()
    value = filled(used[-1], x)
    for coefficient in used[-2::-1]:
        value = value * x + coefficient
    return value


def derivative(fun: Callable[[Any], Any], x: Any) -> Any:
    """The derivative of an elementwise function at `x`."""
    _, (tangent,) = jvp_flat(lambda v: [fun(v)], [x], [filled(1, x)])
    return instantiate(tangent)


def iterate(
    step: Callable[..., tuple[tuple[Any, ...], Any]],
    state: tuple[Any, ...],
    active: Any,
    limit: int,
    lag: bool,
) -> tuple[Any, ...]:
    """Repeats a step; each element stops when it has converged, the loop when all have.

    Args:
      step: from the number of the step, 1 at first, in the dtype of the state, and the arrays of the state to the next
        ones and a mask of the elements that have converged.
      active: a mask of the elements to work on; the others keep their state.
      limit: how many steps at most.
      lag: whether to go on for another quarter of the steps, for derivatives, which converge later.
    """
    dtype = aval_of(state[0]).dtype  # type: ignore[attr-defined]
    ends = select(active, filled(limit, convert_element_type(active, np.int32)), filled(-1, convert_element_type(active, np.int32)))  # fmt: skip

    def test(carry: Any) -> Any:
        n, ends, _ = carry
        return reduce_or(n < ends, range(len(aval_of(ends).shape)))  # type: ignore[attr-defined]

    def body(carry: Any) -> Any:
        n, ends, old = carry
        new, converged = step(convert_element_type(n + 1, dtype), *old)
        live = n < ends
        end = n + n // 4 + 5 if lag else n + 1
        found = live & converged & (ends == limit)
        ends = select(found, min(filled(0, ends) + end, filled(limit, ends)), ends)
        return n + 1, ends, tuple(select(live, a, b) for a, b in zip(new, old))

    result: tuple[Any, ...] = while_loop(test, body, (np.int32(0), ends, state))[2]
    return result


# --- the gamma function -----------------------------------------------------------------------

LARGE = 10.0  # from where on the series of Stirling serve


def reciprocal_gamma(a: Any) -> Any:
    """`1 / gamma(1 + a)` for `0 <= a < 11`."""
    whole = floor(a)
    value = chebyshev(2 * (a - whole) - 1, RECIPROCAL_GAMMA)
    product = filled(1, a)
    for k in range(10):
        product = product * where(whole > k, a - k, 1)
    return value / product


def _stirling(a: Any) -> Any:
    """`log(gamma(a)) - (a - 1/2) log(a) + a - log(2 pi) / 2` for large `a`."""
    inverse = 1 / a
    return inverse * polynomial(inverse * inverse, STIRLING, LARGE**-2)


def scaled_gamma(a: Any) -> Any:
    """`gamma(a) / (sqrt(2 pi / a) * (a / e)**a)` for `a > 0`: 1 for large `a`."""
    large = a >= LARGE
    small = where(large, 1, a)
    direct = exp(small - small * log(small)) / (sqrt(2 * math.pi * small) * reciprocal_gamma(small))
    return where(large, exp(_stirling(where(large, a, LARGE))), direct)


def log_less_digamma(a: Any) -> Any:
    """`log(a) - digamma(1 + a)` for `a >= 10`."""
    inverse = 1 / a
    square = inverse * inverse
    return square * polynomial(square, DIGAMMA, LARGE**-2) - inverse / 2


# --- logarithms near 1 ------------------------------------------------------------------------

NEAR = 0.35  # how far from 0 the series for `x - log1p(x)` serves


def _tail(s: Any) -> Any:
    """`(atanh(s) - s) / s**3` for `|s| < 0.22`."""
    return polynomial(s * s, [1 / (2 * k + 3) for k in range(14)], 0.046)


def log1p_excess(x: Any, whole: Any) -> Any:
    """`x - log1p(x)`, without cancellation near 0.

    Args:
      whole: `1 + x`, which may be known better than to the rounding of `x`.
    """
    near = abs(x) < NEAR
    inner = where(near, x, 0)
    s = inner / (2 + inner)
    return where(near, s * (inner - 2 * s * s * _tail(s)), x - log(where(near, 1, whole)))


def signed_root(x: Any) -> Any:
    """The number of the sign of `x` with square `2 (x - log1p(x))`, for `|x| < 0.35`: smooth at 0."""
    s = x / (2 + x)
    return x * sqrt(2 / (2 + x) * (1 - 2 * s * _tail(s) / (2 + x)))


def log_ratio(x: Any, whole: Any) -> Any:
    """`log1p(x)`, from `1 + x` where that is exact and `x` is not."""
    near = abs(x) < NEAR
    return where(near, log1p(where(near, x, 0)), log(where(near, 1, whole)))


# --- the error function -----------------------------------------------------------------------


def scaled_erfc(x: Any) -> Any:
    """`exp(x**2) erfc(x)` for `x >= 0`."""
    return chebyshev((x - 3.75) / (x + 3.75), ERFCX) / (1 + 2 * x)
