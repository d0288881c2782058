"""Operations that call a function: bound with it, recorded with its program, transformed with that."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import grad, jit, vmap
from anima.extend import linear_util as lu
from anima.extend.core import CallPrimitive, eval_jaxpr, primitives
from anima.interpreters import ad

marked_p = CallPrimitive("marked")


def marked(fun: Any, *args: Any) -> Any:
    return marked_p.bind(*args, subfuns=(lu.wrap_init(fun),), mark="here")


def twice(x: Any) -> list[Any]:
    return [np.sin(x) * 2.0, x]


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        jit,
        grad,
        lambda f: jit(grad(f)),
        lambda f: grad(grad(f)),
        lambda f: lambda x: anima.jvp(f, (x,), (1.0,)),
        lambda f: lambda x: anima.linearize(f, x)[1](2.0),
        lambda f: lambda x: vmap(f)(x + np.arange(3.0)),
        lambda f: lambda x: vmap(grad(f))(x + np.arange(3.0)),
        lambda f: grad(anima.checkpoint(f)),
    ],
)
def test_a_call_is_what_its_function_is(transform: Any) -> None:
    expected = transform(lambda x: sum(twice(x)))(0.3)
    found = transform(lambda x: sum(marked(twice, x)))(0.3)
    for a, b in zip(anima.tree.leaves(expected), anima.tree.leaves(found), strict=True):
        onp.testing.assert_allclose(a, b, rtol=2e-7)


def test_the_equation_holds_the_program() -> None:
    [eqn] = anima.make_jaxpr(lambda x: marked(twice, x))(1.0).eqns
    assert eqn.primitive is marked_p and eqn.params["mark"] == "here"
    assert [e.primitive.name for e in eqn.params["call_jaxpr"].eqns] == ["sin", "mul"]
    params = marked_p.get_bind_params(eqn.params)
    assert sorted(params) == ["mark", "subfuns"]
    assert [float(v) for v in marked_p.bind(0.0, **params)] == [0.0, 0.0]
    assert marked_p.call_primitive and marked_p.multiple_results


def test_what_is_derived_is_a_call_again() -> None:
    jaxpr = anima.make_jaxpr(vmap(lambda x: marked(twice, x)))(np.arange(3.0))
    assert [e.primitive.name for e in jaxpr.eqns] == ["marked"]
    jaxpr = anima.make_jaxpr(grad(lambda x: marked(twice, x)[0]))(1.0)
    assert {e.primitive.name for e in jaxpr.eqns} == {"marked"}
    assert all(e.params["mark"] == "here" for e in jaxpr.eqns)


def test_captured_values_become_operands() -> None:
    table = np.arange(3.0)

    def f(x: Any) -> Any:
        return marked(lambda y: [y * x + table], 2.0)[0]

    jaxpr = anima.make_jaxpr(f)(1.0)
    [eqn] = [e for e in jaxpr.eqns if e.primitive is marked_p]
    assert len(eqn.invars) == 3 and not eqn.params["call_jaxpr"].consts
    onp.testing.assert_array_equal(jit(f)(1.0), [2.0, 3.0, 4.0])
    onp.testing.assert_array_equal(anima.jacfwd(f)(1.0), [2.0, 2.0, 2.0])
    onp.testing.assert_array_equal(vmap(f)(np.arange(2.0))[1], [2.0, 3.0, 4.0])


def test_call_and_closed_call() -> None:
    closed = anima.make_jaxpr(lambda x: [np.sin(x)])(1.0)
    for call in (primitives.call_p, primitives.closed_call_p):
        assert call.bind(0.0, call_jaxpr=closed)[0] == 0.0
        assert jit(lambda x: call.bind(x, call_jaxpr=closed, name="inner")[0])(0.0) == 0.0
        assert grad(lambda x: call.bind(x, call_jaxpr=closed)[0])(0.0) == 1.0
    text = jit(lambda x: primitives.call_p.bind(x, call_jaxpr=closed, name="inner")[0]).lower(0.0).as_text()
    assert "@inner" in text


def test_rules_may_be_given() -> None:
    counted_p = CallPrimitive("counted")
    ad.primitive_jvps[counted_p] = lambda primals, tangents, **params: (
        counted_p.bind(*primals, **params),
        [7.0 * tangents[0]],
    )
    f = lambda x: counted_p.bind(x, subfuns=(lu.wrap_init(lambda y: [y * y]),))[0]
    assert grad(f)(3.0) == 7.0
    assert jit(grad(f))(3.0) == 7.0


def test_programs_that_hold_calls_can_be_evaluated() -> None:
    closed = anima.make_jaxpr(lambda x: marked(twice, x))(1.0)
    found = eval_jaxpr(closed.jaxpr, closed.consts, 0.5)
    assert float(found[0]) == pytest.approx(2 * onp.sin(0.5), rel=1e-6)


def test_wrong_calls() -> None:
    with pytest.raises(TypeError, match="takes the function that it calls as subfuns"):
        marked_p.bind(1.0)
    with pytest.raises(TypeError, match="must be a tuple of one WrappedFun"):
        marked_p.bind(1.0, subfuns=(twice,))
