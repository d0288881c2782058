"""Selection: one of several arrays by a predicate, and clamping between bounds.

Invariant: the predicate of a selection and the bounds of a clamp have the shape of the others or are scalars; these
scalars, unlike those of elementwise operations, may carry tangents and mapped axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import dtypes
from anima.core import hooks
from anima.core.aval import ShapedArray, physical_aval
from anima.core.host import REAL, WHOLE, HostRule, moving
from anima.core.primitive import Missing, Zero, primitives
from anima.core.trace import aval_of
from anima.interpreters.batch import Axis, to_axis
from anima.interpreters.key_reuse import moved
from anima.interpreters.zeros import add, instantiate
from anima.lax.bitwise import bitwise_and
from anima.lax.compare import gt, lt
from anima.lax.declare import (
    ANY,
    broadcast_value,
    check_dtype,
    comparison,
    declare,
    is_linear,
    operand,
    same_dtypes,
    unchanged,
)
from anima.lax.operands import match_dtypes, stretch
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array

# --- select_n ---------------------------------------------------------------------------------


def _select_shape(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    if not cases:
        raise ValueError("select_n needs at least one case")
    if not (dtypes.is_bool(which.dtype) or dtypes.is_int(which.dtype)):
        raise TypeError(f"select_n: which must be boolean or integer, got {dtypes.dtype_name(which.dtype)}")
    if dtypes.is_bool(which.dtype) and len(cases) > 2:
        raise TypeError(
            f"select_n: a boolean which chooses among 2 cases, got {len(cases)}; use an int32 which"
        )
    dtype = same_dtypes("select_n", cases)
    shape = cases[0].shape
    if any(c.shape != shape for c in cases):
        shapes = ", ".join(str(c.shape) for c in cases)
        raise TypeError(
            f"select_n: cases must have equal shapes, got {shapes}. (Tip: numpy.where broadcasts)"
        )
    if which.shape not in ((), shape):
        raise TypeError(
            f"select_n: which must be a scalar or have the shape of the cases, {shape}, got {which.shape}. "
            "(Tip: numpy.where broadcasts)"
        )
    if not dtypes.is_extended(dtype):
        check_dtype("select_n", cases[0], ANY)
    return ShapedArray(shape, dtype, all([c.weak_type for c in cases]))


def _select_lower(ctx: Context, which: Value, *cases: Value) -> Value:
    if len(cases) == 1:
        return Value(cases[0].name, ctx.out_avals[0])
    out = ctx.out_avals[0]
    assert isinstance(out, ShapedArray)

    def choose(predicate: Value, on_false: Value, on_true: Value) -> Value:
        if dtypes.is_extended(out.dtype) and predicate.shape:
            words = ShapedArray(physical_aval(out).shape, predicate.dtype)
            attrs = f"broadcast_dimensions = {i64_array(range(predicate.ndim))}"
            predicate = ctx.op("stablehlo.broadcast_in_dim", (predicate,), words, attrs)
        return ctx.op("stablehlo.select", (predicate, on_true, on_false), out)

    def between(low: int, high: int) -> Value:
        """The case that `which`, known to be in the half-open range, chooses."""
        if high - low == 1:
            return cases[low]
        middle = (low + high) // 2
        bound = ctx.full(middle, ShapedArray(which.shape, which.dtype))
        below = ctx.op(
            "stablehlo.compare",
            (which, bound),
            ShapedArray(which.shape, np.dtype(bool)),
            comparison("LT", which.dtype),
        )
        return choose(below, between(middle, high), between(low, middle))

    return choose(which, *cases) if which.dtype == np.dtype(bool) else between(0, len(cases))


def _select_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    which, *cases = primals
    ans = select_n_p.bind(which, *cases)
    if all(type(t) is Zero for t in tangents[1:]):
        return ans, Zero(aval_of(ans).tangent_aval())
    return ans, select_n_p.bind(which, *map(instantiate, tangents[1:]))


def _select_transpose(ct: Any, which: Any, *cases: Any) -> list[Any]:
    zeros = hooks.zeros(aval_of(ct))

    def cotangent(index: int) -> Any:
        return select_n_p.bind(which, *[ct if i == index else zeros for i in range(len(cases))])

    return [None, *[cotangent(i) if is_linear(case) else None for i, case in enumerate(cases)]]


def _select_batch(axis: Axis, args: Sequence[Any], dims: Sequence[int | None]) -> tuple[Any, int]:
    which, *cases = args
    if dims[0] is None and not aval_of(which).shape:  # type: ignore[attr-defined]
        first = next(d for d in dims if d is not None)
        moved = [to_axis(c, d, first, axis.size) for c, d in zip(cases, dims[1:])]
        return select_n_p.bind(which, *moved), first
    cases = [to_axis(c, d, 0, axis.size) for c, d in zip(cases, dims[1:])]
    shape: tuple[int, ...] = aval_of(cases[0]).shape  # type: ignore[attr-defined]
    return select_n_p.bind(_full_rank(which, dims[0], axis, shape), *cases), 0


def _full_rank(value: Any, dim: int | None, axis: Axis, shape: tuple[int, ...]) -> Any:
    """A batched scalar or array, its mapped axis at 0, in the whole batched shape."""
    value = to_axis(value, dim, 0, axis.size)
    if aval_of(value).shape == shape:  # type: ignore[attr-defined]
        return value
    return primitives["broadcast_in_dim"].bind(value, shape=shape, broadcast_dimensions=(0,))


select_n_p = declare(
    "select_n",
    shape=_select_shape,
    lower=_select_lower,
    jvp=_select_jvp,
    transpose=_select_transpose,
    batch=_select_batch,
    elementwise=unchanged,
    keys=moved,
    host=moving(
        lambda which, *cases: np.where(which, cases[1], cases[0]),
        refuses=lambda which, *cases: which.dtype != bool or len(cases) != 2,
        kernel="select_n",
    ),
    dtypes=ANY,
    remembers=True,
)


def select_n(which: Any, *cases: Any) -> Any:
    """Elementwise one of `cases`, by number.

    Args:
      which: booleans to choose among two cases (False is the first), or integers; those out of range choose the first
        or the last case. Of the cases' shape, or a scalar.
      *cases: at least one array; all of one dtype and shape.
    Raises:
      TypeError: dtypes or shapes differ, or `which` is of another dtype. ValueError: there are no cases.

    >>> from anima import lax
    >>> print(lax.select_n(2, 1.0, 10.0, 100.0))
    100.0
    """
    if not cases:
        raise ValueError("select_n needs at least one case")
    values = tuple([operand(c) for c in cases])
    avals: list[Any] = [aval_of(v) for v in values]
    if any([a.dtype != avals[0].dtype for a in avals]):
        values = match_dtypes("select_n", values, avals)
    return select_n_p.bind(operand(which), *values)


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Elementwise `on_true` where `pred`, else `on_false`.

    Args:
      pred: booleans, of the shape of the others or a scalar.
      on_true, on_false: arrays of one dtype and shape.
    Raises:
      TypeError: dtypes or shapes differ, or `pred` is not boolean.

    >>> from anima import lax
    >>> print(lax.select(True, 1.0, 2.0))
    1.0
    """
    return select_n(pred, on_false, on_true)


# --- clamp ------------------------------------------------------------------------------------


def _clamp_shape(low: ShapedArray, x: ShapedArray, high: ShapedArray) -> ShapedArray:
    same_dtypes("clamp", (low, x, high))
    for name, bound in (("min", low), ("max", high)):
        if bound.shape not in ((), x.shape):
            raise TypeError(
                f"clamp: {name} must be a scalar or have the shape of x, {x.shape}, got {bound.shape}"
            )
    check_dtype("clamp", x, ANY)
    return ShapedArray(x.shape, x.dtype, low.weak_type and x.weak_type and high.weak_type)


def _clamp_lower(ctx: Context, low: Value, x: Value, high: Value) -> Value:
    if x.dtype.kind not in "bc":  # these XLA does not clamp
        return ctx.op("stablehlo.clamp", (low, x, high))
    bounds = [v if v.shape == x.shape else broadcast_value(ctx, v, x.shape) for v in (low, high)]
    raised = primitives["max"].lower(ctx, x, bounds[0])
    return primitives["min"].lower(ctx, raised, bounds[1])


def _clamp_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    low, x, high = primals
    ans = clamp_p.bind(low, x, high)
    shape: tuple[int, ...] = aval_of(x).shape  # type: ignore[attr-defined]
    total: Any = Zero(aval_of(ans).tangent_aval())
    if all(type(t) is Zero for t in tangents):
        return ans, total
    low_, high_ = (stretch(v, aval_of(v).shape, shape) for v in (low, high))  # type: ignore[attr-defined]
    zeros = hooks.zeros(total.aval)
    # At a tie none of them is free to move both ways: no tangent passes.
    passes = (
        lambda: bitwise_and(gt(low_, x), lt(low_, high_)),
        lambda: bitwise_and(gt(x, low_), lt(x, high_)),
        lambda: lt(high_, x),
    )
    for tangent, pred in zip(tangents, passes):
        if type(tangent) is not Zero:
            whole = stretch(tangent, aval_of(tangent).shape, shape)  # type: ignore[attr-defined]
            total = add(total, select_n_p.bind(pred(), zeros, whole))
    return ans, total


def _clamp_batch(axis: Axis, args: Sequence[Any], dims: Sequence[int | None]) -> tuple[Any, int]:
    low, x, high = args
    bounds_scalar = all(d is None and not aval_of(v).shape for v, d in ((low, dims[0]), (high, dims[2])))  # type: ignore[attr-defined]
    if bounds_scalar:
        assert dims[1] is not None
        return clamp_p.bind(low, x, high), dims[1]
    x = to_axis(x, dims[1], 0, axis.size)
    shape: tuple[int, ...] = aval_of(x).shape  # type: ignore[attr-defined]
    return clamp_p.bind(_full_rank(low, dims[0], axis, shape), x, _full_rank(high, dims[2], axis, shape)), 0


clamp_p = declare(
    "clamp",
    shape=_clamp_shape,
    lower=_clamp_lower,
    jvp=_clamp_jvp,
    transpose=Missing("it is not linear"),
    batch=_clamp_batch,
    elementwise=unchanged,
    # In programs the compiler takes it that the bounds are in order.
    host=HostRule(
        lambda low, x, high: np.minimum(np.maximum(low, x), high),
        WHOLE + REAL,
        "zeros",
        refuses=lambda low, x, high: bool(np.count_nonzero(low > high)),
        kernel="clamp",
    ),
    dtypes=ANY,
)


def clamp(min: Any, x: Any, max: Any) -> Any:
    """Elementwise `x`, but `min` where it is below that, and `max` where it is above that.

    Where `min` exceeds `max` the result is `max`; a NaN stays. Complex numbers are ordered by real part, then by
    imaginary part.

    Args:
      min, max: bounds; of the shape of `x`, or scalars.
      x: an array of any dtype.
    Raises:
      TypeError: dtypes or shapes differ.

    >>> from anima import lax
    >>> print(lax.clamp(0.0, 1.5, 1.0))
    1.0
    """
    values: tuple[Any, ...] = (operand(min), operand(x), operand(max))
    avals: list[Any] = [aval_of(v) for v in values]
    if avals[0].dtype != avals[1].dtype or avals[2].dtype != avals[1].dtype:
        values = match_dtypes("clamp", values, avals)
    return clamp_p.bind(*values)
