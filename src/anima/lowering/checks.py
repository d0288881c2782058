"""Programs that say which operation made a NaN or an infinity, for `jax_debug_nans` and `jax_debug_infs`.

Invariant: a checked program has one more result, an `i32`: 0, or the code of the operation that made what its results
hold. A code stands for an entry of the table that is written with the text, and for what was found, a NaN or an infinity;
of two codes the larger is of the operation that was lowered first. Nothing of this is in programs without checks.

Each value has an origin: the code of the operation that made it non-finite, where it is, and else 0. That of a result is
the origin of a non-finite operand, or of what happened in the operation's own programs, or the operation itself. So a NaN
that a `where` masks is never blamed for another one. A program inside an operation hands out one code, `Context.origin`,
the origin of its results: from branches, functions and loops, where the first iteration counts. Programs inside
operations that hold none of the user's (reducers, formulas) have no codes: the operation itself is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anima import dtypes
from anima.core.aval import AbstractValue, ShapedArray
from anima.core.jaxpr import Eqn, subjaxprs
from anima.core.source import NOWHERE, Position
from anima.lowering.types import i64_array
from anima.records import NamedTuple

if TYPE_CHECKING:
    from anima.lowering.module import Context, Value

CODE = ShapedArray((), np.dtype(np.int32))
_BOOL = ShapedArray((), np.dtype(bool))
_LAST = 2**31 - 1
_NAN, _INF = 0, 1


class Made(NamedTuple):
    """An operation that a code stands for.

    Args:
      primitive: its name; empty for a result of the whole program that no operation made.
      where: the line that performed it, or None for the line that called the program.
      forward: the line that it is the derivative of, in a backward pass.
    """

    primitive: str
    where: Position | None
    forward: Position | None = None


class Checks:
    """What a program looks for, and the table of its codes.

    Args:
      nans, infs: what raises.
      caller: where the program was called when it was traced; operations at this place are performed by whoever calls it.
    """

    __slots__ = ("around", "caller", "infs", "nans", "table")

    def __init__(self, nans: bool, infs: bool, caller: Position | None = None) -> None:
        self.nans, self.infs, self.caller = nans, infs, caller
        self.table: list[Made] = []
        self.around: Position | None = None  # of the operation whose programs are being lowered

    def renewed(self) -> Checks:
        """The same with an empty table, to lower the program again."""
        return Checks(self.nans, self.infs, self.caller)

    def add(self, primitive: str, position: Position | None) -> int:
        """The number of a new entry of the table."""
        forward = None
        if position is not None and position.caller is not None:
            forward, position = position, position.caller
            if position is NOWHERE:
                position = None if self.around is None else self.around.caller or self.around
        self.table.append(Made(primitive, self._placed(position), self._placed(forward)))
        return len(self.table) - 1

    def _placed(self, position: Position | None) -> Position | None:
        if position is None or position is NOWHERE:
            return None
        if self.caller is not None and position[:2] == self.caller[:2]:
            return None
        return position

    def found(self, code: int) -> tuple[str, Made]:
        """What a code other than 0 stands for: "nan" or "inf", and the operation."""
        number, kind = divmod(_LAST - code, 2)
        return ("nan", "inf")[kind], self.table[number]


def lowered(ctx: Context, checks: Checks, eqn: Eqn, operands: Sequence[Value]) -> Any:
    """Emit an equation, and the origins of its results."""
    outer, around = ctx.origin, checks.around
    position = around if eqn.source is None or eqn.source is NOWHERE else eqn.source
    start: Value | None = None
    if subjaxprs(eqn.params):
        start = ctx.constant(np.int32(0), CODE)
        checks.around = position
    ctx.origin = start
    outs = eqn.primitive.lower(ctx, *operands, **eqn.params)
    inner = ctx.origin if ctx.origin is not start else None
    ctx.origin, checks.around = outer, around
    results = outs if eqn.primitive.multiple_results else [outs]
    unknown = [v for v in results if v.name not in ctx.origins and _may_fail(v.aval)]
    if unknown:
        number = checks.add(eqn.primitive.name, position)
        of_operands = _largest(ctx, operands)
        for value in unknown:
            ctx.origins[value.name] = _origin(ctx, checks, value, number, inner, of_operands)
    return outs


def note_results(ctx: Context, outputs: Sequence[Value]) -> None:
    """Make the origin of a program's results that of what the context emits, unless there was one before."""
    before, new = ctx.origin, _largest(ctx, outputs)
    if new is not None:
        ctx.origin = new
        keep_earlier(ctx, before)


def keep_earlier(ctx: Context, before: Value | None) -> None:
    """Go back to an origin that the context had before, if there was any."""
    if before is None or ctx.origin is None or before is ctx.constant(np.int32(0), CODE):
        return
    ctx.origin = _choose(ctx, _is_set(ctx, before), before, ctx.origin)


def origin_of_program(ctx: Context, checks: Checks, outputs: Sequence[Value]) -> Value:
    """The code that a whole program returns, for its results."""
    unknown = [v for v in outputs if v.name not in ctx.origins and _may_fail(v.aval)]
    if unknown:
        number = checks.add("", None)
        for value in unknown:
            ctx.origins[value.name] = _origin(ctx, checks, value, number, None, None)
    found = _largest(ctx, outputs)
    return ctx.constant(np.int32(0), CODE) if found is None else found


def _may_fail(aval: AbstractValue) -> bool:
    return isinstance(aval, ShapedArray) and aval.size > 0 and bool(dtypes.is_inexact(aval.dtype))


def _origin(
    ctx: Context, checks: Checks, value: Value, number: int, inner: Value | None, of_operands: Value | None
) -> Value:
    """The origin of a result of the operation with this number in the table."""
    zero = ctx.constant(np.int32(0), CODE)
    nan, inf = (ctx.constant(np.int32(_LAST - 2 * number - kind), CODE) for kind in (_NAN, _INF))
    parts = _real_parts(ctx, value)
    if not checks.infs:
        failed, own = _any(ctx, parts, _is_nan), nan
    elif not checks.nans:
        failed, own = _any(ctx, parts, _is_infinite), inf
    else:
        is_nan = _any(ctx, parts, _is_nan)
        failed = ctx.op("stablehlo.or", (is_nan, _any(ctx, parts, _is_infinite)), _BOOL)
        own = _choose(ctx, is_nan, nan, inf)
    if inner is not None:  # its codes are larger: it was lowered before
        own = ctx.op("stablehlo.maximum", (own, inner), CODE)
    if of_operands is not None:
        own = _choose(ctx, _is_set(ctx, of_operands), of_operands, own)
    return _choose(ctx, failed, own, zero)


def _largest(ctx: Context, values: Sequence[Value]) -> Value | None:
    """The largest of the values' origins; None if they have none."""
    origins = {o.name: o for o in (ctx.origins.get(v.name) for v in values) if o is not None}
    found: Value | None = None
    for origin in origins.values():
        found = origin if found is None else ctx.op("stablehlo.maximum", (found, origin), CODE)
    return found


def _choose(ctx: Context, condition: Value, yes: Value, no: Value) -> Value:
    return ctx.op("stablehlo.select", (condition, yes, no), CODE)


def _is_set(ctx: Context, code: Value) -> Value:
    zero = ctx.constant(np.int32(0), CODE)
    return ctx.op("stablehlo.compare", (code, zero), _BOOL, _comparison("NE", "SIGNED"))


def _comparison(direction: str, kind: str) -> str:
    return (
        f"comparison_direction = #stablehlo<comparison_direction {direction}>, "
        f"compare_type = #stablehlo<comparison_type {kind}>"
    )


# --- tests of arrays --------------------------------------------------------------------------


def _real_parts(ctx: Context, value: Value) -> list[Value]:
    """The array as one or two of float32 or float64, which every compiler can test."""
    aval = value.aval
    assert isinstance(aval, ShapedArray)
    if dtypes.is_complex(aval.dtype):
        real = ShapedArray(aval.shape, np.finfo(aval.dtype).dtype)
        return [ctx.op(f"stablehlo.{part}", (value,), real) for part in ("real", "imag")]
    if dtypes.itemsize_bits(aval.dtype) < 32:
        return [ctx.op("stablehlo.convert", (value,), ShapedArray(aval.shape, np.dtype(np.float32)))]
    return [value]


def _any(ctx: Context, parts: Sequence[Value], test: Any) -> Value:
    """Whether an element of one of the arrays passes the test."""
    found: Value | None = None
    for part in parts:
        one = _any_true(ctx, test(ctx, part))
        found = one if found is None else ctx.op("stablehlo.or", (found, one), _BOOL)
    assert found is not None
    return found


def _any_true(ctx: Context, flags: Value) -> Value:
    if flags.ndim == 0:
        return flags
    body = ctx.region([_BOOL, _BOOL], lambda inner, pair: [inner.op("stablehlo.or", pair, _BOOL)])
    init = ctx.constant(np.asarray(False), _BOOL)
    attrs = f"dimensions = {i64_array(range(flags.ndim))}"
    return ctx.op("stablehlo.reduce", (flags, init), _BOOL, attrs, [body])


def _is_nan(ctx: Context, x: Value) -> Value:
    out = ShapedArray(x.shape, _BOOL.dtype)
    return ctx.op("stablehlo.compare", (x, x), out, _comparison("NE", "FLOAT"))


def _is_infinite(ctx: Context, x: Value) -> Value:
    aval = ShapedArray(x.shape, x.dtype)
    out = ShapedArray(x.shape, _BOOL.dtype)
    size = ctx.op("stablehlo.abs", (x,), aval)
    return ctx.op("stablehlo.compare", (size, ctx.full(np.inf, aval)), out, _comparison("EQ", "FLOAT"))
