"""`custom_jvp`: the rule is what counts, in every composition.

The functions under test have rules that no differentiation of the function itself would give, so that a derivative tells
where it came from: `scaled` is `sin` with ten times its derivative.
"""

import threading

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import (
    checkpoint,
    custom_jvp,
    errors,
    eval_shape,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    lax,
    linearize,
    make_jaxpr,
    vjp,
    vmap,
)
from anima.core.primitive import Zero
from anima.interpreters.transpose import backward, tape_of

RTOL = 2e-6


@custom_jvp
def scaled(x):
    return np.sin(x)


@scaled.defjvp
def scaled_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return scaled(x), 10 * np.cos(x) * t


def once(x):
    return 10 * onp.cos(x)


def twice(x):
    return -10 * onp.sin(x)  # the rule's cosine is an ordinary one


WRAPPERS = {
    "plain": lambda f: f,
    "jit": jit,
    "vmap": lambda f: lambda x: vmap(f)(np.stack([x, x]))[1],
    "jit of vmap": lambda f: lambda x: jit(vmap(f))(np.stack([x, x]))[0],
    "vmap of jit": lambda f: lambda x: vmap(jit(f))(np.stack([x, x]))[0],
    "vmap of vmap": lambda f: lambda x: vmap(vmap(f))(np.stack([x, x, x, x]).reshape(2, 2))[1, 0],
    "scan": lambda f: lambda x: lax.scan(lambda c, _: (c, f(c)), x, None, length=2)[1][1],
    "scan carry": lambda f: lambda x: lax.scan(lambda c, _: (f(x), None), x, None, length=2)[0],
    "cond": lambda f: lambda x: lax.cond(x > 0, f, lambda x: x, x),
    "mapped cond": lambda f: lambda x: vmap(lambda x: lax.cond(x > 0, f, lambda x: x, x))(np.stack([x, -x]))[0],
    "switch": lambda f: lambda x: lax.switch(1, [lambda x: x, f], x),
    "while": lambda f: lambda x: lax.fori_loop(0, 1, lambda _, c: f(c), x),
    "checkpoint": checkpoint,
    "jit of checkpoint": lambda f: jit(checkpoint(f)),
    "inside another rule": lambda f: _wrapped_in_rule(f),
    "keyword": lambda f: lambda x: f(x=x) if f is scaled else f(x),
}  # fmt: skip


def _wrapped_in_rule(f):
    @custom_jvp
    def g(x):
        return f(x)

    @g.defjvp
    def g_jvp(primals, tangents):
        return jvp(f, primals, tangents)

    return g


DERIVATIVES = {
    "grad": grad,
    "forward": lambda f: lambda x: jvp(f, (x,), (np.ones_like(x),))[1],
    "linearize": lambda f: lambda x: linearize(f, x)[1](np.ones_like(x)),
    "vjp": lambda f: lambda x: vjp(f, x)[1](np.ones_like(x))[0],
    "jacrev": jacrev,
    "jacfwd": jacfwd,
}


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_value(wrap):
    onp.testing.assert_allclose(WRAPPERS[wrap](scaled)(np.float32(0.7)), onp.sin(0.7), rtol=RTOL)


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("derive", DERIVATIVES)
def test_first_derivative(derive, wrap):
    f = DERIVATIVES[derive](WRAPPERS[wrap](scaled))
    onp.testing.assert_allclose(f(np.float32(0.7)), once(0.7), rtol=RTOL)


@pytest.mark.parametrize("wrap", ["jit", "vmap", "jit of vmap", "vmap of jit", "scan", "cond", "checkpoint"])
@pytest.mark.parametrize("derive", DERIVATIVES)
def test_wrapped_derivative(derive, wrap):
    f = WRAPPERS[wrap](DERIVATIVES[derive](scaled))
    onp.testing.assert_allclose(f(np.float32(0.7)), once(0.7), rtol=RTOL)


@pytest.mark.parametrize("inner", DERIVATIVES)
@pytest.mark.parametrize("outer", DERIVATIVES)
@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap of jit", "scan"])
def test_second_derivative(inner, outer, wrap):
    w = WRAPPERS[wrap]
    f = w(DERIVATIVES[outer](w(DERIVATIVES[inner](w(scaled)))))
    onp.testing.assert_allclose(f(np.float32(0.7)), twice(0.7), rtol=1e-5)


def test_rule_that_calls_the_function_is_differentiated_by_the_rule():
    @custom_jvp
    def exp(x):
        return np.exp(x)

    @exp.defjvp
    def exp_jvp(primals, tangents):
        y = exp(*primals)
        return y, 2 * y * tangents[0]

    for order, f in enumerate(
        [exp, grad(exp), grad(grad(exp)), grad(grad(grad(exp))), grad(jit(grad(jit(exp))))]
    ):
        onp.testing.assert_allclose(f(0.0), 2.0 ** min(order, 3 if order == 3 else 2), rtol=RTOL)
    onp.testing.assert_allclose(hessian(exp)(0.5), 4 * onp.exp(0.5), rtol=RTOL)


# ---------------------------------------------------------------------------------------------
# Python control flow, and what the function sees.


@custom_jvp
def branching(x):
    return x * 2 if x > 0 else x * 3


@branching.defjvp
def branching_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return branching(x), t * (20 if x > 0 else 30)


@pytest.mark.parametrize("x, y, d", [(1.0, 2.0, 20.0), (-1.0, -3.0, 30.0)])
def test_values_are_concrete_outside_jit(x, y, d):
    assert branching(x) == y
    assert grad(branching)(x) == d
    assert grad(lambda x: branching(x) * branching(x))(x) == 2 * y * d
    assert jvp(branching, (x,), (1.0,)) == (y, d)
    assert grad(grad(lambda x: branching(x) * x))(x) == 2 * d
    with pytest.raises(errors.TracerBoolConversionError):
        jit(branching)(x)


def test_the_function_is_not_called_for_derivatives():
    calls = []

    @custom_jvp
    def f(x):
        calls.append("f")
        return x

    f.defjvp(lambda p, t: (calls.append("rule"), (p[0], t[0]))[1])
    grad(f)(1.0)
    assert calls == ["rule"]
    calls.clear()
    f(1.0)
    assert calls == ["f"]
    calls.clear()
    jitted = jit(f)
    one = np.float32(1)
    jitted(one)
    assert calls == ["f"]
    grad(jitted)(one)
    assert calls == ["f", "rule"]
    grad(jitted)(2 * one)
    vmap(grad(jitted))(np.ones(2))
    vmap(grad(jitted))(np.ones(2))
    assert calls == ["f", "rule"], "programs derived from a jitted one are kept"


# ---------------------------------------------------------------------------------------------
# Rules with programs inside, which take values and tangents at once.


def _jitted_rule(p, t):
    return np.sin(p[0]), 10 * np.cos(p[0]) * t[0]


def _scanned_rule(p, t):
    def step(carry, _):
        x, y, d = carry
        return (x, np.sin(x), d + 5 * np.cos(x) * t[0]), None

    return lax.scan(step, (p[0], p[0], 0 * t[0]), None, length=2)[0][1:]


def _cond_rule(p, t):
    return lax.cond(p[0] > 0, _jitted_rule, lambda p, t: (p[0], t[0]), p, t)


def _loop_rule(p, t):
    return lax.fori_loop(0, 2, lambda _, c: (np.sin(p[0]), c[1] + 5 * np.cos(p[0]) * t[0]), (p[0], 0 * t[0]))


def _vmapped_rule(p, t):
    return tuple(x[0] for x in vmap(_jitted_rule)((p[0][None],), (t[0][None],)))


def _checkpointed_rule(p, t):
    return checkpoint(_jitted_rule)(p, t)


def _rule_through_jvp(p, t):
    y, d = jvp(lambda x: lax.scan(lambda c, _: (np.sin(x), None), x, None, length=2)[0], p, t)
    return y, 10 * d


RULES = [
    _jitted_rule,
    jit(_jitted_rule),
    _scanned_rule,
    jit(_scanned_rule),
    _cond_rule,
    _loop_rule,
    _vmapped_rule,
]
RULES += [_checkpointed_rule, _rule_through_jvp, jit(_rule_through_jvp)]


@pytest.mark.parametrize(
    "rule", RULES, ids=lambda r: r.__name__ + " jit" * (type(r).__name__ == "CompiledCall")
)
@pytest.mark.parametrize("derive", DERIVATIVES)
@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap", "scan"])
def test_rules_with_programs(rule, derive, wrap):
    f = custom_jvp(np.sin)
    f.defjvp(rule)
    found = DERIVATIVES[derive](WRAPPERS[wrap](f))(np.float32(0.7))
    onp.testing.assert_allclose(found, once(0.7), rtol=1e-5)


@pytest.mark.parametrize(
    "rule", RULES, ids=lambda r: r.__name__ + " jit" * (type(r).__name__ == "CompiledCall")
)
@pytest.mark.parametrize("wrap", ["plain", "jit"])
def test_second_derivatives_of_rules_with_programs(rule, wrap):
    f = custom_jvp(np.sin)
    f.defjvp(rule)
    f = WRAPPERS[wrap](f)
    onp.testing.assert_allclose(grad(grad(f))(np.float32(0.7)), twice(0.7), rtol=1e-5)
    onp.testing.assert_allclose(hessian(f)(np.float32(0.7)), twice(0.7), rtol=1e-5)


@pytest.mark.parametrize(
    "wrap", ["plain", "jit", "scan", "while", "cond", "checkpoint", "inside another rule"]
)
@pytest.mark.parametrize("outer", ["plain", "jit", "jit of checkpoint", "scan", "switch"])
def test_rules_that_push_forward_through_derivatives(wrap, outer):
    f = custom_jvp(WRAPPERS[outer](lambda x: grad(WRAPPERS[wrap](scaled))(x)))
    f.defjvp(lambda p, t: jvp(f.fun, p, t))
    for g in (f, jit(f), lambda x: vmap(f)(x[None])[0]):
        onp.testing.assert_allclose(grad(g)(np.float32(0.7)), twice(0.7), rtol=1e-5)


def test_linear_functions_with_rules_may_be_applied_to_tangents():
    @custom_jvp
    def double(x):
        return anima.pure_callback(lambda x: 2 * x, x, x)  # has no derivative but the rule's

    double.defjvp(lambda p, t: (double(p[0]), double(t[0])))
    f = custom_jvp(lambda x: double(np.sin(x)))
    f.defjvp(lambda p, t: (f(p[0]), double(np.cos(p[0]) * t[0])))
    onp.testing.assert_allclose(jvp(f, (0.7,), (1.0,))[1], 2 * onp.cos(0.7), rtol=RTOL)
    g = custom_jvp(lambda x: 2 * x)
    g.defjvp(lambda p, t: (g(p[0]), 2 * t[0]))
    f.defjvp(lambda p, t: (f(p[0]), g(np.cos(p[0]) * t[0])))
    for h in (f, jit(f)):
        onp.testing.assert_allclose(grad(h)(0.7), 2 * onp.cos(0.7), rtol=RTOL)


# ---------------------------------------------------------------------------------------------
# Programs.


def test_jaxpr():
    closed = make_jaxpr(scaled)(1.0)
    assert str(closed) == (
        "{ lambda ; a:f32[]. let\n"
        "    d:f32[] = custom_jvp_call[\n"
        "      call_jaxpr={ lambda ; b:f32[]. let c:f32[] = sin b in (c,) }\n"
        "      jvp=scaled_jvp\n"
        "      name=scaled\n"
        "      num_consts=0\n"
        "      symbolic_zeros=False\n"
        "    ] a\n"
        "  in (d,) }"
    )
    (eqn,) = closed.jaxpr.eqns
    assert eqn.primitive is anima.custom_derivatives.custom_jvp_call_p
    assert eval_shape(scaled, np.ones(3)).shape == (3,)


def test_programs_can_be_run_and_differentiated_again():
    closed = make_jaxpr(lambda x: vmap(scaled)(x))(np.ones(2))
    run = lambda x: anima.core.evaluate.eval_jaxpr(closed.jaxpr, closed.consts, x)[0]
    onp.testing.assert_allclose(run(np.ones(2)), onp.sin([1, 1]), rtol=RTOL)
    onp.testing.assert_allclose(grad(lambda x: run(x).sum())(np.ones(2)), once(onp.ones(2)), rtol=RTOL)


def test_text_is_canonical():
    def text():
        f = custom_jvp(lambda x: np.sin(x))
        f.defjvp(lambda p, t: (f(p[0]), t[0] * 3))
        return jit(grad(lambda x: f(f(x)))).lower(1.0).as_text()

    assert text() == text()


def test_unused_outputs_are_not_computed():
    f = custom_jvp(lambda x: (np.sin(x), np.tanh(x)))
    f.defjvp(lambda p, t: (f(p[0]), (2 * t[0], 3 * t[0])))

    def first(x):
        return lax.scan(lambda c, _: (f(c)[0], f(c)[1]), x, None, length=3)[0]

    assert "tanh" not in jit(first).lower(1.0).as_text()
    assert "tanh" not in jit(lambda x: f(x)[0]).lower(1.0).as_text()
    assert grad(jit(first))(1.0) == 8
    assert grad(jit(lambda x: lax.cond(x > 0, f, f, x)[0]))(1.0) == 2
    # Differentiated after the outputs were dropped.
    assert (
        grad(lambda x: lax.while_loop(lambda c: c[1] < 3, lambda c: (f(c[0])[0], c[1] + 1), (x, 0))[0])(1.0)
        == 8
    )


def test_transpose_of_a_call_is_that_of_its_program():
    double = custom_jvp(lambda x: 2 * x)
    double.defjvp(lambda p, t: (double(p[0]), 7 * t[0]))
    aval = anima.core.aval.ShapedArray((3,), onp.dtype("float32"))
    tape = tape_of(lambda x: [double(x)], [aval])
    (ct,) = backward(tape, [np.ones(3)])
    onp.testing.assert_array_equal(ct, [2, 2, 2])
    assert type(backward(tape, [None])[0]) is Zero


def test_threads_share_a_program():
    f = custom_jvp(lambda x: np.sin(x))
    f.defjvp(lambda p, t: (f(p[0]), 10 * np.cos(p[0]) * t[0]))
    jitted, found = jit(lambda x: vmap(f)(x).sum()), []

    def work():
        found.append(grad(jitted)(np.ones(3)))

    jitted(np.ones(3))
    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for gradient in found:
        onp.testing.assert_allclose(gradient, once(onp.ones(3)), rtol=RTOL)
    assert len(found) == 8


def test_named_axes_are_bound_in_rules():
    f = custom_jvp(lambda x: lax.psum(x, "i"))
    f.defjvp(lambda p, t: (f(p[0]), lax.psum(10 * t[0], "i")))

    def run(x):
        return vmap(f, axis_name="i")(x)[0]

    for g in (run, jit(run), lambda x: vmap(jit(f), axis_name="i")(x)[0]):
        onp.testing.assert_array_equal(g(np.arange(3.0)), 3)
        onp.testing.assert_array_equal(grad(g)(np.arange(3.0)), [10, 10, 10])
    onp.testing.assert_array_equal(vmap(lambda x: grad(f)(x), axis_name="i")(np.arange(3.0)), [30, 30, 30])
