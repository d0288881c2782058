"""Partial evaluation: a program divided into what can run now and what runs later.

Invariant: the first program computes all that depends on known arguments alone, and what the second needs of it, the
residuals; the second computes the rest. A policy says which known values may be residuals. What it does not admit is
computed again by the second program, from those that it admits and from the known arguments, which are always there.
Both are derived in two passes over the program, and equations with programs inside divide as their `partial` rule says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima.core.aval import AbstractValue
from anima.core.effects import happens, no_effects
from anima.core.jaxpr import Atom, ClosedJaxpr, DropVar, Eqn, Jaxpr, Var, join_effects
from anima.core.primitive import Primitive, primitives
from anima.interpreters.dce import smaller_equation, without_dead
from anima.interpreters.residuals import is_cheap
from anima.records import NamedTuple

Flags = tuple[bool, ...]
Policy = Callable[..., Any]


class _Answer:
    """One of the answers that a policy may give besides True and False."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return self.name


Saveable = _Answer("Saveable")
Recompute = _Answer("Recompute")


class Offloadable(NamedTuple):
    """A policy's answer: the value may be kept, in another memory.

    Attributes:
      src: the kind of memory in which it is computed and used, such as "device".
      dst: the kind of memory in which it waits, such as "pinned_host".
    """

    src: str
    dst: str


def everything_saveable(*_: Any, **__: Any) -> bool:
    """The policy that admits every value."""
    return True


def nothing_saveable(*_: Any, **__: Any) -> bool:
    """The policy that admits no value."""
    return False


def decided(
    policy: Policy, primitive: Primitive, avals: Sequence[AbstractValue], params: dict[str, Any]
) -> _Answer | Offloadable:
    """What a policy says about the results of an operation.

    Raises:
      TypeError: it returned something else than an answer.
    """
    answer = policy(primitive, *avals, **params)
    if answer is True:
        return Saveable
    if answer is False:
        return Recompute
    if isinstance(answer, (_Answer, Offloadable)):
        return answer
    raise TypeError(
        f"checkpoint: the policy {policy!r} returned {answer!r} of type {type(answer).__name__} for '{primitive}'; a policy "
        "returns True or ad_checkpoint.Saveable, False or ad_checkpoint.Recompute, or ad_checkpoint.Offloadable(src, dst)"
    )


class PartialJaxpr:
    """A program divided in two.

    Attributes:
      known: known arguments -> known outputs, then the residuals that are neither outputs nor arguments.
      unknown: those residuals, residual outputs, residual inputs, unknown arguments -> the outputs that were asked for.
      residual_outputs, residual_inputs: outputs and arguments of the whole program that are residuals too, by index.
      out_unknowns: which outputs of the whole program are not known.
    """

    __slots__ = ("known", "out_unknowns", "residual_inputs", "residual_outputs", "unknown")

    def __init__(
        self,
        known: ClosedJaxpr,
        unknown: ClosedJaxpr,
        residual_outputs: tuple[int, ...],
        residual_inputs: tuple[int, ...],
        out_unknowns: Flags,
    ) -> None:
        self.known = known
        self.unknown = unknown
        self.residual_outputs = residual_outputs
        self.residual_inputs = residual_inputs
        self.out_unknowns = out_unknowns

    @property
    def computed(self) -> list[AbstractValue]:
        """The types of the residuals that `known` returns after its outputs."""
        return self.known.out_avals[len(self.out_unknowns) - sum(self.out_unknowns) :]


RESIDUAL, OUTPUT, INPUT = "residual", "output", "input"


class Halves:
    """The two equations into which one divides.

    Attributes:
      known, unknown: their parameters.
      known_inputs, known_outputs: which operands and results of the whole the first has; residuals follow its results.
      residuals: the types of those residuals.
      operands: what the second takes: pairs of RESIDUAL, OUTPUT or INPUT (of the whole) and an index.
      unknown_outputs: which results of the whole the second has.
    """

    __slots__ = (
        "known", "known_inputs", "known_outputs", "operands", "residuals", "unknown", "unknown_outputs",
    )  # fmt: skip

    def __init__(
        self,
        *,
        known: dict[str, Any],
        known_inputs: Sequence[int],
        known_outputs: Sequence[int],
        residuals: Sequence[AbstractValue],
        unknown: dict[str, Any],
        operands: Sequence[tuple[str, int]],
        unknown_outputs: Sequence[int],
    ) -> None:
        self.known = known
        self.known_inputs = known_inputs
        self.known_outputs = known_outputs
        self.residuals = residuals
        self.unknown = unknown
        self.operands = operands
        self.unknown_outputs = unknown_outputs


class Division:
    """How an equation with programs inside divides: what a `partial` rule returns.

    Attributes:
      out_unknowns: which of its results are not known.
      divide: gives its halves, `divide(needed, policy)`; `needed` flags the results that the second must have.

    A rule returns None where the equation stays whole: then nothing of it is known if an operand is not.
    """

    __slots__ = ("divide", "out_unknowns")

    def __init__(self, out_unknowns: Flags, divide: Callable[[Flags, Policy], Halves]) -> None:
        self.out_unknowns = out_unknowns
        self.divide = divide


def in_halves(
    primitive: Primitive,
    args: Sequence[Any],
    division: Division,
    now: Callable[..., Sequence[Any]],
    later: Callable[..., Sequence[Any]],
) -> list[Any]:
    """The results of an operation that divides: of its known half by `now`, of the other one by `later`.

    Args:
      now, later: called as `now(primitive, args, params)`.
    """
    halves = division.divide(division.out_unknowns, everything_saveable)
    found = now(primitive, [args[i] for i in halves.known_inputs], halves.known)
    results: dict[int, Any] = dict(zip(halves.known_outputs, found))
    if halves.unknown_outputs:
        residuals = found[len(halves.known_outputs) :]
        operands = [
            args[i] if kind is INPUT else results[i] if kind is OUTPUT else residuals[i]
            for kind, i in halves.operands
        ]
        # The second half may compute known results again: the first one's are those.
        results = (
            dict(zip(halves.unknown_outputs, later(primitive, tuple(operands), halves.unknown))) | results
        )
    return [results[i] for i in range(len(division.out_unknowns))]


def divided_call(closed: ClosedJaxpr, unknown: Flags, params: dict[str, Any], name: str) -> Division:
    """The division of an equation that performs a program, its parameter `name`, on its operands."""

    def divide(needed: Flags, policy: Policy) -> Halves:
        part = split_jaxpr(closed, unknown, outputs=needed, policy=policy)
        return Halves(
            known=params | {name: part.known},
            known_inputs=_places(unknown, False),
            known_outputs=_places(part.out_unknowns, False),
            residuals=part.computed,
            unknown=params | {name: part.unknown},
            operands=[
                *[(RESIDUAL, k) for k in range(len(part.computed))],
                *[(OUTPUT, i) for i in part.residual_outputs],
                *[(INPUT, i) for i in (*part.residual_inputs, *_places(unknown, True))],
            ],
            unknown_outputs=_places(needed, True),
        )

    return Division(unknown_outputs(closed, unknown), divide)


def _places(flags: Sequence[bool], wanted: bool) -> list[int]:
    return [i for i, flag in enumerate(flags) if flag is wanted]


# ---------------------------------------------------------------------------------------------
# Forwards: what is known.

# For each equation: whether its results are unknown, or how it divides.
_Marks = list[bool | Division]


def unknown_outputs(closed: ClosedJaxpr, unknown: Flags) -> Flags:
    """Which outputs of a program depend on the arguments where `unknown` is True."""
    jaxpr = closed.jaxpr

    def find() -> Flags:
        _, variables = _marked(jaxpr, unknown)
        return tuple([v in variables for v in jaxpr.outvars])

    return jaxpr.memoized(("unknown outputs", unknown), find)


def _marked(jaxpr: Jaxpr, unknown: Flags) -> tuple[_Marks, set[Atom]]:
    variables: set[Atom] = {v for v, flag in zip(jaxpr.invars, unknown) if flag}
    marks: _Marks = []
    for eqn in jaxpr.eqns:
        flags = tuple([a in variables for a in eqn.invars])
        mark: bool | Division = any(flags) and (_divided(eqn, flags) or True)
        if isinstance(mark, Division):
            variables.update([v for v, flag in zip(eqn.outvars, mark.out_unknowns) if flag])
        elif mark:
            variables.update(eqn.outvars)
        marks.append(mark)
    return marks, variables


def _divided(eqn: Eqn, unknown: Flags) -> Division | None:
    """How an equation divides, or None if it stays whole."""
    if eqn.primitive.partial is None:
        return None
    division: Division | None = eqn.primitive.partial(unknown, **eqn.params)
    return division


# ---------------------------------------------------------------------------------------------
# Backwards: what the unknown program needs.


def split_jaxpr(
    closed: ClosedJaxpr,
    unknown: Flags,
    *,
    outputs: Flags | None = None,
    out_unknowns: Flags | None = None,
    policy: Policy = everything_saveable,
) -> PartialJaxpr:
    """Divide a program into a known and an unknown one. It is done once for a program and the same wishes.

    Args:
      unknown: which arguments are not known.
      outputs: which outputs the unknown program returns (default: those that are not known). For others that are not
        known nothing is computed.
      out_unknowns: which outputs to treat as not known (default: those that depend on unknown arguments, which it must
        contain).
      policy: called as `policy(primitive, *avals, **params)`: whether results of such an equation may be residuals.
        With other policies than `everything_saveable`, known equations with effects are in both programs.
    """
    key = ("split", unknown, outputs, out_unknowns, policy)
    return closed.jaxpr.memoized(key, lambda: _Splitter(closed, unknown, policy).split(outputs, out_unknowns))


class _Splitter:
    """The backward pass; equations are collected last first."""

    def __init__(self, closed: ClosedJaxpr, unknown: Flags, policy: Policy) -> None:
        self.closed = closed
        self.unknown_flags = unknown
        self.policy = policy
        self.known: list[Eqn] = []
        self.unknown: list[Eqn] = []
        self.needed: set[Atom] = set()  # what the unknown program uses
        self.kept: set[Atom] = set()  # what is to be a residual whatever the policy says of it
        self.saved: dict[Var, None] = {}

    def split(self, outputs: Flags | None, forced: Flags | None) -> PartialJaxpr:
        jaxpr = self.closed.jaxpr
        marks, variables = _marked(jaxpr, self.unknown_flags)
        out_unknowns = forced or tuple([v in variables for v in jaxpr.outvars])
        wanted = [v for v, flag in zip(jaxpr.outvars, outputs or out_unknowns) if flag]
        self.needed.update(wanted)
        for eqn, mark in zip(reversed(jaxpr.eqns), reversed(marks)):
            needed = tuple([v in self.needed for v in eqn.outvars])
            if isinstance(mark, Division):
                self._divide(eqn, mark, needed)
            elif mark:
                if any(needed) or happens(eqn.effects):
                    self._later(eqn, needed)
            else:
                self._visit_known(eqn, needed)
        return self._result(wanted, out_unknowns)

    def _visit_known(self, eqn: Eqn, needed: Flags) -> None:
        policy = self.policy
        replayed = policy is not everything_saveable and happens(eqn.effects)
        kept = [n and v in self.kept for v, n in zip(eqn.outvars, needed)]
        if any(kept):
            self._save([v for v, flag in zip(eqn.outvars, kept) if flag])
            needed = tuple([n and not k for n, k in zip(needed, kept)])
        if not any(needed) and not replayed:
            self.known.append(eqn)
        elif policy is nothing_saveable:
            self._again(eqn, needed)
        elif policy is everything_saveable or (division := _divided(eqn, (False,) * len(eqn.invars))) is None:
            self._follow(eqn, needed, replayed)
        else:
            self._divide(eqn, division, needed)

    def _follow(self, eqn: Eqn, needed: Flags, replayed: bool) -> None:
        """Do with an equation as the policy says."""
        answer = decided(self.policy, eqn.primitive, [a.aval for a in eqn.invars], eqn.params)
        if answer is Recompute or replayed:
            self._again(eqn, needed)
        elif answer is Saveable and is_cheap(eqn):
            self.kept.update(eqn.invars)  # the operand serves as well, and is not larger
            self._again(eqn, needed)
        else:
            variables = [v for v, flag in zip(eqn.outvars, needed) if flag]
            if isinstance(answer, Offloadable):
                self._offload(variables, answer)
            else:
                self._save(variables)
            self.known.append(eqn)

    def _save(self, variables: Sequence[Var]) -> None:
        self.saved.update(dict.fromkeys(reversed(variables)))

    def _again(self, eqn: Eqn, needed: Flags) -> None:
        self.known.append(eqn)
        self._later(eqn, needed)

    def _later(self, eqn: Eqn, needed: Flags) -> None:
        smaller = smaller_equation(eqn, needed)
        if smaller is not None:
            self.unknown.append(smaller)
            self.needed.update(smaller.invars)

    def _offload(self, variables: Sequence[Var], where: Offloadable) -> None:
        transfer = primitives["transfer"]
        for var in variables:
            away = Var(var.aval)
            self.known.append(Eqn(transfer, [var], [away], {"memory_kind": where.dst}))
            self.unknown.append(Eqn(transfer, [away], [var], {"memory_kind": where.src}))
            self._save([away])

    def _divide(self, eqn: Eqn, division: Division, needed: Flags) -> None:
        if (
            self.policy is everything_saveable
        ):  # results of the first half are residuals, and are not computed again
            ready = [n and not u for n, u in zip(needed, division.out_unknowns)]
            self._save([v for v, flag in zip(eqn.outvars, ready) if flag])
            needed = tuple([n and not r for n, r in zip(needed, ready)])
        halves = division.divide(needed, self.policy)
        residuals = [Var(aval) for aval in halves.residuals]
        own = set(residuals)
        self.known.append(
            _with(
                eqn,
                halves.known,
                [eqn.invars[i] for i in halves.known_inputs],
                [*[eqn.outvars[i] for i in halves.known_outputs], *residuals],
            )
        )
        sources = {RESIDUAL: residuals, OUTPUT: eqn.outvars, INPUT: eqn.invars}
        operands = [(kind, sources[kind][i]) for kind, i in halves.operands]
        # A result that is a residual is there already; the second half need not hand it on.
        there = {atom for kind, atom in operands if kind == OUTPUT}
        wanted = [n and v not in there for v, n in zip(eqn.outvars, needed)]
        later = _with(
            eqn,
            halves.unknown,
            [atom for _, atom in operands],
            [eqn.outvars[i] if wanted[i] else DropVar(eqn.outvars[i].aval) for i in halves.unknown_outputs],
        )
        saved = there.intersection(v for v, n in zip(eqn.outvars, needed) if n)
        if any(wanted) or happens(later.effects):
            smaller = smaller_equation(later, tuple([wanted[i] for i in halves.unknown_outputs]))
            if smaller is not None:
                self.unknown.append(smaller)
                saved.update([a for a in smaller.invars if a in there or a in own])
                self.needed.update(smaller.invars)
        self._save([v for v in (*eqn.outvars, *residuals) if v in saved])

    def _result(self, wanted: Sequence[Atom], out_unknowns: Flags) -> PartialJaxpr:
        jaxpr, consts = self.closed.jaxpr, self.closed.consts
        outputs = {v: i for i, (v, flag) in enumerate(zip(jaxpr.outvars, out_unknowns)) if not flag}
        saved = list(self.saved)[::-1]
        computed = [v for v in saved if v not in outputs]
        of_outputs = [v for v in saved if v in outputs]
        of_inputs = [
            i for i, (v, flag) in enumerate(zip(jaxpr.invars, self.unknown_flags))
            if not flag and v in self.needed
        ]  # fmt: skip
        given = [v for v, flag in zip(jaxpr.invars, self.unknown_flags) if flag]
        known = _program(
            jaxpr,
            consts,
            [v for v, flag in zip(jaxpr.invars, self.unknown_flags) if not flag],
            [*[v for v, flag in zip(jaxpr.outvars, out_unknowns) if not flag], *computed],
            self.known[::-1],
        )
        inputs = [jaxpr.invars[i] for i in of_inputs]
        unknown = _program(
            jaxpr, consts, [*computed, *of_outputs, *inputs, *given], wanted, self.unknown[::-1]
        )
        return PartialJaxpr(
            known, unknown, tuple([outputs[v] for v in of_outputs]), tuple(of_inputs), out_unknowns
        )


def _with(eqn: Eqn, params: dict[str, Any], invars: list[Atom], outvars: list[Var]) -> Eqn:
    rule = eqn.primitive.effects
    effects = no_effects if rule is None else rule(*[a.aval for a in invars], **params)
    return eqn.replace(params=params, invars=invars, outvars=outvars, effects=effects)


def _program(
    whole: Jaxpr, consts: Sequence[Any], invars: list[Var], outvars: Sequence[Atom], eqns: list[Eqn]
) -> ClosedJaxpr:
    """A part of a program, without what its outputs do not need."""
    jaxpr = Jaxpr(whole.constvars, invars, list(outvars), eqns, join_effects(eqns), whole.name)
    return without_dead(ClosedJaxpr(jaxpr, consts))
