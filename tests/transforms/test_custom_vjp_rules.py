"""What the rules of `custom_vjp` get and must return: arguments of every kind, captured values, symbolic zeros, and what is refused."""

import numpy as onp
import pytest

import anima.numpy as np
from anima import (
    custom_vjp,
    dtypes,
    errors,
    grad,
    jit,
    lax,
    vjp,
    vmap,
)
from anima.custom_derivatives import (
    CustomVJPPrimal,
    SymbolicZero,
    custom_vjp_primal_tree_values,
)

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


# ---------------------------------------------------------------------------------------------
# Arguments and results.


def test_trees_none_and_missing_arguments():
    @custom_vjp
    def f(tree, none, scale=2.0, *, unused=None):
        return {"y": (tree["a"] * scale, None), "n": 3}

    def fwd(tree, none, scale):
        return f(tree, none, scale), (tree, scale)

    def bwd(residuals, ct):
        tree, scale = residuals
        assert ct["y"][1] is None and ct["n"].dtype == dtypes.float0
        return {"a": 7 * ct["y"][0], "b": [None]}, None, ct["y"][0].sum()

    f.defvjp(fwd, bwd)
    x = {"a": np.arange(3.0), "b": [1.0]}
    for g in (f, jit(f)):
        gradient = grad(lambda x: g(x, None)["y"][0].sum())(x)
        onp.testing.assert_array_equal(gradient["a"], [7, 7, 7])
        assert gradient["b"] == [0]
        assert grad(lambda s: g(x, None, scale=s)["y"][0].sum())(1.0) == 3


def test_cotangents_that_are_left_out():
    f = custom_vjp(lambda x, tree, none: x)
    for entry in (None, (None, {"b": None}), ((None, None), {"b": None})):
        f.defvjp(lambda x, tree, none: (x, None), lambda _, g, entry=entry: (g * 5, entry, None))
        gradient = grad(f, (0, 1))(1.0, ((2.0, 3.0), {"b": 4.0}), None)
        assert gradient == (5, ((0, 0), {"b": 0}))
    # For what has no derivative anything goes.
    f.defvjp(lambda *a: (a[0], None), lambda _, g: [g * 5, (None, {"b": g}), g])
    assert grad(f, (0, 1), allow_int=True)(1.0, (1, {"b": 4.0}), None)[1][1]["b"] == 1


def test_no_arguments():
    f = custom_vjp(lambda: 3.0)
    f.defvjp(lambda: (3.0, None), lambda _, g: ())
    assert f() == 3 and jit(f)() == 3
    assert grad(lambda x: x * f())(2.0) == 3


def test_empty_arrays():
    f = custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (x * 2, ()), lambda _, g: (g * 5,))
    for g in (f, jit(f), vmap(f)):
        assert grad(lambda x: g(x).sum())(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap"])
def test_integers(wrap):
    f = custom_vjp(lambda x, n: (x * n, n + 1, x))
    seen = []

    def bwd(n, cts):
        seen[:] = cts
        return cts[0] * 9 + cts[2], None

    f.defvjp(lambda x, n: ((x * n, n + 1, x), n), bwd)
    g = {"plain": f, "jit": jit(f), "vmap": lambda *a: tuple(x[0] for x in vmap(f)(*[a[None] for a in a]))}[
        wrap
    ]
    x, n = np.ones(3), np.arange(3)
    onp.testing.assert_array_equal(grad(lambda x: g(x, n)[0].sum())(x), [9, 9, 9])
    assert seen[1].dtype == dtypes.float0 and seen[1].shape == (3,)
    assert seen[2].shape == (3,), "zeros where there is no cotangent"
    gradients = grad(lambda x, n: g(x, n)[2].sum(), (0, 1), allow_int=True)(x, n)
    onp.testing.assert_array_equal(gradients[0], [1, 1, 1])
    assert gradients[1].dtype == dtypes.float0
    assert grad(lambda x: x * g(np.ones(()), np.int32(3))[1])(2.0) == 4, "only integers come out"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_dtypes(dtype):
    x = np.asarray(0.5, dtype)
    for f in (scaled, jit(scaled)):
        y, pullback = vjp(f, x)
        (ct,) = pullback(np.ones_like(x))
        assert y.dtype == ct.dtype == x.dtype
        onp.testing.assert_allclose(onp.asarray(ct, onp.complex64), once(0.5), rtol=2e-2)


@pytest.mark.parametrize("returned", ["float16", "int32", "bool"])
def test_cotangents_get_the_dtype_of_the_argument(returned):
    f = custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda _, g: (g.astype(returned),))
    for g in (f, jit(f)):
        assert grad(lambda x: 2 * g(np.sin(x) * 3) + x)(0.0).dtype == np.float32
        assert grad(lambda x: lax.scan(lambda c, _: (g(c), None), x, None, length=2)[0])(1.0) == 1
    number = custom_vjp(lambda x: x)
    number.defvjp(lambda x: (x, None), lambda _, g: (2,))
    assert grad(number)(1.0) == 2.0 and grad(number)(1.0).dtype == np.float32


def test_kinds_of_callables():
    class Scale:
        factor = 3.0

        def __call__(self, x):
            return 2 * self.factor * x

        def forward(self, x):
            return self(x), self.factor

        def backward(self, factor, g):
            return (factor * g,)

    scale = Scale()
    f = custom_vjp(scale)
    f.defvjp(scale.forward, scale.backward)
    assert f(1.0) == 6 and grad(f)(1.0) == 3
    assert scaled.__name__ == "scaled" and scaled.__wrapped__ is scaled.fun


# ---------------------------------------------------------------------------------------------
# Arguments that are not differentiated.


def test_nondiff_arguments():
    f = custom_vjp(lambda fun, x, n: fun(x) * n, nondiff_argnums=(0,), nondiff_argnames=("n",))
    assert f.nondiff_argnums == (0, 2)
    f.defvjp(lambda fun, x, n: (fun(x) * n, x), lambda fun, n, x, g: (g * fun(x) * n * 100,))
    for g in (f, lambda *a, **k: jit(lambda x: f(a[0], x, a[2] if len(a) > 2 else k["n"]))(a[1])):
        assert grad(lambda x: g(lambda x: x, x, 3))(2.0) == 600
        assert grad(lambda x: g(lambda x: x, x, n=3))(2.0) == 600
    settings = custom_vjp(lambda x, options: x, nondiff_argnums=1)
    settings.defvjp(lambda x, options: (x, None), lambda options, _, g: (g * len(options["names"]),))
    assert grad(settings)(1.0, {"names": ["a", "b"]}) == 2


@pytest.mark.parametrize("use", [jit, grad, vmap])
def test_nondiff_arguments_must_not_be_traced(use):
    f = custom_vjp(lambda x, n: x * n, nondiff_argnums=(1,))
    f.defvjp(lambda x, n: (x * n, x), lambda n, x, g: (g,))
    with pytest.raises(
        errors.UnexpectedTracerError,
        match="argument number 1 of custom_vjp function <lambda> is a traced value",
    ):
        use(lambda n: f(1.0, [n]))(np.ones(2) if use is vmap else 1.0)


# ---------------------------------------------------------------------------------------------
# Values captured from the functions around.


def _capturing(w):
    @custom_vjp
    def f(x):
        return w * x

    f.defvjp(lambda x: (w * x, None), lambda _, g: (10 * w * g,))
    return f


def test_captured_values_of_enclosing_traces():
    def run(w, x):
        return _capturing(w)(x)

    def scanned(w, x):
        return lax.scan(lambda c, _: (_capturing(w)(c), None), x, None, length=2)[0]

    w3 = np.arange(3.0)
    assert jit(run)(3.0, 2.0) == 6
    assert jit(grad(run, 1))(3.0, 2.0) == 30
    assert grad(jit(run), 1)(3.0, 2.0) == 30
    assert jit(lambda w: grad(jit(lambda x: run(w, x)))(2.0))(3.0) == 30
    onp.testing.assert_array_equal(vmap(run, (0, None))(w3, 2.0), [0, 2, 4])
    onp.testing.assert_array_equal(vmap(grad(run, 1), (0, None))(w3, 2.0), [0, 10, 20])
    onp.testing.assert_array_equal(vmap(jit(grad(run, 1)), (0, None))(w3, 2.0), [0, 10, 20])
    assert grad(lambda x: vmap(lambda w: run(w, x))(w3).sum())(2.0) == 30
    assert grad(lambda x: jit(vmap(lambda w: run(w, x)))(w3).sum())(2.0) == 30
    assert grad(scanned, 1)(3.0, 2.0) == 900
    assert jit(grad(scanned, 1))(3.0, 2.0) == 900
    onp.testing.assert_array_equal(vmap(grad(scanned, 1), (0, None))(w3, 2.0), [0, 100, 400])
    assert grad(lambda x: vmap(lambda w: scanned(w, x))(w3).sum())(2.0) == 500


def test_values_captured_by_one_rule_alone():
    def run(w, x, forward):
        f = custom_vjp(lambda x: x)
        if forward:
            f.defvjp(lambda x: (x, w), lambda w, g: (g * w,))
        else:
            f.defvjp(lambda x: (x, None), lambda _, g: (g * w,))
        return lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0]

    for forward in (True, False):
        assert jit(lambda w: grad(lambda x: run(w, x, forward))(1.0))(3.0) == 9
        assert grad(jit(lambda w, x: run(w, x, forward)), 1)(3.0, 1.0) == 9


def test_capturing_rules_that_cannot_be_traced_fail_when_they_are_asked():
    def run(w, x):
        f = custom_vjp(lambda x: w * x)

        def fwd(x):
            raise ZeroDivisionError("no derivative here")

        f.defvjp(fwd, lambda r, g: (g,))
        return f(x)

    assert jit(run)(3.0, 2.0) == 6
    with pytest.raises(ZeroDivisionError):
        grad(jit(run), 1)(3.0, 2.0)


@pytest.mark.parametrize("run", [lambda w: _capturing(w)(2.0), lambda w: _capturing(w)(w)])
@pytest.mark.parametrize(
    "derive", [grad, lambda f: jit(grad(f)), lambda f: grad(jit(f)), lambda f: jit(vmap(grad(f)))]
)
def test_captured_values_cannot_be_differentiated(run, derive):
    x = np.ones(2) if "vmap" in derive.__code__.co_names else 1.0
    with pytest.raises(errors.UnexpectedTracerError) as caught:
        derive(run)(x)
    text = str(caught.value) + str(caught.value.__notes__)
    assert "custom_vjp function f captured" in text or "used by f, which has derivative rules" in text


# ---------------------------------------------------------------------------------------------
# Symbolic zeros.


def test_symbolic_zeros():
    seen = []
    f = custom_vjp(lambda x, y, n: (x * y, x + y))

    def fwd(x, y, n):
        assert all(type(a) is CustomVJPPrimal for a in (x, y, n))
        seen.append((x.perturbed, y.perturbed, n.perturbed))
        x, y, n = custom_vjp_primal_tree_values((x, y, n))
        return (x * y, x + y), (x, y)

    def bwd(residuals, cts):
        seen.append(tuple(type(ct) is SymbolicZero for ct in cts))
        return residuals[1] * cts[0], SymbolicZero.from_primal_value(residuals[1]), None

    f.defvjp(fwd, bwd, symbolic_zeros=True)
    for g in (f, jit(f), lambda *a: tuple(y[0] for y in vmap(f, (0, None, None))(a[0][None], *a[1:]))):
        seen.clear()
        gradient = grad(lambda x: g(x, 3.0, 1)[0].sum())(np.ones(2))
        onp.testing.assert_array_equal(gradient, [3, 3])
        assert seen[0] == (True, False, False)
        assert seen[-1] == (False, True)
    assert grad(lambda x, y: f(x, y, 1)[0], 1)(1.0, 3.0) == 0


def test_custom_vjp_primal_tree_values():
    tree = (CustomVJPPrimal(1.0, True), {"a": CustomVJPPrimal(2, False)}, None)
    assert custom_vjp_primal_tree_values(tree) == (1.0, {"a": 2}, None)
    with pytest.raises(TypeError, match="a leaf has type float"):
        custom_vjp_primal_tree_values((1.0,))
    assert CustomVJPPrimal(1.0, True) == CustomVJPPrimal(1.0, True)


# ---------------------------------------------------------------------------------------------
# Refusals.


def bad(fwd=lambda x: (x, None), bwd=lambda r, g: (g,)):
    @custom_vjp
    def f(x):
        return x

    f.defvjp(fwd, bwd)
    return f


FORWARD_MISTAKES = {
    "no pair": (lambda x: x, "forward rule <lambda> of f must return a pair .* residuals for the backward rule, got (DeviceArray|Traced)"),
    "three values": (lambda x: (x, x, x), "must return a pair .*got 3 values"),
    "no array": (lambda x: (x, {"a": "text"}), r"residual\['a'\] is 'text' of type str"),
}  # fmt: skip
BACKWARD_MISTAKES = {
    "no tuple": (lambda r, g: g, TypeError, "backward rule <lambda> of f must return a tuple .*at the output there is a leaf"),
    "nothing": (lambda r, g: None, TypeError, "at the output there is None"),
    "too many": (lambda r, g: (g, g), TypeError, "a tuple of length 2, but in the arguments there is a tuple of length 1"),
    "structure": (lambda r, g: ({"a": g},), TypeError, r"at the output\[0\] there is a dict with the keys .'a'."),
    "shape": (lambda r, g: (np.ones(2) * g,), ValueError, r"output\[0\] is float32\[2\], for an argument of type float32\[\]"),
    "complex": (lambda r, g: (1j * g,), ValueError, r"output\[0\] is complex64\[\], for an argument of type float32\[\]"),
    "no array": (lambda r, g: ("text",), TypeError, r"output\[0\] is a str, for"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", FORWARD_MISTAKES)
def test_mistakes_in_forward_rules(mistake):
    fwd, message = FORWARD_MISTAKES[mistake]
    for f in (bad(fwd), jit(bad(fwd))):
        with pytest.raises(TypeError, match=message):
            grad(f)(1.0)


@pytest.mark.parametrize("mistake", BACKWARD_MISTAKES)
def test_mistakes_in_backward_rules(mistake):
    bwd, error, message = BACKWARD_MISTAKES[mistake]
    for f in (bad(bwd=bwd), jit(bad(bwd=bwd))):
        with pytest.raises(error, match=message):
            grad(f)(1.0)


def test_mistakes_in_the_middle_of_trees():
    f = custom_vjp(lambda tree: tree[0][0])
    f.defvjp(lambda tree: (tree[0][0], None), lambda _, g: ((None, {"b": (g, g)}),))
    with pytest.raises(
        TypeError,
        match=r"at the output\[0\]\[1\]\['b'\] there is a tuple of length 2, but in the arguments there is a leaf",
    ):
        grad(f)(((1.0, 2.0), {"b": 3.0}))
    f.defvjp(lambda tree: (tree[0][0], None), lambda _, g: ((g, {"b": g}),))
    with pytest.raises(
        TypeError,
        match=r"at the output\[0\]\[0\] there is a leaf, but in the arguments there is a tuple of length 2",
    ):
        grad(f)(((1.0, 2.0), {"b": 3.0}))


def test_forward_rule_that_disagrees_with_the_function():
    cases = [
        (lambda x: ([x], None), "as its first output what f returns, built in the same way.*there is a list of length 1"),
        (lambda x: (np.ones(2) * x, None), r"output of f is float32\[\], but .* returned float32\[2\]"),
        (lambda x: (x.astype("float16"), None), r"is float32\[\], but .* returned float16\[\]"),
    ]  # fmt: skip
    for fwd, message in cases:
        with pytest.raises(TypeError, match=message):
            grad(jit(bad(fwd)))(1.0)


def test_missing_rules():
    f = custom_vjp(scaled.fun)
    with pytest.raises(AttributeError, match="No VJP defined for custom_vjp function scaled using defvjp"):
        f(1.0)
    with pytest.raises(TypeError, match="defvjp expects a function"):
        f.defvjp(scaled_fwd, None)
    with pytest.raises(TypeError, match="custom_vjp expects a function"):
        custom_vjp("text")
