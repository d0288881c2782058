"""The step from uniform to normal random numbers.

Invariant: it is XLA's own inverse error function, whatever that rounds to; on CPU devices to 2 units in the last place.
"""

from __future__ import annotations

import math
from typing import Any

from anima.lax.arithmetic import add, mul, neg, sub
from anima.lax.declare import FLOAT, operand, unary
from anima.lax.error_functions import erf_inv_by_log
from anima.lax.exponential import exp, log
from anima.lax.normal_tail import where_float32
from anima.lax.operands import constant
from anima.lax.powers import square
from anima.lowering.module import Context, Value

# The dtypes of uniform numbers: not those without infinities, zeros or mantissa.
_DRAWN = tuple([name for name in FLOAT if name not in ("float4_e2m1fn", "float8_e8m0fnu")])


def _as_xla_does(ctx: Context, x: Value) -> Value:
    return ctx.op("chlo.erf_inv", (x,))


def _in_vectors(x: Any) -> Any:
    """XLA's formula in float32, with another logarithm of 1 - x**2: XLA's keeps the whole loop from being vectorised, random
    bits and all (a million normal numbers: 3.0 ms in place of 0.6)."""
    one = constant(1, x)
    product = mul(x, x)
    rest = sub(one, product)
    lost = sub(sub(one, rest), product)  # by rounding: exact, and 0 where the square is 1/2 or more
    return erf_inv_by_log(x, neg(add(log(rest), mul(lost, add(one, product)))))


normal_quantile_p = unary(
    "normal_quantile",
    where_float32(_in_vectors, _as_xla_does),
    _DRAWN,
    lambda t, ans, x: mul(t, mul(constant(math.sqrt(math.pi) / 2, ans), exp(square(ans)))),
)


def normal_quantile(x: Any) -> Any:
    """XLA's own inverse error function: less exact than `lax.erf_inv`, but the one that JAX makes normal numbers with.

    Args:
      x: an array of real floating-point dtype. In float32 the result is right to some 80 units in the last place at the
        ends of the interval from -1 to 1, to 4 in most of it.
    Raises:
      TypeError: `x` is of another dtype.

    >>> from anima.lax.rng import normal_quantile
    >>> print(normal_quantile(0.0))
    0.0
    """
    return normal_quantile_p.bind(operand(x))
