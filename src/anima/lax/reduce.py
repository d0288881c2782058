"""Reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.aval import ShapedArray
from anima.interpreters.batch import Axis
from anima.lax.declare import NUMERIC, check_dtype, declare, jvp_linear
from anima.lax.shape import broadcast_in_dim_p
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array


def reduced_shape(name: str, x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without `axes`.

    Raises:
      ValueError: an axis is repeated or out of range.
    """
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.ndim for a in axes):
        raise ValueError(f"{name}: axes {axes} must be distinct and within the {x.ndim} dimensions of the operand")
    return tuple(d for i, d in enumerate(x.shape) if i not in axes)


def reduction_lowering(hlo: str, identity: Any) -> Any:
    """A lowering rule reducing with the binary operation `hlo`, starting at `identity(dtype)`."""

    def lower(ctx: Context, x: Value, *, axes: tuple[int, ...], **params: Any) -> Value:
        out = ctx.out_avals[0]
        scalar = ShapedArray((), x.dtype)
        init = ctx.constant(np.asarray(identity(x.dtype), x.dtype), scalar)
        body = ctx.region([scalar, scalar], lambda c, ab: [c.op(hlo, ab, scalar)])
        return ctx.op("stablehlo.reduce", (x, init), out, f"dimensions = {i64_array(axes)}", [body])

    return lower


def _sum_shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    check_dtype("reduce_sum", x, NUMERIC)
    return ShapedArray(reduced_shape("reduce_sum", x, axes), x.dtype, x.weak_type)


def _sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...]) -> list[Any]:
    kept = tuple(d for d in range(x.ndim) if d not in axes)
    return [broadcast_in_dim_p.bind(ct, shape=x.shape, broadcast_dimensions=kept)]


def _sum_batch(axis: Axis, args: Any, dims: Any, *, axes: tuple[int, ...]) -> tuple[Any, int]:
    (d,) = dims
    moved = tuple(a + (a >= d) for a in axes)
    return reduce_sum_p.bind(args[0], axes=moved), d - sum(a < d for a in moved)


reduce_sum_p = declare(
    "reduce_sum",
    shape=_sum_shape,
    lower=reduction_lowering("stablehlo.add", lambda dtype: 0),
    jvp=jvp_linear,
    transpose=_sum_transpose,
    batch=_sum_batch,
    dtypes=NUMERIC,
)
