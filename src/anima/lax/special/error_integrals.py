"""Relatives of the error function: scaled, of imaginary argument, of the normal distribution, of two variables.

Invariant: real floating-point dtypes only; these operations have no public names in `lax`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima.core.trace import aval_of
from anima.lax.arithmetic import abs, add, div, min, mul, neg, sign, sub
from anima.lax.declare import FLOAT, binary, by_formula, in_float32, unary
from anima.lax.error_functions import erf, erfc
from anima.lax.exponential import exp, log, log1p
from anima.lax.operands import constant, filled
from anima.lax.powers import sqrt, square
from anima.lax.special.integral_tables import (
    DAWSON_LARGE,
    DAWSON_SMALL,
    NORMAL_CENTER,
    NORMAL_FAR,
    NORMAL_TAIL,
)
from anima.lax.special.parts import chebyshev, is_double, scaled_erfc, where
from anima.lax.trigonometric import atan


def two_squares(x: Any) -> tuple[Any, Any]:
    """`x**2`, rounded, and what rounding took from it: by Dekker's splitting of `x` into halves with exact products."""
    bits = (np.finfo(aval_of(x).dtype).nmant + 2) // 2  # type: ignore[attr-defined]
    scaled = x * float(2**bits + 1)
    high = scaled - (scaled - x)
    low = x - high
    whole = x * x
    return whole, ((high * high - whole) + 2 * (high * low)) + low * low


def exp_of_square(x: Any) -> Any:
    """`exp(x**2)`; where it would overflow for certain, infinite."""
    inner = min(x, filled(30, x))
    whole, rest = two_squares(inner)
    value = exp(whole)
    return where(x < 30, value + where(value < math.inf, value, 0) * rest, math.inf)


def _erfcx(x: Any) -> Any:
    size = abs(x)
    tail = scaled_erfc(where(size < math.inf, size, 1))
    tail = where(size == math.inf, 0, tail)
    return where(x != x, math.nan, where(x < 0, 2 * exp_of_square(where(x < 0, size, 0)) - tail, tail))


erfcx_p = unary(
    "erfcx",
    in_float32(by_formula(_erfcx)),
    FLOAT,
    lambda t, ans, x: mul(t, sub(mul(constant(2, x), mul(x, ans)), constant(2 / math.sqrt(math.pi), x))),
)


def _dawson(x: Any) -> Any:
    size = abs(x)
    near = size <= 4
    small = where(near, x, 1)
    large = where(near, 4, x)
    value = chebyshev(32 / large / large - 1, DAWSON_LARGE) / 2 / large
    return where(near, small * chebyshev(small * small / 8 - 1, DAWSON_SMALL), value)


dawsn_p = unary(
    "dawsn",
    in_float32(by_formula(_dawson)),
    FLOAT,
    lambda t, ans, x: mul(t, sub(constant(1, x), mul(constant(2, x), mul(x, ans)))),
)


# --- the normal distribution ------------------------------------------------------------------


def _log_ndtr(x: Any) -> Any:
    scaled = x * math.sqrt(0.5)
    below = x < 0
    finite = where(below & (x > -math.inf), -scaled, 1)
    lower = log(scaled_erfc(finite) / 2) - where(below, scaled * scaled, 0)
    return where(below, lower, log1p(erfc(where(below, 0, scaled)) * -0.5))


log_ndtr_p = unary(
    "log_ndtr",
    in_float32(by_formula(_log_ndtr)),
    FLOAT,
    lambda t, ans, x: mul(
        t, div(constant(math.sqrt(2 / math.pi), x), erfcx_p.bind(mul(constant(-math.sqrt(0.5), x), x)))
    ),
)


def _ndtri(p: Any) -> Any:
    center = p - 0.5
    inner = abs(center) < 0.42
    middle = where(inner, center, 0)
    middle = middle * chebyshev(middle * middle / 0.09 - 1, NORMAL_CENTER)
    least = where(center < 0, p, 1 - p)
    tail = ~inner & (least > 0)
    root = sqrt(-log(where(tail, least, 0.01)))
    value = where(
        root < 5,
        chebyshev((where(root < 5, root, 3) - 3.3) / 1.7, NORMAL_TAIL),
        chebyshev((where(root < 5, 6, root) - 16.5) / 11.5, NORMAL_FAR),
    )
    value = where(tail, value, where(least == 0, math.inf, filled(math.nan, p)))
    return where(inner, middle, where(center < 0, -value, value))


ndtri_p = unary(
    "ndtri",
    in_float32(by_formula(_ndtri)),
    FLOAT,
    lambda t, ans, p: mul(
        t, mul(constant(math.sqrt(2 * math.pi), p), exp(mul(constant(0.5, p), square(ans))))
    ),
)


# --- Owen's T function ------------------------------------------------------------------------


def _owens_t(h: Any, a: Any) -> Any:
    """Gauss's quadrature up to 1, or to where the integrand vanishes; beyond 1 the relation to `T(a h, 1 / a)`.

    D. B. Owen, Tables for computing bivariate normal probabilities, Ann. Math. Statist. 27 (1956).
    """
    undefined = (h != h) | (a != a)
    height, slope = abs(h), abs(a)
    inside = ~undefined & (height > 0) & (height < math.inf)
    height = where(inside, height, 1)
    steep, vertical = slope > 1, slope == math.inf
    finite = where(steep & ~vertical, slope, 1)
    scale = height * finite
    end = where(steep, 1 / finite, where(steep | undefined, 1, slope))
    part = where(vertical, 0, _quadrature(min(scale, filled(40, scale)), end))
    outer, inner = erfc(height * math.sqrt(0.5)) / 2, where(vertical, 0, erfc(scale * math.sqrt(0.5)) / 2)
    value = where(steep, (outer + inner) / 2 - outer * inner - part, part)
    at_zero = where(h == 0, atan(slope) / (2 * math.pi), 0)
    return where(undefined, math.nan, sign(a) * where(inside, value, at_zero))


def _quadrature(h: Any, end: Any) -> Any:
    """The integral of `exp(-h**2 (1 + t**2) / 2) / (1 + t**2)` from 0 to `end <= 1`, over `2 pi`."""
    end = min(end, 9.5 / h)
    nodes, weights = np.polynomial.legendre.leggauss(40 if is_double(h) else 20)
    total = filled(0, h)
    for node, weight in zip(nodes.tolist(), weights.tolist()):
        t = end * (0.5 + 0.5 * node)
        square_ = 1 + t * t
        total = total + weight * exp(-0.5 * h * h * square_) / square_
    return total * end / (4 * math.pi)


def _owens_by_h(t: Any, ans: Any, h: Any, a: Any) -> Any:
    half = constant(math.sqrt(0.5), h)
    density = mul(constant(math.sqrt(0.125 / math.pi), h), exp(mul(constant(-0.5, h), square(h))))
    return neg(mul(t, mul(density, erf(mul(half, mul(a, h))))))


def _owens_by_a(t: Any, ans: Any, h: Any, a: Any) -> Any:
    length = add(constant(1, a), square(a))
    density = exp(mul(constant(-0.5, h), mul(square(h), length)))
    return mul(t, div(density, mul(constant(2 * math.pi, a), length)))


owens_t_p = binary("owens_t", in_float32(by_formula(_owens_t)), FLOAT, (_owens_by_h, _owens_by_a))
