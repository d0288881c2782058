"""What tracing a jitted function gives."""

from __future__ import annotations

from typing import Any

from anima._native import PyTreeDef
from anima.core.jaxpr import ClosedJaxpr
from anima.core.source import Position
from anima.records import Record


class TracedProgram(Record):
    """A traced function: its program with captured constants as leading arguments, and its result's structure.

    `caller`: where it was called, if results were looked at for NaNs when it was traced.
    """

    closed: ClosedJaxpr
    consts: list[Any]
    in_tree: PyTreeDef
    out_tree: PyTreeDef
    name: str
    caller: Position | None = None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def bound(self) -> ClosedJaxpr:
        """The program as a function of its arguments alone."""
        if not self.consts:
            return self.closed
        jaxpr = self.closed.jaxpr
        count = len(self.consts)
        rebound = jaxpr.memoized(
            "rebound",
            lambda: type(jaxpr)(
                jaxpr.invars[:count],
                jaxpr.invars[count:],
                jaxpr.outvars,
                jaxpr.eqns,
                jaxpr.effects,
                jaxpr.name,
            ),
        )
        return ClosedJaxpr(rebound, self.consts)
