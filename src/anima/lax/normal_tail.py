"""The tails of the normal distribution in float32, and what is made of them: `erfc`, and `gelu` with its slope.

Invariant: a tail is `e**(-t * a**2)` times a ratio of polynomials, and the power is exact to a unit in the last place however
large the square is; nothing branches, so that compilers vectorise it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.lax.arithmetic import abs, add, div, mul, sub
from anima.lax.bitwise import bitwise_and, shift_left
from anima.lax.compare import gt, lt
from anima.lax.convert import bitcast_convert_type
from anima.lax.declare import by_formula, in_float32
from anima.lax.operands import constant, filled
from anima.lax.rounding import RoundingMethod, round
from anima.lax.selection import select
from anima.lowering.module import Context, Value
from anima.records import NamedTuple


class _Tail(NamedTuple):
    """How `e**(-t * a**2)` and its factor are found.

    Attributes:
      octave: log 2 / t, but for `_OFF`: a number of 15 bits, of which multiples by numbers of 8 bits are exact.
      powers: the coefficients of an eighth of `e**(-t * (1 + _OFF) * r)` times the factor's scale, lowest first.
      above, below: those of the factor without its scale, above and below the line; the highest are 1.
      scale: what `above / below` lacks.
      end: where the result is 2**-130; beyond, tails are less than the least normal number.
    """

    octave: float
    powers: tuple[float, ...]
    above: tuple[float, ...]
    below: tuple[float, ...]
    scale: float
    end: float


# Of itself, what log 2 in 15 bits lacks. No step is needed to make up for it: whole octaves lack a multiple of `a**2` and one of
# what is left of it, which the factor and the powers contain.
_OFF = math.log(2) / (45426 / 65536) - 1
# The factors are e**(a**2 / 2) * (1 - Phi(a)) and e**(a**2) * erfc(a), times e**(_OFF * t * a**2), to 4e-8 up to a = 6 (erfc: 4.2) and
# 7e-8 beyond: least squares with Lawson's weights (1961) on the linearised problem (Sanathanan and Koerner, 1963), then a search
# among the neighbouring numbers of 32 bits. The powers, to 5e-9 half an octave around 1, are by Remez's exchange.
_NORMAL = _Tail(
    45426 / 32768,
    (
        0.0501190722,
        -0.0250595883,
        0.0062649087,
        -0.0010441381,
        0.00013052531,
        -1.31211154e-05,
        1.08341089e-06,
    ),
    (1921.51953, 1255.50256, 395.002594, 53.7397614),
    (1540.87646, 2236.23218, 1330.60254, 396.33374, 54.1282616),
    0.400952578,
    13.4246,
)
_ERFC = _Tail(
    45426 / 65536,
    (
        0.0708784759,
        -0.0708786249,
        0.0354393758,
        -0.0118129589,
        0.00295344554,
        -0.000593783043,
        9.80530458e-05,
    ),
    (479.358246, 442.944916, 197.089767, 37.9253349),
    (271.809448, 557.865356, 469.440552, 197.753128, 38.1992073),
    0.567027807,
    9.4926,
)
# Plus a number of size below 2**22: its lowest bits hold that number, rounded, plus 130.
_ROUNDED = 1.5 * 2**23 + 130
_TWELVE_BITS = np.uint32(0xFFFFF000)


def _polynomial(lower: Sequence[float], x: Any, value: Any) -> Any:
    """By Horner's rule, from the value of its highest terms on."""
    for coefficient in reversed(lower):
        value = add(mul(value, x), constant(coefficient, x))
    return value


def _monic(lower: Sequence[float], x: Any) -> Any:
    """The polynomial whose highest coefficient is 1: a product less, and where sums have units of their own that is time."""
    return _polynomial(lower[:-1], x, add(x, constant(lower[-1], x)))


def _power(tail: _Tail, a: Any) -> Any:
    """`e**(-t * a**2)` times the factor's scale, and 0 at the tail's end; `a` is neither negative nor beyond it."""
    bits = bitcast_convert_type(a, np.uint32)
    # Its square is exact.
    high = bitcast_convert_type(bitwise_and(bits, constant(_TWELVE_BITS, bits)), np.float32)
    square = mul(high, high)
    octaves = mul(square, constant(-1 / tail.octave, a))
    rest = add(
        square, mul(round(octaves, RoundingMethod.TO_NEAREST_EVEN), constant(tail.octave, a))
    )  # exact, too
    rest = add(rest, mul(sub(a, high), add(a, high)))
    # The same whole number, since both roundings take the even one of two; converting it would cost five operations.
    whole = bitcast_convert_type(add(octaves, constant(_ROUNDED, a)), np.int32)
    scale = bitcast_convert_type(shift_left(whole, constant(23, whole)), np.float32)
    return mul(_polynomial(tail.powers[:-1], rest, filled(tail.powers[-1], a)), scale)


def _within(tail: _Tail, x: Any) -> Any:
    """The size of `x`, at most the tail's end; NaN stays."""
    a = abs(x)
    return select(gt(a, constant(tail.end, a)), filled(tail.end, a), a)


def _factor(tail: _Tail, a: Any, times: Any = None) -> Any:
    """The factor without its scale, times a value."""
    above = _monic(tail.above, a)
    return div(above if times is None else mul(times, above), _monic(tail.below, a))


def erfc_float32(x: Any) -> Any:
    """`erfc(x)`, to 6 units in the last place; 0 where the result would be less than the least normal number."""
    a = _within(_ERFC, x)
    tail = mul(_power(_ERFC, a), _factor(_ERFC, a))
    return select(lt(x, constant(0, x)), sub(constant(2, x), tail), tail)


def gelu_float32(x: Any) -> Any:
    """`x * Phi(x)`: the positive part of `x`, less `abs(x)` times a tail."""
    a = _within(_NORMAL, x)
    tail = mul(_power(_NORMAL, a), _factor(_NORMAL, a, times=a))
    return sub(select(lt(x, constant(0, x)), filled(0, x), x), tail)


def gelu_slope_float32(x: Any) -> Any:
    """`Phi(x) + x * phi(x)`: for negative `x` both have the factor `e**(-x**2 / 2)`, and the values at `x` and `-x` add to 1."""
    a = _within(_NORMAL, x)
    # What the power lacks is 1 + _OFF * a**2 / 2, as far as numbers of 32 bits go.
    density = 1 / (math.sqrt(2 * math.pi) * _NORMAL.scale)
    density = mul(a, add(mul(mul(a, a), constant(density * _OFF / 2, a)), constant(density, a)))
    left = mul(_power(_NORMAL, a), sub(_factor(_NORMAL, a), density))
    return select(lt(x, constant(0, x)), left, sub(constant(1, x), left))


def where_float32(formula: Callable[[Any], Any], otherwise: Callable[..., Value]) -> Callable[..., Value]:
    """The lowering rule that is `formula` for float32 on CPU devices, and for narrower dtypes through float32; else `otherwise`."""
    lowered = by_formula(formula)

    def lower(ctx: Context, x: Value) -> Value:
        narrow = x.dtype == np.float32 and ctx.module.platform == "cpu"
        return (lowered if narrow else otherwise)(ctx, x)

    return in_float32(lower)
