"""The `while` primitive: a program run on its own results for as long as another one says so.

Invariant: the operands are `cond_nconsts` constants of the condition, `body_nconsts` constants of the body, then the
carry; the body returns the carry's types. Forward derivatives loop alike. Reverse ones need the number of
iterations while tracing: where the condition depends on known values only, that is counted, and the loop is a `scan`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima._native import set_trace
from anima.core.aval import Axes, ShapedArray, array_aval
from anima.core.effects import Effects, happens, not_under_masks
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive
from anima.core.trace import shaped
from anima.core.validate import same_type
from anima.interpreters.batch import Axis, batch_jaxpr, batch_jaxpr_to, to_axis
from anima.interpreters.jvp import concrete_of, jvp_jaxpr
from anima.interpreters.linearize import record_whole
from anima.interpreters.partial import INPUT, Division, Halves, unknown_outputs
from anima.lax.arithmetic import add
from anima.lax.control.cond_primitive import perform
from anima.lax.control.key_uses import while_keys
from anima.lax.control.programs import (
    Dims,
    Flags,
    Run,
    batched_carry,
    carry_closure,
    chosen,
    known_program,
    made_real,
    memoized_together,
    needed_inputs,
    nonzeros,
    places,
    reordered,
    spread,
    staged,
    transposed_by_linearizing,
    without_dead,
)
from anima.lax.control.scan_primitive import scan_p
from anima.lax.control.series import while_series
from anima.lax.reductions import reduce_or
from anima.lax.selection import select_n
from anima.lax.shape import broadcast_in_dim
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program

Params = dict[str, Any]


class Parts:
    """The operands of a loop, or what belongs to them, by role."""

    __slots__ = ("body_consts", "carry", "cond_consts")

    def __init__(self, values: Sequence[Any], cond_nconsts: int, body_nconsts: int) -> None:
        first = cond_nconsts + body_nconsts
        self.cond_consts = list(values[:cond_nconsts])
        self.body_consts = list(values[cond_nconsts:first])
        self.carry = list(values[first:])

    @property
    def together(self) -> tuple[Any, ...]:
        return (*self.cond_consts, *self.body_consts, *self.carry)


def _shape(
    *avals: Any, cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, cond_nconsts: int, body_nconsts: int
) -> list[Any]:
    parts = Parts(avals, cond_nconsts, body_nconsts)
    outs = body_jaxpr.out_avals
    if len(cond_jaxpr.in_avals) != cond_nconsts + len(parts.carry) or len(outs) != len(parts.carry):
        raise TypeError(
            f"while: a carry of {len(parts.carry)} does not fit the programs of its condition and body"
        )
    for before, after in zip(parts.carry, outs):
        if not same_type(before, after):
            raise TypeError(
                f"while: the carry is {before.str_short()}, but the body returns {after.str_short()}"
            )
    return outs


def _varying(*avals: Any, body_jaxpr: ClosedJaxpr, cond_nconsts: int, **params: Any) -> list[Axes]:
    return [a.varying for a in (*avals[:cond_nconsts], *body_jaxpr.in_avals)]


def _effects(*avals: Any, cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, **counts: int) -> Effects:
    return cond_jaxpr.effects | body_jaxpr.effects


def _lower(
    ctx: Context,
    *operands: Value,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Value]:
    parts = Parts(operands, cond_nconsts, body_nconsts)

    def test(inner: Context, carry: list[Value]) -> Value:
        return inner.jaxpr(cond_jaxpr.jaxpr, cond_jaxpr.consts, [*parts.cond_consts, *carry])[0]

    def step(inner: Context, carry: list[Value]) -> list[Value]:
        return inner.jaxpr(body_jaxpr.jaxpr, body_jaxpr.consts, [*parts.body_consts, *carry])

    if not happens(cond_jaxpr.effects):
        return ctx.loop(parts.carry, test, step, body_jaxpr.effects)

    def step_and_test(inner: Context, state: list[Value]) -> list[Value]:
        carry = step(inner, state[1:])
        return [test(inner, carry), *carry]

    # XLA may copy a condition: what it does must happen in the body. So its answer is part of the loop's state.
    state = [test(ctx, parts.carry), *parts.carry]
    return ctx.loop(state, lambda _, args: args[0], step_and_test, cond_jaxpr.effects | body_jaxpr.effects)[
        1:
    ]


# --- derivatives ------------------------------------------------------------------------------


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    return pushed_forward(while_p.bind, primals, tangents, params)


def pushed_forward(
    bind: Callable[..., list[Any]], primals: Any, tangents: Any, params: Params
) -> tuple[list[Any], list[Any]]:
    """The forward derivative of a loop that `bind` makes: a loop that carries tangents along."""
    avals = params["body_jaxpr"].out_avals
    operands, wider, flags = with_tangents(primals, tangents, params)
    outs = bind(*operands, **wider)
    return outs[: len(avals)], spread(outs[len(avals) :], flags, avals)


def with_tangents(primals: Any, tangents: Any, params: Params) -> tuple[list[Any], Params, Flags]:
    """Operands and parameters of the loop that carries tangents behind its values, and for which parts it does."""
    cond_jaxpr, body_jaxpr = params["cond_jaxpr"], params["body_jaxpr"]
    counts = params["cond_nconsts"], params["body_nconsts"]
    values, given = Parts(primals, *counts), Parts(tangents, *counts)
    const_flags = nonzeros(given.body_consts)
    flags = nonzeros(given.carry)
    while True:
        _, out_flags = jvp_jaxpr(body_jaxpr, const_flags + flags, flags)
        if out_flags == flags:
            break
        flags = tuple([a or b for a, b in zip(flags, out_flags)])
    cond, body = memoized_together(
        (body_jaxpr, cond_jaxpr),
        ("jvp", const_flags, flags),
        lambda: _tangent_programs(cond_jaxpr, body_jaxpr, counts[1], const_flags, flags),
    )
    operands = [
        *values.cond_consts,
        *values.body_consts,
        *chosen(given.body_consts, const_flags),
        *values.carry,
        *made_real(given.carry, flags),
    ]
    wider = params | {"cond_jaxpr": cond, "body_jaxpr": body, "body_nconsts": counts[1] + sum(const_flags)}
    return operands, wider, flags


def _tangent_programs(
    cond: ClosedJaxpr, body: ClosedJaxpr, nconsts: int, const_flags: Flags, flags: Flags
) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    derived, _ = jvp_jaxpr(body, const_flags + flags, flags)
    ins = len(body.in_avals)
    const_tangents = range(ins, ins + sum(const_flags))
    carry_tangents = range(ins + sum(const_flags), len(derived.in_avals))
    body = reordered(derived, [*range(nconsts), *const_tangents, *range(nconsts, ins), *carry_tangents])
    avals = [a.tangent_aval() for a in chosen(cond.in_avals[-len(flags) :], flags)] if flags else []
    wider = staged(
        lambda run, *args: run(cond, args[: len(cond.in_avals)]), [*cond.in_avals, *avals], cond.jaxpr.name
    )
    return wider, body


def _taylor(primals: Any, series: Any, order: int, **params: Any) -> tuple[list[Any], list[Any]]:
    return while_series(while_p.bind, primals, series, order, params)


def _linearize(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    count = _known_count(primals, **params)
    if count is None:
        outs = while_p.bind(*primals, **params)
        # The tangents' loop computes the values again: only the tangents leave it, and it cannot run backwards.
        whole = functools.partial(record_whole, while_p)
        return outs, pushed_forward(whole, primals, tangents, params)[1]
    skipped = params["cond_nconsts"]
    assert scan_p.linearize is not None
    return scan_p.linearize(
        primals[skipped:],
        tangents[skipped:],
        jaxpr=params["body_jaxpr"],
        length=count,
        num_consts=params["body_nconsts"],
        num_carry=len(params["body_jaxpr"].out_avals),
        reverse=False,
        unroll=1,
    )


def _known_count(
    operands: Sequence[Any],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> int | None:
    """How often the loop runs, if the values that this depends on are known."""
    if happens(cond_jaxpr.effects | body_jaxpr.effects):
        return None
    counter = memoized_together(
        (body_jaxpr, cond_jaxpr),
        "count",
        lambda: _Counter(cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts),
    )
    known = [concrete_of(v) for v in chosen(operands, counter.inputs)]
    if any(v is None or type(v) is Linear for v in known) or counter.cond.effects or counter.body.effects:
        return None  # or the count depends on a named axis
    previous = set_trace(None)
    try:
        outs = while_p.bind(
            *known, np.int32(0), cond_jaxpr=counter.cond, body_jaxpr=counter.body, **counter.counts
        )
    finally:
        set_trace(previous)
    return int(outs[-1])


class Reduced:
    """A loop without what neither its condition nor the wanted parts of the carry depend on.

    Attributes:
      inputs: which operands it takes. outputs: which parts of the carry it has. params: its programs and their counts.
    """

    __slots__ = ("body", "cond", "counts", "inputs", "outputs")

    def __init__(
        self, used: Sequence[bool], cond: ClosedJaxpr, body: ClosedJaxpr, cond_nconsts: int, body_nconsts: int
    ) -> None:
        cond_used = needed_inputs(cond, [True])
        wanted = [a or b for a, b in zip(used, cond_used[cond_nconsts:])]
        carried, body_used = carry_closure(body, body_nconsts, wanted)
        cond_consts, body_consts = cond_used[:cond_nconsts], body_used[:body_nconsts]
        self.inputs = [*cond_consts, *body_consts, *carried]
        self.outputs = carried
        self.counts = {"cond_nconsts": sum(cond_consts), "body_nconsts": sum(body_consts)}
        self.cond = without_dead(reordered(cond, places([*cond_consts, *carried])))
        self.body = without_dead(reordered(body, places([*body_consts, *carried]), places(carried)))

    @property
    def params(self) -> Params:
        return {"cond_jaxpr": self.cond, "body_jaxpr": self.body, **self.counts}


class _Counter(Reduced):
    """A loop without what its condition does not depend on, which counts its iterations at the end of its carry."""

    __slots__ = ()

    def __init__(self, cond: ClosedJaxpr, body: ClosedJaxpr, cond_nconsts: int, body_nconsts: int) -> None:
        super().__init__([False] * len(body.out_avals), cond, body, cond_nconsts, body_nconsts)
        reduced_cond, reduced_body = self.cond, self.body
        count = ShapedArray((), np.dtype(np.int32))

        def step(run: Run, *args: Any) -> list[Any]:
            return [*run(reduced_body, args[:-1]), add(args[-1], np.int32(1))]

        self.cond = staged(
            lambda run, *xs: run(reduced_cond, xs[:-1]), [*reduced_cond.in_avals, count], "count"
        )
        self.body = staged(step, [*reduced_body.in_avals, count], "count")


def _transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    if _known_count(args, **params) is not None:
        return transposed_by_linearizing(while_p, cts, args, params)
    raise ValueError(
        "reverse-mode differentiation (grad, vjp) of a while_loop, or of a fori_loop with traced bounds, needs to know "
        "while tracing how often the loop runs, as it stores values of each iteration. Give max_steps, a bound on the "
        "iterations: the derivative then keeps some and computes the others again. Or use fori_loop with bounds that are "
        "Python integers, or scan (with a fixed length, and where for iterations that should change nothing); "
        "differentiate without jit around it, where the values that the condition depends on are known; or use "
        "forward mode (jvp, jacfwd)."
    )


# --- partial evaluation -----------------------------------------------------------------------


def _partial(unknown: Flags, **params: Any) -> Division | None:
    flags = unknown_parts(unknown, params)
    if flags is None or all(flags.carry):
        return None
    return beside_the_whole(flags.together, tuple(flags.carry), known_loop(flags, params), params)


def unknown_parts(unknown: Flags, params: Params) -> Parts | None:
    """Which parts of a loop are not known if the operands where `unknown` is True are not.

    None if the loop stays whole: all is known, or its condition is not, or it does something, which must not happen twice.
    """
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    flags = Parts(unknown, params["cond_nconsts"], params["body_nconsts"])
    if not any(unknown) or happens(cond.effects | body.effects):
        return None
    while True:  # parts of the carry that become unknown later are so from the beginning
        outs = unknown_outputs(body, (*flags.body_consts, *flags.carry))
        wider = [a or b for a, b in zip(flags.carry, outs)]
        if wider == flags.carry:
            break
        flags.carry = wider
    return None if any(unknown_outputs(cond, (*flags.cond_consts, *flags.carry))) else flags


def known_loop(flags: Parts, params: Params) -> Params:
    """The parameters of the loop without the parts whose flags are True."""
    carried = tuple(flags.carry)
    cond = known_program(params["cond_jaxpr"], (*flags.cond_consts, *carried), (False,))
    body = known_program(params["body_jaxpr"], (*flags.body_consts, *carried), carried)
    counts = [len(f) - sum(f) for f in (flags.cond_consts, flags.body_consts)]
    programs = {"cond_jaxpr": cond, "body_jaxpr": body}
    return params | programs | {"cond_nconsts": counts[0], "body_nconsts": counts[1]}


def beside_the_whole(unknown: Flags, out_unknowns: Flags, known: Params, whole: Params) -> Division:
    """The division of a loop into one of its known parts and the whole, which computes those again.

    Args:
      unknown, out_unknowns: which operands and results the known loop does not have; known: its parameters.
    """
    halves = Halves(
        known=known,
        known_inputs=places([not u for u in unknown]),
        known_outputs=places([not u for u in out_unknowns]),
        residuals=(),
        unknown=whole,
        operands=[(INPUT, i) for i in range(len(unknown))],
        unknown_outputs=range(len(out_unknowns)),
    )
    return Division(out_unknowns, lambda needed, policy: halves)


# --- batching ---------------------------------------------------------------------------------


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    return batched_loop(while_p.bind, axis, args, dims, params)


def batched_loop(
    bind: Callable[..., list[Any]], axis: Axis, args: Any, dims: Any, params: Params
) -> tuple[list[Any], list[int | None]]:
    """The batched form of a loop that `bind` makes: one that runs until the last example has ended."""
    operands, wider, carried, separate = with_batches(axis, args, dims, params)
    outs = _masked_loop(bind, operands, wider) if separate else bind(*operands, **wider)
    return outs, list(carried)


def with_batches(axis: Axis, args: Any, dims: Any, params: Params) -> tuple[list[Any], Params, Dims, bool]:
    """Operands and parameters of a loop over several examples.

    Returns them, where the parts of the carry have the mapped axis, and whether the condition has it too: then all parts
    do, as their first, for examples that end at different times need a carry each. They do also where the condition gives
    an array already, one element for each example of an outer map.
    """
    cond_jaxpr, body_jaxpr = params["cond_jaxpr"], params["body_jaxpr"]
    counts = params["cond_nconsts"], params["body_nconsts"]
    values, given = Parts(args, *counts), Parts(dims, *counts)
    cond_dims, body_dims = tuple(given.cond_consts), tuple(given.body_consts)
    nested = array_aval(cond_jaxpr.out_avals[0]).ndim > 0
    first = (0,) * len(given.carry)

    def derive(carry: Dims, places: Dims) -> tuple[ClosedJaxpr, Dims]:
        return batch_jaxpr_to(body_jaxpr, axis, body_dims + carry, places)

    carried: Dims = first
    if not nested:
        body, carried, _ = batched_carry(derive, tuple(given.carry))
    cond, (pred_dim,) = batch_jaxpr(cond_jaxpr, axis, cond_dims + carried, nested)
    if pred_dim is not None:
        carried = first
        cond, _ = batch_jaxpr(cond_jaxpr, axis, cond_dims + carried, nested)
        body, _ = derive(carried, carried)
    carry = [
        x if to is None else to_axis(x, d, to, axis.size)
        for x, d, to in zip(values.carry, given.carry, carried)
    ]
    operands = [*values.cond_consts, *values.body_consts, *carry]
    return operands, params | {"cond_jaxpr": cond, "body_jaxpr": body}, carried, pred_dim is not None


def _masked_loop(bind: Callable[..., list[Any]], operands: list[Any], params: Params) -> list[Any]:
    """The loop that runs until the last example has ended; examples that have keep their carry.

    Which of them go on is carried too, so that the condition is computed once an iteration.
    """
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    values = Parts(operands, params["cond_nconsts"], params["body_nconsts"])
    refuse_effects_when_masked(body)
    num_cond = len(values.cond_consts)

    def build() -> tuple[ClosedJaxpr, ClosedJaxpr]:
        going = cond.out_avals[0]

        def masked(run: Run, *args: Any) -> list[Any]:
            cond_consts, rest = args[:num_cond], args[num_cond:]
            body_consts, (active, *before) = rest[: len(values.body_consts)], rest[len(values.body_consts) :]
            kept = where_active(active, run(body, [*body_consts, *before]), before)
            return [*run(cond, [*cond_consts, *kept]), *kept]

        avals = [*cond.in_avals[:num_cond], *body.in_avals[: len(values.body_consts)], going, *body.out_avals]
        any_going = staged(
            lambda run, active, *rest: [reduce_or(active, (0,))], [going, *body.out_avals], "any"
        )
        return any_going, staged(masked, avals, body.jaxpr.name)

    any_going, masked = memoized_together((body, cond), "masked", build)
    active = perform(cond, [*values.cond_consts, *values.carry])
    consts = [*values.cond_consts, *values.body_consts]
    programs = {"cond_jaxpr": any_going, "body_jaxpr": masked, "cond_nconsts": 0, "body_nconsts": len(consts)}
    return bind(*consts, *active, *values.carry, **params | programs)[1:]


def where_active(active: Any, after: Sequence[Any], before: Sequence[Any]) -> list[Any]:
    """For each example what it has after an iteration, or before it if it has ended.

    `active` has one element for each example; its dimensions are the first ones of all other arrays. Where it is a
    scalar the iteration takes place for the whole, and nothing is chosen.
    """
    leading = tuple(range(shaped(active).ndim))
    if not leading:
        return list(after)
    return [
        select_n(broadcast_in_dim(active, shaped(new).shape, leading), old, new)
        for new, old in zip(after, before)
    ]


def refuse_effects_when_masked(body: ClosedJaxpr) -> None:
    """Raise ValueError if a body that also runs for examples that have ended has effects which must not happen for them."""
    refused = not_under_masks(body.effects)
    if refused:
        raise ValueError(
            "while: under vmap the examples' loops end at different times, so the body runs for those that have ended "
            f"too, but it has effects: {refused}"
        )


# --- dead code --------------------------------------------------------------------------------


def _dce(used: Flags, **params: Any) -> tuple[list[bool], list[bool], Params]:
    reduced = reduced_loop(used, params)
    return reduced.inputs, reduced.outputs, params | reduced.params


def reduced_loop(used: Flags, params: Params) -> Reduced:
    """The loop without what neither its condition nor the used parts of its carry depend on."""
    cond, body = params["cond_jaxpr"], params["body_jaxpr"]
    return memoized_together(
        (body, cond),
        ("dce", used),
        lambda: Reduced(used, cond, body, params["cond_nconsts"], params["body_nconsts"]),
    )


while_p = Primitive(
    "while",
    shape=_shape,
    lower=_lower,
    jvp=_jvp,
    linearize=_linearize,
    transpose=_transpose,
    batch=_batch,
    effects=_effects,
    taylor=_taylor,
    partial=_partial,
    dce=_dce,
    keys=while_keys,
    multiple_results=True,
    unfused=True,
    varying=_varying,
)
while_p.eager = eager_by_program(while_p, "body_jaxpr")
