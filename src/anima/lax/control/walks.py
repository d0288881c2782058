"""The programs of loops that can be walked backwards: loops with counters and slots in their carry, and steps of walks.

Invariant: nothing here belongs to a primitive. The builders stage programs of loops that the argument `loop` makes; the
derived steps depend on a loop's body alone. Everything that a program carries has, where examples are mapped that end at
different times, the dimensions of the number of iterations first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from anima.core import hooks
from anima.core.aval import ShapedArray, array_aval
from anima.core.jaxpr import ClosedJaxpr
from anima.core.trace import shaped
from anima.interpreters.jvp import jvp_jaxpr
from anima.interpreters.linearize import linearize_jaxpr
from anima.interpreters.partial import unknown_outputs
from anima.interpreters.transpose import transpose_jaxpr
from anima.interpreters.zeros import add as add_cotangents
from anima.lax.arithmetic import add, max as maximum, min as minimum, sub
from anima.lax.compare import eq, ge, lt
from anima.lax.control.checkpoints import (
    loaded,
    longest_replay,
    replay_start,
    slot_count,
    slot_of,
    slots_for,
    stored,
)
from anima.lax.control.programs import (
    Flags,
    Run,
    carry_closure,
    chosen,
    interleaved,
    known_program,
    made_real,
    needed_inputs,
    places,
    reordered,
    spread,
    staged,
    union,
    without_dead,
)
from anima.lax.control.steps_check import checked_steps, nan_beyond
from anima.lax.control.while_primitive import Parts, where_active
from anima.lax.convert import convert_element_type
from anima.lax.reductions import reduce_max, reduce_or
from anima.lax.selection import select_n

Test = Callable[..., Any]
Body = Callable[..., Sequence[Any]]
# Binds a loop in a program being staged: of its condition and body, which take `run`, the constants and the carry; the
# constants and the carry; and a bound on its iterations.
Loop = Callable[[Test, Body, Sequence[Any], Sequence[Any], int], list[Any]]

COUNT = ShapedArray((), np.dtype(np.int32))
_ONE, _ZERO = np.int32(1), np.int32(0)
_MOST = np.int32(2**31 - 2)  # iterations that are counted


# --- steps --------------------------------------------------------------------------------


class Step:
    """One iteration of a loop as its derivative needs it.

    Attributes:
      consts, carry: the constants of the body, and the parts of the carry, on which the derivative depends.
      advance: from those to the next values of those parts of the carry.
      linear: from those, then tangents of constants and of the carry, to the next tangents of the carry.
    """

    __slots__ = ("advance", "carry", "consts", "linear")

    def __init__(self, body: ClosedJaxpr, num_consts: int, const_flags: Flags, flags: Flags) -> None:
        split = linearize_jaxpr(body, const_flags + flags)
        avals = body.out_avals
        num_ins, num_outs = len(body.in_avals), len(avals)

        def fun(run: Run, *args: Any) -> list[Any]:
            primals, tangents = args[:num_ins], args[num_ins:]
            outs = run(split.primal, primals)
            residuals = [
                *outs[num_outs:],
                *[outs[i] for i in split.residual_outputs],
                *[primals[i] for i in split.residual_inputs],
            ]
            return made_real(
                spread(run(split.linear, [*residuals, *tangents]), split.out_nonzeros, avals), flags
            )

        of_tangents = [a.tangent_aval() for a in chosen(body.in_avals, const_flags + flags)]
        program = staged(fun, [*body.in_avals, *of_tangents], body.jaxpr.name)
        self.consts, self.carry, self.advance, self.linear = _only_needed(body, without_dead(program))


def _only_needed(advance: ClosedJaxpr, step: ClosedJaxpr) -> tuple[Flags, Flags, ClosedJaxpr, ClosedJaxpr]:
    """Which constants and parts of the carry `step` depends on, and the two programs with no others."""
    num_ins, num_consts = len(advance.in_avals), len(advance.in_avals) - len(advance.out_avals)
    needed = needed_inputs(step, [True] * len(step.out_avals))
    carry, replayed = carry_closure(advance, num_consts, needed[num_consts:num_ins])
    consts = [a or b for a, b in zip(needed[:num_consts], replayed)]
    inputs = places([*consts, *carry])
    shorter = without_dead(reordered(advance, inputs, places(carry)))
    return (
        tuple(consts),
        tuple(carry),
        shorter,
        reordered(step, [*inputs, *range(num_ins, len(step.in_avals))]),
    )


class Pull:
    """The transpose of the step of a walk forwards: from cotangents of its state to those before it, then the cotangents of extras.

    Attributes:
      state, extras: which parts have cotangents.
      consts, carry: which parts are needed, of those that the walk forwards has.
      advance, step: the programs with no others.
    """

    __slots__ = ("advance", "carry", "consts", "extras", "state", "step")

    def __init__(self, advance: ClosedJaxpr, step: ClosedJaxpr, num_extras: int, flags: Flags) -> None:
        num_fixed = len(advance.in_avals)
        linear = (False,) * num_fixed + (True,) * (len(step.in_avals) - num_fixed)
        while True:
            program, found = transpose_jaxpr(step, linear, flags)
            wider = union(flags, found[num_extras:])
            if wider == flags:
                break
            flags = wider
        self.state, self.extras = flags, found[:num_extras]
        avals = step.in_avals[num_fixed:]

        def fun(run: Run, *args: Any) -> list[Any]:
            cts = spread(run(program, args), found, avals)
            return [*made_real(cts[num_extras:], flags), *chosen(cts, self.extras)]

        pull = without_dead(staged(fun, program.in_avals, step.jaxpr.name))
        self.consts, self.carry, self.advance, self.step = _only_needed(advance, pull)


class Walk:
    """The operands of a walk, or what belongs to them, by role.

    `consts` and `carry` are those of `advance`, given as they are and in slots; `extras` do not change from step to step,
    as `consts` do not, but only `step` takes them; `state` is what the walk is about.
    """

    __slots__ = ("carry", "consts", "count", "extras", "state")

    def __init__(self, values: Sequence[Any], advance: ClosedJaxpr, num_state: int) -> None:
        num_carry = len(advance.out_avals)
        first = 1 + len(advance.in_avals) - num_carry
        last = len(values) - num_state
        self.count = values[0]
        self.consts = tuple(values[1:first])
        self.carry = tuple(values[first : first + num_carry])
        self.extras = tuple(values[first + num_carry : last])
        self.state = tuple(values[last:])


class Push:
    """The programs of a walk that takes tangents along.

    Attributes:
      flags: which operands have tangents, by role; parts that get some on the way have them from the beginning.
      out_flags: which results have.
      advance, step: the programs; tangents of a role stand behind its values.
      num_state: how much of the state there is then.
      order: where among the results of the walk the values are, then the tangents.
    """

    __slots__ = ("advance", "flags", "num_state", "order", "out_flags", "step")

    def __init__(self, advance: ClosedJaxpr, step: ClosedJaxpr, entering: Flags, num_state: int) -> None:
        flags = Walk(entering, advance, num_state)
        others = (False,) * (len(step.out_avals) - num_state)
        while True:
            forwards, carried = jvp_jaxpr(advance, flags.consts + flags.carry, flags.carry)
            given = flags.consts + flags.carry + flags.extras + flags.state
            derived, out_flags = jvp_jaxpr(step, given, flags.state + others)
            if (carried, out_flags[:num_state]) == (flags.carry, flags.state):
                break
            flags.carry, flags.state = carried, out_flags[:num_state]
        self.flags, self.out_flags = flags, out_flags
        roles = flags.consts, flags.carry, flags.extras, flags.state
        outs = _behind(flags.state, out_flags[num_state:])
        self.advance = reordered(forwards, _behind(*roles[:2]), _behind(flags.carry))
        self.step = reordered(derived, _behind(*roles), outs)
        self.num_state = num_state + sum(flags.state)
        self.order = sorted(range(len(outs)), key=outs.__getitem__)


class KnownWalk:
    """The walk without what depends on the operands where `unknown` is True.

    Attributes:
      unknown: which operands are left out: also those that become unknown on the way.
      out_unknowns: which results are.
      advance, step: the programs with no others. num_state: how much of the state there is then.
    """

    __slots__ = ("advance", "num_state", "out_unknowns", "step", "unknown")

    def __init__(self, advance: ClosedJaxpr, step: ClosedJaxpr, unknown: Flags, num_state: int) -> None:
        flags = Walk(unknown, advance, num_state)
        while True:
            fixed = flags.consts + flags.carry
            carry = union(flags.carry, unknown_outputs(advance, fixed))
            outs = unknown_outputs(step, fixed + flags.extras + flags.state)
            state = union(flags.state, outs[:num_state])
            if (carry, state) == (flags.carry, flags.state):
                break
            flags.carry, flags.state = carry, state
        self.unknown = (flags.count, *fixed, *flags.extras, *state)
        self.out_unknowns = state + outs[num_state:]
        self.advance = known_program(advance, fixed, carry)
        self.step = known_program(step, fixed + flags.extras + state, self.out_unknowns)
        self.num_state = num_state - sum(state)


def _behind(*roles: Flags) -> list[int]:
    """The order that puts tangents, of which there is one for each True, behind the values of their role."""
    return interleaved([len(flags) for flags in roles], [sum(flags) for flags in roles])


# --- loops --------------------------------------------------------------------------------


def saving_program(
    loop: Loop,
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
    max_steps: int,
    saved: Flags,
) -> ClosedJaxpr:
    """The loop with the number of the step, whether (and how often) each example goes on, and the slots in its carry."""
    counts, num_carry = (cond_nconsts, body_nconsts), len(saved)

    def test(run: Run, *args: Any) -> Any:
        return _any(Parts(args, *counts).carry[1])

    def kept_rows(step: Any, count: Any, slots: Sequence[Any], rows: list[Any]) -> list[Any]:
        """What to store. Where examples go in step, one that runs too long must not overwrite what others need."""
        if not shaped(count).ndim:
            return rows
        inside = lt(step, np.int32(max_steps))
        return [select_n(inside, old, row) for old, row in zip(loaded(slots, slot_of(step)), rows)]

    def body(run: Run, *args: Any) -> list[Any]:
        parts = Parts(args, *counts)
        step, going, count, *rest = parts.carry
        before, slots = rest[:num_carry], rest[num_carry:]
        slots = stored(slots, slot_of(step), kept_rows(step, count, slots, chosen(before, saved)))
        after = where_active(going, run(body_jaxpr, [*parts.body_consts, *before]), before)
        count = add(minimum(count, _MOST), convert_element_type(going, np.int32))
        further = run(cond_jaxpr, [*parts.cond_consts, *after])
        return [add(minimum(step, _MOST), _ONE), *further, count, *after, *slots]

    def fun(run: Run, *operands: Any) -> list[Any]:
        parts = Parts(operands, *counts)
        going = run(cond_jaxpr, [*parts.cond_consts, *parts.carry])
        count = hooks.zeros(COUNT.update(shape=shaped(going[0]).shape))
        slots = slots_for(chosen(parts.carry, saved), slot_count(max_steps))
        state = [_ZERO, *going, count, *parts.carry, *slots]
        outs = loop(test, body, [*parts.cond_consts, *parts.body_consts], state, max_steps)
        return [*outs[3 : 3 + num_carry], outs[2], *outs[3 + num_carry :]]

    avals = [*cond_jaxpr.in_avals[:cond_nconsts], *body_jaxpr.in_avals]
    return staged(fun, avals, body_jaxpr.jaxpr.name)


def _any(going: Any) -> Any:
    axes = tuple(range(shaped(going).ndim))
    return reduce_or(going, axes) if axes else going


def walk_program(
    loop: Loop,
    count: Any,
    *,
    advance: ClosedJaxpr,
    step: ClosedJaxpr,
    max_steps: int,
    num_state: int,
    reverse: bool,
) -> ClosedJaxpr:
    """The walk as loops; `count` is the aval of the number of iterations."""
    rows = slot_count(max_steps)
    avals = Walk([count, *step.in_avals], advance, num_state)
    slots = [array_aval(a).update(shape=(rows, *array_aval(a).shape)) for a in avals.carry]

    def fun(run: Run, *operands: Any) -> list[Any]:
        walk = Walk(operands, advance, num_state)
        go = _backwards if reverse else _forwards
        return go(loop, walk, advance, step, max_steps)

    return staged(fun, [count, *avals.consts, *slots, *avals.extras, *avals.state], step.jaxpr.name)


def _forwards(loop: Loop, walk: Walk, advance: ClosedJaxpr, step: ClosedJaxpr, max_steps: int) -> list[Any]:
    """The walk from the first iteration to the last; of the slots it needs only the first."""
    fixed = [_most(walk.count), walk.count, *walk.consts, *walk.extras]
    sizes = (1, 1, len(walk.consts), len(walk.extras), 1, len(walk.carry))

    def test(run: Run, total: Any, *args: Any) -> Any:
        return lt(args[len(fixed) - 1], total)

    def body(run: Run, *args: Any) -> list[Any]:
        _, [count], consts, extras, [index], carry, state = _split(args, *sizes)
        active = lt(index, count)
        after = where_active(active, run(advance, [*consts, *carry]), carry)
        state = where_active(active, run(step, [*consts, *carry, *extras, *state]), state)
        return [add(index, _ONE), *after, *state]

    carry = loaded(walk.carry, _ZERO)
    outs = loop(test, body, fixed, [_ZERO, *carry, *walk.state], max_steps)
    return nan_beyond(walk.count, int(_MOST), outs[1 + len(carry) :])


def _backwards(loop: Loop, walk: Walk, advance: ClosedJaxpr, step: ClosedJaxpr, max_steps: int) -> list[Any]:
    """The walk from the last iteration to the first, which also sums up the further results of `step`.

    Each iteration's carry is read from its slot, or replayed from the nearest one before it that has a slot; what is
    passed on the way is stored, for the iterations to come.
    """
    num_state, replayed = len(walk.state), longest_replay(max_steps) if walk.carry else 0
    count = checked_steps(walk.count, max_steps)
    total = minimum(_most(count), np.int32(max_steps))
    fixed = [total, count, *walk.consts, *walk.extras]
    totals = [hooks.zeros(aval) for aval in step.out_avals[num_state:]]
    sizes = (1, 1, len(walk.consts), len(walk.extras), 1, num_state, len(totals))

    def test(run: Run, *args: Any) -> Any:
        return ge(args[len(fixed)], _ZERO)

    def body(run: Run, *args: Any) -> list[Any]:
        [total], [count], consts, extras, [index], state, sums, slots = _split(args, *sizes)
        start = index
        if replayed:
            start = select_n(eq(add(index, _ONE), total), replay_start(index), index)
        carry = loaded(slots, slot_of(start))
        if replayed:
            carry, slots = _replayed(loop, advance, count, consts, start, index, carry, slots, replayed)
        outs = run(step, [*consts, *carry, *extras, *state])
        active = lt(index, count)
        state = where_active(active, outs[:num_state], state)
        added = where_active(active, outs[num_state:], [hooks.zeros(shaped(x)) for x in sums])
        return [sub(index, _ONE), *state, *map(add_cotangents, sums, added), *slots]

    carry = [sub(total, _ONE), *walk.state, *totals, *walk.carry]
    outs = loop(test, body, fixed, carry, max_steps)
    return nan_beyond(count, max_steps, outs[1 : 1 + num_state + len(totals)])


def _replayed(
    loop: Loop,
    advance: ClosedJaxpr,
    count: Any,
    consts: Sequence[Any],
    start: Any,
    index: Any,
    carry: Sequence[Any],
    slots: Sequence[Any],
    longest: int,
) -> tuple[list[Any], list[Any]]:
    """The carry of iteration `index` from that of iteration `start`, and the slots with those between."""
    fixed = [index, count, *consts]
    sizes = (1, 1, len(consts), 1, len(carry))

    def test(run: Run, index: Any, *args: Any) -> Any:
        return lt(args[len(fixed) - 1], index)

    def body(run: Run, *args: Any) -> list[Any]:
        _, [count], consts, [place], carry, slots = _split(args, *sizes)
        after = where_active(lt(place, count), run(advance, [*consts, *carry]), carry)
        following = add(place, _ONE)
        return [following, *after, *stored(slots, slot_of(following), after)]

    outs = loop(test, body, fixed, [start, *carry, *slots], longest)
    return outs[1 : 1 + len(carry)], outs[1 + len(carry) :]


def _most(count: Any) -> Any:
    """The largest of several numbers of iterations, 0 if there are none."""
    axes = tuple(range(shaped(count).ndim))
    return maximum(reduce_max(count, axes), _ZERO) if axes else count


def _split(values: Sequence[Any], *sizes: int) -> list[Sequence[Any]]:
    """Parts of these sizes, then the rest."""
    parts, first = [], 0
    for size in sizes:
        parts.append(values[first : first + size])
        first += size
    return [*parts, values[first:]]
