"""The hypergeometric functions 1F1 and 2F1 of real arguments, with derivatives of any order by all arguments.

Invariant: every derivative is the formula itself, pushed forward; by `x` it is a multiple of the function with all parameters 1
larger. These operations have no public names in `lax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anima.lax.arithmetic import abs, max, mul
from anima.lax.declare import FLOAT, by_formula, elementwise, in_float32
from anima.lax.exponential import exp, log, log1p
from anima.lax.operands import filled
from anima.lax.rounding import RoundingMethod, floor, round
from anima.lax.special.gamma import gamma_p, is_pole, sine_of_pi
from anima.lax.special.parts import derivative, epsilon, iterate, where

Ratio = Callable[..., Any]

_STEPS = 20_000


def _family(name: str, arity: int, formula: Callable[..., Any], upper: int) -> Any:
    """An operation with a parameter `orders`, of the derivatives by the arguments.

    Args:
      formula: of the parameters and `x`.
      upper: how many of the parameters, the first ones, are numerators; the others are denominators.
    """

    def shifted(orders: tuple[int, ...], *args: Any) -> Any:
        """The derivative by `x` of that order, as a function of the parameters."""
        *parameters, x = args
        factor = filled(1, x)
        for k in range(orders[-1]):
            for index, parameter in enumerate(parameters):
                factor = factor * (parameter + k) if index < upper else factor / (parameter + k)
        lag = any(orders[:-1])
        return factor * formula(*(p + orders[-1] for p in parameters), x, lag)

    def compute(*args: Any, orders: tuple[int, ...] = (0,) * arity) -> Any:
        def push(fun: Callable[..., Any], index: int) -> Callable[..., Any]:
            return lambda *xs: derivative(lambda v: fun(*xs[:index], v, *xs[index + 1 :]), xs[index])

        fun: Callable[..., Any] = lambda *xs: shifted(orders, *xs)
        for index, order in enumerate(orders[:-1]):
            for _ in range(order):
                fun = push(fun, index)
        return fun(*args)

    def rule(index: int) -> Callable[..., Any]:
        def by_argument(t: Any, ans: Any, *args: Any, orders: tuple[int, ...]) -> Any:
            more = tuple([order + (i == index) for i, order in enumerate(orders)])
            return mul(t, primitive.bind(*args, orders=more))

        return by_argument

    primitive = elementwise(
        name,
        in_float32(by_formula(compute)),
        arity,
        FLOAT,
        derivatives=[rule(i) for i in range(arity)],
        shapeless=False,
    )
    return primitive


def _sum(ratio: Ratio, parameters: tuple[Any, ...], like: Any, active: Any, lag: bool) -> Any:
    """`1 + t1 + t2 + ...`, the `n`-th term `ratio(n, *parameters)` times the one before."""
    tolerance = epsilon(like) / (1024 if lag else 8)
    # Where a parameter is whole the series may end, but its derivatives do not: a neighbour tells when they have converged.
    shifted = [floor(p) + 0.5 for p in parameters] if lag else []

    def step(n: Any, term: Any, total: Any, *near: Any) -> tuple[tuple[Any, ...], Any]:
        factor = ratio(n, *parameters)
        term = term * factor
        total = total + term
        if not lag:
            return (term, total), _negligible(term, factor, total, tolerance)
        factor = ratio(n, *shifted)
        other = near[0] * factor
        size = near[1] + abs(other)
        return (term, total, other, size), _negligible(other, factor, size, tolerance)

    one = filled(1, like)
    return iterate(step, (one,) * (4 if lag else 2), active, _STEPS, lag)[1]


def _negligible(term: Any, factor: Any, total: Any, tolerance: float) -> Any:
    """A mask of the terms after which none matters: while factors are above 1 terms may still grow."""
    return ((abs(term) <= tolerance * abs(total)) & (abs(factor) < 1)) | (term != term)


# --- 1F1 --------------------------------------------------------------------------------------


def _kummer(a: Any, b: Any, x: Any, lag: bool) -> Any:
    """The power series, after Kummer's transformation of negative `x`; for large `|x|` the asymptotic series.

    https://dlmf.nist.gov/13.2.E2, 13.2.E39 and 13.7.E1
    """
    undefined = (a != a) | (b != b) | (x != x)
    a, b, x = (where(undefined, 1, v) for v in (a, b, x))
    negative = x < 0
    size = abs(x)
    first = where(negative, b - a, a)
    infinite = size == math.inf
    finite = where(infinite, 1, size)
    far = (finite > 40 + 2 * abs(b - first) * abs(1 - first)) & ~is_pole(first)
    pole = is_pole(b)
    below = where(pole, 1, b)
    near = where(far, 1, finite)
    series = _sum(
        lambda n, a, b: (a + n - 1) / (b + n - 1) * (near / n), (first, below), x, ~far & ~pole, lag
    )
    series = series * where(negative, exp(where(negative, -near, 0)), 1)
    asymptotic = _kummer_far(where(far, first, 1), below, where(far, finite, 50), negative, lag)
    value = where(far, asymptotic, series)
    value = where(pole, math.inf, value)
    value = where(infinite, where(negative, 0, filled(math.inf, x)), value)
    return where(undefined, math.nan, value)


def _kummer_far(a: Any, b: Any, x: Any, negative: Any, lag: bool) -> Any:
    """The asymptotic series for large `x`, without the factor `exp(x)` where `negative`."""
    series = _sum(lambda n, a, b: (b - a + n - 1) * (n - a) / (n * x), (a, b), x, x == x, lag)
    growth = exp(where(negative, 0, x) + (a - b) * log(x))
    return gamma_p.bind(b) / gamma_p.bind(a) * growth * series


hyp1f1_p = _family("hyp1f1", 3, _kummer, 1)


# --- 2F1 --------------------------------------------------------------------------------------


def _gauss(a: Any, b: Any, c: Any, x: Any, lag: bool) -> Any:
    """The power series up to 0.75, with Pfaff's transformation for negative `x` and the connection to `1 - x` beyond.

    The connection cancels where `c - a - b` is near a whole number; there the series itself is summed as long as it takes.
    https://dlmf.nist.gov/15.2.E1, 15.8.E1, 15.8.E4 and 15.4.E20
    """
    undefined = (a != a) | (b != b) | (c != c) | (x != x)
    a, b, c, x = (where(undefined, v, w) for v, w in zip((1, 1, 2, 0.5), (a, b, c, x)))
    finite = is_pole(a) | is_pole(b)  # a polynomial
    pole = is_pole(c) & ~(finite & (_last(a, b) > c))
    negative = (x < 0) & ~finite
    plain = ~(pole | (x == -math.inf) | ((x > 1) & ~finite))
    a_, b_, c_ = (where(plain, v, w) for v, w in zip((a, b, c), (1, 1, 2)))
    second = where(negative, c_ - b_, b_)
    inner = where(plain, x, 0.5)
    below = where(negative, inner, 0)
    z = where(negative, below / (below - 1), inner)
    rest = where(negative, 1 / (1 - below), 1 - inner)  # 1 - z
    excess = c_ - a_ - second
    away = abs(excess - round(excess, RoundingMethod.TO_NEAREST_EVEN)) > 0.1
    at_one = (x == 1) & ~finite & (excess > 0)
    poles = is_pole(c_ - a_) | is_pole(c_ - second)
    connected = plain & ((away & (z > 0.75) & ~poles) | at_one) & ~finite
    direct = _gauss_series(
        a_, second, c_, where(connected, 0.5, z), plain & ~connected & (finite | (x < 1)), lag
    )
    a_, second, c_ = (where(connected, v, w) for v, w in zip((a_, second, c_), (1, 1, 2.5)))
    value = where(connected, _connection(a_, second, c_, where(connected, rest, 0.25), lag), direct)
    value = where(at_one & poles, 0, value * where(negative, exp(-where(negative, a, 1) * log1p(-below)), 1))
    value = where((x >= 1) & ~finite & ~at_one, math.inf, value)
    value = where(pole & (x != 0), math.inf, value)
    return where(undefined | (x == -math.inf), math.nan, value)


def _connection(a: Any, b: Any, c: Any, rest: Any, lag: bool) -> Any:
    """The function at `1 - rest`, from two series in `rest`; at 1 the second one vanishes."""
    gamma = gamma_p.bind
    end = rest == 0
    excess = c - a - b
    active = rest == rest
    one = _gauss_series(a, b, 1 - where(end, 0.5, excess), rest, active, lag)
    two = _gauss_series(c - a, c - b, 1 + excess, rest, active, lag)
    top, middle = gamma(c), gamma(excess)
    first = top * middle / (gamma(c - a) * gamma(c - b))
    # gamma(-excess), by reflection.
    other = -math.pi / (sine_of_pi(where(end, 0.5, excess)) * excess * middle)
    power = exp(excess * log(where(end, 1, rest)))
    second = top * other / (gamma(a) * gamma(b)) * power
    return first * one + where(end, 0, second * two)


def _last(a: Any, b: Any) -> Any:
    """The larger of those that are whole and not positive."""
    return max(where(is_pole(a), a, -math.inf), where(is_pole(b), b, -math.inf))


def _gauss_series(a: Any, b: Any, c: Any, z: Any, active: Any, lag: bool) -> Any:
    return _sum(
        lambda n, a, b, c: (a + n - 1) / (c + n - 1) * ((b + n - 1) / n) * z, (a, b, c), z, active, lag
    )


hyp2f1_p = _family("hyp2f1", 4, _gauss, 2)
