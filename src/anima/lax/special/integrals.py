"""The exponential, sine, cosine and Fresnel integrals and the dilogarithm.

Invariant: real floating-point dtypes only; these operations have no public names in `lax`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima.lax.arithmetic import abs, add, div, mul, neg, rem, sign, sub
from anima.lax.compare import eq, le
from anima.lax.declare import FLOAT, binary, by_formula, in_float32, unary
from anima.lax.error_functions import digamma
from anima.lax.exponential import exp, log, log1p
from anima.lax.operands import constant, filled
from anima.lax.powers import square
from anima.lax.rounding import floor
from anima.lax.selection import select
from anima.lax.special.error_integrals import two_squares
from anima.lax.special.integral_tables import (
    CI_SMALL,
    E1_LARGE,
    EI_LARGE,
    EI_LARGEST,
    EI_MIDDLE,
    EI_SMALL,
    FRESNEL_C,
    FRESNEL_F,
    FRESNEL_G,
    FRESNEL_S,
    SI_SMALL,
    SICI_F,
    SICI_G,
)
from anima.lax.special.parts import chebyshev, epsilon, is_double, iterate, polynomial, where
from anima.lax.trigonometric import cos, sin

# --- exponential integrals --------------------------------------------------------------------

# Roots are given as two numbers: one of float64, or of float32 and so of both, and what it lacks.
_EI_ROOT = (0.3725074107813666, 1.3140183414386028e-17)


def _split(root: tuple[float, float], x: Any) -> tuple[float, float]:
    if is_double(x):
        return root
    high = float(np.float32(root[0]))
    return high, root[0] - high


def _e1(x: Any) -> Any:
    """The exponential integral `E1` of positive numbers; of negative ones NaN, of 0 infinite."""
    near = x <= 1
    small, large = where(near & (x > 0), x, 0.5), where(near | (x == math.inf), 2, x)
    # The integral of (1 - exp(-t)) / t from 0 to x, over x.
    entire = polynomial(small, [(-1) ** k / ((k + 1) * math.factorial(k + 1)) for k in range(20)], 1)
    value = small * entire - log(small) - 0.5772156649015329
    far = exp(-x) * chebyshev((large - 5) / (large + 3), E1_LARGE) / large
    value = where(near, value, where(x == math.inf, 0, far))
    return where(x == 0, math.inf, where(x >= 0, value, math.nan))


exp1_p = unary("exp1", in_float32(by_formula(_e1)), FLOAT, lambda t, ans, x: neg(mul(t, div(exp(neg(x)), x))))


def _ei(x: Any) -> Any:
    small = where((x > 0) & (x <= 6), x, 1)
    high, low = _split(_EI_ROOT, x)
    distance = (small - high) - low
    logarithm = where(small > 0.2, log1p(where(small > 0.2, distance, 1) / high), log(small) - math.log(high))
    value = logarithm + distance * chebyshev(small / 3 - 1, EI_SMALL)
    middle = chebyshev(where((x > 6) & (x <= 12), x, 9) / 3 - 3, EI_MIDDLE)
    large = chebyshev(where((x > 12) & (x <= 24), x, 18) / 6 - 3, EI_LARGE)
    largest = chebyshev(48 / where(x > 24, x, 24) - 1, EI_LARGEST)
    half = exp(where(x > 6, x, 6) / 2)  # overflows later than the whole
    far = half / where(x > 6, x, 6) * where(x <= 12, middle, where(x <= 24, large, largest)) * half
    far = where(x == math.inf, math.inf, far)
    positive = where(x <= 6, value, far)
    negative = -_e1(where(x < 0, -x, 1))
    return where(x == 0, -math.inf, where(x < 0, negative, where(x > 0, positive, math.nan)))


expi_p = unary("expi", in_float32(by_formula(_ei)), FLOAT, lambda t, ans, x: mul(t, div(exp(x), x)))


def _en(n: Any, x: Any) -> Any:
    """The series for `x <= 1` and Lentz's method for the continued fraction beyond (https://dlmf.nist.gov/8.19)."""
    valid = (n >= 0) & (floor(n) == n) & (x >= 0) & (n < math.inf)
    order, point = where(valid & (n >= 1), n, 1), where(valid & (x > 0) & (x < math.inf), x, 1)
    near = point <= 1
    small = where(near, point, 1)
    slope = digamma(order) - log(small)
    total, term = filled(0, x), filled(1, x)
    for m in range(22 if is_double(x) else 14):
        special = order == m + 1
        total = total + term * where(special, slope, -1 / where(special, 1, m + 1 - order))
        term = term * (small / -(m + 1))
    far = exp(-point) * _en_fraction(order, point, ~near)
    value = where(near, total, far)
    zeroth = exp(-point) / point
    value = where(n == 0, zeroth, value)
    at_zero = where(n > 1, 1 / where(n > 1, n - 1, 1), math.inf)
    value = where(x == 0, at_zero, where(x == math.inf, 0, value))
    return where(valid, value, math.nan)


def _en_fraction(n: Any, x: Any, active: Any) -> Any:
    tolerance = epsilon(x)
    x = where(active, x, 2)
    first = x + n
    inverse = 1 / first

    def step(i: Any, c: Any, d: Any, value: Any) -> tuple[tuple[Any, ...], Any]:
        numerator = -i * (n - 1 + i)
        denominator = first + 2 * i
        d = 1 / (numerator * d + denominator)
        c = denominator + numerator / c
        return (c, d, value * (c * d)), abs(c * d - 1) <= tolerance

    return iterate(step, (filled(1 / tolerance**4, x), inverse, inverse), active, 500, False)[2]


def _en_by_x(t: Any, ans: Any, n: Any, x: Any) -> Any:
    one = constant(1, n)
    zeroth = le(n, filled(0, ans))
    lower = expn_p.bind(sub(n, one), x)
    return neg(mul(t, select(zeroth, mul(ans, add(one, div(one, x))), lower)))


expn_p = binary("expn", in_float32(by_formula(_en)), FLOAT, (None, _en_by_x))


# --- sine and cosine integrals ----------------------------------------------------------------

_CI_ROOT = 0.6165054856207163
_CI_ROOT_SQUARED = (0.38007901380043513, 2.2735576366698282e-17)


def _auxiliary(x: Any) -> tuple[Any, Any]:
    """The auxiliary functions `f` and `g` for `x >= 4`."""
    inverse = 1 / x
    t = 2 * (4 * inverse) * (4 * inverse) - 1
    return inverse * chebyshev(t, SICI_F), inverse * inverse * chebyshev(t, SICI_G)


def _si(x: Any) -> Any:
    size = abs(x)
    small = where(size <= 4, x, 1)
    large = where((size > 4) & (size < math.inf), size, 4)
    f, g = _auxiliary(large)
    far = math.pi / 2 - f * cos(large) - g * sin(large)
    far = sign(x) * where(size == math.inf, math.pi / 2, far)
    return where(size <= 4, small * chebyshev(small * small / 8 - 1, SI_SMALL), where(x == x, far, x))


def _ci(x: Any) -> Any:
    size = abs(x)
    small = where((size <= 4) & (size > 0), size, 1)
    high, low = _split(_CI_ROOT_SQUARED, x)
    whole, rest = two_squares(small)
    distance = ((whole - high) + rest) - low
    mild = small > 0.35
    logarithm = where(mild, 0.5 * log1p(where(mild, distance, 0) / high), log(small) - math.log(_CI_ROOT))
    near = logarithm + distance * chebyshev(small * small / 8 - 1, CI_SMALL)
    large = where((size > 4) & (size < math.inf), size, 4)
    f, g = _auxiliary(large)
    value = where(size <= 4, near, f * sin(large) - g * cos(large))
    value = where(size == 0, -math.inf, where(x == math.inf, 0, value))
    return where((x == -math.inf) | (x != x), math.nan, value)


def _sinc(t: Any, ans: Any, x: Any) -> Any:
    zero = eq(x, filled(0, x))
    # At 0 the series of sin(x) / x, which has derivatives there.
    near = sub(constant(1, x), div(square(x), constant(6, x)))
    return mul(t, select(zero, near, div(sin(x), select(zero, filled(1, x), x))))


sine_integral_p = unary("sine_integral", in_float32(by_formula(_si)), FLOAT, _sinc)

cosine_integral_p = unary(
    "cosine_integral", in_float32(by_formula(_ci)), FLOAT, lambda t, ans, x: mul(t, div(cos(x), x))
)


# --- Fresnel integrals ------------------------------------------------------------------------


def _angle(x: Any) -> Any:
    """`pi x**2 / 2`, less a multiple of `2 pi`, from the exact square."""
    whole, rest = two_squares(where(abs(x) < 1e8, x, 0))
    return math.pi / 2 * (rem(whole, filled(4, x)) + rest)


def _fresnel(x: Any) -> tuple[Any, Any]:
    size = abs(x)
    near = size <= 1.6
    small = where(near, x, 1)
    fourth = small * small * small * small
    t = 2 * (fourth / 1.6**4) - 1
    large = where(near | (size > 1e8), 1e8, size)
    angle = _angle(large)
    ratio = 1.6 / large
    v = 2 * (ratio * ratio * ratio * ratio) - 1
    f = chebyshev(v, FRESNEL_F) / (math.pi * large)
    g = chebyshev(v, FRESNEL_G) / (math.pi * large) / (math.pi * large) / large
    c = sign(x) * (0.5 + f * sin(angle) - g * cos(angle))
    s = sign(x) * (0.5 - f * cos(angle) - g * sin(angle))
    return (
        where(near, small * small * small * chebyshev(t, FRESNEL_S), s),
        where(near, small * chebyshev(t, FRESNEL_C), c),
    )


def _circle(x: Any) -> Any:
    return mul(constant(math.pi / 2, x), square(x))


fresnel_sine_p = unary(
    "fresnel_sine",
    in_float32(by_formula(lambda x: _fresnel(x)[0])),
    FLOAT,
    lambda t, ans, x: mul(t, sin(_circle(x))),
)

fresnel_cosine_p = unary(
    "fresnel_cosine",
    in_float32(by_formula(lambda x: _fresnel(x)[1])),
    FLOAT,
    lambda t, ans, x: mul(t, cos(_circle(x))),
)


# --- the dilogarithm --------------------------------------------------------------------------

# B(2k) / (2k + 1)!, of u**(2k + 1).
_DEBYE = (1.0, 1 / 36, -1 / 3600, 1 / 211680, -1 / 10886400, 5 / 2634508800, -691 / 16999766784000,
          1 / 1120863744000, -3617 / 181400588328960000)  # fmt: skip


def _spence(x: Any) -> Any:
    """With `u = -log(x)` a series for `1/2 <= x <= 2`; other numbers are reflected (https://dlmf.nist.gov/25.12)."""
    positive = where(x > 0, x, 1)
    above = positive > 2
    inside = where(above, 1 / positive, positive)  # from 0 to 2
    below = inside < 0.5
    other = 1 - where(below, inside, 0.5)
    u = -where(below, log1p(-where(below, inside, 0)), log(where(below, 1, inside)))
    value = u * (polynomial(u * u, _DEBYE, 0.5) - u / 4)
    logarithm = log(where(below, inside, 0.5))
    value = where(below, math.pi**2 / 6 - logarithm * log(other) - value, value)
    logarithm = log(where(above, positive, 1))
    value = where(above, -value - logarithm * logarithm / 2, value)
    value = where(x == math.inf, -math.inf, where(x == 0, math.pi**2 / 6, value))
    return where(x >= 0, value, math.nan)


def _spence_derivative(t: Any, ans: Any, x: Any) -> Any:
    one = constant(1, x)
    at_one = eq(x, filled(1, x))
    # log(x) / (1 - x) at 1, with its derivatives.
    excess = sub(x, one)
    near = sub(sub(div(excess, constant(2, x)), one), div(square(excess), constant(3, x)))
    return mul(t, select(at_one, near, div(log(x), sub(one, select(at_one, filled(2, x), x)))))


spence_p = unary("spence", in_float32(by_formula(_spence)), FLOAT, _spence_derivative)
