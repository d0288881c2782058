"""Scattering by a function: what stands at computed places is replaced by its image.

Invariant: the function sees one element at a time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Missing, Zero
from anima.core.trace import aval_of
from anima.errors import MissingRuleError
from anima.interpreters.batch import Axis, batch_flat, to_axis
from anima.interpreters.jvp import jvp_flat
from anima.lax.create import scalar_of_dtype
from anima.lax.declare import ANY, operand as as_operand
from anima.lax.gathering import GatherScatterMode, ScatterDimensionNumbers
from anima.lax.inner import inner_program
from anima.lax.scattering import (
    bind_scatter,
    gather_at,
    scatter_lower,
    scatter_operation,
    scatter_p,
    update_window,
)
from anima.lax.shape import broadcast_in_dim, check_shape, reshape, shape_of
from anima.lowering.module import Context, Value


def _apply_combine(ctx: Context, old: Value, new: Value, *, jaxpr: ClosedJaxpr, **params: Any) -> Value:
    return ctx.jaxpr(jaxpr.jaxpr, jaxpr.consts, [old])[0]


def _apply_jvp(primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, **params: Any) -> tuple[Any, Any]:
    x, indices, updates = primals
    ans = scatter_apply_p.bind(x, indices, updates, jaxpr=jaxpr, **params)
    if type(tangents[0]) is Zero:
        return ans, Zero(aval_of(ans).tangent_aval())
    if not params["unique_indices"]:
        raise MissingRuleError("scatter_apply: the derivative is known for unique_indices=True only")

    def through(operand: Any) -> list[Any]:
        old = gather_at(operand, indices, update_window(x, updates, params), 0, params)
        flat = reshape(old, (int(np.prod(shape_of(old), dtype=np.int64)),))
        run = lambda v: eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, v)
        (new,), (dim,) = batch_flat(run, Axis(shape_of(flat)[0]), [flat], [0])
        return [
            scatter_p.bind(
                operand, indices, reshape(to_axis(new, dim, 0, shape_of(flat)[0]), shape_of(old)), **params
            )
        ]

    _, (tangent,) = jvp_flat(through, [x], [tangents[0]])
    return ans, tangent


scatter_apply_p = scatter_operation(
    "scatter_apply", scatter_lower(_apply_combine), ANY, _apply_jvp, Missing("it is not linear")
)


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Any = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Any:
    """`operand` with `func` applied to the elements of windows of it, as often as windows cover them.

    Args:
      operand: an array.
      scatter_indices: integers; index vectors along the last dimension, each the place of one window.
      func: from a scalar to a scalar of the same dtype; it must not use traced values or arrays from outside.
      dimension_numbers: which dimensions of operand, indices and windows belong together.
      update_shape: the shape that the updates of a `scatter` with these numbers would have.
      indices_are_sorted, unique_indices, mode: as in `scatter`. The derivative needs `unique_indices`.
    Raises:
      TypeError: dtypes, shapes and dimension numbers do not fit, or `func` is not such a function.

    >>> from anima import lax
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> print(
    ...     lax.scatter_apply(lax.full((3,), 0.0), lax.full((1, 1), 1), lax.cos, numbers, update_shape=(1,))
    ... )
    [0. 1. 0.]
    """
    x = as_operand(operand)
    scalar = aval_of(x).update(shape=())  # type: ignore[attr-defined]
    program = inner_program("scatter_apply", "func", func, lambda v: [as_operand(func(v))], [scalar])
    out = program.out_avals[0]
    if out.shape or out.dtype != scalar.dtype:  # type: ignore[attr-defined]
        raise TypeError(f"scatter_apply: func must return a scalar of dtype {scalar.dtype}, got {out}")
    zero = scalar_of_dtype("scatter_apply", 0, scalar.dtype)
    updates = broadcast_in_dim(zero, check_shape("scatter_apply", update_shape, "update_shape"), ())
    flags = {"indices_are_sorted": indices_are_sorted, "unique_indices": unique_indices, "mode": mode}
    return bind_scatter(
        scatter_apply_p, "scatter_apply", x, scatter_indices, updates, dimension_numbers, flags, jaxpr=program
    )
