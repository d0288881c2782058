"""Dead-code elimination.

Invariant: an equation stays exactly when one of its outputs is used or it has an effect.
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
        if eqn.effects or any(v in live for v in eqn.outvars):
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
