"""The error function and the logarithm of the gamma function, with their relatives.

Invariant: real floating-point dtypes only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anima.core.trace import aval_of
from anima.errors import MissingRuleError
from anima.lax.arithmetic import abs, add, mul, neg, sub
from anima.lax.compare import eq, is_finite, lt
from anima.lax.declare import FLOAT, binary, by_formula, in_float32, operand, unary
from anima.lax.exponential import exp, log
from anima.lax.normal_tail import erfc_float32, where_float32
from anima.lax.operands import constant, filled, operands
from anima.lax.powers import sqrt, square
from anima.lax.selection import select

# --- error functions --------------------------------------------------------------------------

_SLOPE = 2 / math.sqrt(math.pi)


def _gaussian(x: Any) -> Any:
    return mul(constant(_SLOPE, x), exp(neg(square(x))))


erf_p = unary("erf", "chlo.erf", FLOAT, lambda t, ans, x: mul(t, _gaussian(x)))


def erf(x: Any) -> Any:
    """Elementwise error function: 2/sqrt(pi) times the integral of `e**-t**2` from 0 to `x`.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.erf(0.0))
    0.0
    """
    return erf_p.bind(operand(x))


def _erfc_correction(x: Any, y: Any) -> Any:
    """XLA's `y` contains `e**-s`, where `s` is `x**2` rounded; put back the factor `e**(s - x**2)` that is missing.

    The part of the square that rounding lost comes from Dekker's splitting of `x` into halves whose products are exact.
    """
    bits = (np.finfo(aval_of(x).dtype).nmant + 2) // 2  # type: ignore[attr-defined]
    scaled = mul(x, constant(2**bits + 1, x))
    high = sub(scaled, sub(scaled, x))
    low = sub(x, high)
    s = square(x)
    lost = add(add(sub(square(high), s), mul(constant(2, x), mul(high, low))), square(low))
    corrected = sub(y, mul(y, lost))
    return select(lt(constant(1, x), x), select(is_finite(corrected), corrected, y), y)


erfc_p = unary(
    "erfc",
    where_float32(erfc_float32, by_formula(_erfc_correction, start="chlo.erfc")),
    FLOAT,
    lambda t, ans, x: mul(t, neg(_gaussian(x))),
)


def erfc(x: Any) -> Any:
    """Elementwise complementary error function `1 - erf(x)`, exact also where `erf(x)` is nearly 1.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.erfc(0.0))
    1.0
    """
    return erfc_p.bind(operand(x))


# M. Giles, Approximating the erfinv function, GPU Computing Gems (Jade edition), 2012: the coefficients of polynomials,
# highest first, in w = -log(1 - x**2) or its root, each less an offset.
_SINGLE = (
    (2.5, (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
           -0.00417768164, 0.246640727, 1.50140941)),
    (3.0, (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
           0.00943887047, 1.00167406, 2.83297682)),
)  # fmt: skip
_DOUBLE = (
    (3.125, (-3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
             1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
             6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
             2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
             1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
             4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
             0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
             0.24015818242558961693, 1.6536545626831027356)),
    (3.25, (2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07,
            1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06,
            2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05,
            6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
            0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066,
            -0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334, 3.0838856104922207635)),
    (5.0, (-2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09,
           -3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08,
           2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07,
           -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
           7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026,
           1.0103004648645343977, 4.8499064014085844221)),
)  # fmt: skip


def _erf_inv_formula(x: Any) -> Any:
    """XLA's formula takes its logarithm of `x**2` rounded, which loses 6 bits near 1, and in float64 32."""
    one = constant(1, x)
    return erf_inv_by_log(x, neg(log(mul(sub(one, x), add(one, x)))))


def erf_inv_by_log(x: Any, w: Any) -> Any:
    """Giles's approximations of the inverse error function, given `w = -log(1 - x**2)`."""
    one = constant(1, x)
    root = sqrt(w)
    if aval_of(x).dtype == np.float64:  # type: ignore[attr-defined]
        center, middle, end = (_polynomial(v, *p) for v, p in zip((w, root, root), _DOUBLE))
        value = select(lt(w, constant(6.25, x)), center, select(lt(w, constant(16, x)), middle, end))
    else:
        center, end = (_polynomial(v, *p) for v, p in zip((w, root), _SINGLE))
        value = select(lt(w, constant(5, x)), center, end)
    return mul(select(eq(abs(x), one), filled(math.inf, x), value), x)


def _polynomial(x: Any, offset: float, coefficients: tuple[float, ...]) -> Any:
    v = sub(x, constant(offset, x))
    value = filled(coefficients[0], x)
    for coefficient in coefficients[1:]:
        value = add(mul(value, v), constant(coefficient, x))
    return value


erf_inv_p = unary(
    "erf_inv",
    in_float32(by_formula(_erf_inv_formula)),
    FLOAT,
    lambda t, ans, x: mul(t, mul(constant(1 / _SLOPE, ans), exp(square(ans)))),
)


def erf_inv(x: Any) -> Any:
    """Elementwise inverse of the error function: infinite at -1 and 1, NaN beyond.

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> print(lax.erf_inv(0.0))
    0.0
    """
    return erf_inv_p.bind(operand(x))


# --- gamma functions --------------------------------------------------------------------------

lgamma_p = unary("lgamma", "chlo.lgamma", FLOAT, lambda t, ans, x: mul(t, digamma(x)))


def lgamma(x: Any) -> Any:
    """Elementwise logarithm of the absolute value of the gamma function; infinite at 0, -1, -2, ...

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> round(float(lax.lgamma(5.0)), 4)
    3.1781
    """
    return lgamma_p.bind(operand(x))


digamma_p = unary(
    "digamma", "chlo.digamma", FLOAT, lambda t, ans, x: mul(t, polygamma(constant(1, x), x)), shapeless=False
)


def digamma(x: Any) -> Any:
    """Elementwise digamma function, the derivative of `lgamma`; NaN at 0, -1, -2, ...

    Args:
      x: an array of real floating-point dtype.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima import lax
    >>> round(float(lax.digamma(1.0)), 4)
    -0.5772
    """
    return digamma_p.bind(operand(x))


def _no_order(what: str) -> Any:
    def derivative(t: Any, ans: Any, *operands: Any) -> Any:
        raise MissingRuleError(
            f"{what}: its order has no derivative; differentiate by the other argument only"
        )

    return derivative


polygamma_p = binary(
    "polygamma",
    "chlo.polygamma",
    FLOAT,
    (_no_order("polygamma"), lambda t, ans, m, x: mul(t, polygamma(add(m, constant(1, m)), x))),
    shapeless=False,
)


def polygamma(m: Any, x: Any) -> Any:
    """Elementwise `m`-th derivative of `digamma` at `x`.

    Args:
      m: the order, whole numbers that are not negative, in the dtype of `x`; it has no derivative.
      x: an array of real floating-point dtype and of the same shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or the dtype is another.

    >>> from anima import lax
    >>> round(float(lax.polygamma(1.0, 1.0)), 4)
    1.6449
    """
    return polygamma_p.bind(*operands("polygamma", m, x))


zeta_p = binary(
    "zeta",
    "chlo.zeta",
    FLOAT,
    (_no_order("zeta"), lambda t, ans, x, q: mul(t, neg(mul(x, zeta(add(x, constant(1, x)), q))))),
)


def zeta(x: Any, q: Any) -> Any:
    """Elementwise Hurwitz zeta function: the sum of `(q + n)**-x` over `n = 0, 1, 2, ...`.

    Args:
      x: the exponent, above 1; it has no derivative.
      q: an array of the same dtype and shape, or a scalar.
    Raises:
      TypeError: dtypes or shapes differ, or they are not real floating-point.

    >>> from anima import lax
    >>> round(float(lax.zeta(2.0, 1.0)), 4)
    1.6449
    """
    return zeta_p.bind(*operands("zeta", x, q))
