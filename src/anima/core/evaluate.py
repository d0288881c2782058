"""Running a jaxpr: each equation is applied to values, under whatever trace is ambient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima.core.jaxpr import Atom, Jaxpr, Literal, Var
from anima.core.source import Position


def eval_jaxpr(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    *args: Any,
    on_equation: Callable[[Position | None], None] | None = None,
) -> list[Any]:
    """The outputs of `jaxpr` for the given constants and arguments.

    `on_equation` is called with each equation's source position before the equation runs.

    Raises:
      TypeError: the number of constants or arguments is wrong.
    """
    if len(consts) != len(jaxpr.constvars) or len(args) != len(jaxpr.invars):
        raise TypeError(
            f"eval_jaxpr got {len(consts)} consts and {len(args)} arguments for a jaxpr with "
            f"{len(jaxpr.constvars)} constvars and {len(jaxpr.invars)} invars"
        )
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args))

    def read(atom: Atom) -> Any:
        return atom.val if type(atom) is Literal else env[atom]

    last_use = jaxpr.memoized("last use", lambda: _last_uses(jaxpr))
    for eqn, dead in zip(jaxpr.eqns, last_use):
        if on_equation is not None:
            on_equation(eqn.source)
        outs = eqn.primitive.bind(*[read(a) for a in eqn.invars], **eqn.params)
        if eqn.primitive.multiple_results:
            env.update(zip(eqn.outvars, outs))
        else:
            env[eqn.outvars[0]] = outs
        for var in dead:
            env.pop(var, None)
    return [read(a) for a in jaxpr.outvars]


def _last_uses(jaxpr: Jaxpr) -> list[list[Var]]:
    """For each equation, the variables not needed after it, so that values are freed early."""
    alive = {a for a in jaxpr.outvars if not isinstance(a, Literal)}
    result: list[list[Var]] = []
    for eqn in reversed(jaxpr.eqns):
        dead = []
        for atom in (*eqn.invars, *eqn.outvars):
            if not isinstance(atom, Literal) and atom not in alive:
                alive.add(atom)
                dead.append(atom)
        result.append(dead)
    return result[::-1]
