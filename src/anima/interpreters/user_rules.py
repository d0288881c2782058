"""Users' derivative rules under linearisation.

Invariant: a rule is given primal values and tangents, and returns both. While it runs, the ambient trace is a `RuleTrace`
over the tape. What it does with primal values goes to the enclosing trace; what it does with tangents is linear and goes
on the tape. An operation with programs inside, which may do both at once, becomes one of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from anima._native import get_trace, set_trace
from anima.core import hooks
from anima.core.jaxpr import Eqn, Jaxpr, subjaxprs
from anima.core.primitive import Primitive, Zero
from anima.core.trace import Trace
from anima.interpreters.linearize import TapeTrace, TapeTracer
from anima.interpreters.partial import in_halves
from anima.interpreters.zeros import zero_of

T = TypeVar("T")


class RuleTrace(Trace):
    """Sorts what a user's rule does into values and the linear operations of a tape."""

    __slots__ = ("tape",)

    def __init__(self, tape: TapeTrace) -> None:
        self.parent = tape
        self.tape = tape

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        tape = self.tape
        unknown = tuple([_is_tangent(a, tape) for a in args])
        set_trace(tape)
        try:
            if any(unknown):
                if primitive.partial is not None and all([_divides(j) for j in subjaxprs(params)]):
                    division = primitive.partial(unknown, **params)
                    if division is not None:
                        return in_halves(primitive, args, division, tape.outside, tape.record)
                if primitive.linearize is not None:
                    return _linearized(tape, primitive, args, params)
            return tape.process(primitive, args, params)
        finally:
            set_trace(self)

    def describe(self) -> str:
        return "RuleTrace"


def _divides(jaxpr: Jaxpr) -> bool:
    """Whether what is known in a program is known when it is divided: not so if a loop in it is known or not as a whole."""
    return jaxpr.memoized("divides", lambda: all([_equation_divides(eqn) for eqn in jaxpr.eqns]))


def _equation_divides(eqn: Eqn) -> bool:
    primitive = eqn.primitive
    if primitive.linearize is None or primitive.stage is not None:
        return True
    rule = primitive.partial
    if rule is None or rule((True,) * len(eqn.invars), **eqn.params) is None:
        return False
    return all([_divides(inner) for inner in subjaxprs(eqn.params)])


def _linearized(
    tape: TapeTrace, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
) -> list[Any]:
    """The results of an operation on values and tangents that cannot be divided: it is linear, so its derivative will do."""
    assert primitive.linearize is not None
    primals = [hooks.zeros(a.aval) if _is_tangent(a, tape) else a for a in args]
    tangents = [a if _is_tangent(a, tape) else zero_of(a) for a in args]
    outs, found = primitive.linearize(primals, tangents, **params)
    return [o if type(t) is Zero else t for o, t in zip(outs, found)]


def sorted_on_tape(run: Callable[[], T], tape: TapeTrace) -> T:
    """What `run` returns, which uses values and tangents of the tape; the tape is ambient."""
    set_trace(RuleTrace(tape))
    try:
        return run()
    finally:
        set_trace(tape)


def under_tape(
    rule: Callable[[], tuple[list[Any], list[Any]]], tape: TapeTrace, function: str, user: Any = None
) -> tuple[list[Any], list[Any]]:
    """What the rule of a function, the user's if that is given, returns, which uses tangents of the tape; the tape is ambient.

    Raises:
      TypeError: an output depends on a tangent.
    """
    around = tape.rules
    tape.rules = (*around, user)
    try:
        outs, tangents = sorted_on_tape(rule, tape)
    finally:
        tape.rules = around
    for out in outs:
        if _is_tangent(out, tape):
            raise TypeError(
                f"the rule of {function} returned an output that depends on the input tangents; outputs must be those of the "
                "function itself, and only their tangents may depend on tangents"
            )
    return outs, tangents


def only_linear(outs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """The tangents of a rule's outputs, with those zero that do not depend on the tangents of the tape, which is ambient.

    A rule is linear, so they can only be zero.
    """
    tape = get_trace()
    assert type(tape) is TapeTrace
    return [t if _is_tangent(t, tape) else zero_of(o) for o, t in zip(outs, tangents)]


def _is_tangent(value: Any, tape: TapeTrace) -> bool:
    return type(value) is TapeTracer and value._trace is tape


def outside_tape(run: Callable[[], T], tape: TapeTrace) -> T:
    """What `run` returns, which uses no tangents of the tape, which is ambient."""
    set_trace(tape.parent)
    try:
        return run()
    finally:
        set_trace(tape)
