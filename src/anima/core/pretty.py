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
_COMMENT = "\0"  # stands before a comment until all of them are moved into one column


def _letters(index: int) -> str:
    name = ""
    while True:
        index, digit = divmod(index, 26)
        name = chr(ord("a") + digit) + name
        if index == 0:
            return name


class _Names:
    """The names of the variables, and what else to show."""

    def __init__(
        self, print_shapes: bool = True, source_info: bool = False, name_stack: bool = False
    ) -> None:
        self.names: dict[Var, str] = {}
        self.print_shapes = print_shapes
        self.source_info = source_info
        self.name_stack = name_stack

    def of(self, var: Var) -> str:
        if type(var) is DropVar:
            return "_"
        name = self.names.get(var)
        if name is None:
            name = self.names[var] = _letters(len(self.names))
        return name

    def binder(self, var: Var) -> str:
        return f"{self.of(var)}:{var.aval.str_short()}" if self.print_shapes else self.of(var)

    def comment(self, eqn: Eqn) -> str:
        """What is said about an equation at the end of its first line."""
        parts = []
        if self.source_info:
            at = eqn.source
            parts.append("unknown" if at is None else f"{at.file}:{at.line}:{at.column} ({at.function})")
        if self.name_stack:
            parts.append(f"[{eqn.source_info.name_stack}]")
        return " ".join(parts)

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
    left = f"{outputs} = " if eqn.outvars else ""
    text = f"{left}{eqn.primitive.name}{params}{inputs}"
    comment = names.comment(eqn)
    if not comment:
        return text
    first, newline, rest = text.partition("\n")
    return f"{first}{_COMMENT}{comment}{newline}{rest}"


def _format(jaxpr: Jaxpr, names: _Names) -> str:
    consts = " ".join(names.binder(v) for v in jaxpr.constvars)
    inputs = " ".join(names.binder(v) for v in jaxpr.invars)
    head = f"lambda {consts}; {inputs}." if consts else f"lambda ; {inputs}."
    lines = [_eqn(eqn, names) for eqn in jaxpr.eqns]
    outputs = ", ".join(names.atom(a) for a in jaxpr.outvars) + ("," if len(jaxpr.outvars) == 1 else "")
    line = f"{{ {head} let {'; '.join(lines)} in ({outputs}) }}"
    if len(lines) <= 1 and "\n" not in line and len(line) <= _WIDTH and _COMMENT not in line:
        return line
    body = "\n".join("    " + _indent(text, 4) for text in lines)
    return f"{{ {head} let\n{body}\n  in ({outputs}) }}"


def _aligned(text: str) -> str:
    """The text with its comments in one column."""
    lines = [line.split(_COMMENT) for line in text.split("\n")]
    width = max([len(line[0]) for line in lines if len(line) > 1], default=0)
    return "\n".join([line[0] if len(line) == 1 else f"{line[0]:<{width}} # {line[1]}" for line in lines])


def _pretty_print(
    jaxpr: Jaxpr,
    *,
    source_info: bool = False,
    print_shapes: bool = True,
    custom_pp_eqn_rules: bool = True,
    name_stack: bool = False,
    print_effects: bool = False,
    use_color: bool = False,
) -> str:
    text = _format(jaxpr, _Names(print_shapes, source_info, name_stack))
    if print_effects and jaxpr.effects:
        text = f"{text[:-1]}: {{ {', '.join(sorted(map(str, jaxpr.effects)))} }} }}"
    return _aligned(text)


printer.jaxpr = _pretty_print
printer.eqn = lambda eqn: _eqn(eqn, _Names())
