"""Dead-code elimination: what goes, inside programs too, and that what need not change stays the same object."""

from __future__ import annotations

from typing import Any

import anima
import anima.numpy as np
from anima import lax
from anima.interpreters.dce import dce_closed, dce_jaxpr, without_dead


def names(closed: Any) -> list[str]:
    return [eqn.primitive.name for eqn in closed.eqns]


def test_what_no_output_needs_goes() -> None:
    def f(x: Any, y: Any) -> Any:
        a = np.sin(x)
        np.cos(y)
        return a, np.exp(a), np.tan(y)

    closed = anima.make_jaxpr(f)(1.0, 2.0)
    reduced, consts, inputs = dce_jaxpr(closed.jaxpr, [True, False, False])
    assert names(reduced) == ["sin"] and inputs == [True, False] and consts == []
    assert names(dce_closed(closed)[0]) == ["sin", "exp", "tan"]


def test_calls_lose_outputs_inputs_and_inner_equations() -> None:
    @anima.jit
    def inner(x: Any, y: Any) -> Any:
        np.tan(x)
        return np.sin(x), np.cos(y)

    closed = anima.make_jaxpr(lambda x, y: inner(x, np.exp(y))[0])(1.0, 2.0)
    reduced, inputs = dce_closed(closed)
    (call,) = reduced.eqns
    assert names(call.params["jaxpr"]) == ["sin"]
    assert len(call.invars) == len(call.outvars) == 1
    assert inputs == [True, False]


def test_dead_equations_go_inside_calls_whose_outputs_are_all_used() -> None:
    @anima.jit
    def inner(x: Any, y: Any) -> Any:
        np.tan(x)
        return np.sin(x)

    reduced, inputs = dce_closed(anima.make_jaxpr(inner)(1.0, 2.0))
    assert names(reduced.eqns[0].params["jaxpr"]) == ["sin"] and inputs == [True, False]


def test_callers_of_one_program_still_share_it() -> None:
    @anima.jit
    def inner(x: Any) -> Any:
        return np.sin(x), np.cos(x)

    def f(x: Any) -> Any:
        return inner(inner(x)[0])[0]

    closed, _ = dce_closed(anima.make_jaxpr(f)(1.0))
    first, second = (eqn.params["jaxpr"] for eqn in closed.eqns)
    assert first is second
    text = anima.jit(f).lower(1.0).as_text()
    assert text.count("stablehlo.sine") == 1 and "cosine" not in text


def test_programs_without_dead_code_stay_the_same_objects() -> None:
    def f(x: Any) -> Any:
        y = anima.jit(np.sin)(x)
        y = lax.cond(y > 0, np.cos, np.tan, y)
        y, _ = lax.scan(lambda c, x: (c * x, None), y, np.arange(3.0))
        return lax.while_loop(lambda c: c < 100, lambda c: c * 2, anima.checkpoint(np.exp)(y))

    closed = anima.make_jaxpr(f)(1.0)
    assert dce_closed(closed)[0] is closed
    assert without_dead(closed) is closed


def test_effects_keep_equations_and_what_they_need() -> None:
    def f(x: Any, y: Any) -> Any:
        anima.debug.print("{}", np.sin(x))
        return np.cos(y)

    closed = anima.make_jaxpr(anima.jit(f))(1.0, 2.0)
    reduced, inputs = dce_closed(closed, (False,))
    assert inputs == [True, False]
    assert names(reduced.eqns[0].params["jaxpr"])[0] == "sin"
    assert reduced.effects == closed.effects
