"""Residuals that the linear part computes itself, because keeping them costs more.

Invariant: only operations that move or widen data are repeated: broadcasts, conversions, reshapes, index counts. XLA fuses
them into what uses them, while a stored result takes memory for every element; in a `scan`, in every iteration. Each
is repeated once, however many residuals come from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core.aval import ShapedArray, physical_aval
from anima.core.jaxpr import Atom, Eqn, Jaxpr, Literal, Var
from anima.interpreters.stage import StagedTracer, StageTrace

_REPEATED = frozenset(["broadcast_in_dim", "convert_element_type", "iota", "reshape", "squeeze"])


def is_cheap(eqn: Eqn) -> bool:
    """Whether an equation is better repeated than its result kept."""
    if eqn.primitive.name not in _REPEATED or len(eqn.invars) > 1:
        return False
    return not eqn.invars or _size(eqn.invars[0]) <= _size(eqn.outvars[0])


def repeat_cheap(
    linear: Jaxpr, residuals: Sequence[Any], trace: StageTrace, kept: Sequence[Any]
) -> list[Any]:
    """The residuals that remain if `linear`, which is extended, computes the others from them.

    Args:
      linear: a program that takes the residuals first.
      residuals: values of the program that `trace` records.
      kept: its arguments and outputs, which are there anyway: nothing before them is repeated.
    """
    given = {x.atom for x in kept if _is_staged(x, trace)}
    made = {eqn.outvars[0]: eqn for eqn in trace.eqns if is_cheap(eqn) and eqn.outvars[0] not in given}
    tracers = {x.atom: x for x in (*residuals, *kept) if _is_staged(x, trace)}
    names: dict[Atom, Var] = {}  # what stands for a value of the recorded program in the linear one
    remaining: list[tuple[Any, Var]] = []
    repeated: list[Atom] = []
    for value, var in zip(residuals, linear.invars):
        if _is_staged(value, trace) and value.atom in made and value.atom not in names:
            names[value.atom] = var
            repeated.append(value.atom)
        else:
            remaining.append((value, var))
            if _is_staged(value, trace):
                names.setdefault(value.atom, var)
    eqns: list[Eqn] = []
    done: set[Atom] = set()

    def compute(atom: Atom) -> None:
        """Make the linear program compute a value, from residuals or from nothing."""
        chain: list[Eqn] = []
        while atom in made and atom not in done:
            done.add(atom)
            names.setdefault(atom, Var(atom.aval))
            chain.append(made[atom])
            if not chain[-1].invars:
                break
            (atom,) = chain[-1].invars
        else:
            if atom not in names and not isinstance(atom, Literal):
                names[atom] = Var(atom.aval)
                known = tracers.get(atom)
                remaining.append(
                    (StagedTracer(trace, atom, atom.aval) if known is None else known, names[atom])
                )
        for eqn in reversed(chain):
            invars = [names.get(a, a) for a in eqn.invars]
            eqns.append(eqn.replace(invars=invars, outvars=[names[eqn.outvars[0]]]))

    for atom in repeated:
        compute(atom)
    linear.eqns = [*eqns, *linear.eqns]
    linear.invars = [*[var for _, var in remaining], *linear.invars[len(residuals) :]]
    return [value for value, _ in remaining]


def _is_staged(value: Any, trace: StageTrace) -> bool:
    return type(value) is StagedTracer and value._trace is trace


def _size(atom: Atom) -> int:
    return physical_aval(atom.aval).nbytes if isinstance(atom.aval, ShapedArray) else 0
