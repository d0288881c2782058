"""Rewriting the programs inside control flow: other orders of arguments, parts that depend on some inputs only.

Invariant: nothing here traces a user's function; what is derived from a program depends on that program alone, so callers
keep it in the program's memo.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from anima.core.aval import AbstractValue
from anima.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from anima.core.primitive import Zero
from anima.core.trace import aval_of
from anima.interpreters.dce import dce_jaxpr
from anima.interpreters.jvp import eval_derived, stage_closed
from anima.interpreters.stage import StageTrace
from anima.interpreters.zeros import instantiate

T = TypeVar("T")
Flags = tuple[bool, ...]
Run = Callable[[ClosedJaxpr, Sequence[Any]], list[Any]]


def reordered(
    closed: ClosedJaxpr, inputs: Sequence[int], outputs: Sequence[int] | None = None
) -> ClosedJaxpr:
    """The same program with its arguments, and its outputs if given, in another order; outputs may be left out."""
    jaxpr = closed.jaxpr
    invars = [jaxpr.invars[i] for i in inputs]
    outvars = jaxpr.outvars if outputs is None else [jaxpr.outvars[i] for i in outputs]
    return ClosedJaxpr(
        Jaxpr(jaxpr.constvars, invars, outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name), closed.consts
    )


def needed_inputs(closed: ClosedJaxpr, outputs: Sequence[bool]) -> list[bool]:
    """Which arguments the wanted outputs (and the effects) of a program depend on."""
    return dce_jaxpr(closed.jaxpr, outputs)[2]


def without_dead(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same program, with all its arguments, without equations that nothing depends on."""
    jaxpr, used_consts, _ = dce_jaxpr(closed.jaxpr)
    alive = Jaxpr(jaxpr.constvars, closed.jaxpr.invars, jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name)
    return ClosedJaxpr(alive, chosen(closed.consts, used_consts))


def carry_closure(
    body: ClosedJaxpr, num_consts: int, carried: Sequence[bool], others: Sequence[bool] = ()
) -> tuple[list[bool], list[bool]]:
    """The parts of a carry that are needed if those in `carried`, and `others` among the other results, are.

    Returns them, and which arguments of the body those need.
    """
    kept = list(carried)
    while True:
        needed = needed_inputs(body, [*kept, *others])
        wider = [a or b for a, b in zip(kept, needed[num_consts:])]
        if wider == kept:
            return kept, needed
        kept = wider


def dependent_outputs(jaxpr: Jaxpr, inputs: Sequence[bool]) -> Flags:
    """Which outputs depend on the arguments where `inputs` is True, or come from equations that have effects."""
    found = {v for v, flag in zip(jaxpr.invars, inputs) if flag}
    for eqn in jaxpr.eqns:
        if eqn.effects or any(a in found for a in eqn.invars if isinstance(a, Var)):
            found.update(eqn.outvars)
    return tuple(isinstance(a, Var) and a in found for a in jaxpr.outvars)


def memoized_together(programs: Sequence[ClosedJaxpr], key: Hashable, build: Callable[[], T]) -> T:
    """The value of `build()`, computed once for these programs and this key; it lives no longer than any of them."""
    table: Any = programs[0].jaxpr.memoized(("together", len(programs), key), WeakKeyDictionary)
    for program in programs[1:]:
        table = table.setdefault(program, WeakKeyDictionary())
    known: T | None = table.get(programs[0])
    return table.setdefault(programs[0], build()) if known is None else known


def staged(fun: Callable[..., Sequence[Any]], avals: Sequence[AbstractValue], name: str) -> ClosedJaxpr:
    """The program of `fun(run, *arguments)`; it performs other programs with `run(closed, arguments)`.

    Equations that come from those keep their positions in the user's source.
    """
    stages: list[StageTrace] = []

    def run(closed: ClosedJaxpr, args: Sequence[Any]) -> list[Any]:
        return eval_derived(closed.jaxpr, closed.consts, args, stages[0])

    return stage_closed(lambda *xs: fun(run, *xs), avals, name, stages.append)


def spread(values: Sequence[Any], flags: Sequence[bool], avals: Sequence[AbstractValue]) -> list[Any]:
    """Tangents for all values: one of `values` for each True of `flags`, symbolic zeros elsewhere."""
    given = iter(values)
    return [next(given) if flag else Zero(a.tangent_aval()) for flag, a in zip(flags, avals)]


def chosen(values: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The values for which a flag is True."""
    return [v for v, flag in zip(values, flags) if flag]


def places(flags: Sequence[bool]) -> list[int]:
    """Where the flags are True."""
    return [i for i, flag in enumerate(flags) if flag]


def made_real(tangents: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """The tangents for which a flag is True, with arrays of zeros for symbolic ones."""
    return [instantiate(t) for t, flag in zip(tangents, flags) if flag]


def nonzeros(tangents: Sequence[Any]) -> Flags:
    """Which tangents are not symbolic zeros."""
    return tuple(type(t) is not Zero for t in tangents)


def avals_of(values: Sequence[Any]) -> list[AbstractValue]:
    """The avals of several values."""
    return [aval_of(v) for v in values]
