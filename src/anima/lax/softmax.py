"""Softmax as an operation: exponentials scaled to sum to 1 along some dimensions.

Invariant: the largest element is subtracted before anything is exponentiated. The derivative needs nothing but the result, so
the exponentials need not be kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from anima.core.aval import ShapedArray
from anima.core.primitive import Missing, Primitive, Zero
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis
from anima.lax.arithmetic import div, mul, sub
from anima.lax.declare import check_dtype, declare, lowered_by, operand
from anima.lax.exponential import exp
from anima.lax.reductions import reduce_max_p, reduce_sum_p
from anima.lax.shape import broadcast_in_dim, check_axes, shape_of
from anima.lowering.module import Context, Value
from anima.runtime.kernels import call_kernel

_ACCEPTED = ("float32", "float64")
# Rows for the kernel, which must stand in memory (a pass that computes them first costs what the kernel gains): shorter ones are not worth it, and a few long ones are the work of one thread each.
_SHORTEST, _FEWEST, _LONG = 16, 8, 1 << 15


def _along(reduce: Primitive, x: Any, axes: tuple[int, ...]) -> Any:
    """A reduction, broadcast to the shape of its operand."""
    shape = shape_of(x)
    return broadcast_in_dim(reduce.bind(x, axes=axes), shape, [d for d in range(len(shape)) if d not in axes])


def _formula(x: Any, axes: tuple[int, ...]) -> Any:
    exponentials = exp(sub(x, _along(reduce_max_p, x, axes)))
    return div(exponentials, _along(reduce_sum_p, exponentials, axes))


def _shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    check_dtype("softmax", x, _ACCEPTED)
    return ShapedArray(x.shape, x.dtype)


def _rows(ctx: Context, x: Value, axes: tuple[int, ...]) -> tuple[int, int] | None:
    """How many rows there are for the kernel, and how long; None: it is not for these."""
    if not (ctx.module.kernels_allowed and x.stored and x.dtype.name == "float32"):
        return None
    kept = [d for d, n in enumerate(x.shape) if n != 1 and d not in axes]
    if any(a < d for a in axes if x.shape[a] != 1 for d in kept):
        return None
    rows, length = (math.prod(x.shape[d] for d in dims) for dims in (kept, axes))
    return (rows, length) if length >= _SHORTEST and (rows >= _FEWEST or length <= _LONG) else None


def _lower(ctx: Context, x: Value, *, axes: tuple[int, ...]) -> Value:
    shape = _rows(ctx, x, axes)
    if shape is None:
        return lowered_by(lambda v: _formula(v, axes))(ctx, x)
    flat = ShapedArray(shape, x.dtype)
    (out,) = call_kernel(ctx, "anima_softmax", [ctx.op("stablehlo.reshape", (x,), flat)], [flat])
    return ctx.op("stablehlo.reshape", (out,))


def _jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> tuple[Any, Any]:
    (x,), (t,) = primals, tangents
    ans = softmax_p.bind(x, axes=axes)
    if type(t) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    slopes = mul(ans, t)
    return ans, sub(slopes, mul(ans, _along(reduce_sum_p, slopes, axes)))


def _batch(axis: Axis, args: Any, dims: Any, *, axes: tuple[int, ...]) -> tuple[Any, int]:
    (d,) = dims
    return softmax_p.bind(args[0], axes=tuple(a + (a >= d) for a in axes)), d


softmax_p: Primitive = declare(
    "softmax",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    transpose=Missing("it is not linear"),
    batch=_batch,
    dtypes=_ACCEPTED,
    remembers=True,
)


def softmax(x: Any, axes: Sequence[int]) -> Any:
    """Exponentials of `x` scaled to sum to 1 along some dimensions.

    Args:
      x: an array of float32 or float64.
      axes: the dimensions; distinct and not negative.
    Raises:
      TypeError: `x` is of another dtype. ValueError: an axis is repeated or out of range.

    >>> from anima import lax
    >>> from anima.lax.softmax import softmax
    >>> print(softmax(lax.full((2, 2), 1.0), (1,)))
    [[0.5 0.5]
     [0.5 0.5]]
    """
    x = operand(x)
    return softmax_p.bind(x, axes=check_axes("softmax", axes, len(shape_of(x))))
