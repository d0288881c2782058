"""The printed form of jaxprs.

Invariant: printing is a pure function of the jaxpr; variables are named a, b, ..., z, ba, ... in the order in
which they are bound, once over the whole program, so that equal programs print equally.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from anima.core.aval import array_aval
from anima.core.jaxpr import Atom, ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var, printer

_WIDTH = 88


def _letters(index: int) -> str:
    name = ""
    while True:
        index, digit = divmod(index, 26)
        name = chr(ord("a") + digit) + name
        if index == 0:
            return name


class _Names:
    def __init__(self) -> None:
        self.names: dict[Var, str] = {}

    def of(self, var: Var) -> str:
        if type(var) is DropVar:
            return "_"
        name = self.names.get(var)
        if name is None:
            name = self.names[var] = _letters(len(self.names))
        return name

    def binder(self, var: Var) -> str:
        return f"{self.of(var)}:{var.aval.str_short()}"

    def atom(self, atom: Atom) -> str:
        return _literal(atom) if isinstance(atom, Literal) else self.of(atom)


def _literal(literal: Literal) -> str:
    value, aval = literal.val, array_aval(literal.aval)
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "item"):
        value = np.asarray(value).item() if aval.shape == () else value
    return f"{value}:{aval.str_short()}"


def _param(value: Any, names: _Names) -> str:
    if isinstance(value, ClosedJaxpr):
        return _format(value.jaxpr, names)
    if isinstance(value, Jaxpr):
        return _format(value, names)
    if isinstance(value, (tuple, list)) and any(isinstance(v, (Jaxpr, ClosedJaxpr)) for v in value):
        return "(" + ", ".join(_param(v, names) for v in value) + ",)"
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, type):
        return value.__name__
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    return str(value)


def _indent(text: str, by: int) -> str:
    return text.replace("\n", "\n" + " " * by)


def _params(params: dict[str, Any], names: _Names) -> str:
    shown = [f"{key}={_param(params[key], names)}" for key in sorted(params)]
    if not shown:
        return ""
    line = "[" + " ".join(shown) + "]"
    if "\n" not in line and len(line) <= _WIDTH // 2:
        return line
    return "[\n" + "\n".join("  " + _indent(item, 2) for item in shown) + "\n]"


def _eqn(eqn: Eqn, names: _Names) -> str:
    # Inner programs are named before the outputs, in reading order.
    params = _params(eqn.params, names)
    inputs = "".join(" " + names.atom(atom) for atom in eqn.invars)
    outputs = " ".join(names.binder(var) for var in eqn.outvars)
    return f"{outputs} = {eqn.primitive.name}{params}{inputs}"


def _format(jaxpr: Jaxpr, names: _Names) -> str:
    consts = " ".join(names.binder(v) for v in jaxpr.constvars)
    inputs = " ".join(names.binder(v) for v in jaxpr.invars)
    head = f"lambda {consts}; {inputs}." if consts else f"lambda ; {inputs}."
    lines = [_eqn(eqn, names) for eqn in jaxpr.eqns]
    outputs = ", ".join(names.atom(a) for a in jaxpr.outvars) + ("," if len(jaxpr.outvars) == 1 else "")
    line = f"{{ {head} let {'; '.join(lines)} in ({outputs}) }}"
    if len(lines) <= 1 and "\n" not in line and len(line) <= _WIDTH:
        return line
    body = "\n".join("    " + _indent(text, 4) for text in lines)
    return f"{{ {head} let\n{body}\n  in ({outputs}) }}"


printer.jaxpr = lambda jaxpr: _format(jaxpr, _Names())
printer.eqn = lambda eqn: _eqn(eqn, _Names())
