"""Taylor mode against exact series by mpmath, closed forms, and nested forward derivatives of every operation."""

import gc
import math
from functools import reduce

import mpmath
import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, lax
from anima.experimental.jet import jet
from tests.lax.derivatives import direction
from tests.lax.test_operations import SAMPLES, _in_64_bits, differentiable
from tests.transforms.composition import CHEAP

ORDER = 7
FLOAT0 = lambda *shape: onp.zeros(shape, anima.dtypes.float0)


@pytest.fixture(autouse=True)
def in_64_bits():
    with anima.enable_x64(True):
        yield


def line(x, order):
    """The terms of `x + t`."""
    return [np.ones_like(x), *[np.zeros_like(x)] * (order - 1)]


FUNCTIONS = {
    "exp": (np.exp, mpmath.exp, 0.4),
    "exp2": (np.exp2, lambda x: mpmath.mpf(2) ** x, 0.4),
    "expm1": (np.expm1, mpmath.expm1, 0.3),
    "log": (np.log, mpmath.log, 0.7),
    "log1p": (np.log1p, lambda x: mpmath.log(1 + x), 0.3),
    "sin": (np.sin, mpmath.sin, 0.7),
    "cos": (np.cos, mpmath.cos, 0.7),
    "tan": (np.tan, mpmath.tan, 0.7),
    "arcsin": (np.arcsin, mpmath.asin, 0.3),
    "arccos": (np.arccos, mpmath.acos, 0.3),
    "arctan": (np.arctan, mpmath.atan, 0.3),
    "sinh": (np.sinh, mpmath.sinh, 0.7),
    "cosh": (np.cosh, mpmath.cosh, 0.7),
    "tanh": (np.tanh, mpmath.tanh, 0.7),
    "arcsinh": (np.arcsinh, mpmath.asinh, 0.3),
    "arccosh": (np.arccosh, mpmath.acosh, 1.3),
    "arctanh": (np.arctanh, mpmath.atanh, 0.3),
    "logistic": (lax.logistic, lambda x: 1 / (1 + mpmath.exp(-x)), 0.3),
    "sqrt": (np.sqrt, mpmath.sqrt, 0.7),
    "rsqrt": (lax.rsqrt, lambda x: 1 / mpmath.sqrt(x), 0.7),
    "cbrt": (np.cbrt, mpmath.cbrt, 0.7),
    "reciprocal": (lambda x: 1 / x, lambda x: 1 / x, 0.7),
    "quotient": (lambda x: x / (1 + x * x), lambda x: x / (1 + x * x), 0.7),
    "power": (lambda x: x**2.5, lambda x: x ** mpmath.mpf(2.5), 0.7),
    "negative power": (lambda x: x**-3, lambda x: x**-3, 0.7),
    "self power": (lambda x: x**x, lambda x: x**x, 0.7),
    "erf": (lax.erf, mpmath.erf, 0.3),
    "erfc": (lax.erfc, mpmath.erfc, 0.3),
    "erf_inv": (lax.erf_inv, mpmath.erfinv, 0.3),
    "arctan2": (lambda x: np.arctan2(x, 1 + x * x), lambda x: mpmath.atan(x / (1 + x * x)), 0.3),
    "lgamma": (lax.lgamma, mpmath.loggamma, 2.3),
    "composed": (lambda x: np.sin(np.exp(x) * np.log(x)) / x, lambda x: mpmath.sin(mpmath.exp(x) * mpmath.log(x)) / x, 0.7),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_have_the_derivatives_of_their_series(name):
    fun, exact, x = FUNCTIONS[name]
    with mpmath.workdps(50):
        coefficients = [float(c) for c in mpmath.taylor(exact, mpmath.mpf(x), ORDER)]
    expected = [c * math.factorial(k) for k, c in enumerate(coefficients)]
    for wrap in (lambda f: f, anima.jit):
        value, terms = wrap(lambda x: jet(fun, (x,), (line(x, ORDER),)))(onp.float64(x))
        onp.testing.assert_allclose([value, *terms], expected, rtol=2e-12, atol=1e-12, err_msg=name)
        value, terms = jet(fun, (x,), (line(x, ORDER),), factorial_scaled=False)
        onp.testing.assert_allclose([value, *terms], coefficients, rtol=2e-12, atol=1e-12, err_msg=name)


def nested(fun, order):
    """The derivatives of a function of a number, by forward derivatives of forward derivatives."""

    def derivative(f):
        return lambda t: anima.jvp(f, (t,), (np.ones_like(t),))[1]

    fs = [fun]
    for _ in range(order):
        fs.append(derivative(fs[-1]))
    return lambda t: [f(t) for f in fs]


def along(fun, points, series):
    """`fun` as a function of the parameter of the curve with these derivatives."""

    def curve(t):
        polynomial = lambda p, terms: reduce(
            lambda total, term: total + term[1] * t ** term[0] / math.factorial(term[0]),
            enumerate(terms, 1),
            p,
        )
        return fun(*[polynomial(p, terms) for p, terms in zip(points, series)])

    return curve


def check_against_nested(fun, points, order=3, rtol=1e-9):
    series = [[direction(p, 10 * k + i) for k in range(order)] for i, p in enumerate(points)]

    @anima.jit(compiler_options=CHEAP)
    def both(*points):
        value, terms = jet(fun, points, series)
        return [value, *terms], nested(along(fun, points, series), order)(np.zeros(()))

    got, expected = both(*points)
    for k, (a, b) in enumerate(zip(got, expected)):
        onp.testing.assert_allclose(a, b, rtol=rtol, atol=1e-9, err_msg=f"order {k}")


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_operation_along_a_curve(name):
    for sample in SAMPLES[name][:1]:
        which = differentiable(sample)
        args = [_in_64_bits(a) for a in sample.args]

        def fun(*points, args=args, which=which, sample=sample):
            full = list(args)
            for i, point in zip(which, points):
                full[i] = point
            out = sample.call(*full)
            parts = [
                o
                for o in (out if isinstance(out, (tuple, list)) else [out])
                if anima.dtypes.is_inexact(o.dtype)
            ]
            return np.concatenate([np.ravel(p).astype(complex) for p in parts]) if parts else np.zeros(1)

        if not which:
            continue
        try:
            anima.jvp(fun, tuple(args[i] for i in which), tuple(args[i] for i in which))
        except errors.MissingRuleError:
            continue  # what has no forward derivative says so, and the walk over operations looks
        check_against_nested(fun, [args[i] for i in which], rtol=1e-7)


RNG = onp.random.default_rng(0)
A, B = RNG.uniform(0.2, 1, (3, 3)), RNG.uniform(0.2, 1, (3, 3))


@anima.custom_jvp
def custom_tan(x):
    return np.tan(x)


@custom_tan.defjvp
def _(primals, tangents):
    ans = custom_tan(*primals)
    return ans, anima.jit(
        lambda ans, t: lax.cond(True, lambda a, t: (1 + a * a) * t, lambda a, t: t, ans, t)
    )(ans, *tangents)


PROGRAMS = {
    "jit": lambda a: anima.jit(lambda a: np.sin(a) * a)(a) @ a,
    "cond": lambda a: lax.cond(a.sum() > 0, lambda a: np.sin(a) * a, lambda a: a, a),
    "constant branch": lambda a: lax.cond(a.sum() > 0, lambda a: a * a, lambda a: B, a),
    "switch on an integer": lambda a: lax.switch(np.argmax(a[0]) + 1, [np.sin, np.cos, np.exp, np.tanh], a),
    "scan": lambda a: lax.scan(lambda c, r: (np.tanh(c @ a) * r, c * a[0]), a[0], a),
    "scan from a constant": lambda a: lax.scan(lambda c, r: ((c[1] * r, c[0]), c), (B[0], B[1]), a, reverse=True),
    "while": lambda a: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, np.sin(s[1]) * a), (0, a))[1],
    "bounded while": lambda a: lax.while_loop(lambda s: s[0].sum() < 30, lambda s: (s[0] * 2, s[1] @ a), (a, a), max_steps=9),
    "fori": lambda a: lax.fori_loop(0, 3, lambda i, c: np.cos(c * a) + i, B),
    "vmap": lambda a: anima.vmap(lambda r: np.outer(r, r) / r.sum())(a),
    "grad": lambda a: anima.grad(lambda a: (np.sin(a) @ a).sum())(a),
    "jvp": lambda a: anima.jvp(np.exp, (a,), (a,)),
    "checkpoint": lambda a: anima.checkpoint(lambda a: np.sin(a) @ a)(a),
    "custom_jvp": lambda a: custom_tan(a * a),
    "custom_jvp in scan": lambda a: lax.scan(lambda c, _: (custom_tan(c) / 2, c), a, None, length=3),
    "linear_call": lambda a: anima.custom_derivatives.linear_call(lambda r, x: r @ x, lambda r, t: r.T @ t, a, a * a),
    "stop_gradient": lambda a: a * lax.stop_gradient(a) * a,
    "softmax": lambda a: anima.nn.softmax(a),
    "normalised": lambda a: (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-3),
    "logsumexp": lambda a: np.log(np.exp(a).sum(0)),
    "product": lambda a: np.prod(a, 0) / np.cumprod(a, 1),
    "three factors": lambda a: np.einsum("ij,jk,kl->il", a, a, a),
    "update": lambda a: a.at[0].set(a[1] * a[2]).at[np.array([1, 2]), 0].add(a[0, :2]),
    "sort": lambda a: np.sort(a * a, 1),
    "complex": lambda a: np.abs(np.exp(1j * a) + a) * np.angle(a + 2j),
    "piecewise": lambda a: np.where(a > 0.6, a * a, np.sin(a)) + np.maximum(a, B) + np.clip(a, 0.3, 0.8) + abs(a - 0.5),
    "constants": lambda a: np.floor(a * 3) * a + np.sign(a) * (a > 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_along_a_curve(name):
    def fun(a):
        return sum(
            [np.ravel(leaf).sum() * (i + 1) for i, leaf in enumerate(anima.tree.leaves(PROGRAMS[name](a)))]
        )

    for order in (1, 4):
        check_against_nested(fun, [A], order)
    check_against_nested(lambda a, b: fun(a) * b.sum() + np.tanh(a @ b).sum(), [A, B])


def test_in_every_transformation():
    x, terms = onp.float64(0.7), line(onp.float64(0.7), 3)
    run = lambda x: jet(lambda x: np.sin(x) * x, (x,), (terms,))[1]
    expected = run(x)
    for got in (anima.jit(run)(x), [t[1] for t in anima.vmap(run)(np.stack([x * 2, x]))]):
        onp.testing.assert_allclose(got, expected, rtol=1e-13)
    # The derivative of the k-th term along the line is the next term.
    for derivative in (anima.jacfwd(run), anima.jacrev(run), anima.jit(anima.jacrev(run))):
        onp.testing.assert_allclose(derivative(x)[:2], expected[1:], rtol=1e-13)
    # A jet of jets: mixed derivatives of sin(x y) * x.
    f = lambda x, y: np.sin(x * y) * x
    inner = lambda y: jet(lambda x: f(x, y), (x,), (terms[:1],))[1][0]
    got = jet(inner, (x + 1,), (terms[:1],))[1][0]
    onp.testing.assert_allclose(got, anima.grad(anima.grad(f, 0), 1)(x, x + 1), rtol=1e-13)


def test_control_flow_sees_values():
    def f(x):
        assert x.shape == () and float(x) == 0.5
        return x * x if x > 0 else x

    assert [float(t) for t in jet(f, (0.5,), ((1.0, 0.0),))[1]] == [1.0, 2.0]


def test_trees_integers_and_constants():
    f = lambda d, n: {"y": d["a"] * d["b"][0] * n, "n": n, "c": 3.0, "big": d["a"] > 0}
    value, terms = jet(
        f,
        ({"a": 2.0, "b": [3.0]}, 5),
        ({"a": [1.0, 0.0], "b": [(1.0, 0.0)]}, [FLOAT0(), FLOAT0()]),
    )
    assert float(value["y"]) == 30 and [float(t) for t in terms["y"]] == [25, 10]
    assert [float(t) for t in terms["c"]] == [0, 0] and terms["c"][0].dtype == value["c"].dtype
    for key in ("n", "big"):
        assert all(t.dtype == anima.dtypes.float0 for t in terms[key])
    # Results are terms for a further function.
    again, more = jet(lambda d: d["y"] ** 2, ({"y": value["y"]},), ({"y": terms["y"]},))
    onp.testing.assert_allclose(more, [2 * 30 * 25, 2 * 25**2 + 2 * 30 * 10])


def test_terms_fit_their_primals():
    x = onp.ones((2, 3), "f4")
    value, terms = jet(lambda x: x * 2, (x,), ((1.0, 0),))
    assert [(t.shape, str(t.dtype), t.weak_type) for t in terms] == [((2, 3), "float32", False)] * 2
    _, [term] = jet(np.sin, (np.asarray(1, np.bfloat16),), ((1.0,),))
    assert term.dtype == np.bfloat16
    assert jet(np.sin, (1.0,), ((),))[1] == []
    _, terms = jet(np.sum, (onp.ones(3),), (onp.ones((2, 3)),))  # an array is a sequence of its rows
    assert [float(t) for t in terms] == [3.0, 3.0]
    _, [slope] = jet(lambda x: x.sum(), (onp.zeros((0, 3)),), ((1.0,),))
    assert float(slope) == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: jet(3, (1.0,), ((1.0,),)), TypeError, "expects a function"),
        (lambda: jet(np.sin, 1.0, ((1.0,),)), TypeError, "primals must be a tuple or list"),
        (lambda: jet(np.sin, (1.0,), 1.0), TypeError, "series must be a tuple or list"),
        (lambda: jet(np.sin, (1.0,), (1.0,)), TypeError, r"series\[0\] must be a sequence of terms"),
        (lambda: jet(np.sin, (1.0,), ((1.0,), (1.0,))), ValueError, "1 primals, but 2 series"),
        (
            lambda: jet(np.add, (1.0, 2.0), ((1.0,), (1.0, 2.0))),
            ValueError,
            r"series\[0\] has 1, series\[1\] has 2",
        ),
        (lambda: jet(lambda: 1.0, (), ()), ValueError, "there is no argument"),
        (
            lambda: jet(lambda d: d["a"], ({"a": 1.0},), ({"b": (1.0,)},)),
            ValueError,
            r"series\[0\] is not built as",
        ),
        (
            lambda: jet(np.sin, (1.0,), (("no",),)),
            TypeError,
            r"series\[0\]\[0\] must be an array or a number",
        ),
        (lambda: jet(np.sin, (1.0,), ((1.0, 1j),)), TypeError, r"series\[0\]\[1\] has dtype complex128"),
        (
            lambda: jet(np.sin, (onp.ones(3),), ((onp.ones(2),),)),
            ValueError,
            r"series\[0\]\[0\] has shape \(2,\)",
        ),
        (lambda: jet(np.sin, (onp.ones(3),), ((onp.ones(3, "f4"),),)), TypeError, "convert it with astype"),
        (lambda: jet(lambda x: x * 2.0, (3,), ((1.0,),)), TypeError, "int64, which has no derivatives"),
        (lambda: jet(np.sin, ("no",), ((1.0,),)), TypeError, "has type str"),
    ],
)
def test_misuse_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_leaked_tracers_are_reported():
    kept = []
    jet(lambda x: kept.append(x) or x, (1.0,), ((1.0,),))
    with pytest.raises(errors.UnexpectedTracerError, match="TaylorTrace"):
        np.sin(kept[0])
    with anima.checking_leaks(), pytest.raises(errors.UnexpectedTracerError, match="leaked 1 traced value"):
        jet(lambda x: kept.append(np.sin(x)) or x, (1.0,), ((1.0,),))


def test_nothing_is_kept():
    x = np.ones((64, 64))
    run = lambda: jet(lambda x: np.tanh(x @ x) / (2 + np.cos(x)), (x,), ([x] * 3,))
    result = run()
    gc.collect()
    gc.disable()
    try:
        before = len(anima.live_arrays())
        for _ in range(3):
            result = run()
        assert len(anima.live_arrays()) == before
    finally:
        gc.enable()
    del result


def test_costs_are_polynomial_in_the_order():
    functions = (np.sqrt, np.log, lambda x: x**2.5, np.arcsin, lambda x: x / np.tanh(x), np.cbrt)
    for fun in functions:
        counts = [
            len(anima.make_jaxpr(lambda x, k=order: jet(fun, (x,), ([x] * k,))[1])(0.5).eqns)
            for order in (4, 8, 16)
        ]
        # Twice the order costs at most eight times as much: nothing grows faster than its third power.
        assert counts[1] <= 8 * counts[0] and counts[2] <= 8 * counts[1], counts


def test_high_orders_do_not_exhaust_the_stack():
    order = 40
    _, terms = jet(np.log, (1.0,), (line(onp.float64(1), order),), factorial_scaled=False)
    onp.testing.assert_allclose(terms, [(-1) ** (k + 1) / k for k in range(1, order + 1)], rtol=1e-10)
    _, terms = jet(
        lambda x: reduce(lambda y, _: np.sin(y), range(300), x), (0.5,), (line(onp.float64(0.5), 2),)
    )
    assert onp.isfinite(terms).all()


def test_programs_of_jets_are_kept_with_the_function():
    traced = []

    @anima.jit
    def f(x):
        traced.append(1)
        return np.sin(x) * x

    for _ in range(3):
        jet(f, (0.5,), (line(onp.float64(0.5), 3),))
    assert len(traced) == 1


def test_modes_do_not_mix():
    value, terms = jet(np.sin, (0.5,), ((1.0, 0.0),))
    assert value.dtype == terms[0].dtype == onp.float64
    with anima.enable_x64(False):
        value, terms = jet(np.sin, (0.5,), ((1.0, 0.0),), factorial_scaled=False)
        assert value.dtype == terms[1].dtype == onp.float32
