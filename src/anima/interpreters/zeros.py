"""Symbolic zeros: made concrete only where a value is really needed."""

from __future__ import annotations

from typing import Any

from anima.core import hooks
from anima.core.primitive import Zero
from anima.core.trace import aval_of


def zero_of(primal: Any) -> Zero:
    """The zero tangent of a value."""
    return Zero(aval_of(primal).tangent_aval())


def instantiate(tangent: Any) -> Any:
    """`tangent`, or an array of zeros if it is a symbolic zero."""
    return hooks.zeros(tangent.aval) if type(tangent) is Zero else tangent


def add(a: Any, b: Any) -> Any:
    """The sum of two (co)tangents, either of which may be a symbolic zero."""
    if type(a) is Zero:
        return b
    if type(b) is Zero:
        return a
    return hooks.add_tangents(a, b)
