"""What happens where the reverse derivative of a loop meets more iterations than `max_steps`.

Invariant: a program that can call Python raises `MaxStepsError`; it calls only then. In any other program, on a GPU say, the
cotangents become NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import _native, dtypes
from anima.core.aval import ShapedArray
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Missing, Primitive
from anima.core.trace import shaped
from anima.errors import MaxStepsError
from anima.interpreters.batch import Axis
from anima.interpreters.jvp import stage_closed
from anima.lax.compare import gt, le
from anima.lax.control.cond_primitive import cond_p
from anima.lax.convert import convert_element_type
from anima.lax.create import full
from anima.lax.reductions import reduce_or
from anima.lax.selection import select_n
from anima.lax.shape import broadcast_in_dim
from anima.lowering.module import Context, Value
from anima.lowering.types import row_major
from anima.runtime.devices import client

_NUMBER = ShapedArray((), np.dtype(np.uint64))


class _Check:
    """The Python function that programs call, under its number; it is registered when a program first needs it."""

    def __init__(self) -> None:
        self._number: np.uint64 | None = None

    @property
    def number(self) -> np.uint64:
        if self._number is None:
            self._number = np.uint64(_native.callback_register(_raise))
        return self._number


def _raise(count: Any, limit: Any) -> list[Any]:
    """Raise MaxStepsError if a number of iterations is too large; it may be called although none is."""
    if (count > limit).any():
        raise MaxStepsError(
            f"a loop ran for more than max_steps={limit} iterations, so it cannot be differentiated in reverse mode; its "
            "value is right. Raise max_steps, or find out why the loop takes so long."
        )
    return [count]


_check = _Check()


def _shape(count: ShapedArray, limit: ShapedArray) -> ShapedArray:
    return count


def _lower(ctx: Context, count: Value, limit: Value) -> Value:
    # Of several devices one must not fail: the others would wait for it at the next collective operation.
    if not ctx.module.kernels_allowed or ctx.module.partitions > 1:
        return count
    _native.register_python_callback_target(client("cpu"))
    number = ctx.runtime_operand(_check.number, _NUMBER, _check)
    attrs = [
        'call_target_name = "anima_python_callback", api_version = 4 : i32, backend_config = {}',
        row_major([number.aval, count.aval, limit.aval], [count.aval]),
    ]
    return ctx.op("stablehlo.custom_call", (number, count, limit), attrs=", ".join(filter(None, attrs)))


def _batch(axis: Axis, args: Any, dims: Any) -> tuple[Any, int | None]:
    return refuse_steps_p.bind(*args), dims[0]


_INTEGERS = Missing("numbers of iterations are integers, which have no tangents")

refuse_steps_p = Primitive(
    "refuse_steps",
    shape=_shape,
    lower=_lower,
    jvp=_INTEGERS,
    transpose=_INTEGERS,
    batch=_batch,
)


def checked_steps(count: Any, max_steps: int) -> Any:
    """The numbers of iterations, unless one is too large and the program can raise.

    Args:
      count: an int32 array. max_steps: the largest that is allowed.
    """
    limit = np.int32(max_steps)
    axes = tuple(range(shaped(count).ndim))
    beyond = gt(count, limit)
    which = convert_element_type(reduce_or(beyond, axes) if axes else beyond, np.int32)
    [checked] = cond_p.bind(which, count, branches=_branches(shaped(count), limit))
    return checked


def _branches(count: ShapedArray, limit: Any) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    return (
        stage_closed(lambda count: [count], [count], "within"),
        stage_closed(lambda count: [refuse_steps_p.bind(count, limit)], [count], "beyond"),
    )


def nan_beyond(count: Any, max_steps: int, values: Sequence[Any]) -> list[Any]:
    """The values, NaN for examples with more iterations than `max_steps`.

    `count` has an element for each example; its dimensions are the first ones of all values, which are inexact.
    """
    within = le(count, np.int32(max_steps))
    leading = tuple(range(shaped(count).ndim))
    results = []
    for x in values:
        aval = shaped(x)
        mask = broadcast_in_dim(within, aval.shape, leading) if leading else within
        nan = full(aval.shape, np.nan, aval.dtype)
        results.append(select_n(mask, nan, x) if dtypes.is_inexact(aval.dtype) else x)
    return results
