"""Functions with batched forms of their own.

The rule of most functions here computes something else than the function does, so that it shows which of them was used.
"""

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import grad, hessian, jacfwd, jacrev, jit, jvp, lax, linearize, vjp, vmap
from anima.custom_batching import custom_vmap, sequential_vmap
from anima.experimental.jet import jet

X = onp.arange(3.0, dtype="f")
Y = onp.array([0.5, 1.5, 2.0], "f")


class Recorded:
    """`sin(x) * y`, batched as `cos(x) * y`, with the calls of its rule."""

    def __init__(self):
        self.calls = calls = []
        f = self.f = custom_vmap(lambda x, y: np.sin(x) * y)

        @f.def_vmap
        def rule(axis_size, in_batched, x, y):
            calls.append((axis_size, in_batched, x.shape if hasattr(x, "shape") else (), type(x).__name__))
            return np.cos(x) * y, in_batched[0] or in_batched[1]


def sin(x, y=Y):
    return onp.sin(x) * y


def cos(x, y=Y):
    return onp.cos(x) * y


@pytest.fixture
def recorded():
    return Recorded()


def test_vmap_uses_the_rule_and_nothing_else_does(recorded):
    f = recorded.f
    for g in (f, jit(f)):
        onp.testing.assert_allclose(g(1.0, 2.0), sin(1, 2), rtol=1e-6)
    assert not recorded.calls
    for g in (vmap(f), jit(vmap(f)), vmap(jit(f))):
        onp.testing.assert_allclose(g(X, Y), cos(X), rtol=1e-6)
    assert [c[:3] for c in recorded.calls] == [(3, [True, True], (3,))] * 3
    assert recorded.calls[0][3] == "ArrayImpl"  # eager values are concrete in the rule
    onp.testing.assert_allclose(vmap(f, (0, None))(X, 2.0), cos(X, 2), rtol=1e-6)
    onp.testing.assert_allclose(vmap(f, (None, 0))(1.0, Y), cos(1.0), rtol=1e-6)
    onp.testing.assert_allclose(
        vmap(f, (1, None))(onp.ones((2, 3), "f"), 2.0), cos(onp.ones((3, 2)), 2), rtol=1e-6
    )
    assert [c[1] for c in recorded.calls[3:]] == [[True, False], [False, True], [True, False]]
    assert recorded.calls[-1][2] == (3, 2)  # the mapped axis comes first


def test_unmapped_calls_are_performed(recorded):
    got = vmap(lambda x: recorded.f(1.0, 2.0) + x)(X)
    onp.testing.assert_allclose(got, sin(1.0, 2.0) + X, rtol=1e-6)
    # The outer one of two maps finds the call where the inner one does not map it.
    got = vmap(lambda x: vmap(lambda y: recorded.f(x, 2.0) + y)(Y))(X)
    onp.testing.assert_allclose(got, cos(X, 2)[:, None] + Y, rtol=1e-6)
    assert [c[1] for c in recorded.calls] == [[True, False]]


def test_rules_are_batched_as_any_function(recorded):
    x = onp.stack([X, X + 1])
    onp.testing.assert_allclose(vmap(vmap(recorded.f))(x, x), cos(x, x), rtol=1e-6)
    assert recorded.calls == [(3, [True, True], (3,), "BatchTracer")]
    got = vmap(vmap(recorded.f, (0, None)), (None, 0))(X, Y)
    onp.testing.assert_allclose(got, onp.cos(X) * Y[:, None], rtol=1e-6)


@pytest.mark.parametrize("wrap", [lambda f: f, jit])
def test_in_control_flow(wrap, recorded):
    f = recorded.f
    got = wrap(vmap(lambda x: lax.scan(lambda c, y: (f(c, y), c), x, Y)[0]))(X)
    expected = X
    for y in Y:
        expected = cos(expected, y)
    onp.testing.assert_allclose(got, expected, rtol=1e-5)
    got = wrap(vmap(lambda x: lax.cond(x > 0.5, lambda x: f(x, x), lambda x: x - 1, x)))(X)
    onp.testing.assert_allclose(got, onp.where(X > 0.5, cos(X, X), X - 1), rtol=1e-6)
    got = wrap(vmap(lambda x: lax.fori_loop(0, 2, lambda i, c: f(c, 2.0), x)))(X)
    onp.testing.assert_allclose(got, cos(cos(X, 2), 2), rtol=1e-5)


def test_forward_derivatives_are_those_of_what_is_performed(recorded):
    f = recorded.f
    value, tangent = jvp(f, (1.0, 2.0), (1.0, 0.0))
    onp.testing.assert_allclose([value, tangent], [sin(1, 2), 2 * onp.cos(1)], rtol=1e-6)
    for g in (jvp, lambda *args: jit(lambda p, t: jvp(f, p, t))(*args[1:])):
        value, tangent = vmap(lambda x, y, t: g(f, (x, y), (t, 1.0)))(X, Y, Y)
        onp.testing.assert_allclose(value, cos(X), rtol=1e-6)
        onp.testing.assert_allclose(tangent, -onp.sin(X) * Y * Y + onp.cos(X), rtol=1e-5, atol=1e-6)
    value, tangent = jvp(vmap(f), (X, Y), (Y, Y))
    onp.testing.assert_allclose(tangent, -onp.sin(X) * Y * Y + onp.cos(X) * Y, rtol=1e-5, atol=1e-6)
    # A value and its tangent are mapped together.
    value, tangent = vmap(lambda t: jvp(f, (1.0, 2.0), (t, 0.0)))(X)
    onp.testing.assert_allclose(tangent, -2 * onp.sin(1) * X, rtol=1e-5)
    onp.testing.assert_allclose(value, [2 * onp.cos(1)] * 3, rtol=1e-6)
    value, tangent = vmap(lambda x: jvp(f, (x, 2.0), (1.0, 0.0)))(X)
    onp.testing.assert_allclose(tangent, -2 * onp.sin(X), rtol=1e-5, atol=1e-6)
    second = vmap(lambda x: jvp(lambda x: jvp(f, (x, 2.0), (1.0, 0.0))[1], (x,), (1.0,))[1])(X)
    onp.testing.assert_allclose(second, -2 * onp.cos(X), rtol=1e-5, atol=1e-6)
    _, terms = vmap(lambda x: jet(lambda x: f(x, 2.0), (x,), ((1.0, 0.0, 0.0),)))(X)
    onp.testing.assert_allclose(
        terms, [-2 * onp.sin(X), -2 * onp.cos(X), 2 * onp.sin(X)], rtol=1e-5, atol=1e-6
    )
    onp.testing.assert_allclose(jacfwd(vmap(f))(X, Y), onp.diag(-onp.sin(X) * Y), rtol=1e-5, atol=1e-6)


def test_reverse_derivatives_are_those_of_the_program(recorded):
    f = recorded.f
    for g in (
        grad(f),
        jit(grad(f)),
        grad(jit(f)),
        lambda *a: vjp(f, *a)[1](1.0)[0],
        lambda *a: linearize(f, *a)[1](1.0, 0.0),
    ):
        onp.testing.assert_allclose(g(1.0, 2.0), 2 * onp.cos(1), rtol=1e-6)
    assert not recorded.calls
    onp.testing.assert_allclose(hessian(f)(1.0, 2.0), -2 * onp.sin(1), rtol=1e-5)
    onp.testing.assert_allclose(grad(lambda x: vmap(f)(x, Y).sum())(X), -onp.sin(X) * Y, rtol=1e-5, atol=1e-6)
    value, derivative = vmap(anima.value_and_grad(f))(X, Y)
    onp.testing.assert_allclose(value, cos(X), rtol=1e-6)
    onp.testing.assert_allclose(derivative, onp.cos(X) * Y, rtol=1e-5, atol=1e-6)
    onp.testing.assert_allclose(jacrev(vmap(jit(f)))(X, Y), onp.diag(-onp.sin(X) * Y), rtol=1e-5, atol=1e-6)
    onp.testing.assert_allclose(grad(anima.checkpoint(f))(1.0, 2.0), 2 * onp.cos(1), rtol=1e-6)


def test_with_derivatives_of_its_own():
    @anima.custom_vjp
    @custom_vmap
    def f(x, y):
        return np.sin(x) * y

    @f.def_vmap  # set on the function inside
    def rule(axis_size, in_batched, x, y):
        return np.cos(x) * y, True

    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda res, g: (res[0] * g * 10, res[1] * g))
    onp.testing.assert_allclose(vmap(f)(X, Y), cos(X), rtol=1e-6)
    assert float(grad(f)(2.0, 3.0)) == 20
    value, gradient = vmap(anima.value_and_grad(f))(X, Y)
    onp.testing.assert_allclose(value, cos(X), rtol=1e-6)
    onp.testing.assert_allclose(gradient, X * 10)


def test_trees_keywords_and_defaults():
    flags = []
    f = custom_vmap(lambda d, k=1: {"out": d["a"] * k, "rest": (d["b"][0], k)})

    @f.def_vmap
    def rule(axis_size, in_batched, d, k):
        flags.append(in_batched)
        return {"out": d["a"] * k * 10, "rest": (d["b"][0], k)}, {
            "out": True,
            "rest": (in_batched[0]["b"][0], in_batched[1]),
        }

    out = vmap(lambda a: f({"a": a, "b": [1.0]}))(X)
    onp.testing.assert_array_equal(out["out"], X * 10)
    onp.testing.assert_array_equal(out["rest"][0], [1, 1, 1])
    out = vmap(lambda a: f({"a": a, "b": [a]}, k=3))(X)
    onp.testing.assert_array_equal(out["out"], X * 30)
    onp.testing.assert_array_equal(out["rest"][0], X)
    assert flags == [[{"a": True, "b": [False]}, False], [{"a": True, "b": [True]}, False]]
    assert f.__name__ == "<lambda>" and f.vmap_rule is rule


def test_closures():
    def outer(y):
        f = custom_vmap(lambda x: x * y)
        f.def_vmap(lambda size, batched, x: (x * y * 5, True))
        return vmap(f)(X)

    onp.testing.assert_array_equal(jit(outer)(2.0), X * 10)
    assert float(grad(lambda y: outer(y).sum())(2.0)) == 15
    onp.testing.assert_array_equal(vmap(outer)(Y), X * Y[:, None] * 5)

    def captured(y):  # nothing that the rule takes is mapped
        f = custom_vmap(lambda x: x * y)
        f.def_vmap(lambda size, batched, x: (x * y * 5, True))
        return f(2.0)

    onp.testing.assert_array_equal(vmap(captured)(Y), 2 * Y)
    assert float(jvp(captured, (3.0,), (1.0,))[1]) == float(grad(captured)(3.0)) == 2
    assert float(jet(captured, (3.0,), ((1.0, 0.0),))[1][0]) == 2
    with pytest.raises(ValueError, match="captured a value that is mapped"):
        vmap(
            jit(
                lambda y, x: (lambda f: f.def_vmap(lambda *a: (a[2], True)) and f(x))(
                    custom_vmap(lambda x: x * y)
                )
            )
        )(Y, X)


def test_named_axes():
    f = custom_vmap(lambda x: lax.psum(x, "i"))
    f.def_vmap(lambda size, batched, x: (x + size, True))
    onp.testing.assert_array_equal(vmap(f, axis_name="i")(X), X + 3)
    onp.testing.assert_array_equal(vmap(lambda x: f(2.0) + x, axis_name="i")(X), X + 6)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda n, b, x: x, "must return a pair of the batched output"),
        (lambda n, b, x: (x, True, 1), "must return a pair"),
        (lambda n, b, x: ((x, x), (True, True)), "its output must be built as the result of <lambda>"),
        (
            lambda n, b, x: (x, [True]),
            "the second part of its result, which says what is batched, must be built",
        ),
        (
            lambda n, b, x: (x[:2], True),
            r"must be float32\[3\], with the mapped axis first, but it is float32\[2\]",
        ),
        (lambda n, b, x: (x, False), r"must be float32\[\], not batched, but it is float32\[3\]"),
        (lambda n, b, x: (x.astype(int), True), r"float32\[3\].*int32\[3\]"),
    ],
)
def test_rules_must_fit(rule, words):
    f = custom_vmap(lambda x: x)
    f.def_vmap(rule)
    for g in (vmap(f), jit(vmap(f)), vmap(jit(f))):
        with pytest.raises(ValueError, match=words):
            g(X)


def test_misuse_is_explained():
    f = custom_vmap(lambda x: x)
    for call in (lambda: f(1.0), lambda: vmap(f)(X)):
        with pytest.raises(AttributeError, match="No batching rule defined"):
            call()
    with pytest.raises(TypeError, match="expects a function"):
        custom_vmap(3)
    with pytest.raises(TypeError, match="expects a function"):
        f.def_vmap(3)
    with pytest.raises(TypeError, match="expects a function"):
        sequential_vmap(3)
    f.def_vmap(lambda n, b, x: (x, True))
    with pytest.raises(TypeError, match="`x`"):
        f("no")


def test_outputs_that_are_not_batched():
    f = custom_vmap(lambda x: (x, x * 0))
    f.def_vmap(lambda n, b, x: ((x, x[0]), (True, 0)))
    for g in (vmap(f), jit(vmap(f)), vmap(jit(f))):
        same, zeros = g(X)
        onp.testing.assert_array_equal(same, X)
        onp.testing.assert_array_equal(zeros, [0, 0, 0])
    value, tangent = vmap(lambda x: jvp(f, (x,), (2.0,)))(X)
    onp.testing.assert_array_equal(tangent[0], [2, 2, 2])
    onp.testing.assert_array_equal(tangent[1], [2, 2, 2])


# --- sequential_vmap -------------------------------------------------------------------------


def test_sequential_vmap_is_a_loop():
    f = sequential_vmap(lambda x, y: {"sum": x + y, "y": y})
    for g in (vmap(f, (0, None)), jit(vmap(f, (0, None))), vmap(jit(f), (0, None))):
        out = g(X, 10)
        onp.testing.assert_array_equal(out["sum"], X + 10)
        onp.testing.assert_array_equal(out["y"], [10, 10, 10])
    [eqn] = anima.make_jaxpr(vmap(f))(X, X).eqns
    assert eqn.primitive.name == "scan" and eqn.params["length"] == 3
    assert vmap(f)(X[:0], X[:0])["sum"].shape == (0,)
    x = onp.stack([X, Y])
    onp.testing.assert_array_equal(vmap(vmap(f))(x, x)["sum"], 2 * x)
    onp.testing.assert_array_equal(vmap(f)(onp.arange(3), onp.arange(3))["sum"], [0, 2, 4])


def test_sequential_vmap_under_derivatives():
    f = sequential_vmap(np.sin)
    onp.testing.assert_allclose(grad(lambda x: vmap(f)(x).sum())(X), onp.cos(X), rtol=1e-6)
    onp.testing.assert_allclose(vmap(grad(f))(X), onp.cos(X), rtol=1e-6)
    onp.testing.assert_allclose(jvp(vmap(f), (X,), (Y,))[1], onp.cos(X) * Y, rtol=1e-6)
    onp.testing.assert_allclose(vmap(lambda x, t: jvp(f, (x,), (t,))[1])(X, Y), onp.cos(X) * Y, rtol=1e-6)
    onp.testing.assert_allclose(jacfwd(f)(1.0), onp.cos(1), rtol=1e-6)
