"""Operations that return their operand: a copy, and a value cut off from differentiation.

Invariant: neither computes anything.
"""

from __future__ import annotations

from typing import Any

from anima import dtypes
from anima.core.aval import ShapedArray
from anima.core.primitive import Missing
from anima.core.trace import aval_of
from anima.lax.declare import ANY, batch_elementwise, declare, jvp_linear, no_tangent, operand
from anima.lowering.module import Context, Value


def _same(x: ShapedArray) -> ShapedArray:
    return x


def _nothing(ctx: Context, x: Value) -> Value:
    return x


copy_p = declare(
    "copy",
    shape=_same,
    lower=_nothing,
    jvp=jvp_linear,
    transpose=lambda ct, x: [ct],
    batch=batch_elementwise,
    dtypes=ANY,
)


def copy(x: Any) -> Any:
    """`x` in memory of its own.

    Args:
      x: an array of any dtype.

    >>> from anima import lax
    >>> x = lax.full((2,), 1.0)
    >>> lax.identity.copy(x).unsafe_buffer_pointer() == x.unsafe_buffer_pointer()
    False
    """
    return copy_p.bind(operand(x))


stop_gradient_p = declare(
    "stop_gradient",
    shape=_same,
    lower=_nothing,
    jvp=no_tangent,
    transpose=Missing("it has no tangent to transpose"),
    batch=batch_elementwise,
    dtypes=ANY,
)
