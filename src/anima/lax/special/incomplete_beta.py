"""The regularised incomplete beta function, with its derivatives of any order by all arguments.

Invariant: it, or 1 less it with the parameters and `x`, `1 - x` exchanged, is a product `D * F` with
`D = x**a * (1 - x)**b / (a * beta(a, b))` and a continued fraction `F` (https://dlmf.nist.gov/8.17.E22), which converges
quickly for `x` below the mean `a / (a + b)` of the distribution, about. Derivatives by `a` and `b` come from the operators
`F -> L*F + dF/da`, `L = d log(D) / da`, and the like for `b`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from anima.core.primitive import Primitive
from anima.lax.arithmetic import abs, add, div, mul, sub
from anima.lax.declare import FLOAT, by_formula, elementwise, in_float32
from anima.lax.error_functions import digamma
from anima.lax.exponential import exp, log
from anima.lax.operands import constant, filled, operands
from anima.lax.powers import sqrt
from anima.lax.rounding import floor
from anima.lax.special.parts import (
    LARGE,
    derivative,
    epsilon,
    iterate,
    log1p_excess,
    log_less_digamma,
    log_ratio,
    scaled_gamma,
    where,
)

Formula = Callable[..., Any]

_STEPS = 10_000


class _Point:
    """The arguments, and the side from which they are computed.

    Attributes:
      a, b, x, y: positive and finite, with `y = 1 - x`; harmless where `invalid`, `zero` or `one` says that the result is NaN,
        0 or 1.
      swapped: a mask of where 1 less the result is computed directly, from `b, a, y, x`.
    """

    __slots__ = ("a", "b", "invalid", "one", "swapped", "x", "y", "zero")

    def __init__(self, a: Any, b: Any, x: Any) -> None:
        no_mean = ((a == 0) & (b == 0)) | ((a == math.inf) & (b == math.inf))
        self.invalid = (a != a) | (b != b) | (x != x) | (a < 0) | (b < 0) | (x < 0) | (x > 1) | no_mean
        self.one = (a == 0) | (b == math.inf) | (x == 1)
        self.zero = (b == 0) | (a == math.inf) | (x == 0)
        # At the ends of the interval the parameters do not matter.
        self.zero = (x == 0) | (self.zero & (x != 1))
        self.one = self.one & ~self.zero
        plain = ~(self.invalid | self.one | self.zero)
        self.a = a = where(plain, a, 1)
        self.b = b = where(plain, b, 1)
        self.x = x = where(plain, x, 0.5)
        self.y = 1 - x
        self.swapped = x * (b + 1) > (a + 1) * self.y

    def finish(self, value: Any, at_zero: float, at_one: float) -> Any:
        """The result, with its limits at the ends."""
        return where(self.invalid, math.nan, where(self.zero, at_zero, where(self.one, at_one, value)))


def _prefactor(p: _Point, a: Any, b: Any) -> Any:
    """`x**a * y**b / beta(a, b)`, by Stirling's approximation of the gamma functions and what corrects it.

    The logarithm is a sum of two terms of equal sign, the divergence of the binomial distribution, without cancellation.
    """
    total = a + b
    difference = p.x * b - p.y * a
    exponent = a * log1p_excess(difference / a, p.x * total / a) + b * log1p_excess(
        -difference / b, p.y * total / b
    )
    correction = scaled_gamma(total) / (scaled_gamma(a) * scaled_gamma(b))
    return exp(-exponent) * sqrt(a / (2 * math.pi) * (b / total)) * correction


def _fraction(a: Any, b: Any, x: Any, lag: bool) -> Any:
    """The continued fraction `1 / (1 + d1 / (1 + d2 / (1 + ...)))`, by Lentz's method, two coefficients a step."""
    tolerance = epsilon(x)
    one = filled(1, x)
    total = a + b
    first = 1 / (1 - total * x / (a + 1))

    def advanced(n: Any, c: Any, d: Any, value: Any, b: Any) -> tuple[Any, Any, Any, Any]:
        even, odd = a + 2 * n, (a + n) / (a + 2 * n)
        coefficient = n * ((b - n) / (even - 1)) * (x / even)
        d = 1 / (1 + coefficient * d)
        c = 1 + coefficient / c
        value = value * (c * d)
        coefficient = -odd * ((a + b + n) / (even + 1)) * x
        d = 1 / (1 + coefficient * d)
        c = 1 + coefficient / c
        return c, d, value * (c * d), abs(c * d - 1) <= tolerance

    def step(n: Any, *state: Any) -> tuple[tuple[Any, ...], Any]:
        c, d, value, done = advanced(n, state[0], state[1], state[2], b)
        if not lag:
            return (c, d, value), done
        # For whole `b` the fraction ends, but its derivatives do not: a neighbour tells when they have converged.
        near = advanced(n, state[3], state[4], 1, floor(b) + 0.5)
        return (c, d, value, *near[:2]), near[3]

    start = (one, first, first)
    return iterate(step, (*start, one, first) if lag else start, x == x, _STEPS, lag)[2]


def _slope(p: _Point, a: Any, b: Any, x: Any, y: Any) -> Any:
    """The derivative of `log(x**a * y**b / (a * beta(a, b)))` by `a`."""
    total = a + b
    return log_ratio((x * b - y * a) / a, x * total / a) + _excess(a) - _excess(total) - 1 / total


def _excess(a: Any) -> Any:
    """`log(a) - digamma(1 + a)`."""
    large = a >= LARGE
    small = where(large, 1, a)
    return where(large, log_less_digamma(where(large, a, LARGE)), log(small) - digamma(small + 1))


def _slope_a(p: _Point, a: Any, b: Any) -> Any:
    """The derivative by `a` of the logarithm of `D`, or of `D * a / b` where sides are exchanged."""
    return _slope(p, a, b, p.x, p.y) + where(p.swapped, 1 / a, 0)


def _slope_b(p: _Point, a: Any, b: Any) -> Any:
    return _slope(p, b, a, p.y, p.x) + where(p.swapped, 0, 1 / b)


def _raised(p: _Point, start: Formula, slopes: tuple[Any, Any], orders: tuple[int, int]) -> Any:
    """The operators `F -> L*F + dF/da` and `F -> M*F + dF/db` applied to `start`, so many times."""
    by_a, by_b = slopes
    fun = start
    for _ in range(orders[0]):
        fun = (lambda f: lambda a, b: by_a(p, a, b) * f(a, b) + derivative(lambda v: f(v, b), a))(fun)
    for _ in range(orders[1]):
        fun = (lambda f: lambda a, b: by_b(p, a, b) * f(a, b) + derivative(lambda v: f(a, v), b))(fun)
    return fun(p.a, p.b)


def _tail(p: _Point, orders: tuple[int, int]) -> Any:
    """What is computed directly, or its derivative of these orders by `a` and `b`."""

    def start(a: Any, b: Any) -> Any:
        first, second = where(p.swapped, b, a), where(p.swapped, a, b)
        return _fraction(first, second, where(p.swapped, p.y, p.x), any(orders))

    factor = _raised(p, start, (_slope_a, _slope_b), orders)
    return _prefactor(p, p.a, p.b) / where(p.swapped, p.b, p.a) * factor


# --- values -----------------------------------------------------------------------------------


def _value(a: Any, b: Any, x: Any) -> Any:
    p = _Point(a, b, x)
    tail = _tail(p, (0, 0))
    return p.finish(where(p.swapped, 1 - tail, tail), 0, 1)


def _higher(a: Any, b: Any, x: Any, orders: tuple[int, int]) -> Any:
    """The derivative of these orders by `a` and `b`."""
    p = _Point(a, b, x)
    tail = _tail(p, orders)
    return p.finish(where(p.swapped, -tail, tail), 0, 0)


def _density(a: Any, b: Any, x: Any, orders: tuple[int, int]) -> Any:
    """The derivative by `x`, and of that by `a` and `b`, of these orders."""
    p = _Point(a, b, x)
    slopes = (
        lambda p, a, b: _slope(p, a, b, p.x, p.y) + 1 / a,
        lambda p, a, b: _slope(p, b, a, p.y, p.x) + 1 / b,
    )
    value = _prefactor(p, p.a, p.b) / (p.x * p.y) * _raised(p, lambda a, b: filled(1, a), slopes, orders)

    def end(near: Any, far: Any) -> Any:
        return where(
            near > 1, 0, where(near < 1, math.inf, far) if orders == (0, 0) else filled(math.nan, near)
        )

    inside = where(p.zero | p.one, 0, value)
    value = where(x == 0, end(a, b), where(x == 1, end(b, a), inside))
    return where(p.invalid, math.nan, value)


# --- the operations ---------------------------------------------------------------------------


def _density_by_x(t: Any, ans: Any, a: Any, b: Any, x: Any, orders: tuple[int, int]) -> Any:
    one = constant(1, x)
    i, j = orders
    y = sub(one, x)
    value = mul(ans, sub(div(sub(a, one), x), div(sub(b, one), y)))
    if i:
        value = add(value, mul(constant(i, x), div(_density_p.bind(a, b, x, orders=(i - 1, j)), x)))
    if j:
        value = sub(value, mul(constant(j, x), div(_density_p.bind(a, b, x, orders=(i, j - 1)), y)))
    return mul(t, value)


def _operation(name: str, formula: Formula, derivatives: Sequence[Formula]) -> Any:
    return elementwise(
        name, in_float32(by_formula(formula)), 3, FLOAT, derivatives=derivatives, shapeless=False
    )


_density_p: Primitive = _operation(
    "betainc_density",
    _density,
    (
        lambda t, ans, a, b, x, orders: mul(t, _density_p.bind(a, b, x, orders=(orders[0] + 1, orders[1]))),
        lambda t, ans, a, b, x, orders: mul(t, _density_p.bind(a, b, x, orders=(orders[0], orders[1] + 1))),
        _density_by_x,
    ),
)


def _by_parameters(more: tuple[int, int]) -> Formula:
    def rule(t: Any, ans: Any, a: Any, b: Any, x: Any, orders: tuple[int, int] = (0, 0)) -> Any:
        return mul(t, _higher_p.bind(a, b, x, orders=(orders[0] + more[0], orders[1] + more[1])))

    return rule


def _by_x(t: Any, ans: Any, a: Any, b: Any, x: Any, orders: tuple[int, int] = (0, 0)) -> Any:
    return mul(t, _density_p.bind(a, b, x, orders=orders))


_DERIVATIVES = (_by_parameters((1, 0)), _by_parameters((0, 1)), _by_x)

_higher_p = _operation("betainc_higher", _higher, _DERIVATIVES)

regularized_incomplete_beta_p = _operation("regularized_incomplete_beta", _value, _DERIVATIVES)


def betainc(a: Any, b: Any, x: Any) -> Any:
    """Elementwise regularised incomplete beta function.

    It is the integral of `t**(a - 1) * (1 - t)**(b - 1)` from 0 to `x`, over `beta(a, b)`. It has derivatives by all arguments, of
    any order.

    Args:
      a, b: arrays of real floating-point dtype; NaN results from negative numbers.
      x: an array of the same dtype and shape, or a scalar; NaN results outside of 0 to 1.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> print(lax.betainc(1.0, 2.0, 0.5))
    0.75
    """
    return regularized_incomplete_beta_p.bind(*operands("betainc", a, b, x))
