"""`custom_vjp`: the rules are what counts, in every composition.

The functions under test have rules that no differentiation of the function itself would give, so that a derivative tells
where it came from: `scaled` is `sin` with ten times its derivative.
"""

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import (
    checkpoint,
    custom_vjp,
    errors,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    lax,
    linearize,
    make_jaxpr,
    value_and_grad,
    vjp,
    vmap,
)
from anima.core.aval import ShapedArray
from anima.interpreters.transpose import backward, tape_of

RTOL = 2e-6


@custom_vjp
def scaled(x):
    return np.sin(x)


def scaled_fwd(x):
    return np.sin(x), (x, None)


def scaled_bwd(residuals, g):
    x, _ = residuals
    return (10 * np.cos(x) * g,)


scaled.defvjp(scaled_fwd, scaled_bwd)


def once(x):
    return 10 * onp.cos(x)


def twice(x):
    return -10 * onp.sin(x)


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
    "loop": lambda f: lambda x: lax.fori_loop(0, 1, lambda _, c: f(c), x),
    "checkpoint": checkpoint,
    "jit of checkpoint": lambda f: jit(checkpoint(f)),
    "inside another rule": lambda f: _wrapped_in_rule(f),
}  # fmt: skip
REVERSE = {
    "grad": grad,
    "vjp": lambda f: lambda x: vjp(f, x)[1](np.ones_like(x))[0],
    "mapped pullback": lambda f: lambda x: vmap(vjp(f, x)[1])(np.ones(2))[0][1],
    "jacrev": jacrev,
}


def _wrapped_in_rule(f):
    g = custom_vjp(lambda x: f(x))
    g.defvjp(lambda x: (f(x), x), lambda x, ct: vjp(f, x)[1](ct))
    return g


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_value(wrap):
    onp.testing.assert_allclose(WRAPPERS[wrap](scaled)(np.float32(0.7)), onp.sin(0.7), rtol=RTOL)


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("derive", REVERSE)
def test_first_derivative(derive, wrap):
    f = REVERSE[derive](WRAPPERS[wrap](scaled))
    onp.testing.assert_allclose(f(np.float32(0.7)), once(0.7), rtol=RTOL)


@pytest.mark.parametrize("wrap", ["jit", "vmap", "jit of vmap", "vmap of jit", "scan", "cond", "checkpoint"])
@pytest.mark.parametrize("derive", REVERSE)
def test_wrapped_derivative(derive, wrap):
    f = WRAPPERS[wrap](REVERSE[derive](scaled))
    onp.testing.assert_allclose(f(np.float32(0.7)), once(0.7), rtol=RTOL)


SECOND = {
    "grad": grad,
    "jacrev": jacrev,
    "jacfwd": jacfwd,
    "forward": lambda f: lambda x: jvp(f, (x,), (np.ones_like(x),))[1],
    "linearize": lambda f: lambda x: linearize(f, x)[1](np.ones_like(x)),
}


@pytest.mark.parametrize("inner", REVERSE)
@pytest.mark.parametrize("outer", SECOND)
@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap of jit", "scan"])
def test_second_derivative(inner, outer, wrap):
    """The rules are differentiated as what they are: ordinary functions."""
    w = WRAPPERS[wrap]
    f = w(SECOND[outer](w(REVERSE[inner](w(scaled)))))
    onp.testing.assert_allclose(f(np.float32(0.7)), twice(0.7), rtol=1e-5)


def test_higher_derivatives():
    onp.testing.assert_allclose(hessian(scaled)(0.7), twice(0.7), rtol=1e-5)
    onp.testing.assert_allclose(grad(grad(grad(scaled)))(0.7), -10 * onp.cos(0.7), rtol=1e-5)
    # A forward rule that calls the function is differentiated by the rules again.
    f = custom_vjp(np.exp)
    f.defvjp(lambda x: (f(x),) * 2, lambda y, g: (2 * y * g,))
    assert [grad(f)(0.0), grad(grad(f))(0.0), grad(grad(grad(f)))(0.0)] == [2, 4, 8]


@pytest.mark.parametrize(
    "use",
    [
        lambda f: jvp(f, (1.0,), (1.0,)),
        lambda f: jvp(jit(f), (1.0,), (1.0,)),
        lambda f: jit(lambda x: jvp(f, (x,), (1.0,)))(1.0),
        lambda f: jacfwd(f)(1.0),
        lambda f: linearize(f, 1.0)[1](1.0),
        lambda f: vmap(linearize(jit(f), 1.0)[1])(np.ones(2)),
        lambda f: jacrev(jacfwd(f))(1.0),
        lambda f: jacfwd(jacfwd(f))(1.0),
        lambda f: lax.scan(lambda c, _: (jvp(f, (c,), (c,))[1], None), 1.0, None, length=2),
    ],
)
def test_forward_mode_is_refused(use):
    with pytest.raises(
        TypeError, match="can't apply forward-mode differentiation .* scaled has a reverse derivative only"
    ) as caught:
        use(scaled)
    assert "custom_jvp" in caught.value.__notes__[0]


def test_unused_tangents_are_no_use_of_forward_mode():
    assert jit(lambda x: jvp(lambda x: (scaled(x), x), (x,), (2.0,))[1][1])(1.0) == 2
    # Tangents in a linear program that is transposed, too: the derivative of a rule that pushes forward.
    f = anima.custom_jvp(scaled)
    f.defjvp(lambda p, t: jvp(scaled, p, t))
    for g in (f, jit(f), lambda x: vmap(f)(x[None])[0], lambda x: vmap(jit(f))(x[None])[0]):
        onp.testing.assert_allclose(grad(g)(np.float32(0.7)), once(0.7), rtol=RTOL)
        onp.testing.assert_allclose(grad(grad(g))(np.float32(0.7)), twice(0.7), rtol=1e-5)
    f.defjvp(jit(lambda p, t: jvp(scaled, p, t)))
    onp.testing.assert_allclose(grad(f)(0.7), once(0.7), rtol=RTOL)


# ---------------------------------------------------------------------------------------------
# Python control flow.


def test_values_are_concrete_outside_jit():
    seen = []

    @custom_vjp
    def f(x):
        return x * 2 if x > 0 else x * 3

    def fwd(x):
        return (x * 2, (x, 20)) if x > 0 else (x * 3, (x, 30))

    def bwd(residuals, g):
        x, factor = residuals
        seen.append(type(factor))
        return (g * factor,) if x > 0 else (-g * factor,)

    f.defvjp(fwd, bwd)
    assert f(1.0) == 2 and f(-1.0) == -3
    assert grad(f)(1.0) == 20 and grad(f)(-1.0) == -30
    assert grad(lambda x: f(x) * x)(1.0) == 22
    assert grad(grad(lambda x: f(x) * x))(-1.0) == -27, (
        "the value comes from fwd, and is differentiated as it is"
    )
    assert set(seen) == {int}, "numbers among the residuals stay numbers"
    with pytest.raises(errors.TracerBoolConversionError):
        jit(f)(1.0)


@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap", "scan"])
def test_static_numbers_among_residuals(wrap):
    f = custom_vjp(lambda x: x.sum())
    f.defvjp(lambda x: (x.sum(), x.shape[0]), lambda n, g: (np.arange(n, dtype=np.float32) * g,))
    g = {
        "plain": f,
        "jit": jit(f),
        "vmap": lambda x: vmap(f)(x[None])[0],
        "scan": lambda x: lax.scan(lambda c, _: (c + f(x), None), 0.0, None, length=1)[0],
    }[wrap]
    onp.testing.assert_array_equal(grad(g)(np.ones(3)), [0, 1, 2])
    onp.testing.assert_array_equal(jit(grad(g))(np.ones(3)), [0, 1, 2])


def test_which_functions_are_called():
    calls = []
    f = custom_vjp(lambda x: (calls.append("f"), x)[1])
    f.defvjp(lambda x: (calls.append("fwd"), (x, None))[1], lambda r, g: (calls.append("bwd"), (g * 3,))[1])
    f(1.0)
    assert calls == ["f"]
    calls.clear()
    y, pullback = vjp(f, 1.0)
    assert calls == ["fwd"]
    pullback(1.0), pullback(2.0)
    assert calls == ["fwd", "bwd", "bwd"]
    calls.clear()
    jitted, one = jit(f), np.float32(1)
    jitted(one)
    grad(jitted)(one), grad(jitted)(2 * one), vmap(grad(jitted))(np.ones(2))
    assert calls == ["f", "fwd", "bwd"], "programs derived from a jitted one are kept"
    calls.clear()
    grad(lambda x: 3.0 * anima.lax.stop_gradient(f(x)))(1.0)
    assert calls == ["fwd"], "without a cotangent nothing runs backwards"


# ---------------------------------------------------------------------------------------------
# Batching.


def test_cotangents_of_unmapped_arguments_are_summed():
    f = custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, (x, y)), lambda r, g: (10 * r[1] * g, 10 * r[0] * g))
    y = np.arange(3.0)
    for h in (f, jit(f)):
        for over in (vmap(h, (None, 0)), jit(vmap(h, (None, 0)))):
            gradient = grad(lambda x, y: over(x, y).sum(), (0, 1))(2.0, y)
            assert gradient[0] == 30
            onp.testing.assert_array_equal(gradient[1], [20, 20, 20])
    identity = custom_vjp(lambda x, y: x)
    identity.defvjp(lambda x, y: (x, y), lambda y, g: (g * y, None))
    assert vmap(identity, (None, 0), out_axes=None)(2.0, y) == 2
    for over in (vmap(identity, (None, 0)), jit(vmap(identity, (None, 0))), vmap(jit(identity), (None, 0))):
        assert grad(lambda x: over(x, y).sum())(2.0) == 9
    assert grad(lambda x: vmap(identity, (None, 0), out_axes=None)(x, y))(2.0) == 3


@pytest.mark.parametrize("in_axes, out_axes", [(0, 0), (1, 1), (-1, 0), (0, -1)])
def test_axes(in_axes, out_axes):
    f = custom_vjp(lambda x: x.T @ x)
    f.defvjp(lambda x: (x.T @ x, x), lambda x, g: (2 * x @ (g + g.T),))
    x = onp.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    rows = [2 * r @ (onp.ones((r.shape[1],) * 2) * 2) for r in onp.moveaxis(x, in_axes, 0)]
    for g in (f, jit(f)):
        found = grad(lambda x: vmap(g, in_axes, out_axes)(x).sum())(x)
        onp.testing.assert_allclose(onp.moveaxis(found, in_axes, 0), rows, rtol=1e-5)
        found = vmap(grad(lambda x: g(x).sum()), in_axes, out_axes)(x)
        onp.testing.assert_allclose(onp.moveaxis(found, out_axes, 0), rows, rtol=1e-5)


def test_named_axes_are_bound_in_rules():
    f = custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (lax.psum(g, "i"),))
    weights = np.arange(3.0)
    whole = lambda h: lambda x: (vmap(h, axis_name="i", in_axes=None, axis_size=3)(x) * weights).sum()
    for g in (whole(f), jit(whole(f))):
        assert grad(g)(1.0) == 9  # the sum over examples of the sum of their cotangents
    mapped = lambda h: lambda x: (vmap(h, axis_name="i")(x) * weights).sum()
    for g in (mapped(f), jit(mapped(f)), mapped(jit(f))):
        onp.testing.assert_array_equal(grad(g)(weights), [3, 3, 3])


def test_cotangents_of_sums_over_named_axes():
    """A rule that sums over the axis sees each example's cotangent, also where the output is the same for all."""
    plain = lambda i: lax.psum(i, "i")
    f = custom_vjp(plain)
    f.defvjp(lambda i: (plain(i), i), lambda i, g: anima.vjp(plain, i)[1](g))
    cts = np.asarray([1.0, 10.0])
    for h in (plain, f, jit(f)):
        over = lambda x, h=h: vmap(h, axis_name="i")(x)
        for pull in (lambda x, ct: anima.vjp(over, x)[1](ct), jit(lambda x, ct: anima.vjp(over, x)[1](ct))):
            onp.testing.assert_array_equal(pull(cts, cts)[0], [11, 11])
        total = lambda x, h=h: vmap(h, axis_name="i", out_axes=None)(x)
        onp.testing.assert_array_equal(grad(total)(cts), [1, 1])


def test_transposed_linear_programs_can_be_batched():
    """`custom_lin` under vmap: the pushforward of a jitted function, mapped, then transposed."""
    f = custom_vjp(lambda x, y: x * y)
    f.defvjp(lambda x, y: (x * y, (x, y)), lambda r, g: ((10 * r[1] * g).sum(), 10 * r[0] * g))
    y = np.arange(3.0)
    for out in (0, None):
        _, linear = linearize(jit(lambda x: f(x, y)), np.ones(()))
        mapped = vmap(linear) if out == 0 else lambda t: vmap(lambda w: w * linear(t))(np.ones(2))
        aval = ShapedArray((2,) if out == 0 else (), onp.dtype("float32"))
        tape = tape_of(lambda t: [mapped(t)], [aval])
        (ct,) = backward(tape, [np.ones((2, 3))])
        onp.testing.assert_array_equal(ct, [30, 30] if out == 0 else 60)


# ---------------------------------------------------------------------------------------------
# Programs.


def test_jaxpr():
    assert str(make_jaxpr(scaled)(1.0)) == (
        "{ lambda ; a:f32[]. let\n"
        "    d:f32[] = custom_vjp_call[\n"
        "      bwd=scaled_bwd\n"
        "      call_jaxpr={ lambda ; b:f32[]. let c:f32[] = sin b in (c,) }\n"
        "      fwd=scaled_fwd\n"
        "      name=scaled\n"
        "      num_consts=0\n"
        "      symbolic_zeros=False\n"
        "    ] a\n"
        "  in (d,) }"
    )
    closed = make_jaxpr(lambda x: jvp(scaled, (x,), (1.0,))[1])(1.0)
    assert [e.primitive.name for e in closed.eqns] == ["sin", "custom_lin"]


def test_text_is_canonical():
    def text():
        f = custom_vjp(lambda x: np.sin(x))
        f.defvjp(lambda x: (np.sin(x), x), lambda x, g: (3 * g * x,))
        return jit(grad(lambda x: f(f(x)))).lower(1.0).as_text()

    assert text() == text()


def test_unused_outputs_are_not_computed():
    f = custom_vjp(lambda x: (np.sin(x), np.tanh(x)))
    f.defvjp(lambda x: (f(x), None), lambda _, g: (2 * g[0] + 3 * g[1],))
    assert "tanh" not in jit(lambda x: f(x)[0]).lower(1.0).as_text()
    # Differentiated after the outputs were dropped.
    assert (
        grad(lambda x: lax.while_loop(lambda c: c[1] < 3, lambda c: (f(c[0])[0], c[1] + 1), (x, 0))[0])(1.0)
        == 8
    )
    first = lambda x: lax.scan(lambda c, _: (f(c)[0], f(c)[1]), x, None, length=3)[0]
    assert grad(jit(first))(1.0) == 8
    closed = make_jaxpr(lambda x: f(x)[1])(1.0)
    smaller, *_ = anima.interpreters.dce.dce_jaxpr(closed.jaxpr)
    run = lambda x: anima.core.evaluate.eval_jaxpr(smaller, [], x)[0]
    assert grad(run)(1.0) == 3
    onp.testing.assert_allclose(run(1.0), onp.tanh(1.0), rtol=RTOL)


def test_transpose_of_a_call_is_its_backward_rule():
    double = custom_vjp(lambda x, y: (2 * x, y))
    double.defvjp(lambda x, y: ((2 * x, y), y), lambda y, g: (g[0] * y, None))
    aval = ShapedArray((3,), onp.dtype("float32"))
    tape = tape_of(lambda x: [double(x, 7.0)[0]], [aval])
    (ct,) = backward(tape, [np.ones(3)])
    onp.testing.assert_array_equal(ct, [7, 7, 7])


def test_optimize_remat():
    """The forward rule's expensive part runs only where its residuals are used."""

    def make(optimize):
        f = custom_vjp(lambda x: np.sin(x))
        f.defvjp(lambda x: (np.tanh(x), np.exp(x)), lambda r, g: (g * r * 2,), optimize_remat=optimize)
        return f

    f, plain, x = make(True), make(False), np.float32(1)
    expected = 2 * onp.exp(1)
    vs = {"eager": f, "jit": jit(f), "vmap": lambda x: vmap(f)(x[None])[0], "checkpoint": checkpoint(f)}
    for g in vs.values():
        onp.testing.assert_allclose(grad(g)(x), expected, rtol=RTOL)
        onp.testing.assert_allclose(jit(grad(g))(x), expected, rtol=RTOL)
        onp.testing.assert_allclose(grad(grad(g))(x), expected, rtol=RTOL)
        onp.testing.assert_allclose(jacfwd(jit(grad(g)))(x), expected, rtol=RTOL)
        onp.testing.assert_allclose(vmap(jit(grad(g)))(np.ones(2)), [expected] * 2, rtol=RTOL)
    # What a forward pass returns tells which program ran: here no residual is used.
    value = jit(lambda x: vjp(f, x)[0])(x)
    onp.testing.assert_allclose(value, onp.sin(1), rtol=RTOL)
    onp.testing.assert_allclose(jit(lambda x: vjp(plain, x)[0])(x), onp.tanh(1), rtol=RTOL)
    value, gradient = jit(value_and_grad(checkpoint(f)))(x)
    onp.testing.assert_allclose([value, gradient], [onp.sin(1), expected], rtol=RTOL)
    value, gradient = jit(value_and_grad(f))(x)
    onp.testing.assert_allclose([value, gradient], [onp.tanh(1), expected], rtol=RTOL)
    with pytest.raises(
        NotImplementedError, match="optimize_remat=True cannot be combined with symbolic_zeros=True"
    ):
        f.defvjp(scaled_fwd, scaled_bwd, symbolic_zeros=True, optimize_remat=True)
