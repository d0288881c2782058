"""What tracing a jitted function gives."""

from __future__ import annotations

from typing import Any

from anima._native import PyTreeDef
from anima.core.jaxpr import ClosedJaxpr
from anima.core.source import Position
from anima.records import Record
from anima.state.staging import References


class TracedProgram(Record):
    """A traced function: its program with captured constants as leading arguments, and its result's structure.

    `caller`: where it was called, if results were looked at for NaNs when it was traced. `refs`: the references that it uses;
    their values are arguments and results of the program as `state.staging` says, and results have the structure of a
    pair then: what the function returns, and a list of the new values.
    """

    closed: ClosedJaxpr
    consts: list[Any]
    in_tree: PyTreeDef
    out_tree: PyTreeDef
    name: str
    caller: Position | None = None
    refs: References | None = None

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def value_tree(self) -> PyTreeDef:
        """The structure of what the function returns."""
        return self.out_tree if self.refs is None else self.out_tree.children()[0]

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
