"""Partial evaluation of `scan` and `cond`: the `partial` rules of both.

Invariant: a scan divides into two of the same length. The first stacks its body's residuals, the second takes their rows;
known parts of the carry that the second needs it carries itself, unless a policy admits everything, so that only what a policy
admits is stacked. The branches of a `cond` divide alike, and hand over residuals in common slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core import hooks
from anima.core.aval import AbstractValue, ShapedArray, array_aval
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from anima.interpreters.dce import dce_closed
from anima.interpreters.partial import (
    INPUT,
    OUTPUT,
    RESIDUAL,
    Division,
    Halves,
    PartialJaxpr,
    Policy,
    everything_saveable,
    split_jaxpr,
    unknown_outputs,
)
from anima.lax.control.programs import Flags, Run, chosen, memoized_together, places, staged


def divided_scan(
    unknown: Flags, *, jaxpr: ClosedJaxpr, num_consts: int, num_carry: int, **how: Any
) -> Division:
    """How a scan divides if the operands where `unknown` is True are not known."""
    first = num_consts + num_carry
    flags = unknown
    while True:  # parts of the carry that become unknown later are so from the beginning
        outs = unknown_outputs(jaxpr, flags)
        carry = tuple([a or b for a, b in zip(flags[num_consts:first], outs)])
        if carry == flags[num_consts:first]:
            break
        flags = unknown[:num_consts] + carry + unknown[first:]
    out_unknowns = carry + outs[num_carry:]
    params = {"jaxpr": jaxpr, "num_consts": num_consts, "num_carry": num_carry, **how}

    def divide(needed: Flags, policy: Policy) -> Halves:
        split = jaxpr.jaxpr.memoized(
            ("scan divided", flags, needed, policy),
            lambda: _DividedScan(jaxpr, num_consts, num_carry, flags, out_unknowns, needed, policy),
        )
        return split.halves(params)

    return Division(out_unknowns, divide)


class _DividedScan:
    """The bodies of both scans and how they are connected.

    Attributes:
      carried: which parts of the carry the second scan has.
      stacked: residuals of the body that the first scan returns in stacks behind its results: rows, by their types.
      operands: what the second scan takes: `num_unknown_consts` constants, then the carry, then rows.
    """

    __slots__ = (
        "carried", "flags", "known", "needed", "num_carry", "num_consts", "num_unknown_consts", "operands", "out_unknowns",
        "stacked", "unknown",
    )  # fmt: skip

    def __init__(
        self,
        jaxpr: ClosedJaxpr,
        num_consts: int,
        num_carry: int,
        flags: Flags,
        out_unknowns: Flags,
        needed: Flags,
        policy: Policy,
    ) -> None:
        self.flags, self.out_unknowns, self.needed = flags, out_unknowns, needed
        self.num_consts, self.num_carry = num_consts, num_carry
        first = num_consts + num_carry
        part, sources, program, entering = self._second_body(jaxpr, policy)
        again = [i for kind, i in sources if kind == OUTPUT and i < num_carry]
        self.known = _returning_again(part, again, [i - sum(flags[:i]) for i in entering])
        self.stacked = self.known.out_avals[len(out_unknowns) - sum(out_unknowns) :]
        passed = [*[(OUTPUT, i) for i in again], *[(INPUT, i) for i in entering]]
        stacked = {source: (RESIDUAL, len(part.computed) + k) for k, source in enumerate(passed)}
        consts = [s for s in sources if s[0] == INPUT and s[1] < num_consts]
        carry = [(INPUT, num_consts + k) for k in places(self.carried)]
        rows = [s for s in sources if s[0] != INPUT or s[1] >= first or s in stacked]
        variables = dict(zip(sources, program.jaxpr.invars))
        # A part of the carry that is only returned is an argument all the same.
        self.unknown = _with_arguments(
            program,
            [variables[s] if s in variables else Var(jaxpr.in_avals[s[1]]) for s in (*consts, *carry, *rows)],
        )
        self.num_unknown_consts = len(consts)
        self.operands = [stacked.get(s, s) for s in (*consts, *carry, *rows)]

    def _second_body(
        self, jaxpr: ClosedJaxpr, policy: Policy
    ) -> tuple[PartialJaxpr, list[tuple[str, int]], ClosedJaxpr, list[int]]:
        """The division, what the second body takes and the body itself, and which known parts of the carry come to it as rows."""
        carry = range(self.num_consts, self.num_consts + self.num_carry)
        self.carried = self.needed[: self.num_carry]
        while True:  # what the second body takes of the carry otherwise, it must also return
            part = split_jaxpr(
                jaxpr,
                self.flags,
                outputs=self.carried + self.needed[self.num_carry :],
                out_unknowns=self.out_unknowns,
                policy=policy,
            )
            sources, program = _taken(part, self.flags)
            taken = [(INPUT, i) in sources for i in carry]
            stackable = [policy is everything_saveable and not self.flags[i] for i in carry]
            wider = tuple([c or (t and not s) for c, t, s in zip(self.carried, taken, stackable)])
            if wider == self.carried:
                entering = [i for i, c, t in zip(carry, wider, taken) if t and not c]
                return part, sources, program, entering
            self.carried = wider

    def halves(self, params: dict[str, Any]) -> Halves:
        num_consts, num_carry, length = self.num_consts, self.num_carry, params["length"]
        known = [not u for u in self.flags]
        return Halves(
            known=params
            | {
                "jaxpr": self.known,
                "num_consts": sum(known[:num_consts]),
                "num_carry": sum(known[num_consts : num_consts + num_carry]),
            },
            known_inputs=places(known),
            known_outputs=places([not u for u in self.out_unknowns]),
            residuals=[_stack(aval, length) for aval in self.stacked],
            unknown=params
            | {
                "jaxpr": self.unknown,
                "num_consts": self.num_unknown_consts,
                "num_carry": sum(self.carried),
            },
            operands=self.operands,
            unknown_outputs=places([*self.carried, *self.needed[num_carry:]]),
        )


def _returning_again(part: PartialJaxpr, carries: Sequence[int], entering: Sequence[int]) -> ClosedJaxpr:
    """The known body that also stacks values of the carry, for its scan itself returns the last ones only.

    Args:
      carries: of which parts the next values, by index among all results.
      entering: which of the known arguments, as the values before.
    """
    known = part.known.jaxpr
    place = {i: k for k, i in enumerate(places([not u for u in part.out_unknowns]))}
    stacked = [*[known.outvars[place[i]] for i in carries], *[known.invars[i] for i in entering]]
    outs = [*known.outvars, *stacked]
    made = Jaxpr(known.constvars, known.invars, outs, known.eqns, known.effects, known.name)
    return ClosedJaxpr(made, part.known.consts)


def _with_arguments(closed: ClosedJaxpr, invars: list[Var]) -> ClosedJaxpr:
    jaxpr = closed.jaxpr
    made = Jaxpr(jaxpr.constvars, invars, jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name)
    return ClosedJaxpr(made, closed.consts)


def _stack(aval: AbstractValue, length: int) -> ShapedArray:
    array = array_aval(aval)
    return array.update(shape=(length, *array.shape))


def _sources(part: PartialJaxpr, unknown: Flags) -> list[tuple[str, int]]:
    """Where the arguments of the unknown program come from."""
    return [
        *[(RESIDUAL, k) for k in range(len(part.computed))],
        *[(OUTPUT, i) for i in part.residual_outputs],
        *[(INPUT, i) for i in (*part.residual_inputs, *places(unknown))],
    ]


def _taken(part: PartialJaxpr, unknown: Flags) -> tuple[list[tuple[str, int]], ClosedJaxpr]:
    """The unknown program of the arguments that it uses, and where they come from."""
    program, used = dce_closed(part.unknown)
    return chosen(_sources(part, unknown), used), program


# ---------------------------------------------------------------------------------------------


def divided_cond(unknown: Flags, *, branches: tuple[ClosedJaxpr, ...], **how: Any) -> Division | None:
    """How a `cond` divides if the operands where `unknown` is True are not known; not at all without its index."""
    if unknown[0]:
        return None
    flags = unknown[1:]
    columns = zip(*[unknown_outputs(branch, flags) for branch in branches])
    out_unknowns = tuple([any(column) for column in columns])

    def divide(needed: Flags, policy: Policy) -> Halves:
        split = memoized_together(
            branches,
            ("cond divided", flags, needed, policy),
            lambda: _DividedCond(branches, flags, out_unknowns, needed, policy),
        )
        return split.halves(how)

    return Division(out_unknowns, divide)


class _DividedCond:
    """The branches of both conds; residuals are in common slots."""

    __slots__ = ("flags", "known", "needed", "out_unknowns", "slots", "sources", "unknown")

    def __init__(
        self,
        branches: tuple[ClosedJaxpr, ...],
        flags: Flags,
        out_unknowns: Flags,
        needed: Flags,
        policy: Policy,
    ) -> None:
        self.flags, self.out_unknowns, self.needed = flags, out_unknowns, needed
        parts = [
            split_jaxpr(branch, flags, outputs=needed, out_unknowns=out_unknowns, policy=policy)
            for branch in branches
        ]
        slots: list[ShapedArray] = []
        where = [residual_slots(part.computed, slots) for part in parts]
        self.slots = slots
        outputs = sorted({i for part in parts for i in part.residual_outputs})
        inputs = sorted({i for part in parts for i in (*part.residual_inputs, *places(flags))})
        self.sources = [
            *[(RESIDUAL, k) for k in range(len(slots))],
            *[(OUTPUT, i) for i in outputs],
            *[(INPUT, i) for i in inputs],
        ]
        self.known = tuple([self._known(part, slots, w) for part, w in zip(parts, where)])
        avals = [
            *slots,
            *[branches[0].out_avals[i] for i in outputs],
            *[branches[0].in_avals[i] for i in inputs],
        ]
        self.unknown = tuple([self._unknown(part, w, avals) for part, w in zip(parts, where)])

    def _known(self, part: PartialJaxpr, slots: Sequence[ShapedArray], where: Sequence[int]) -> ClosedJaxpr:
        count = len(part.known.out_avals) - len(where)

        def fun(run: Run, *operands: Any) -> list[Any]:
            outs = run(part.known, operands)
            return [*outs[:count], *filled(outs[count:], where, slots)]

        return staged(fun, part.known.in_avals, part.known.jaxpr.name)

    def _unknown(
        self, part: PartialJaxpr, where: Sequence[int], avals: Sequence[AbstractValue]
    ) -> ClosedJaxpr:
        place = {source: k for k, source in enumerate(self.sources)}
        taken = [
            place[(RESIDUAL, where[i]) if kind == RESIDUAL else (kind, i)]
            for kind, i in _sources(part, self.flags)
        ]
        return staged(
            lambda run, *xs: run(part.unknown, [xs[k] for k in taken]), avals, part.unknown.jaxpr.name
        )

    def halves(self, how: dict[str, Any]) -> Halves:
        return Halves(
            known={"branches": self.known} | how,
            known_inputs=[0, *[i + 1 for i in places([not u for u in self.flags])]],
            known_outputs=places([not u for u in self.out_unknowns]),
            residuals=self.slots,
            unknown={"branches": self.unknown} | how,
            operands=[
                (INPUT, 0),
                *[(kind, i + 1) if kind == INPUT else (kind, i) for kind, i in self.sources],
            ],
            unknown_outputs=places(self.needed),
        )


def residual_slots(avals: Sequence[AbstractValue], slots: list[ShapedArray]) -> list[int]:
    """Where among `slots`, which grow if need be, the residuals of a branch go: each has a slot of its own."""
    free: dict[ShapedArray, list[int]] = {}
    for place in range(len(slots) - 1, -1, -1):
        free.setdefault(slots[place], []).append(place)
    found = []
    for aval in avals:
        strong = array_aval(aval).strip_weak_type()
        if fitting := free.get(strong):
            found.append(fitting.pop())
        else:
            found.append(len(slots))
            slots.append(strong)
    return found


def filled(values: Sequence[Any], where: Sequence[int], slots: Sequence[ShapedArray]) -> list[Any]:
    """The values in their slots, zeros in the others."""
    given = dict(zip(where, values))
    return [given[i] if i in given else hooks.zeros(aval) for i, aval in enumerate(slots)]
