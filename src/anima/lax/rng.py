"""The step from uniform to normal random numbers.

Invariant: it is XLA's own inverse error function, whatever that rounds to.
"""

from __future__ import annotations

import math
from typing import Any

from anima.lax.arithmetic import mul
from anima.lax.declare import FLOAT, operand, unary
from anima.lax.exponential import exp
from anima.lax.operands import constant
from anima.lax.powers import square

# The dtypes of uniform numbers: not those without infinities, zeros or mantissa.
_DRAWN = tuple([name for name in FLOAT if name not in ("float4_e2m1fn", "float8_e8m0fnu")])

normal_quantile_p = unary(
    "normal_quantile",
    "chlo.erf_inv",
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
