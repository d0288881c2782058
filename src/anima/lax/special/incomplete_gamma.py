"""The incomplete gamma functions, with their derivatives of any order by both arguments.

Invariant: with `P` and `Q = 1 - P` the regularised lower and upper functions, the one that is computed directly is a product
`D * F`, with `D = x**a * exp(-x) / gamma(1 + a)`. Its `n`-th derivative by `a` is `D` times the `n`-th power of the
operator `F -> L*F + dF/da` applied to `F`, with `L = d log(D) / da`; so no derivative suffers where `D` underflows, and
ratios of derivatives need no `D` at all.

Where `a >= 20` and `x` is within 30 percent of it, `F` is Temme's uniform expansion (https://dlmf.nist.gov/8.12); elsewhere
it is Legendre's continued fraction of `Q` (https://dlmf.nist.gov/8.9) for `x > max(a, 1.1)`, and the power series of `P`
(https://dlmf.nist.gov/8.7.E1) otherwise. Where `P` is near 1 in the last case, `Q` has a series of its own, after W. Gautschi,
A computational procedure for incomplete gamma functions, ACM Trans. Math. Softw. 5 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from anima.core.primitive import Primitive
from anima.lax.arithmetic import abs, add, div, mul, neg, sub
from anima.lax.convert import convert_element_type
from anima.lax.declare import FLOAT, by_formula, elementwise, in_float32
from anima.lax.error_functions import digamma, polygamma
from anima.lax.exponential import exp, expm1, log
from anima.lax.operands import constant, filled, operands
from anima.lax.powers import pow, sqrt
from anima.lax.rounding import floor
from anima.lax.shape import dtype_of
from anima.lax.special.parts import (
    LARGE,
    chebyshev,
    derivative,
    epsilon,
    is_double,
    iterate,
    log1p_excess,
    log_less_digamma,
    log_ratio,
    polynomial,
    reciprocal_gamma,
    scaled_erfc,
    scaled_gamma,
    signed_root,
    where,
)
from anima.lax.special.tables import LOG_GAMMA, TEMME

_TEMME_FROM, _TEMME_WITHIN = 20.0, 0.3
_STEPS = 1000


class _Point:
    """The arguments, and the region that they lie in.

    Attributes:
      a, x: positive and finite; 1 where `invalid`, `zero` or `one` says that the result is NaN, or `P` is 0 or 1.
      excess: `(x - a) / a`.
      temme, upper: masks of where Temme's expansion serves, and of where `Q` is computed directly rather than `P`.
    """

    __slots__ = ("a", "excess", "invalid", "one", "temme", "upper", "x", "zero")

    def __init__(self, a: Any, x: Any) -> None:
        self.invalid = (a != a) | (x != x) | (a < 0) | (x < 0) | ((a == 0) & (x == 0))
        self.one = (a == 0) | (x == math.inf)  # where P is 1
        self.zero = ((x == 0) | (a == math.inf)) & ~self.one  # where P is 0
        plain = ~(self.invalid | self.one | self.zero)
        self.a = a = where(plain, a, 1)
        self.x = x = where(plain, x, 1)
        self.excess = (x - a) / a
        self.temme = (a >= _TEMME_FROM) & (abs(self.excess) < _TEMME_WITHIN)
        self.upper = (self.temme & (x >= a)) | (~self.temme & (x > a) & (x > 1.1))

    def finish(self, value: Any, at_zero: float, at_one: float) -> Any:
        """The result, with its limits where `P` is 0 or 1."""
        return where(self.invalid, math.nan, where(self.zero, at_zero, where(self.one, at_one, value)))


def _prefactor(p: _Point) -> Any:
    """`x**a * exp(-x) / gamma(1 + a)`."""
    large = p.a >= LARGE
    big = where(large, p.a, LARGE)
    exponent = big * log1p_excess(where(large, p.excess, 0), where(large, p.x, LARGE) / big)
    by_stirling = exp(-exponent) / (scaled_gamma(big) * sqrt(2 * math.pi * big))
    small = where(large, 1, p.a)
    x = where(large | (p.x > 1000), 1000, p.x)  # where exp(-x) is 0, and the power might be infinite
    return where(large, by_stirling, pow(x, small) * exp(-x) * reciprocal_gamma(small))


def _slope(p: _Point, a: Any) -> Any:
    """`L`, the derivative of the logarithm of the prefactor by `a`."""
    large = p.a >= LARGE
    big = where(large, a, LARGE)
    x = where(large, p.x, LARGE)
    by_stirling = log_ratio((x - big) / big, x / big) + log_less_digamma(big)
    return where(large, by_stirling, log(p.x) - digamma(where(large, 1, a) + 1))


def _temme(p: _Point, a: Any) -> Any:
    a, x = where(p.temme, a, _TEMME_FROM), where(p.temme, p.x, _TEMME_FROM)
    side = where(p.upper, 1.0, filled(-1, x))
    root = signed_root((x - a) / a)
    inverse = 1 / a
    total = polynomial(root, TEMME[-1], 0.34)
    for row in TEMME[-2::-1]:
        total = total * inverse + polynomial(root, row, 0.34)
    tail = sqrt(math.pi / 2 * a) * scaled_erfc(side * root * sqrt(a / 2))
    return scaled_gamma(a) * (tail + side * total)


def _series(p: _Point, a: Any, lag: bool) -> Any:
    """`1 + x / (a + 1) + x**2 / ((a + 1) (a + 2)) + ...`"""
    active = ~(p.upper | p.temme)
    a, x = where(active, a, 1), where(active, p.x, 1)
    tolerance = epsilon(x) / (1024 if lag else 8)

    def step(n: Any, term: Any, total: Any) -> tuple[tuple[Any, ...], Any]:
        term = term * (x / (a + n))
        total = total + term
        return (term, total), term <= tolerance * total

    one = where(active, 1, x)
    return iterate(step, (one, one), active, _STEPS, lag)[1]


def _fraction(p: _Point, a: Any, lag: bool) -> Any:
    """`a / (x + 1 - a - (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ...)))`, by Lentz's method."""
    active = p.upper & ~p.temme
    a, x = where(active, a, 1), where(active, p.x, 2)
    tolerance = epsilon(x)
    inverse = 1 / (x + 1 - a)

    def advanced(n: Any, c: Any, d: Any, a: Any) -> tuple[Any, Any, Any]:
        numerator = n * (a - n)
        denominator = x + 1 - a + 2 * n
        d = 1 / (numerator * d + denominator)
        c = denominator + numerator / c
        return c, d, abs(c * d - 1) <= tolerance

    def step(n: Any, *state: Any) -> tuple[tuple[Any, ...], Any]:
        c, d, done = advanced(n, state[0], state[1], a)
        value = state[2] * (c * d)
        if not lag:
            return (c, d, value), done
        # For whole `a` the fraction ends, but its derivatives do not: a neighbour tells when they have converged.
        near = advanced(n, state[3], state[4], floor(a) + 0.5)
        return (c, d, value, *near[:2]), near[2]

    large = where(active, 1 / tolerance**4, x)
    start = (large, inverse, inverse)
    return a * iterate(step, (*start, large, inverse) if lag else start, active, _STEPS, lag)[2]


def _factor(p: _Point, order: int) -> Any:
    """`F`, or what takes its place in the derivative of this order by `a`."""

    def start(a: Any) -> Any:
        lag = order > 0
        return where(p.temme, _temme(p, a), where(p.upper, _fraction(p, a, lag), _series(p, a, lag)))

    return _raised(start, p, order)(p.a)


def _raised(fun: Callable[[Any], Any], p: _Point, order: int) -> Callable[[Any], Any]:
    """The operator `F -> L*F + dF/da` applied to `fun`, `order` times."""
    for _ in range(order):
        fun = (lambda inner: lambda a: _slope(p, a) * inner(a) + derivative(inner, a))(fun)
    return fun


# --- values -----------------------------------------------------------------------------------


def _lower(a: Any, x: Any) -> Any:
    p = _Point(a, x)
    direct = _prefactor(p) * _factor(p, 0)
    return p.finish(where(p.upper, 1 - direct, direct), 0, 1)


def _upper(a: Any, x: Any) -> Any:
    p = _Point(a, x)
    direct = _prefactor(p) * _factor(p, 0)
    x, a = where(p.x < 1.1, p.x, 1), p.a
    # Where P is above a half, about.
    small = ~p.upper & (p.x < 1.1) & where(p.x > 0.5, a < 1.1 * x, a * log(where(p.x > 0.5, 0.5, x)) > -0.4)
    value = where(p.upper, direct, where(small, _small_upper(where(small, a, 1), x), 1 - direct))
    return p.finish(value, 1, 0)


def _small_upper(a: Any, x: Any) -> Any:
    """`Q` for `a < 1.25` and `x < 1.1`: what `x**a / gamma(1 + a)` lacks to 1, and the later terms of the series of `P`."""
    exponent = a * (log(x) - chebyshev(1.6 * a - 1, LOG_GAMMA))
    total, term = filled(0, x), filled(1, x)
    for k in range(1, 20 if is_double(x) else 12):
        term = term * (x / -k)
        total = total + term / (a + k)
    return -expm1(exponent) - exp(exponent) * a * total


def _by_a(a: Any, x: Any, order: int = 1) -> Any:
    """The derivative of `P` by `a`, of the given order."""
    p = _Point(a, x)
    value = _prefactor(p) * _factor(p, order)
    return p.finish(where(p.upper, -value, value), 0, where(a == 0, math.nan, filled(0, p.a)))


def _sample_slope(a: Any, x: Any, order: int = 1) -> Any:
    """Less the derivative of `P` by `a`, of the given order, over that by `x`, which is `D * a / x`."""
    p = _Point(a, x)
    value = p.x / p.a * _factor(p, order)
    return where(p.zero & (x > 0), math.nan, p.finish(where(p.upper, value, -value), 0, math.nan))


def _density(a: Any, x: Any, order: int = 0) -> Any:
    """The derivative of `P` by `x`, and of that by `a`, of the given order."""
    p = _Point(a, x)
    value = _prefactor(p) * (p.a / p.x) * _moment(p.a, p.x, order)
    at_zero = where(a < 1, math.inf, where(a > 1, 0.0, filled(1, a))) if order == 0 else math.nan
    return p.finish(value, where(a == math.inf, 0.0, at_zero) if order == 0 else at_zero, 0)


def _moment(a: Any, x: Any, order: int) -> Any:
    """The derivative by `a` of `x**a / gamma(a)`, of the given order, over that itself: a Bell polynomial."""
    slopes = [sub(log(x), digamma(a))]
    slopes += [neg(polygamma(constant(k, a), a)) for k in range(1, order)]
    values = [filled(1, a)]
    for n in range(order):
        terms = [mul(constant(math.comb(n, k), a), mul(values[n - k], slopes[k])) for k in range(n + 1)]
        total = terms[0]
        for term in terms[1:]:
            total = add(total, term)
        values.append(total)
    return values[order]


# --- the operations ---------------------------------------------------------------------------


def _operation(name: str, formula: Callable[..., Any], by_a: Any, by_x: Any) -> Any:
    return elementwise(
        name, in_float32(by_formula(formula)), 2, FLOAT, derivatives=(by_a, by_x), shapeless=False
    )


def _density_by_x(t: Any, ans: Any, a: Any, x: Any, order: int = 0) -> Any:
    slope = sub(div(sub(a, constant(1, a)), x), constant(1, a))
    value = mul(ans, slope)
    if order:
        value = add(value, mul(constant(order, a), div(_density_p.bind(a, x, order=order - 1), x)))
    return mul(t, value)


_density_p: Primitive = _operation(
    "igamma_density",
    _density,
    lambda t, ans, a, x, order=0: mul(t, _density_p.bind(a, x, order=order + 1)),
    _density_by_x,
)

igamma_p = _operation(
    "igamma",
    _lower,
    lambda t, ans, a, x: mul(t, igamma_grad_a(a, x)),
    lambda t, ans, a, x: mul(t, _density_p.bind(a, x, order=0)),
)


def igamma(a: Any, x: Any) -> Any:
    """Elementwise regularised lower incomplete gamma function.

    It is the integral of `t**(a - 1) * exp(-t)` from 0 to `x`, over `gamma(a)`. It has derivatives by both arguments, of any
    order.

    Args:
      a: an array of real floating-point dtype; NaN results from negative numbers.
      x: an array of the same dtype and shape, or a scalar; NaN results from negative numbers.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> print(lax.igamma(1.0, 2.0).round(4))
    0.8647
    """
    return igamma_p.bind(*operands("igamma", a, x))


igammac_p = _operation(
    "igammac",
    _upper,
    lambda t, ans, a, x: neg(mul(t, igamma_grad_a(a, x))),
    lambda t, ans, a, x: neg(mul(t, _density_p.bind(a, x, order=0))),
)


def igammac(a: Any, x: Any) -> Any:
    """Elementwise regularised upper incomplete gamma function, `1 - igamma(a, x)`; exact also where that is near 0.

    Args:
      a: an array of real floating-point dtype; NaN results from negative numbers.
      x: an array of the same dtype and shape, or a scalar; NaN results from negative numbers.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> print(lax.igammac(1.0, 2.0).round(4))
    0.1353
    """
    return igammac_p.bind(*operands("igammac", a, x))


_higher_p: Primitive = _operation(
    "igamma_higher",
    _by_a,
    lambda t, ans, a, x, order: mul(t, _higher_p.bind(a, x, order=order + 1)),
    lambda t, ans, a, x, order: mul(t, _density_p.bind(a, x, order=order)),
)

igamma_grad_a_p = _operation(
    "igamma_grad_a",
    _by_a,
    lambda t, ans, a, x: mul(t, _higher_p.bind(a, x, order=2)),
    lambda t, ans, a, x: mul(t, _density_p.bind(a, x, order=1)),
)


def igamma_grad_a(a: Any, x: Any) -> Any:
    """Elementwise derivative of `igamma(a, x)` by `a`.

    Args:
      a: an array of real floating-point dtype; NaN results from negative numbers.
      x: an array of the same dtype and shape, or a scalar; NaN results from negative numbers.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> print(lax.igamma_grad_a(1.0, 2.0).round(4))
    -0.2208
    """
    return igamma_grad_a_p.bind(*operands("igamma_grad_a", a, x))


def _sample_by_a(t: Any, ans: Any, a: Any, x: Any, order: int = 1) -> Any:
    later = random_gamma_grad_p.bind(a, x, order=order + 1)
    return mul(t, sub(later, mul(ans, _moment(a, x, 1))))


def _sample_by_x(t: Any, ans: Any, a: Any, x: Any, order: int = 1) -> Any:
    slope = sub(div(sub(a, constant(1, a)), x), constant(1, a))
    return neg(mul(t, add(_moment(a, x, order), mul(ans, slope))))


random_gamma_grad_p = _operation("random_gamma_grad", _sample_slope, _sample_by_a, _sample_by_x)


def random_gamma_grad(a: Any, x: Any) -> Any:
    """Elementwise derivative, by the parameter `a`, of the sample `x` of a gamma distribution.

    It is that of the number that keeps its rank, `igamma(a, x)`, as `a` varies: M. Figurnov, S. Mohamed and A. Mnih, Implicit
    Reparameterization Gradients (2018).

    Args:
      a: an array of real floating-point dtype; NaN results from negative numbers.
      x: an array of the same dtype and shape, or a scalar; NaN results from negative numbers.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> print(lax.random_gamma_grad(1.0, 2.0).round(4))
    1.6317
    """
    slope = random_gamma_grad_p.bind(*operands("random_gamma_grad", a, x))
    return convert_element_type(slope, dtype_of(slope))  # strongly typed, whatever the operands are
