"""The `scan` primitive: a program run a fixed number of times on a carry and on the rows of stacked arrays.

Invariant: the operands are `num_consts` constants, `num_carry` initial values of the carry, then the stacked arrays,
whose first dimension is `length`; the program takes the constants, the carry and one row of each, and returns the next
carry and one row of each stacked result. It becomes one loop in which stacked results are written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima.core import hooks, variance
from anima.core.aval import ShapedArray, array_aval, physical_aval
from anima.core.effects import Effects, happens
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, join_effects
from anima.core.primitive import Linear, Primitive
from anima.core.trace import shaped
from anima.core.validate import same_type
from anima.interpreters.batch import Axis, batch_jaxpr_to, to_axis
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.transpose import transpose_jaxpr
from anima.interpreters.zeros import add as add_cotangents, instantiate
from anima.lax.control.cond_primitive import perform
from anima.lax.control.divided import divided_scan
from anima.lax.control.key_uses import scan_keys
from anima.lax.control.programs import (
    Dims,
    Flags,
    Run,
    apart,
    batched_carry,
    carry_closure,
    chosen,
    dependent_outputs,
    interleaved,
    made_real,
    nonzeros,
    places,
    reordered,
    spread,
    staged,
    transposed_by_linearizing,
    without_dead,
)
from anima.lax.control.series import scan_series
from anima.lax.declare import comparison
from anima.lax.overwriting import put_window
from anima.lowering.module import Context, Value
from anima.lowering.types import i64_array
from anima.runtime.dispatch import eager_by_program

Params = dict[str, Any]


class _Parts:
    """The operands of a scan, or what belongs to them, by role."""

    __slots__ = ("carry", "consts", "xs")

    def __init__(self, values: Sequence[Any], num_consts: int, num_carry: int) -> None:
        self.consts = tuple(values[:num_consts])
        self.carry = tuple(values[num_consts : num_consts + num_carry])
        self.xs = tuple(values[num_consts + num_carry :])


def _stacked(aval: Any, length: int) -> ShapedArray:
    array = array_aval(aval)
    return array.update(shape=(length, *array.shape))


def _shape(
    *avals: Any, jaxpr: ClosedJaxpr, length: int, num_consts: int, num_carry: int, **how: Any
) -> list[Any]:
    parts, rows = _Parts(avals, num_consts, num_carry), _Parts(jaxpr.in_avals, num_consts, num_carry)
    outs = jaxpr.out_avals
    if len(avals) != len(jaxpr.in_avals) or len(outs) < num_carry:
        raise TypeError(f"scan: {len(avals)} operands for a program of {len(jaxpr.in_avals)}")
    for before, inside, after in zip(parts.carry, rows.carry, outs):
        if not same_type(before, inside) or not same_type(before, after):
            raise TypeError(
                f"scan: the carry is {before.str_short()}, but the body returns {after.str_short()}"
            )
    for x, row in zip(parts.xs, rows.xs):
        if not same_type(x, _stacked(row, length)):
            raise TypeError(f"scan: rows {row.str_short()} of an operand {x.str_short()} for length {length}")
    return [*outs[:num_carry], *[_stacked(a, length) for a in outs[num_carry:]]]


def _effects(*avals: Any, jaxpr: ClosedJaxpr, **params: Any) -> Effects:
    return jaxpr.effects


# --- lowering ---------------------------------------------------------------------------------


def _lower(
    ctx: Context,
    *operands: Value,
    jaxpr: ClosedJaxpr,
    length: int,
    num_consts: int,
    num_carry: int,
    reverse: bool,
    unroll: int,
) -> list[Value]:
    parts = _Parts(operands, num_consts, num_carry)
    dtype = np.dtype(np.int32 if length < 2**31 else np.int64)
    ys = [_zeros(ctx, a) for a in ctx.out_avals[num_carry:]]

    def steps(inner: Context, first: Value | None, offsets: range, state: Sequence[Value]) -> list[Value]:
        """Iterations number `first` (None: 0) plus each offset, on the carry and the stacked results."""
        values = list(state)
        for offset in offsets:
            # A row's place is first + offset, or length - 1 - that.
            place = _offset(inner, first, length - 1 - offset if reverse else offset, dtype, negative=reverse)
            rows = [_take(inner, x, place) for x in parts.xs]
            outs = inner.jaxpr(jaxpr.jaxpr, jaxpr.consts, [*parts.consts, *values[:num_carry], *rows])
            stacks = [_put(inner, s, y, place) for s, y in zip(values[num_carry:], outs[num_carry:])]
            values = [*outs[:num_carry], *stacks]
        return values

    state = [*parts.carry, *ys]
    looped = length - length % unroll if length >= 2 * unroll else 0
    if looped:
        counter = _counter(jaxpr.jaxpr, num_consts, num_carry) if not parts.xs and not ys else None
        state = _loop(ctx, state, steps, looped, unroll, dtype, counter, jaxpr.effects)
    return steps(ctx, None, range(looped, length), state)


def _loop(
    ctx: Context,
    state: list[Value],
    steps: Any,
    count: int,
    unroll: int,
    dtype: Any,
    counter: int | None,
    effects: Effects,
) -> list[Value]:
    """The loop over the first `count` iterations, `unroll` at a time; `counter`: a part of the carry that counts them."""
    scalar, boolean = ShapedArray((), dtype), ShapedArray((), np.dtype(bool))
    own = counter is None
    start = ctx.constant(dtype.type(0)) if own else state[counter]  # type: ignore[index]
    values = [start, *state] if own else state

    def cond(inner: Context, args: list[Value]) -> Value:
        index = args[0] if own else inner.op("stablehlo.subtract", (args[counter], start), start.aval)  # type: ignore[index]
        limit = inner.constant(index.dtype.type(count), index.aval)
        return inner.op("stablehlo.compare", (index, limit), boolean, comparison("LT", index.dtype))

    def body(inner: Context, args: list[Value]) -> list[Value]:
        if not own:
            return steps(inner, None, range(unroll), args)
        step = inner.constant(dtype.type(unroll))
        return [
            inner.op("stablehlo.add", (args[0], step), scalar),
            *steps(inner, args[0], range(unroll), args[1:]),
        ]

    results = ctx.loop(values, cond, body, effects)
    return results[1:] if own else results


def _counter(jaxpr: Jaxpr, num_consts: int, num_carry: int) -> int | None:
    """The part of the carry to which each iteration adds 1: it saves the loop a counter of its own."""
    made = {var: eqn for eqn in jaxpr.eqns for var in eqn.outvars}
    for k in range(num_carry):
        before, eqn = jaxpr.invars[num_consts + k], made.get(jaxpr.outvars[k])  # type: ignore[arg-type]
        aval: Any = before.aval
        if (
            eqn is None
            or eqn.primitive.name != "add"
            or aval.shape
            or str(aval.dtype) not in ("int32", "int64")
        ):
            continue
        one = eqn.invars[1]
        if eqn.invars[0] is before and isinstance(one, Literal) and np.asarray(one.val) == 1:
            return k
    return None


def _zeros(ctx: Context, aval: Any) -> Value:
    return Value(ctx.full(0, physical_aval(aval)).name, aval)


def _offset(ctx: Context, first: Value | None, offset: int, dtype: Any, negative: bool) -> Value:
    """`offset + first`, or `offset - first`."""
    fixed = ctx.constant(dtype.type(offset))
    if first is None:
        return fixed
    if negative:
        return ctx.op("stablehlo.subtract", (fixed, first), fixed.aval)
    return first if offset == 0 else ctx.op("stablehlo.add", (first, fixed), fixed.aval)


def _take(ctx: Context, stack: Value, place: Value) -> Value:
    """A row of a stacked array."""
    whole = physical_aval(array_aval(stack.aval))
    starts = [place, *[ctx.constant(place.dtype.type(0))] * (len(whole.shape) - 1)]
    sizes = (1, *whole.shape[1:])
    part = ctx.op(
        "stablehlo.dynamic_slice",
        (stack, *starts),
        ShapedArray(sizes, whole.dtype),
        f"slice_sizes = {i64_array(sizes)}",
    )
    aval = array_aval(stack.aval)
    return ctx.op("stablehlo.reshape", (part,), aval.update(shape=aval.shape[1:]))


def _put(ctx: Context, stack: Value, row: Value, place: Value) -> Value:
    """The stacked array with one row replaced."""
    whole = physical_aval(array_aval(stack.aval))
    part = ctx.op("stablehlo.reshape", (row,), ShapedArray((1, *whole.shape[1:]), whole.dtype))
    return Value(put_window(ctx, Value(stack.name, whole), part, [place]).name, stack.aval)


# --- forward derivative -----------------------------------------------------------------------


def _carry_flags(jaxpr: ClosedJaxpr, given: _Parts, derive: Any) -> Flags:
    """Which parts of the carry have tangents, if those of the operands that `given` flags have.

    `derive` gives for such flags, all operands', those of the outputs.
    """
    flags = given.carry
    while True:
        found = derive(given.consts + flags + given.xs)[: len(flags)]
        wider = tuple([a or b for a, b in zip(flags, found)])
        if wider == flags:
            return flags
        flags = wider


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    values, given = (_Parts(v, num_consts, num_carry) for v in (primals, tangents))
    entering = _Parts(nonzeros(tangents), num_consts, num_carry)
    flags = _carry_flags(jaxpr, entering, lambda f: jvp_jaxpr(jaxpr, f, False)[1])
    program, out_flags = jaxpr.jaxpr.memoized(
        ("scan jvp", entering.consts, flags, entering.xs),
        lambda: _tangent_program(jaxpr, num_consts, entering.consts, flags, entering.xs),
    )
    outs = scan_p.bind(
        *values.consts,
        *chosen(given.consts, entering.consts),
        *values.carry,
        *made_real(given.carry, flags),
        *values.xs,
        *chosen(given.xs, entering.xs),
        **params
        | {
            "jaxpr": program,
            "num_consts": num_consts + sum(entering.consts),
            "num_carry": num_carry + sum(flags),
        },
    )
    carried, stacked = outs[: num_carry + sum(flags)], outs[num_carry + sum(flags) :]
    count = len(jaxpr.out_avals) - num_carry
    avals = _shape(*map(shaped, primals), **params)
    out_tangents = [*carried[num_carry:], *stacked[count:]]
    return [*carried[:num_carry], *stacked[:count]], spread(out_tangents, out_flags, avals)


def _tangent_program(
    jaxpr: ClosedJaxpr, num_consts: int, consts: Flags, carry: Flags, xs: Flags
) -> tuple[ClosedJaxpr, Flags]:
    """The program that computes tangents too, its operands and results in the order that `scan` wants."""
    num_carry, num_ins, num_outs = len(carry), len(jaxpr.in_avals), len(jaxpr.out_avals)
    derived, out_flags = jvp_jaxpr(jaxpr, consts + carry + xs, carry + (False,) * (num_outs - num_carry))
    ins = interleaved(
        (num_consts, num_carry, num_ins - num_consts - num_carry), tuple(map(sum, (consts, carry, xs)))
    )
    outs = interleaved((num_carry, num_outs - num_carry), (sum(carry), sum(out_flags[num_carry:])))
    return reordered(derived, ins, outs), out_flags


def _taylor(primals: Any, series: Any, order: int, **params: Any) -> tuple[list[Any], list[Any]]:
    return scan_series(scan_p.bind, primals, series, order, params)


# --- linearisation ----------------------------------------------------------------------------


class _Split:
    """A scan split into the scan of its values, which also stacks residuals, and the linear one of its tangents.

    Residuals that do not change from one iteration to the next are not stacked: they are constants of the linear scan.

    Attributes:
      flags: which parts of the carry have tangents. out_flags: which outputs have.
      primal: the body that also returns the residuals to be stacked, after its other results.
      hoisted: the program that computes the constant residuals from the constants.
      const_inputs, x_inputs: the constants and stacked operands that are residuals, by index among all operands.
      y_outputs: the stacked results that are residuals, by index among all results.
      linear: its constants are the hoisted residuals, the `const_inputs` and tangents; its rows are those of the
        stacked residuals, the `y_outputs`, the `x_inputs` and tangents.
    """

    __slots__ = ("const_inputs", "flags", "hoisted", "linear", "out_flags", "primal", "x_inputs", "y_outputs")

    def __init__(self, jaxpr: ClosedJaxpr, num_consts: int, entering: _Parts) -> None:
        num_carry, num_outs = len(entering.carry), len(jaxpr.out_avals)
        self.flags = flags = _carry_flags(jaxpr, entering, lambda f: linearize_jaxpr(jaxpr, f).out_nonzeros)
        split = linearize_jaxpr(jaxpr, entering.consts + flags + entering.xs)
        self.out_flags = flags + split.out_nonzeros[num_carry:]
        primal = split.primal.jaxpr
        changing = [False] * num_consts + [True] * (len(jaxpr.in_avals) - num_consts)
        computed = primal.outvars[num_outs:]
        varies = dependent_outputs(primal, changing)[num_outs:]
        carry_outputs = [i for i in split.residual_outputs if i < num_carry]
        carry_inputs = [i for i in split.residual_inputs if num_consts <= i < num_consts + num_carry]
        self.y_outputs = [i for i in split.residual_outputs if i >= num_carry]
        self.const_inputs = [i for i in split.residual_inputs if i < num_consts]
        self.x_inputs = [i for i in split.residual_inputs if i >= num_consts + num_carry]
        stacked = [
            *chosen(computed, varies),
            *[primal.outvars[i] for i in carry_outputs],
            *[primal.invars[i] for i in carry_inputs],
        ]
        self.primal = _with_outputs(split.primal, primal.invars, [*primal.outvars[:num_outs], *stacked])
        fixed = [v for v, flag in zip(computed, varies) if not flag]
        self.hoisted = _with_outputs(_quiet(split.primal), primal.invars[:num_consts], fixed)

        # Where the linear program, which takes the computed residuals, the outputs and the inputs, finds each.
        n, m = len(computed), len(computed) + len(split.residual_outputs)
        of_output = {i: n + k for k, i in enumerate(split.residual_outputs)}
        of_input = {i: m + k for k, i in enumerate(split.residual_inputs)}
        tangents = m + len(split.residual_inputs)
        carried = tangents + sum(entering.consts)
        rows = carried + sum(flags)
        order = [
            *[k for k, flag in enumerate(varies) if not flag],
            *[of_input[i] for i in self.const_inputs],
            *range(tangents, carried),
            *range(carried, rows),
            *places(varies),
            *[of_output[i] for i in carry_outputs],
            *[of_input[i] for i in carry_inputs],
            *[of_output[i] for i in self.y_outputs],
            *[of_input[i] for i in self.x_inputs],
            *range(rows, rows + sum(entering.xs)),
        ]
        linear = _completed(apart(split.linear), split.out_nonzeros, self.out_flags, jaxpr.out_avals)
        self.linear = reordered(linear, order)


def _with_outputs(closed: ClosedJaxpr, invars: Sequence[Any], outvars: Sequence[Any]) -> ClosedJaxpr:
    """The same equations with other arguments and outputs, without those that are not needed then."""
    jaxpr = closed.jaxpr
    made = Jaxpr(jaxpr.constvars, list(invars), list(outvars), jaxpr.eqns, jaxpr.effects, jaxpr.name)
    return without_dead(ClosedJaxpr(made, closed.consts))


def _quiet(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same program without the equations in which something happens: that is for each iteration, not for all."""
    jaxpr = closed.jaxpr
    if not happens(jaxpr.effects):
        return closed
    eqns = [eqn for eqn in jaxpr.eqns if not happens(eqn.effects)]
    made = Jaxpr(jaxpr.constvars, jaxpr.invars, jaxpr.outvars, eqns, join_effects(eqns), jaxpr.name)
    return ClosedJaxpr(made, closed.consts)


def _completed(program: ClosedJaxpr, flags: Flags, wanted: Flags, avals: Sequence[Any]) -> ClosedJaxpr:
    """The linear program that returns zeros for the outputs that it has no tangents for, but of which some are wanted."""
    if flags == wanted:
        return program

    def fun(run: Run, *args: Any) -> list[Any]:
        return made_real(spread(run(program, args), flags, avals), wanted)

    return staged(fun, program.in_avals, program.jaxpr.name)


def _linearize(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    entering = _Parts(nonzeros(tangents), num_consts, num_carry)
    split = jaxpr.jaxpr.memoized(
        ("scan linearize", entering.consts, entering.carry, entering.xs),
        lambda: _Split(jaxpr, num_consts, entering),
    )
    outs = scan_p.bind(*primals, **params | {"jaxpr": split.primal})
    count = len(jaxpr.out_avals)
    avals = [shaped(out) for out in outs[:count]]
    if not any(split.out_flags):
        return outs[:count], spread([], split.out_flags, avals)
    given = _Parts(tangents, num_consts, num_carry)
    fixed = perform(split.hoisted, primals[:num_consts]) if split.hoisted.out_avals else []
    consts = [*fixed, *[primals[i] for i in split.const_inputs], *chosen(given.consts, entering.consts)]
    rows = [*outs[count:], *[outs[i] for i in split.y_outputs], *[primals[i] for i in split.x_inputs]]
    out_tangents = scan_p.bind(
        *consts,
        *made_real(given.carry, split.flags),
        *rows,
        *chosen(given.xs, entering.xs),
        **params | {"jaxpr": split.linear, "num_consts": len(consts), "num_carry": sum(split.flags)},
    )
    return outs[:count], spread(out_tangents, split.out_flags, avals)


# --- transposition ----------------------------------------------------------------------------


def _transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    linear = _Parts([type(a) is Linear for a in args], num_consts, num_carry)
    carried = _carry_flags(jaxpr, linear, lambda f: dependent_outputs(jaxpr.jaxpr, f))
    if not all(carried):
        # The carry holds values too: they are computed forwards first, and their rows kept.
        return transposed_by_linearizing(scan_p, cts, args, params)
    # A part of the carry that is linear but starts from a constant adds that: nothing to transpose.
    ct_flags = nonzeros(cts[num_carry:])
    program, flags = jaxpr.jaxpr.memoized(
        ("scan transpose", linear.consts, linear.xs, ct_flags),
        lambda: _transposed(jaxpr, num_consts, linear, ct_flags),
    )
    values = _Parts(args, num_consts, num_carry)
    sums = [a.aval for a, flag in zip(chosen(values.consts, linear.consts), flags.consts) if flag]
    constants = [a for a in values.consts if type(a) is not Linear]
    outs = scan_p.bind(
        *constants,
        *[hooks.zeros(aval.tangent_aval()) for aval in sums],
        *map(instantiate, cts[:num_carry]),
        *[x for x in values.xs if type(x) is not Linear],
        *chosen(cts[num_carry:], ct_flags),
        **params
        | {
            "jaxpr": program,
            "num_consts": len(constants),
            "num_carry": len(sums) + num_carry,
            "reverse": not params["reverse"],
        },
    )
    found = iter([*outs[: len(sums)], *outs[len(sums) + num_carry :]])
    const_flags, x_flags = iter(flags.consts), iter(flags.xs)
    const_cts = [next(found) if lin and next(const_flags) else None for lin in linear.consts]
    carry_cts = [ct if lin else None for ct, lin in zip(outs[len(sums) :], linear.carry)]
    return [*const_cts, *carry_cts, *[next(found) if lin and next(x_flags) else None for lin in linear.xs]]


def _transposed(
    jaxpr: ClosedJaxpr, num_consts: int, linear: _Parts, ct_flags: Flags
) -> tuple[ClosedJaxpr, _Parts]:
    """The body of the backward scan, and for which linear constants and rows it has cotangents.

    It takes the other constants, the sums of the constants' cotangents and the carry's cotangents, then rows of the
    other stacked operands and of the stacked results' cotangents.
    """
    num_carry = len(linear.carry)
    every = linear.consts + (True,) * num_carry + linear.xs
    derived, found = transpose_jaxpr(jaxpr, every, (True,) * num_carry + ct_flags)
    flags = _Parts(found, sum(linear.consts), num_carry)
    avals = _Parts(jaxpr.in_avals, num_consts, num_carry)
    of_consts = [a.tangent_aval() for a in chosen(avals.consts, linear.consts)]
    of_rows = [a.tangent_aval() for a in chosen(avals.xs, linear.xs)]
    of_carry = [a.tangent_aval() for a in avals.carry]
    constants = [a for a, lin in zip(avals.consts, linear.consts) if not lin]
    sums = chosen(of_consts, flags.consts)
    rows = [a for a, lin in zip(avals.xs, linear.xs) if not lin]
    of_ys = [a.tangent_aval() for a in chosen(jaxpr.out_avals[num_carry:], ct_flags)]

    def fun(run: Run, *args: Any) -> list[Any]:
        parts = _Parts(args, len(constants), len(sums) + num_carry)
        totals, carry = parts.carry[: len(sums)], parts.carry[len(sums) :]
        given = [*parts.consts, *parts.xs[: len(rows)], *carry, *parts.xs[len(rows) :]]
        results = _Parts(
            spread(run(derived, given), found, [*of_consts, *of_carry, *of_rows]), len(of_consts), num_carry
        )
        added = [add_cotangents(total, ct) for total, ct in zip(totals, chosen(results.consts, flags.consts))]
        return [*added, *map(instantiate, results.carry), *chosen(results.xs, flags.xs)]

    return staged(fun, [*constants, *sums, *of_carry, *rows, *of_ys], jaxpr.jaxpr.name), flags


# --- batching, dead code ----------------------------------------------------------------------


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]
    values, given = (_Parts(v, num_consts, num_carry) for v in (args, dims))
    xs = [hooks.move_axis(x, 0, 1) if d == 0 else x for x, d in zip(values.xs, given.xs)]
    x_dims = tuple([None if d is None else max(d - 1, 0) for d in given.xs])
    num_ys = len(jaxpr.out_avals) - num_carry

    def derive(carry: Dims, places: Dims) -> tuple[ClosedJaxpr, Dims]:
        return batch_jaxpr_to(jaxpr, axis, given.consts + carry + x_dims, places + (None,) * num_ys)

    program, carry_dims, out_dims = batched_carry(derive, tuple(given.carry))
    carry = [
        x if to is None else to_axis(x, d, to, axis.size)
        for x, d, to in zip(values.carry, given.carry, carry_dims)
    ]
    outs = scan_p.bind(*values.consts, *carry, *xs, **params | {"jaxpr": program})
    return outs, [*out_dims[:num_carry], *[None if d is None else d + 1 for d in out_dims[num_carry:]]]


def _dce(used: Flags, **params: Any) -> tuple[list[bool], list[bool], Params]:
    jaxpr, num_consts, num_carry = params["jaxpr"], params["num_consts"], params["num_carry"]

    def build() -> tuple[ClosedJaxpr, list[bool], list[bool]]:
        carried, needed = carry_closure(jaxpr, num_consts, used[:num_carry], used[num_carry:])
        inputs = [*needed[:num_consts], *carried, *needed[num_consts + num_carry :]]
        outputs = [*carried, *used[num_carry:]]
        return without_dead(reordered(jaxpr, places(inputs), places(outputs))), inputs, outputs

    program, inputs, outputs = jaxpr.jaxpr.memoized(("scan dce", used), build)
    counts = {"num_consts": sum(inputs[:num_consts]), "num_carry": sum(outputs[:num_carry])}
    return inputs, outputs, params | {"jaxpr": program} | counts


scan_p = Primitive(
    "scan",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    taylor=_taylor,
    dce=_dce,
    partial=divided_scan,
    keys=scan_keys,
    multiple_results=True,
    unfused=True,
    varying=variance.as_of("jaxpr"),
)
scan_p.eager = eager_by_program(scan_p, "jaxpr")
