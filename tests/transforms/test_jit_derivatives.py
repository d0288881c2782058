"""`jit` inside derivatives: one compiled forward and one backward program, and nothing in them that is not needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import grad, jit, lax, vmap
from anima.core.jaxpr import Jaxpr, subjaxprs
from tests.lax.control.helpers import Counted, compilations

X = onp.linspace(-1, 1, 12, dtype=onp.float32).reshape(3, 4)


def loss(x: Any) -> Any:
    return np.sum(np.tanh(np.sin(x) @ np.cos(x).T))


def names(jaxpr: Jaxpr) -> list[str]:
    found = []
    for eqn in jaxpr.eqns:
        found.append(eqn.primitive.name)
        for inner in subjaxprs(eqn.params):
            found += names(inner)
    return found


USES: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "grad": grad,
    "value_and_grad": anima.value_and_grad,
    "grad of a caller": lambda f: grad(lambda x: f(x)),
    "vjp": lambda f: lambda x: anima.vjp(f, x)[1](onp.float32(1)),
}


@pytest.mark.parametrize("use", USES)
def test_one_forward_and_one_backward_program(use: str) -> None:
    fun = Counted(lambda x: loss(x) * len(use))  # a program of its own for each use
    f = jit(fun)
    derived = USES[use]
    assert compilations(lambda: derived(f)(X)) == 2
    for _ in range(3):
        assert compilations(lambda: derived(f)(X)) == 0
    assert fun.calls == 1
    assert compilations(lambda: derived(f)(X[:2])) == 2
    assert fun.calls == 2


def test_uses_share_their_programs() -> None:
    fun = Counted(lambda x: loss(x) * 17)
    f = jit(fun)
    grad(f)(X)
    assert compilations(lambda: [use(f)(X) for use in USES.values()]) == 0
    assert compilations(lambda: jit(fun)(X)) == 1  # the value alone
    assert fun.calls == 1


def test_each_function_keeps_its_own_programs() -> None:
    inner = jit(lambda x: np.sin(x))
    outer = jit(lambda x: inner(inner(x)).sum())
    both = lambda x: inner(x).sum() + outer(x)
    # Forward and backward programs of `inner` and of `outer`; outside of them, sums and a broadcast.
    first = compilations(lambda: grad(both)(X))
    assert first >= 4
    assert compilations(lambda: grad(both)(X)) == 0
    assert compilations(lambda: grad(lambda x: outer(x))(X)) == 0


def test_derivatives_are_right() -> None:
    want = grad(loss)(X)
    onp.testing.assert_allclose(grad(jit(loss))(X), want, rtol=1e-5, atol=1e-6)
    onp.testing.assert_allclose(jit(grad(jit(loss)))(X), want, rtol=1e-5, atol=1e-6)
    batch = onp.stack([X, 2 * X])
    onp.testing.assert_allclose(
        vmap(grad(jit(loss)))(batch), [grad(loss)(x) for x in batch], rtol=1e-5, atol=1e-6
    )


def test_known_values_are_not_computed_in_the_linear_part() -> None:
    f = jit(lambda x, y: (np.exp(np.sin(x)) * y, np.cos(y)))
    closed = anima.make_jaxpr(lambda x, y, t: anima.linearize(lambda x: f(x, y)[0], x)[1](t))(1.0, 2.0, 3.0)
    primal, linear = (eqn.params["jaxpr"].jaxpr for eqn in closed.eqns)
    assert {"sin", "cos", "exp"} <= {*names(primal)}
    assert {*names(linear)} == {"mul"}


def test_cheap_residuals_are_computed_again() -> None:
    f = jit(lambda x, y: (lax.broadcast_in_dim(np.sin(x), (1000,), ()) * y).sum())
    closed = anima.make_jaxpr(grad(f, (0, 1)))(1.0, onp.ones(1000, onp.float32))
    forward, backward = closed.eqns[:2]
    shapes = [v.aval.shape for v in forward.outvars]
    assert (1000,) not in shapes
    assert "broadcast_in_dim" in names(backward.params["jaxpr"].jaxpr)


def test_the_forward_pass_of_a_gradient_has_no_value() -> None:
    """What only the value needs is dead in a compiled gradient, inside inner programs too."""
    f = jit(lambda x: np.sin(x) + np.tan(lax.stop_gradient(x)))
    value, gradient = (g.lower(1.0).as_text() for g in (jit(f), jit(grad(f))))
    assert "stablehlo.sine" in value and "stablehlo.tan" in value
    assert "stablehlo.sine" not in gradient and "stablehlo.tan" not in gradient
    assert "stablehlo.cosine" in gradient


def test_outputs_that_are_not_used_are_not_computed() -> None:
    @jit
    def f(x: Any) -> Any:
        return np.sin(x), np.exp(np.tan(x)), np.cos(x)

    text = jit(grad(lambda x: f(x)[0])).lower(1.0).as_text()
    assert "stablehlo.tan" not in text and "stablehlo.exponential" not in text
    loop = lambda x: lax.scan(lambda c, _: (f(c)[0], None), x, None, length=3)[0]
    text = jit(loop).lower(1.0).as_text()
    assert "stablehlo.tan" not in text and "stablehlo.sine" in text
    assert float(jit(loop)(0.5)) == pytest.approx(float(onp.sin(onp.sin(onp.sin(0.5)))), rel=1e-6)


def test_a_shared_inner_program_stays_shared_in_compiled_gradients() -> None:
    layer = jit(lambda w, x: np.tanh(w @ x))

    def f(length: int) -> Callable[[Any, Any], Any]:
        def layers(w: Any, x: Any) -> Any:
            for _ in range(length):
                x = layer(w, x)
            return x.sum()

        return layers

    args = (onp.eye(3, dtype=onp.float32), onp.ones(3, onp.float32))
    texts = [jit(grad(f(length))).lower(*args).as_text() for length in (4, 8)]
    assert texts[0].count("func.func private") == texts[1].count("func.func private") < 8
    assert texts[0].count("stablehlo.tanh") == texts[1].count("stablehlo.tanh")
