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
      power: -t / log 2 as the sum of a number of 8 bits and the rest.
      above, below: the coefficients of an eighth of the factor, above and below the line, lowest first.
      end: where the result is 2**-130; beyond, tails are less than the least normal number.
    """

    power: tuple[float, float]
    above: tuple[float, ...]
    below: tuple[float, ...]
    end: float


# An eighth of e**(a**2 / 2) * (1 - Phi(a)) and of e**(a**2) * erfc(a), to 1e-8: least squares with Lawson's weights (1961) on
# the linearised problem (Sanathanan and Koerner, 1963), then a search among the neighbouring numbers of 32 bits.
_NORMAL = _Tail(
    (-185 / 256, 185 / 256 - 0.5 / math.log(2)),
    (0.0625, 0.0544125959, 0.0226245839, 0.00498406217, 0.000500187278),
    (1.0, 1.66848636, 1.19324934, 0.463555366, 0.0999529362, 0.0100301253),
    13.4246,
)
_ERFC = _Tail(
    (-185 / 128, 185 / 128 - 1 / math.log(2)),
    (0.125, 0.153906614, 0.0905028954, 0.0281962082, 0.00400191359),
    (1.0, 2.35963249, 2.38657618, 1.3112005, 0.399841398, 0.0567448512),
    9.4926,
)
# 2**r for r from -1/2 to 1/2, to 2e-9.
_POWERS_OF_TWO = (1.0, 0.693147182, 0.240226477, 0.0555033162, 0.00961844064, 0.00133992627, 0.000153530491)
# Plus a number of size below 2**22: its lowest bits hold that number, rounded, plus 130.
_ROUNDED = 1.5 * 2**23 + 130
_UPPER_HALF = np.uint32(0xFFFF0000)


def _polynomial(coefficients: Sequence[float], x: Any) -> Any:
    value = filled(coefficients[-1], x)
    for coefficient in reversed(coefficients[:-1]):
        value = add(mul(value, x), constant(coefficient, x))
    return value


def _power(tail: _Tail, a: Any) -> Any:
    """Eight times `e**(-t * a**2)`, and 0 at the tail's end; `a` is neither negative nor beyond it."""
    bits = bitcast_convert_type(a, np.uint32)
    # Its square is exact, and so is the product with the first part of the power.
    high = bitcast_convert_type(bitwise_and(bits, constant(_UPPER_HALF, bits)), np.float32)
    square = mul(high, high)
    main = mul(square, constant(tail.power[0], a))
    rest = mul(mul(sub(a, high), add(a, high)), constant(sum(tail.power), a))
    rest = add(rest, mul(square, constant(tail.power[1], a)))
    y = add(main, rest)
    part = add(sub(main, round(y, RoundingMethod.TO_NEAREST_EVEN)), rest)
    # The same whole number, since both roundings take the even one of two; converting it would cost five operations.
    whole = bitcast_convert_type(add(y, constant(_ROUNDED, a)), np.int32)
    scale = bitcast_convert_type(shift_left(whole, constant(23, whole)), np.float32)
    return mul(_polynomial(_POWERS_OF_TWO, part), scale)


def _within(tail: _Tail, x: Any) -> Any:
    """The size of `x`, at most the tail's end; NaN stays."""
    a = abs(x)
    return select(gt(a, constant(tail.end, a)), filled(tail.end, a), a)


def _ratio(tail: _Tail, above: Any, a: Any) -> Any:
    return div(above, _polynomial(tail.below, a))


def erfc_float32(x: Any) -> Any:
    """`erfc(x)`, to 6 units in the last place; 0 where the result would be less than the least normal number."""
    a = _within(_ERFC, x)
    tail = mul(_power(_ERFC, a), _ratio(_ERFC, _polynomial(_ERFC.above, a), a))
    return select(lt(x, constant(0, x)), sub(constant(2, x), tail), tail)


def gelu_float32(x: Any) -> Any:
    """`x * Phi(x)`: the positive part of `x`, less `abs(x)` times a tail."""
    a = _within(_NORMAL, x)
    tail = mul(_power(_NORMAL, a), _ratio(_NORMAL, mul(a, _polynomial(_NORMAL.above, a)), a))
    return sub(select(lt(x, constant(0, x)), filled(0, x), x), tail)


def gelu_slope_float32(x: Any) -> Any:
    """`Phi(x) + x * phi(x)`: for negative `x` both have the factor `e**(-x**2 / 2)`, and the values at `x` and `-x` add to 1."""
    a = _within(_NORMAL, x)
    density = mul(a, constant(1 / (8 * math.sqrt(2 * math.pi)), a))
    left = mul(_power(_NORMAL, a), sub(_ratio(_NORMAL, _polynomial(_NORMAL.above, a), a), density))
    return select(lt(x, constant(0, x)), left, sub(constant(1, x), left))


def where_float32(formula: Callable[[Any], Any], otherwise: Callable[..., Value]) -> Callable[..., Value]:
    """The lowering rule that is `formula` for float32 on CPU devices, and for narrower dtypes through float32; else `otherwise`."""
    lowered = by_formula(formula)

    def lower(ctx: Context, x: Value) -> Value:
        narrow = x.dtype == np.float32 and ctx.module.platform == "cpu"
        return (lowered if narrow else otherwise)(ctx, x)

    return in_float32(lower)
