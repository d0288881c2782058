"""Dead-code elimination.

Invariant: an equation stays exactly when one of its outputs is used or something observable happens in it. One that
holds programs becomes smaller with them, if its primitive has a `dce` rule; what needs nothing removed stays the same
object, so that programs shared before are shared after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from anima.core.effects import happens
from anima.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, join_effects


def dce_jaxpr(
    jaxpr: Jaxpr, used_outputs: Sequence[bool] | None = None
) -> tuple[Jaxpr, list[bool], list[bool]]:
    """`jaxpr` without what the used outputs do not need.

    Returns the new jaxpr, which of the constvars and which of the arguments it still takes.
    """
    outvars = [v for i, v in enumerate(jaxpr.outvars) if used_outputs is None or used_outputs[i]]
    live: set[Atom] = set(outvars)
    kept: list[Eqn] = []
    for eqn in reversed(jaxpr.eqns):
        if live.isdisjoint(eqn.outvars) and not happens(eqn.effects):
            continue
        if eqn.primitive.dce is not None:
            smaller = smaller_equation(eqn, tuple([v in live for v in eqn.outvars]))
            if smaller is None:
                continue
            eqn = smaller
        kept.append(eqn)
        live.update(eqn.invars)  # literals do no harm: nothing binds them
    kept.reverse()
    used_consts = [v in live for v in jaxpr.constvars]
    used_inputs = [v in live for v in jaxpr.invars]
    result = Jaxpr(
        [v for v, used in zip(jaxpr.constvars, used_consts) if used],
        [v for v, used in zip(jaxpr.invars, used_inputs) if used],
        outvars,
        kept,
        join_effects(kept),
        jaxpr.name,
    )
    return result, used_consts, used_inputs


class EquationRule:
    """A `dce` rule in another form: from the used outputs and an equation to the inputs that it needs and a smaller one.

    That has fewer of the equation's inputs and outputs, in their order; None instead of it means that nothing is left. The
    function is kept as `given`.
    """

    __slots__ = ("given",)

    def __init__(self, given: Callable[[list[bool], Eqn], tuple[Sequence[bool], Eqn | None]]) -> None:
        self.given = given

    def smaller(self, eqn: Eqn, used: tuple[bool, ...]) -> Eqn | None:
        """The smaller equation.

        Raises:
          TypeError: the function returns something else. ValueError: an output that is used is missing.
        """
        found: Any = self.given(list(used), eqn)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], (Eqn, type(None)))):
            raise TypeError(
                f"the dce rule of '{eqn.primitive}' must return a pair (used inputs, an equation or None), got {found!r:.200}"
            )
        left = () if found[1] is None else found[1].outvars
        if any([flag and v not in left for v, flag in zip(eqn.outvars, used)]):
            raise ValueError(f"the dce rule of '{eqn.primitive}' left out an output that is used")
        return found[1]


def smaller_equation(eqn: Eqn, used: tuple[bool, ...]) -> Eqn | None:
    """The equation with only those inputs, outputs and inner equations that the used outputs need; None if it is not needed."""
    rule: Any = eqn.primitive.dce
    if rule is None:
        return eqn
    if isinstance(rule, EquationRule):
        return rule.smaller(eqn, used)
    inputs, outputs, params = rule(used, **eqn.params)
    if all(inputs) and all(outputs) and _same(params, eqn.params):
        return eqn
    effects = eqn.effects
    if effects:
        assert eqn.primitive.effects is not None
        avals = [a.aval for a, flag in zip(eqn.invars, inputs) if flag]
        effects = eqn.primitive.effects(*avals, **params)
    return eqn.replace(
        invars=[a for a, flag in zip(eqn.invars, inputs) if flag],
        outvars=[v for v, flag in zip(eqn.outvars, outputs) if flag],
        params=params,
        effects=effects,
    )


def _same(params: dict[str, Any], others: dict[str, Any]) -> bool:
    return all([value is others[name] or value == others[name] for name, value in params.items()])


def dce_closed(
    closed: ClosedJaxpr, used_outputs: tuple[bool, ...] | None = None
) -> tuple[ClosedJaxpr, list[bool]]:
    """A program without what its used outputs do not need, and which arguments it still takes.

    It is made once for a program and given outputs, and is the program itself if nothing goes.
    """
    wanted = (True,) * len(closed.jaxpr.outvars) if used_outputs is None else used_outputs
    reduced, used_inputs = closed.jaxpr.memoized(("dce", wanted), lambda: _dce_closed(closed, wanted))
    return closed if reduced is None else reduced, used_inputs


def _dce_closed(closed: ClosedJaxpr, used_outputs: tuple[bool, ...]) -> tuple[ClosedJaxpr | None, list[bool]]:
    """None stands for the program itself: in its own memo it would be kept until the garbage collector comes."""
    jaxpr = closed.jaxpr
    reduced, used_consts, used_inputs = dce_jaxpr(jaxpr, used_outputs)
    if all(used_outputs) and all(used_inputs) and all(used_consts) and _same_equations(reduced, jaxpr):
        return None, used_inputs
    return ClosedJaxpr(reduced, [c for c, used in zip(closed.consts, used_consts) if used]), used_inputs


def without_dead(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same program, with all its arguments, without equations that nothing depends on."""
    jaxpr, used_consts, _ = dce_jaxpr(closed.jaxpr)
    if all(used_consts) and _same_equations(jaxpr, closed.jaxpr):
        return closed
    alive = Jaxpr(jaxpr.constvars, closed.jaxpr.invars, jaxpr.outvars, jaxpr.eqns, jaxpr.effects, jaxpr.name)
    return ClosedJaxpr(alive, [c for c, used in zip(closed.consts, used_consts) if used])


def _same_equations(a: Jaxpr, b: Jaxpr) -> bool:
    return len(a.eqns) == len(b.eqns) and all([x is y for x, y in zip(a.eqns, b.eqns)])
