"""What the rule of `custom_jvp` gets and must return: arguments of every kind, captured values, symbolic zeros, and what is refused."""

import functools

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import (
    checkpoint,
    custom_jvp,
    dtypes,
    errors,
    grad,
    jacfwd,
    jit,
    jvp,
    lax,
    value_and_grad,
    vjp,
    vmap,
)
from anima.custom_derivatives import SymbolicZero, zero_from_primal

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


# ---------------------------------------------------------------------------------------------
# Arguments and results.


def test_trees_none_and_missing_arguments():
    @custom_jvp
    def f(tree, none, scale=2.0, *, unused=None):
        return {"y": (tree["a"] * scale, None), "n": 3}

    @f.defjvp
    def rule(primals, tangents):
        (tree, none, scale), (dtree, dnone, dscale) = primals, tangents
        assert none is None and dnone is None
        out = f(tree, none, scale)
        return out, {"y": (dtree["a"] * 7 + dscale, None), "n": onp.zeros((), dtypes.float0)}

    x = {"a": np.arange(3.0), "b": [1.0]}
    for g in (f, jit(f)):
        out = g(x, None)
        assert out["y"][1] is None and out["n"] == 3
        onp.testing.assert_array_equal(out["y"][0], [0, 2, 4])
        gradient = grad(lambda x: g(x, None)["y"][0].sum())(x)
        onp.testing.assert_array_equal(gradient["a"], [7, 7, 7])
        assert gradient["b"] == [0]
        assert grad(lambda s: g(x, None, scale=s)["y"][0].sum())(1.0) == 3
    onp.testing.assert_array_equal(
        vmap(lambda x: f(x, None)["y"][0])({"a": np.arange(3.0), "b": [np.ones(3)]}), [0, 2, 4]
    )


def test_no_arguments():
    f = custom_jvp(lambda: 3.0)
    f.defjvp(lambda p, t: (3.0, 0.0))
    assert f() == 3 and jit(f)() == 3
    assert grad(lambda x: x * f())(2.0) == 3
    assert vmap(lambda x: x * f())(np.arange(2.0))[1] == 3


def test_empty_trees_and_arrays():
    f = custom_jvp(lambda x, y: (x * 2, y))
    f.defjvp(lambda p, t: (f(*p), (t[0] * 5, t[1])))
    for g in (f, jit(f)):
        assert grad(lambda x: g(x, {})[0].sum())(np.zeros((0, 3))).shape == (0, 3)
        assert grad(lambda x: vmap(g, (0, None))(x, ())[0].sum())(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap"])
def test_tangents_of_integers_are_float0(wrap):
    seen = []

    @custom_jvp
    def f(x, n, flag):
        return x * n, n + 1

    @f.defjvp
    def rule(primals, tangents):
        seen[:] = tangents
        return f(*primals), (tangents[0] * 9, onp.zeros(primals[1].shape, dtypes.float0))

    g = {
        "plain": f,
        "jit": jit(f),
        "vmap": lambda *a: tuple(x[0] for x in vmap(f)(*[np.asarray(a)[None] for a in a])),
    }[wrap]
    value, n = g(np.ones(3), np.arange(3), True)
    onp.testing.assert_array_equal(value, [0, 1, 2])
    out, out_tangents = jvp(lambda x: g(x, np.arange(3), True), (np.ones(3),), (np.ones(3),))
    assert seen[1].dtype == dtypes.float0 and seen[1].shape == (3,) and seen[2].dtype == dtypes.float0
    onp.testing.assert_array_equal(out_tangents[0], [9, 9, 9])
    assert out_tangents[1].dtype == dtypes.float0
    onp.testing.assert_array_equal(grad(lambda x: g(x, np.arange(3), True)[0].sum())(np.ones(3)), [9, 9, 9])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_dtypes(dtype):
    x = np.asarray(0.5, dtype)
    for f in (scaled, jit(scaled)):
        out, tangent = jvp(f, (x,), (np.ones_like(x),))
        assert out.dtype == tangent.dtype == x.dtype
        onp.testing.assert_allclose(onp.asarray(tangent, onp.complex64), once(0.5), rtol=2e-2)
    if dtype != "complex64":
        assert grad(scaled)(x).dtype == x.dtype


def test_nan_and_infinity_reach_the_rule():
    f = custom_jvp(lambda x: x)
    f.defjvp(lambda p, t: (p[0], np.where(np.isnan(p[0]), 5.0, np.where(np.isinf(p[0]), 7.0, 1.0)) * t[0]))
    onp.testing.assert_array_equal(vmap(grad(f))(np.array([onp.nan, onp.inf, 0.0])), [5, 7, 1])


def test_kinds_of_callables():
    class Scale:
        factor = 3.0

        def method(self, x):
            return self.factor * x

        def __call__(self, x):
            return 2 * self.factor * x

    for fun in (Scale().method, Scale(), lambda x: x, max):
        f = custom_jvp(fun)
        f.defjvp(lambda p, t: (p[0], 11 * t[0]))
        arguments = (1.0, 0.0) if fun is max else (1.0,)
        assert grad(f)(*arguments) == 11
    assert custom_jvp(Scale().method).__name__ == "method"


def test_wrapper_looks_like_the_function():
    assert scaled.__name__ == "scaled" and scaled.__wrapped__ is scaled.fun
    assert custom_jvp(scaled).defjvp is not scaled.defjvp
    with pytest.raises(AttributeError, match="no attribute 'anything'"):
        scaled.anything
    outer = anima.custom_vjp(custom_jvp(lambda x: x))
    outer.defjvp(lambda p, t: (p[0], t[0]))  # a method of the function inside
    assert outer.fun.jvp is not None


# ---------------------------------------------------------------------------------------------
# Arguments that are not differentiated.


def test_nondiff_arguments():
    @custom_jvp
    def apply(f, x):
        return f(x)

    apply = custom_jvp(apply.fun, nondiff_argnums=(0,))
    apply.defjvp(lambda f, p, t: (f(p[0]), 5 * t[0]))
    assert grad(lambda x: apply(np.sin, x))(1.0) == 5
    assert grad(jit(lambda x: apply(np.sin, x)))(1.0) == 5

    @custom_jvp
    def power(x, n, m):
        return x**n * m

    power = custom_jvp(power.fun, nondiff_argnums=(-1,), nondiff_argnames=("n",))
    assert power.nondiff_argnums == (1, 2)
    power.defjvp(lambda n, m, p, t: (p[0] ** n * m, n * m * t[0]))
    assert grad(power)(2.0, 3, 5) == 15
    assert grad(lambda x: power(m=5, n=3, x=x))(2.0) == 15


def test_nondiff_arguments_may_be_traced():
    f = custom_jvp(lambda x, n: x * n, nondiff_argnums=(1,))
    f.defjvp(lambda n, p, t: (p[0] * n, 5 * n * t[0]))
    assert jit(lambda n: grad(f)(2.0, n))(3.0) == 15
    assert grad(jit(f))(2.0, 3.0) == 15
    assert grad(f, 1)(2.0, 3.0) == 0
    assert grad(jit(f), 1)(2.0, 3.0) == 0
    assert grad(lambda n: f(n, n))(2.0) == 10
    onp.testing.assert_array_equal(vmap(lambda n: grad(f)(2.0, n))(np.arange(3.0)), [0, 5, 10])


# ---------------------------------------------------------------------------------------------
# Values captured from the functions around.


def _capturing(w):
    @custom_jvp
    def f(x):
        return w * x

    f.defjvp(lambda p, t: (w * p[0], 10 * w * t[0]))
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
    onp.testing.assert_array_equal(vmap(vmap(run, (0, None)), (None, 0))(w3, w3)[2], [0, 2, 4])


def test_values_captured_by_the_rule_alone():
    def run(w, x):
        f = custom_jvp(lambda x: x)
        scale = lambda t: (lambda u: u * w)(t)
        f.defjvp(lambda p, t: (p[0], scale(t[0])))
        return lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0]

    assert jit(lambda w: grad(lambda x: run(w, x))(1.0))(3.0) == 9
    assert grad(jit(run), 1)(3.0, 1.0) == 9


def test_a_capturing_rule_that_cannot_be_traced_fails_when_it_is_asked():
    def run(w, x):
        f = custom_jvp(lambda x: w * x)

        @f.defjvp
        def rule(p, t):
            raise ZeroDivisionError("no derivative here")

        return f(x)

    assert jit(run)(3.0, 2.0) == 6
    with pytest.raises(ZeroDivisionError):
        grad(jit(run), 1)(3.0, 2.0)


@pytest.mark.parametrize("run", [lambda w: _capturing(w)(2.0), lambda w: _capturing(w)(w)])
@pytest.mark.parametrize(
    "derive", [grad, jacfwd, lambda f: jit(grad(f)), lambda f: grad(jit(f)), lambda f: vmap(grad(f))]
)
def test_captured_values_cannot_be_differentiated(run, derive):
    x = np.ones(2) if "vmap" in derive.__code__.co_names else 1.0
    with pytest.raises(errors.UnexpectedTracerError) as caught:
        derive(run)(x)
    text = str(caught.value) + str(caught.value.__notes__)
    assert "custom_jvp function f captured" in text or "used by f, which has derivative rules" in text
    assert "as an argument" in str(caught.value.__notes__) or "them as arguments" in str(
        caught.value.__notes__
    )


def test_captured_tangents_of_an_outer_derivative():
    """Perturbation confusion: an inner derivative of a function whose rule uses an outer variable."""

    def outer(w):
        f = custom_jvp(lambda x: x)
        f.defjvp(lambda p, t: (p[0], t[0] * 3))
        return w * grad(lambda x: f(x) * f(w))(w)

    # f(w) * 3 * w with f' = 3: 3 * (w + 3 * w).
    assert grad(outer)(2.0) == 24
    assert jit(grad(outer))(2.0) == 24
    assert grad(jit(outer))(2.0) == 24


# ---------------------------------------------------------------------------------------------
# Symbolic zeros.


def test_symbolic_zeros():
    seen = []
    f = custom_jvp(lambda x, y, n: x * y)

    def rule(primals, tangents):
        seen[:] = tangents
        total = [t * p for t, p in zip(tangents[:2], primals[1::-1]) if type(t) is not SymbolicZero]
        return primals[0] * primals[1], sum(total) if total else SymbolicZero.from_primal_value(primals[0])

    f.defjvp(rule, symbolic_zeros=True)
    for g in (f, jit(f), lambda *args: vmap(f, (0, None, None))(args[0][None], *args[1:])[0]):
        onp.testing.assert_array_equal(grad(lambda x: g(x, 3.0, 1).sum())(np.ones(2)), [3, 3])
        assert [type(t) is SymbolicZero for t in seen] == [False, True, True]
        assert seen[1].shape == () and seen[1].dtype == np.float32 and seen[2].dtype == dtypes.float0
    assert grad(lambda x: f(x, x, 1))(3.0) == 6
    plain = custom_jvp(lambda x, y, n: x * y)
    plain.defjvp(lambda p, t: (seen.append(t), (p[0] * p[1], t[0] * p[1] + t[1] * p[0]))[1])
    grad(plain)(2.0, 3.0, 1)
    assert seen[-1][1] == 0 and seen[-1][2].dtype == dtypes.float0


def test_symbolic_zero_results():
    f = custom_jvp(lambda x: (x, x))
    f.defjvp(lambda p, t: ((p[0], p[0]), (t[0], SymbolicZero.from_primal_value(p[0]))))
    for g in (f, jit(f), lambda x: tuple(y[0] for y in vmap(f)(x[None]))):
        assert jvp(lambda x: g(x)[1], (np.float32(2.0),), (np.float32(1.0),))[1] == 0
        assert grad(lambda x: sum(g(x)))(np.float32(2.0)) == 1


def test_zero_from_primal():
    zeros = zero_from_primal((1.0, 2, onp.ones(3), 1j))
    assert [str(z.dtype) for z in zeros[::2]] == ["float32", "float32"]
    assert zeros[1].dtype == dtypes.float0 and zeros[3].dtype == np.complex64
    symbolic = zero_from_primal({"a": np.ones((2, 3))}, symbolic_zeros=True)["a"]
    assert type(symbolic) is SymbolicZero and symbolic.shape == (2, 3) and symbolic.ndim == 2
    with pytest.raises(AttributeError):
        symbolic.nothing_of_the_kind


# ---------------------------------------------------------------------------------------------
# defjvps.


def test_defjvps():
    f = custom_jvp(lambda x, y, n: x * y**n)
    f.defjvps(lambda t, ans, x, y, n: 10 * t * ans / x, None, None)
    for g in (f, jit(f)):
        assert grad(g, (0, 1))(2.0, 3.0, 2) == (90, 0)
    f.defjvps(None, None, None)
    assert grad(f)(2.0, 3.0, 2) == 0
    assert jvp(f, (2.0, 3.0, 2), (1.0, 1.0, onp.zeros((), dtypes.float0)))[1] == 0
    pair = custom_jvp(lambda x, y: (x * y, [y]))
    pair.defjvps(lambda t, ans, x, y: (t * y, [0 * t]), lambda t, ans, x, y: (t * x, [5 * t]))
    out, tangent = jvp(pair, (2.0, 3.0), (1.0, 1.0))
    assert tangent == (5, [5])


def test_defjvps_errors():
    f = custom_jvp(lambda x, y: x * y)
    f.defjvps(None)
    with pytest.raises(ValueError, match="given 1 rules for <lambda>, which was called with 2"):
        grad(f)(1.0, 2.0)
    f.defjvps(lambda t, ans, x, y: t, lambda t, ans, x, y: (t, t))
    with pytest.raises(TypeError, match="built in the same way"):
        jvp(f, (1.0, 2.0), (1.0, 1.0))
    with pytest.raises(TypeError, match="nondiff_argnums"):
        custom_jvp(lambda x, n: x, nondiff_argnums=(1,)).defjvps(None, None)
    with pytest.raises(TypeError, match="expects a function"):
        f.defjvps(3, None)


# ---------------------------------------------------------------------------------------------
# Refusals.


def bad(rule, fun=lambda x: x):
    f = custom_jvp(fun)
    f.fun.__name__ = "f"
    f.defjvp(rule)
    return f


MISTAKES = {
    "no pair": (lambda p, t: p[0], "the custom_jvp rule <lambda> of f must return a pair .* and their tangents, got DeviceArray"),
    "three values": (lambda p, t: (p[0], t[0], 3), "must return a pair .* got 3 values"),
    "structure": (lambda p, t: (p[0], {"a": t[0]}), "at the tangents there is a dict with the keys .'a'.*in the outputs there is a leaf"),
    "None": (lambda p, t: (p[0], None), "at the tangents there is None"),
    "shape": (lambda p, t: ([p[0]], [np.ones(2) * t[0]]), r"tangent of output\[0\], float32\[\], must be float32\[\], but it is float32\[2\]"),
    "dtype": (lambda p, t: ({"a": p[0]}, {"a": t[0].astype("float16")}), r"tangent of output\['a'\], float32\[\], must be float32\[\], but it is float16\[\]"),
    "integer": (lambda p, t: (p[0], 0), r"must be float32\[\], but it is int32\[\]"),
    "float0": (lambda p, t: (p[0], onp.zeros((), dtypes.float0)), r"must be float32\[\], but it is float0\[\]"),
    "no float0": (lambda p, t: (3, t[0]), r"tangent of output, int32\[\], must be float0\[\], but it is float32\[\]"),
    "symbolic zero": (lambda p, t: (p[0], SymbolicZero.from_primal_value(np.ones(2))), r"must be float32\[\], but it is float32\[2\]"),
    "no array": (lambda p, t: ("a", t[0]), "must return arrays and numbers, but output is 'a' of type str"),
    "output of tangents": (lambda p, t: (t[0], t[0]), "an output that depends on the input tangents"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_rules(mistake):
    rule, message = MISTAKES[mistake]
    with pytest.raises(TypeError, match=message):
        value_and_grad(lambda x: anima.tree.leaves(bad(rule)(x))[0])(1.0)
    if mistake != "output of tangents":
        with pytest.raises(TypeError, match=message):
            jvp(bad(rule), (1.0,), (1.0,))


def test_rule_that_disagrees_with_the_function():
    cases = [
        (lambda p, t: ([p[0]], [t[0]]), "as its first output what f returns, built in the same way.*there is a list of length 1"),
        (lambda p, t: (np.ones(2) * p[0], np.ones(2) * t[0]), r"output of f is float32\[\], but .* returned float32\[2\]"),
        (lambda p, t: (p[0].astype("float16"), t[0].astype("float16")), r"is float32\[\], but .* returned float16\[\]"),
    ]  # fmt: skip
    for rule, message in cases:
        with pytest.raises(TypeError, match=message):
            grad(jit(bad(rule)))(1.0)


def test_missing_rule():
    @custom_jvp
    def f(x):
        return x

    with pytest.raises(AttributeError, match="No JVP defined for custom_jvp function f using defjvp"):
        f(1.0)


def test_bad_calls():
    f = bad(lambda p, t: (p[0], t[0]), lambda x, y=1.0: x)
    with pytest.raises(TypeError, match=r"f\(x, y=1.0\) was called with other arguments: too many"):
        f(1, 2, 3)
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        f(y=1)
    with pytest.raises(
        TypeError, match=r"argument `y`\['a'\]\[0\] has type str, which is not an array.*nondiff_argnums"
    ):
        f(1.0, {"a": ["text"]})
    with pytest.raises(TypeError, match="returned a value of type str"):
        bad(lambda p, t: (p[0], t[0]), lambda x: "text")(1.0)
    only = bad(lambda p, t: (p[0], t[0]), lambda x, *, k=2.0: x * k)
    assert only(3.0) == 6
    with pytest.raises(TypeError, match=r"\['k'\] have no position, because they are keyword-only"):
        only(3.0, k=1.0)


def test_bad_decorations():
    with pytest.raises(TypeError, match="custom_jvp expects a function"):
        custom_jvp(3)
    with pytest.raises(TypeError, match="generator"):
        custom_jvp(lambda x: (yield x))
    with pytest.raises(ValueError, match="nondiff_argnums 2 is out of range: <lambda> takes 2"):
        custom_jvp(lambda x, y: x, nondiff_argnums=(2,))
    with pytest.raises(ValueError, match="nondiff_argnames 'z' is no positional argument of"):
        custom_jvp(lambda x, y: x, nondiff_argnames="z")
    with pytest.raises(TypeError, match="nondiff_argnums must be integers"):
        custom_jvp(lambda x, y: x, nondiff_argnums=("x",))
    with pytest.raises(TypeError, match="defjvp expects a function"):
        scaled.defjvp(None)


def test_rule_that_maps_an_output_which_the_function_does_not():
    f = custom_jvp(lambda x, y: x)
    f.defjvp(lambda p, t: (p[0], p[1] * t[0]))
    over = lambda g: grad(lambda x: g(x, np.arange(3.0)).sum())(1.0)
    assert over(vmap(f, (None, 0))) == 3
    assert vmap(f, (None, 0), out_axes=None)(1.0, np.arange(3.0)) == 1
    with pytest.raises(ValueError, match="depends on the mapped axis as output 0"):
        over(jit(vmap(f, (None, 0))))


# --- rules that apply their own function to tangents: it is linear ----------------------------


@custom_jvp
def tripled(x):
    return 3 * x


@tripled.defjvp
def _(primals, tangents):
    return tripled(*primals), tripled(*tangents)


@functools.partial(custom_jvp, nondiff_argnums=(0,))
def times(count, x):
    return count * x if count < 2 else x + again(count - 1, x)


@functools.partial(custom_jvp, nondiff_argnums=(0,))
def again(count, x):
    return times(count, x)


@times.defjvp
def _(count, primals, tangents):
    return times(count, *primals), again(count, *tangents)


@again.defjvp
def _(count, primals, tangents):
    return again(count, *primals), times(count, *tangents)


@pytest.mark.parametrize("f", [tripled, functools.partial(times, 3)], ids=["itself", "another that does"])
@pytest.mark.parametrize("around", [lambda f: f, jit, checkpoint, lambda f: lambda x: vmap(f)(x[None])[0]])
def test_a_rule_that_applies_its_own_function_to_tangents(f, around):
    value = lambda x: around(f)(x) ** 2
    assert jvp(value, (2.0,), (1.0,)) == (36.0, 36.0)
    assert grad(value)(np.float32(2.0)) == 36
    assert jit(grad(value))(np.float32(2.0)) == 36
    assert grad(grad(value))(np.float32(2.0)) == 18
    assert vmap(grad(value))(np.array([1.0, 2.0])).tolist() == [18, 36]
    loop = lambda x: lax.scan(lambda c, _: (around(f)(c), None), x, None, length=3)[0]
    assert grad(loop)(np.float32(1.0)) == 27
    out, transpose = vjp(around(f), np.float32(2.0))
    assert (out, *transpose(np.float32(5.0))) == (6, 15)


def test_a_rule_that_uses_other_operands_beside_tangents():
    @custom_jvp
    def product(x, y):
        return x * y

    @product.defjvp
    def _(primals, tangents):
        (x, y), (dx, dy) = primals, tangents
        return product(x, y), product(dx, y) + product(x, dy)

    assert grad(product, (0, 1))(2.0, 5.0) == (5, 2)
    assert jit(grad(grad(lambda x: product(x, product(x, x)))))(2.0) == 12
    assert grad(lambda x: product(x, 7.0))(2.0) == 7
