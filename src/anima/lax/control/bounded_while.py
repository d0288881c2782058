"""Loops of unknown length with reverse-mode derivatives: the `bounded_while` primitive and what it becomes.

Invariant: `bounded_while` is `while` with a bound on the number of iterations, which only its reverse derivative needs.
Linearised, it is a `saving_while`, which also returns how many iterations there were and slots with the carry at some of them
(see `checkpoints`); and, for the tangents, a `replay`: a walk along the iterations that gives each one's carry to a linear
program. The transpose of a walk forwards is one backwards. All three turn their programs into those that a transformation
asks for, and are themselves again.

Under `vmap`, examples whose loops end at different times go in step: an example that has ended keeps its carry until
the last one has. The number of iterations is then an array, one for each example, and its dimensions are the first ones
of everything that is carried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.core import variance
from anima.core.aval import array_aval
from anima.core.effects import Effects, describe, happens
from anima.core.jaxpr import ClosedJaxpr
from anima.core.primitive import Linear, Primitive, Zero
from anima.core.trace import shaped
from anima.interpreters.batch import Axis, batch_jaxpr, to_axis
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import Division
from anima.lax.control.checkpoints import slot_count
from anima.lax.control.cond_primitive import cond_p
from anima.lax.control.key_uses import while_keys
from anima.lax.control.programs import (
    Flags,
    chosen,
    made_real,
    memoized_together,
    nonzeros,
    places,
    spread,
    staged,
    transposed_by_linearizing,
    without_dead,
)
from anima.lax.control.series import cond_series, while_series
from anima.lax.control.walks import (
    COUNT,
    KnownWalk,
    Pull,
    Push,
    Step,
    Walk,
    saving_program,
    walk_program,
)
from anima.lax.control.while_primitive import (
    Params,
    Parts,
    batched_loop,
    beside_the_whole,
    known_loop,
    pushed_forward,
    reduced_loop,
    refuse_effects_when_masked,
    unknown_parts,
    while_p,
    with_batches,
    with_tangents,
)
from anima.lowering.module import Context, Value
from anima.runtime.dispatch import eager_by_program

_ZERO = np.int32(0)


# --- bounded_while ----------------------------------------------------------------------------


def _shape(*avals: Any, max_steps: int, **loop: Any) -> list[Any]:
    outs: list[Any] = while_p.shape(*avals, **loop)
    return outs


def _effects(*avals: Any, cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, **params: Any) -> Effects:
    return cond_jaxpr.effects | body_jaxpr.effects


def _lower(ctx: Context, *operands: Value, max_steps: int, **loop: Any) -> list[Value]:
    outs: list[Value] = while_p.lower(ctx, *operands, **loop)
    return outs


def _jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    return pushed_forward(bounded_while_p.bind, primals, tangents, params)


def _taylor(primals: Any, series: Any, order: int, **params: Any) -> tuple[list[Any], list[Any]]:
    return while_series(bounded_while_p.bind, primals, series, order, params)


def _linearize(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    body, num_consts = params["body_jaxpr"], params["body_nconsts"]
    values, given = (Parts(v, params["cond_nconsts"], num_consts) for v in (primals, tangents))
    const_flags, flags = nonzeros(given.body_consts), nonzeros(given.carry)
    while True:
        found = linearize_jaxpr(body, const_flags + flags).out_nonzeros
        wider = tuple([a or b for a, b in zip(flags, found)])
        if wider == flags:
            break
        flags = wider
    if not any(flags):
        outs = bounded_while_p.bind(*primals, **params)
        return outs, spread([], flags, body.out_avals)
    _refuse_effects(_effects(**params))
    step = body.jaxpr.memoized(
        ("step", const_flags, flags), lambda: Step(body, num_consts, const_flags, flags)
    )
    results = saving_while_p.bind(*primals, **params, saved=step.carry)
    outs, (count, *slots) = results[: len(flags)], results[len(flags) :]
    out_tangents = replay_p.bind(
        count,
        *chosen(values.body_consts, step.consts),
        *slots,
        *chosen(given.body_consts, const_flags),
        *made_real(given.carry, flags),
        advance=step.advance,
        step=step.linear,
        max_steps=params["max_steps"],
        num_state=sum(flags),
        reverse=False,
    )
    return outs, spread(out_tangents, flags, body.out_avals)


def _refuse_effects(effects: Effects) -> None:
    if happens(effects):
        raise ValueError(
            f"while_loop: the loop has the effects {describe(effects)}, and its derivative in reverse mode (grad, vjp, "
            "linearize) would run it again, so they would happen twice. Move them out of the loop, or use forward mode "
            "(jvp, jacfwd)."
        )


def _transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    return transposed_by_linearizing(bounded_while_p, cts, args, params)


def _batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    return batched_loop(bounded_while_p.bind, axis, args, dims, params)


def _partial(unknown: Flags, **params: Any) -> Division | None:
    assert while_p.partial is not None
    division: Division | None = while_p.partial(unknown, **params)
    return division


def _dce(used: Flags, **params: Any) -> tuple[list[bool], list[bool], Params]:
    reduced = reduced_loop(used, params)
    return reduced.inputs, reduced.outputs, params | reduced.params


bounded_while_p = Primitive(
    "bounded_while",
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
    varying=variance.as_given,
)
bounded_while_p.eager = eager_by_program(bounded_while_p, "body_jaxpr")


def _loop(
    test: Callable[..., Any],
    body: Callable[..., Sequence[Any]],
    consts: Sequence[Any],
    carry: Sequence[Any],
    max_steps: int,
) -> list[Any]:
    """A `bounded_while` in a program being staged; `test` and `body` take `run`, the constants and the carry."""
    avals = [shaped(v) for v in (*consts, *carry)]
    return bounded_while_p.bind(
        *consts,
        *consts,
        *carry,
        cond_jaxpr=without_dead(staged(lambda run, *args: [test(run, *args)], avals, "test")),
        body_jaxpr=staged(body, avals, "body"),
        cond_nconsts=len(consts),
        body_nconsts=len(consts),
        max_steps=max_steps,
    )


# --- saving_while: the loop that keeps what is needed to walk it backwards --------------------


def _saving_shape(*avals: Any, max_steps: int, saved: Flags, **loop: Any) -> list[Any]:
    outs = while_p.shape(*avals, **loop)
    count = slot_count(max_steps)
    slots = [array_aval(a).update(shape=(count, *array_aval(a).shape)) for a in chosen(outs, saved)]
    return [*outs, COUNT.update(shape=loop["cond_jaxpr"].out_avals[0].shape), *slots]


def _saving(**params: Any) -> ClosedJaxpr:
    programs = params["body_jaxpr"], params["cond_jaxpr"]
    key = ("saving", params["max_steps"], params["saved"])
    return memoized_together(programs, key, lambda: saving_program(_loop, **params))


def _saving_lower(ctx: Context, *operands: Value, **params: Any) -> list[Value]:
    program = _saving(**params)
    return ctx.jaxpr(program.jaxpr, program.consts, operands)


def _saving_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    saved, num_carry = params["saved"], len(params["saved"])
    operands, wider, flags = with_tangents(primals, tangents, params)
    slot_flags = tuple(chosen(flags, saved))
    outs = saving_while_p.bind(*operands, **wider | {"saved": saved + tuple(chosen(saved, flags))})
    total = num_carry + sum(flags)
    carry, (count, *slots) = outs[:total], outs[total:]
    given = [*carry[num_carry:], *slots[sum(saved) :]]
    values = [*carry[:num_carry], count, *slots[: sum(saved)]]
    return values, spread(given, (*flags, False, *slot_flags), [shaped(v) for v in values])


def _saving_taylor(primals: Any, series: Any, order: int, **params: Any) -> tuple[list[Any], list[Any]]:
    return _series(_saving(**params), primals, series, order)


def _series(program: ClosedJaxpr, primals: Any, series: Any, order: int) -> tuple[list[Any], list[Any]]:
    return cond_series(cond_p.bind, [_ZERO, *primals], [None, *series], order, (program,))


def _saving_linearize(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    return _linearized(_saving(**params), primals, tangents)


def _linearized(program: ClosedJaxpr, primals: Any, tangents: Any) -> tuple[list[Any], list[Any]]:
    assert cond_p.linearize is not None
    outs: tuple[list[Any], list[Any]] = cond_p.linearize(
        [_ZERO, *primals], [Zero(COUNT.tangent_aval()), *tangents], branches=(program,)
    )
    return outs


def _saving_transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    return transposed_by_linearizing(saving_while_p, cts, args, params)


def _saving_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    operands, wider, carried, separate = with_batches(axis, args, dims, params)
    if separate:
        refuse_effects_when_masked(wider["body_jaxpr"])
    outs = saving_while_p.bind(*operands, **wider)
    slot_dims = [None if d is None else d + 1 for d in chosen(carried, params["saved"])]
    return outs, [*carried, 0 if separate else None, *slot_dims]


def _saving_partial(unknown: Flags, **params: Any) -> Division | None:
    flags = unknown_parts(unknown, params)
    if flags is None:
        return None
    saved, carried = params["saved"], tuple(flags.carry)
    known = known_loop(flags, params) | {"saved": tuple(chosen(saved, [not u for u in carried]))}
    return beside_the_whole(flags.together, (*carried, False, *chosen(carried, saved)), known, params)


def _saving_dce(used: Flags, **params: Any) -> tuple[list[bool], list[bool], Params]:
    saved = params["saved"]
    num_carry = len(saved)
    slot_used = list(saved)
    for place, flag in zip(places(saved), used[num_carry + 1 :]):
        slot_used[place] = flag
    reduced = reduced_loop(tuple([a or b for a, b in zip(used[:num_carry], slot_used)]), params)
    left = {"saved": tuple(chosen(slot_used, reduced.outputs))}
    outputs = [*reduced.outputs, True, *used[num_carry + 1 :]]
    return reduced.inputs, outputs, params | reduced.params | left


saving_while_p = Primitive(
    "saving_while",
    shape=_saving_shape,
    lower=_saving_lower,
    jvp=_saving_jvp,
    linearize=_saving_linearize,
    transpose=_saving_transpose,
    batch=_saving_batch,
    effects=_effects,
    taylor=_saving_taylor,
    partial=_saving_partial,
    dce=_saving_dce,
    keys=while_keys,
    multiple_results=True,
    unfused=True,
    varying=variance.as_given,
)
saving_while_p.eager = eager_by_program(saving_while_p, "body_jaxpr")


# --- replay: a walk along the iterations ------------------------------------------------------


def _replay_shape(
    *avals: Any, advance: ClosedJaxpr, step: ClosedJaxpr, max_steps: int, num_state: int, reverse: bool
) -> list[Any]:
    if len(avals) != 1 + len(step.in_avals):
        raise TypeError(f"replay: {len(avals)} operands for a step of {len(step.in_avals)}")
    return step.out_avals


def _replay_effects(*avals: Any, advance: ClosedJaxpr, step: ClosedJaxpr, **params: Any) -> Effects:
    return advance.effects | step.effects


def _replay_program(count: Any, **params: Any) -> ClosedJaxpr:
    """The walk as loops; `count` is the aval of the number of iterations."""
    programs = params["step"], params["advance"]
    key = ("replay", count, params["max_steps"], params["num_state"], params["reverse"])
    return memoized_together(programs, key, lambda: walk_program(_loop, count, **params))


def _replay_lower(ctx: Context, *operands: Value, **params: Any) -> list[Value]:
    program = _replay_program(operands[0].aval, **params)
    return ctx.jaxpr(program.jaxpr, program.consts, operands)


def _replay_linearize(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    return _linearized(_replay_program(shaped(primals[0]), **params), primals, tangents)


def _replay_jvp(primals: Any, tangents: Any, **params: Any) -> tuple[list[Any], list[Any]]:
    advance, step, num_state = (params[k] for k in ("advance", "step", "num_state"))
    values, given = (Walk(v, advance, num_state) for v in (primals, tangents))
    entering = nonzeros(tangents)
    push = memoized_together(
        (step, advance), ("push", entering, num_state), lambda: Push(advance, step, entering, num_state)
    )
    results = replay_p.bind(
        values.count,
        *values.consts,
        *chosen(given.consts, push.flags.consts),
        *values.carry,
        *made_real(given.carry, push.flags.carry),
        *values.extras,
        *chosen(given.extras, push.flags.extras),
        *values.state,
        *made_real(given.state, push.flags.state),
        **params | {"advance": push.advance, "step": push.step, "num_state": push.num_state},
    )
    outs = [results[i] for i in push.order]
    count = len(step.out_avals)
    return outs[:count], spread(outs[count:], push.out_flags, [shaped(x) for x in outs[:count]])


def _replay_taylor(primals: Any, series: Any, order: int, **params: Any) -> tuple[list[Any], list[Any]]:
    return _series(_replay_program(shaped(primals[0]), **params), primals, series, order)


def _replay_transpose(cts: Any, *args: Any, **params: Any) -> list[Any]:
    advance, step, num_state = (params[k] for k in ("advance", "step", "num_state"))
    walk, ct_flags = Walk(args, advance, num_state), nonzeros(cts)
    if params["reverse"] or any([type(x) is Linear for x in (*walk.consts, *walk.carry)]):
        return transposed_by_linearizing(replay_p, cts, args, params)
    pull = memoized_together(
        (step, advance), ("pull", ct_flags), lambda: Pull(advance, step, len(walk.extras), ct_flags)
    )
    outs = replay_p.bind(
        walk.count,
        *chosen(walk.consts, pull.consts),
        *chosen(walk.carry, pull.carry),
        *made_real(cts, pull.state),
        advance=pull.advance,
        step=pull.step,
        max_steps=params["max_steps"],
        num_state=sum(pull.state),
        reverse=True,
    )
    of_state, of_extras = iter(outs[: sum(pull.state)]), iter(outs[sum(pull.state) :])
    found = [
        *[next(of_extras) if flag else None for flag in pull.extras],
        *[next(of_state) if flag else None for flag in pull.state],
    ]
    fixed = len(args) - len(found)
    return [
        *[None] * fixed,
        *[ct if type(a) is Linear else None for a, ct in zip(args[fixed:], found)],
    ]


def _replay_partial(unknown: Flags, **params: Any) -> Division | None:
    advance, step, num_state = (params[k] for k in ("advance", "step", "num_state"))
    if unknown[0] or not any(unknown) or happens(advance.effects | step.effects):
        return None
    known = memoized_together(
        (step, advance), ("known", unknown, num_state), lambda: KnownWalk(advance, step, unknown, num_state)
    )
    if all(known.out_unknowns):
        return None
    half = {"advance": known.advance, "step": known.step, "num_state": known.num_state}
    return beside_the_whole(known.unknown, known.out_unknowns, params | half, params)


def _replay_batch(axis: Axis, args: Any, dims: Any, **params: Any) -> tuple[list[Any], list[int | None]]:
    advance, step, num_state = (params[k] for k in ("advance", "step", "num_state"))
    values, given = (Walk(v, advance, num_state) for v in (args, dims))
    # Examples with numbers of iterations of their own need everything that is carried, and summed up, for themselves.
    separate = given.count is not None or shaped(values.count).ndim > 0
    carry, state = (tuple([d is not None or separate for d in ds]) for ds in (given.carry, given.state))
    extras = tuple([0 if separate else d for d in given.extras])
    sums = (separate,) * (len(step.out_avals) - num_state)
    while True:
        carry_dims, state_dims = _first(carry), _first(state)
        batched, carried = batch_jaxpr(advance, axis, given.consts + carry_dims, carry)
        stepped, out_dims = batch_jaxpr(
            step, axis, given.consts + carry_dims + extras + state_dims, state + sums
        )
        found = _present(carried), _present(out_dims[:num_state])
        if found == (carry, state):
            break
        carry, state = found
    size = axis.size
    outs = replay_p.bind(
        to_axis(values.count, given.count, 0, size) if separate else values.count,
        *values.consts,
        *[to_axis(x, d, 1, size) if f else x for x, d, f in zip(values.carry, given.carry, carry)],
        *[to_axis(x, d, 0, size) if separate else x for x, d in zip(values.extras, given.extras)],
        *[to_axis(x, d, 0, size) if f else x for x, d, f in zip(values.state, given.state, state)],
        **params | {"advance": batched, "step": stepped},
    )
    return outs, list(out_dims)


def _first(flags: Flags) -> tuple[int | None, ...]:
    return tuple([0 if flag else None for flag in flags])


def _present(dims: Sequence[int | None]) -> Flags:
    return tuple([d is not None for d in dims])


replay_p = Primitive(
    "replay",
    shape=_replay_shape,
    lower=_replay_lower,
    jvp=_replay_jvp,
    linearize=_replay_linearize,
    transpose=_replay_transpose,
    batch=_replay_batch,
    effects=_replay_effects,
    taylor=_replay_taylor,
    partial=_replay_partial,
    multiple_results=True,
    unfused=True,
    varying=variance.as_given,
)
replay_p.eager = eager_by_program(replay_p, "step")
