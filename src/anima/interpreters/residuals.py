"""Residuals that the linear part computes itself, because keeping them costs more.

Invariant: only operations that move or widen data are repeated: broadcasts, conversions, reshapes, index counts. XLA fuses
them into what uses them, while a stored result takes memory for every element; in a `scan`, in every iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anima.core.aval import ShapedArray, physical_aval
from anima.core.jaxpr import Atom, Eqn, Jaxpr, Literal, Var
from anima.interpreters.stage import StagedTracer, StageTrace

_REPEATED = frozenset(["broadcast_in_dim", "convert_element_type", "iota", "reshape", "squeeze"])


def repeat_cheap(
    linear: Jaxpr, residuals: Sequence[Any], trace: StageTrace, kept: Sequence[Any]
) -> list[Any]:
    """The residuals that remain if `linear`, which is extended, computes the others from them.

    Args:
      linear: a program that takes the residuals first.
      residuals: values of the program that `trace` records.
      kept: its arguments and outputs, which are there anyway: nothing before them is repeated.
    """
    made = {eqn.outvars[0]: eqn for eqn in trace.eqns if eqn.primitive.name in _REPEATED}
    tracers = {x.atom: x for x in (*residuals, *kept) if _is_staged(x, trace)}
    given = {x.atom for x in kept if _is_staged(x, trace)}
    remaining: dict[Any, tuple[Any, Var]] = {}
    eqns: list[Eqn] = []

    def source(atom: Atom) -> Atom:
        """What stands for a value of the recorded program that remains a residual."""
        if isinstance(atom, Literal):
            return atom
        if atom not in remaining:
            tracer = tracers[atom] if atom in tracers else StagedTracer(trace, atom)
            remaining[atom] = (tracer, Var(atom.aval))
        return remaining[atom][1]

    for value, var in zip(residuals, linear.invars):
        chain = _chain(value.atom, made, given) if _is_staged(value, trace) else []
        if not chain:
            remaining[value.atom if _is_staged(value, trace) else id(value)] = (value, var)
    for value, var in zip(residuals, linear.invars):
        chain = _chain(value.atom, made, given) if _is_staged(value, trace) else []
        for eqn in reversed(chain):
            inputs = [source(a) if eqn is chain[-1] else eqns[-1].outvars[0] for a in eqn.invars]
            outvar = var if eqn is chain[0] else Var(eqn.outvars[0].aval)
            eqns.append(eqn.replace(invars=inputs, outvars=[outvar]))
    linear.eqns = [*eqns, *linear.eqns]
    linear.invars = [*[var for _, var in remaining.values()], *linear.invars[len(residuals) :]]
    return [value for value, _ in remaining.values()]


def _is_staged(value: Any, trace: StageTrace) -> bool:
    return type(value) is StagedTracer and value._trace is trace


def _chain(atom: Atom, made: dict[Var, Eqn], given: set[Atom]) -> list[Eqn]:
    """The operations to repeat for a value, the last one first; none if it is better kept."""
    found: list[Eqn] = []
    while isinstance(atom, Var) and atom not in given and atom in made:
        eqn = made[atom]
        if len(eqn.invars) > 1 or any(_size(a) > _size(atom) for a in eqn.invars):
            break
        found.append(eqn)
        if not eqn.invars:
            break
        atom = eqn.invars[0]
    return found


def _size(atom: Atom) -> int:
    return physical_aval(atom.aval).nbytes if isinstance(atom.aval, ShapedArray) else 0
