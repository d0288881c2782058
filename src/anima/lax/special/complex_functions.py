"""The Faddeeva function and the logarithm of the gamma function, of complex numbers.

Invariant: complex dtypes only; these operations have no public names in `lax`.
"""

from __future__ import annotations

import math
from typing import Any

from anima.core.primitive import Primitive
from anima.lax.arithmetic import abs, mul, sub
from anima.lax.complex_parts import complex, conj, imag, real
from anima.lax.declare import COMPLEX, by_formula, unary
from anima.lax.exponential import exp, expm1, log
from anima.lax.operands import constant
from anima.lax.rounding import RoundingMethod, floor, round
from anima.lax.special.parts import derivative, polynomial, where
from anima.lax.special.tables import STIRLING

# --- the Faddeeva function --------------------------------------------------------------------


def _first_quadrant(z: Any) -> Any:
    """The trapezoidal rule with corrections for its poles.

    M. Al Azah and S. N. Chandler-Wilde, Computation of the complex error function using modified trapezoidal rules,
    SIAM J. Numer. Anal. 59 (2021).
    """
    count = 11
    step = math.sqrt(math.pi / (count + 1))
    x, y = real(z), imag(z)
    # Where numbers are so large that their squares overflow, or have no effect.
    far = abs(x) + y > 1e8
    inner = where(far, 1j + 0 * z, z)
    x, y = real(inner), imag(inner)
    square = inner * inner
    position = x / step - floor(x / step)
    middle = (y < x) & (position >= 0.25) & (position <= 0.75)
    total = 0 * inner
    for k in range(count, -1, -1):
        # The points k h, or (k + 1/2) h, without 0.
        low, high = (k * step) ** 2, ((k + 0.5) * step) ** 2
        point = where(middle, low + 0 * x, high)
        weight = where(middle, (math.exp(-low) if k else 0.5) + 0 * x, math.exp(-high))
        total = total + complex(weight, 0 * x) / (square - complex(point, 0 * x))
    value = 2j * step / math.pi * inner * total
    # What the residue adds: half-way points have the sign +, whole ones -.
    near = y < where(x > math.pi / step, x, math.pi / step)
    power = exp(-2j * math.pi / step * where(near, inner, 0 * inner))
    residue = 2 * exp(-where(near, square, 0 * square)) / where(middle, 1 - power, 1 + power)
    value = where(near, value + residue, value)
    return where(far, 1j / math.sqrt(math.pi) / where(far, z, 1 + 0 * z), value)


def _wofz(z: Any) -> Any:
    x, y = real(z), imag(z)
    point = complex(abs(x), abs(y))
    value = _first_quadrant(point)
    # w(-conj(z)) = conj(w(z)), and w(z) + w(-z) = 2 exp(-z**2).
    left = (x < 0) != (y < 0)
    value = where(left, conj(value), value)
    below = where(y < 0, z, 1j + 0 * z)
    return where(y < 0, 2 * exp(-below * below) - value, value)


wofz_p = unary(
    "wofz",
    by_formula(_wofz),
    COMPLEX,
    lambda t, ans, z: mul(t, sub(constant(2j / math.sqrt(math.pi), z), mul(constant(2, z), mul(z, ans)))),
)


# --- the gamma function -----------------------------------------------------------------------


def _right_half(z: Any) -> Any:
    """Stirling's series for the right upper quadrant, after a shift of 12."""
    total = 0 * z
    for k in range(0, 12, 2):
        total = total + log((z + k) * (z + k + 1))  # the angle of the product is below pi
    small = abs(z) < 12
    shifted = where(small, z + 12, z)
    inverse = 1 / shifted
    series = inverse * polynomial(inverse * inverse, STIRLING, 1 / 144)
    value = (shifted - 0.5) * log(shifted) - shifted + 0.5 * math.log(2 * math.pi) + series
    return where(small, value - total, value)


def _upper_half(z: Any) -> Any:
    left = real(z) < 0.5
    point = where(left, conj(1 - z), z)  # in the right upper quadrant
    value = _right_half(point)
    value = where(left, conj(value), value)
    whole = complex(round(real(z), RoundingMethod.TO_NEAREST_EVEN), 0 * imag(z))
    u = 2j * math.pi * where(left, z - whole, 0.25 + 0 * z)
    log_sine = log(-expm1(u)) - 1j * math.pi * (z - 0.5) - math.log(2)
    return where(left, math.log(math.pi) - log_sine - value, value)


def _log_gamma(z: Any) -> Any:
    below = imag(z) < 0
    value = _upper_half(where(below, conj(z), z))
    pole = (imag(z) == 0) & (real(z) <= 0) & (floor(real(z)) == real(z))
    return where(pole, math.nan + 0 * z, where(below, conj(value), value))


def _log_gamma_derivative(z: Any, order: int) -> Any:
    fun = _log_gamma
    for _ in range(order):
        fun = (lambda f: lambda z: derivative(f, z))(fun)
    return fun(z)


log_gamma_p: Primitive = unary(
    "log_gamma",
    by_formula(_log_gamma_derivative),
    COMPLEX,
    lambda t, ans, z, order: mul(t, log_gamma_p.bind(z, order=order + 1)),
)
