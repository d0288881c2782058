"""The gamma and beta functions, and ratios of gamma functions, computed without logarithms of them.

Invariant: real floating-point dtypes only; these operations have no public names in `lax`.
"""

from __future__ import annotations

import math
from typing import Any

from anima.lax.arithmetic import abs, add, mul, sub
from anima.lax.declare import FLOAT, binary, by_formula, in_float32, unary
from anima.lax.error_functions import digamma, lgamma
from anima.lax.exponential import exp, log, log1p
from anima.lax.powers import pow, sqrt
from anima.lax.rounding import RoundingMethod, floor, round
from anima.lax.special.parts import LARGE, epsilon, is_double, reciprocal_gamma, scaled_gamma, where
from anima.lax.trigonometric import sin


def sine_of_pi(x: Any) -> Any:
    """`sin(pi x)`, exactly 0 at whole numbers."""
    whole = round(x, RoundingMethod.TO_NEAREST_EVEN)
    value = sin(math.pi * (x - whole))
    return where(_odd(whole), -value, value)


def _odd(whole: Any) -> Any:
    half = whole / 2
    return floor(half) != half


def is_pole(x: Any) -> Any:
    """A mask of where the gamma function has poles."""
    return (x <= 0) & (floor(x) == x)


def gamma_sign(x: Any) -> Any:
    """The sign of the gamma function; NaN at its poles but 0, where it is that of the zero."""
    sign = where(_odd(floor(x)), -1.0, where(x == x, 1.0, x))
    sign = where(x > 0, 1.0, where(x == 0, where(1 / where(x == 0, x, 1) < 0, -1.0, 1.0 + 0 * x), sign))
    return where(((x < 0) & is_pole(x)) | (x != x), math.nan, sign)


def gamma_formula(x: Any) -> Any:
    """The gamma function; at its poles NaN, but infinite at 0."""
    size = abs(x)
    large = size >= LARGE
    small = where(large | (x != x), 1, size)
    inverse = reciprocal_gamma(small)  # 1 / gamma(1 + size)
    # Beyond this the result overflows, but one of the factors might do so against an underflow of another.
    most = 200 if is_double(x) else 50
    big = where(large, where(size < most, size, most), LARGE)
    # Two powers, as one overflows too soon.
    power = pow(big, big / 2 - 0.25)
    by_stirling = math.sqrt(2 * math.pi) * scaled_gamma(big) * power * exp(-big) * power
    from_one = where((x >= 1) & ~large, x - 1, 0)
    positive = where(large, by_stirling, where(x >= 1, 1 / reciprocal_gamma(from_one), 1 / (small * inverse)))
    sine = sine_of_pi(where(is_pole(x), 0.5, size))
    negative = -math.pi / sine * where(large, 1 / (by_stirling * big), inverse)
    # Factorials that are numbers of the dtype are exact.
    whole = (floor(x) == x) & (positive < 1 / epsilon(x))
    positive = where(whole, round(positive, RoundingMethod.TO_NEAREST_EVEN), positive)
    value = where(x < 0, negative, where(x == 0, 1 / x, positive))
    return where((is_pole(x) & (x != 0)) | (x != x), math.nan, value)


gamma_p = unary(
    "gamma", in_float32(by_formula(gamma_formula)), FLOAT, lambda t, ans, x: mul(t, mul(ans, digamma(x)))
)


# --- the beta function ------------------------------------------------------------------------


def _beta_parts(a: Any, b: Any) -> tuple[Any, Any]:
    """The beta function of positive arguments: a logarithm, and a factor near 1 or like a power."""
    total = a + b
    larger, smaller = where(a >= b, a, b), where(a >= b, b, a)
    exponent = -larger * log1p(smaller / larger) + smaller * log(smaller / total)
    # Of the gamma function of a number near 0, all but the factor near 1.
    factor = scaled_gamma(a) * scaled_gamma(b) / scaled_gamma(total)
    return exponent, factor * sqrt(2 * math.pi * (1 / smaller) * (total / larger))


def _positive(a: Any, b: Any) -> tuple[Any, Any, Any]:
    plain = (a > 0) & (b > 0) & (a < math.inf) & (b < math.inf)
    return plain, where(plain, a, 1), where(plain, b, 1)


def _log_beta(a: Any, b: Any) -> Any:
    plain, p, q = _positive(a, b)
    exponent, factor = _beta_parts(p, q)
    return where(plain, exponent + log(factor), lgamma(a) + lgamma(b) - lgamma(a + b))


def _beta(a: Any, b: Any) -> Any:
    plain, p, q = _positive(a, b)
    exponent, factor = _beta_parts(p, q)
    sign = gamma_sign(a) * gamma_sign(b) * gamma_sign(a + b)
    return where(plain, exp(exponent) * factor, sign * exp(lgamma(a) + lgamma(b) - lgamma(a + b)))


beta_p = binary(
    "beta",
    in_float32(by_formula(_beta)),
    FLOAT,
    (
        lambda t, ans, a, b: mul(t, mul(ans, sub(digamma(a), digamma(add(a, b))))),
        lambda t, ans, a, b: mul(t, mul(ans, sub(digamma(b), digamma(add(a, b))))),
    ),
    shapeless=False,
)

log_beta_p = binary(
    "log_beta",
    in_float32(by_formula(_log_beta)),
    FLOAT,
    (
        lambda t, ans, a, b: mul(t, sub(digamma(a), digamma(add(a, b)))),
        lambda t, ans, a, b: mul(t, sub(digamma(b), digamma(add(a, b)))),
    ),
)


# --- ratios -----------------------------------------------------------------------------------


def _ratio(z: Any, end: Any, m: Any) -> Any:
    """`gamma(end) / gamma(z)` for positive numbers that differ by `m`, by Stirling's approximation and what corrects it."""
    exponent = m * (log(end) - 1) + z * log1p(m / z)
    return scaled_gamma(end) / scaled_gamma(z) * sqrt(z / end) * exp(exponent)


def _rising(z: Any, m: Any) -> Any:
    end = z + m
    pole, both = is_pole(z), is_pole(z) & is_pole(end)
    # Where both gamma functions have poles, the ratio of the residues: of two others, by reflection.
    bottom = where(both, 1 - end, where(pole, 1, z))
    top = where(both, 1 - z, where(pole, 1, end))
    large = (bottom > 0) & (top > 0) & (bottom < math.inf) & (top < math.inf) & ((top > 30) | (bottom > 30))
    scaled = _ratio(where(large, bottom, 1), where(large, top, 1), where(large, m, 0))
    direct = gamma_formula(where(large, 1, top)) / gamma_formula(where(large, 1, bottom))
    value = where(large, scaled, direct)
    value = where(both & _odd(m), -value, where(pole & ~both, 0, value))
    return where(m == 0, 1, where((z != z) | (m != m), math.nan, value))


poch_p = binary(
    "poch",
    in_float32(by_formula(_rising)),
    FLOAT,
    (
        lambda t, ans, z, m: mul(t, mul(ans, sub(digamma(add(z, m)), digamma(z)))),
        lambda t, ans, z, m: mul(t, mul(ans, digamma(add(z, m)))),
    ),
)
