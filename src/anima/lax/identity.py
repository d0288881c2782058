"""Operations that return their operand: a copy, a value lifted into a trace, and one cut off from differentiation.

Invariant: none computes anything.
"""

from __future__ import annotations

from typing import Any

from anima import tree
from anima.core import hooks
from anima.core.aval import ShapedArray, has_tangent
from anima.core.host import moving
from anima.core.primitive import Missing
from anima.core.trace import Tracer, aval_of, get_trace
from anima.interpreters.key_reuse import same
from anima.lax.declare import ANY, batch_elementwise, declare, jvp_linear, no_tangent, operand, unchanged
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
    elementwise=unchanged,
    keys=same,
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


stage_p = declare(
    "stage",
    shape=_same,
    lower=_nothing,
    jvp=jvp_linear,
    transpose=lambda ct, x: [ct],
    batch=batch_elementwise,
    elementwise=unchanged,
    dtypes=ANY,
)


def stage(x: Any, /) -> Any:
    """`x` as a value of the trace that is at work: under `jit` a tracer even if it is a number; else an array.

    Args:
      x: an array, a NumPy value or a number.
    Raises:
      TypeError: it is something else.

    >>> from anima import lax
    >>> lax.stage(2.0)
    DeviceArray(2., dtype=float32)
    """
    value = operand(x)
    aval_of(value)
    if isinstance(value, Tracer):
        return value
    return hooks.as_array(value) if get_trace() is None else stage_p.bind(value)


stop_gradient_p = declare(
    "stop_gradient",
    shape=_same,
    lower=_nothing,
    jvp=no_tangent,
    transpose=Missing("it has no tangent to transpose"),
    batch=batch_elementwise,
    elementwise=unchanged,
    host=moving(lambda x: x),
    keys=same,
    dtypes=ANY,
)


def stop_gradient(x: Any) -> Any:
    """`x`, through which no derivative passes: its tangent is zero, and it gets no cotangent.

    Args:
      x: an array or a tree of arrays. Integers and booleans have no derivative and are returned as they are.
    Raises:
      TypeError: a leaf is not an array, a NumPy value or a number.

    >>> import anima
    >>> from anima import lax
    >>> print(anima.grad(lambda x: x * lax.stop_gradient(x))(3.0))
    3.0
    """
    return tree.map(_stopped, x)


def _stopped(x: Any) -> Any:
    value = operand(x)
    aval = aval_of(value)
    if not isinstance(value, Tracer):
        return hooks.as_array(value)
    return stop_gradient_p.bind(value) if has_tangent(aval) else value
