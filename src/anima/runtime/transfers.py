"""Transfers between memories, in programs of their own.

Invariant: a value may wait in another memory only while one program runs: XLA refuses programs that return one. Where it
would have to wait between two, as between the eagerly called forward and backward pass of a jitted function, the transfers
are left out, and it waits where it is.
"""

from __future__ import annotations

from typing import Any

from anima.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, subjaxprs

TRANSFER = "annotate_device_placement"  # what XLA calls one

Flags = tuple[bool, ...]


def settled(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program, without its transfers if a value would enter or leave it in another memory."""
    inputs = (False,) * len(closed.jaxpr.invars)
    outputs, strays = _flow(closed.jaxpr, inputs)
    return _without_transfers(closed) if strays or any(outputs) else closed


def _flow(jaxpr: Jaxpr, inputs: Flags) -> tuple[Flags, bool]:
    """Which outputs are in another memory if those inputs are; and whether one comes back that was not away."""
    return jaxpr.memoized(("transfers", inputs), lambda: _find_flow(jaxpr, inputs))


def _find_flow(jaxpr: Jaxpr, inputs: Flags) -> tuple[Flags, bool]:
    away: set[Atom] = {v for v, flag in zip(jaxpr.invars, inputs) if flag}
    strays = False
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "transfer":
            if eqn.params["memory_kind"] != "device":
                away.update(eqn.outvars)
            elif eqn.invars[0] not in away:
                strays = True
        for inner in subjaxprs(eqn.params):
            # Programs take the last operands: those before them choose among programs.
            operands = eqn.invars[max(len(eqn.invars) - len(inner.invars), 0) :]
            flags = tuple([a in away for a in operands])
            outputs, inside = _flow(inner, flags + (False,) * (len(inner.invars) - len(flags)))
            strays |= inside
            away.update([v for v, flag in zip(eqn.outvars, outputs) if flag])
    return tuple([v in away for v in jaxpr.outvars]), strays


def _without_transfers(closed: ClosedJaxpr) -> ClosedJaxpr:
    jaxpr = closed.jaxpr.memoized("without transfers", lambda: _rewritten(closed.jaxpr))
    return ClosedJaxpr(jaxpr, closed.consts)


def _rewritten(jaxpr: Jaxpr) -> Jaxpr:
    names: dict[Atom, Atom] = {}
    eqns: list[Eqn] = []
    for eqn in jaxpr.eqns:
        invars = [names.get(a, a) for a in eqn.invars]
        if eqn.primitive.name == "transfer":
            names[eqn.outvars[0]] = invars[0]
        else:
            params = {key: _inside(value) for key, value in eqn.params.items()}
            eqns.append(eqn.replace(invars=invars, params=params))
    outvars = [names.get(a, a) for a in jaxpr.outvars]
    return Jaxpr(jaxpr.constvars, jaxpr.invars, outvars, eqns, jaxpr.effects, jaxpr.name)


def _inside(value: Any) -> Any:
    if isinstance(value, ClosedJaxpr):
        return _without_transfers(value)
    if isinstance(value, tuple) and any(isinstance(item, ClosedJaxpr) for item in value):
        return tuple([_inside(item) for item in value])
    return value
