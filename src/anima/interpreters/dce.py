"""Dead-code elimination.

Invariant: an equation stays exactly when one of its outputs is used or it has an effect. One that holds programs
becomes smaller with them where only some of its outputs are used, if its primitive has a `dce` rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from anima.core.jaxpr import Eqn, Jaxpr, Var, join_effects


def dce_jaxpr(
    jaxpr: Jaxpr, used_outputs: Sequence[bool] | None = None
) -> tuple[Jaxpr, list[bool], list[bool]]:
    """`jaxpr` without what the used outputs do not need.

    Returns the new jaxpr, which of the constvars and which of the arguments it still takes.
    """
    outvars = [v for i, v in enumerate(jaxpr.outvars) if used_outputs is None or used_outputs[i]]
    live = {v for v in outvars if isinstance(v, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(jaxpr.eqns):
        used = [v in live for v in eqn.outvars]
        if eqn.effects or any(used):
            if eqn.primitive.dce is not None and not all(used):
                eqn = _smaller(eqn, tuple(used))
            kept.append(eqn)
            live.update(a for a in eqn.invars if isinstance(a, Var))
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


def _smaller(eqn: Eqn, used: tuple[bool, ...]) -> Eqn:
    """The equation with only those inputs and outputs that the used outputs need."""
    assert eqn.primitive.dce is not None
    inputs, outputs, params = eqn.primitive.dce(used, **eqn.params)
    return eqn.replace(
        invars=[a for a, flag in zip(eqn.invars, inputs) if flag],
        outvars=[v for v, flag in zip(eqn.outvars, outputs) if flag],
        params=params,
    )
