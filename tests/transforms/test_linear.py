"""Transposes of linear functions, and linear functions with transposes of their own."""

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, jvp, lax, linear_transpose, vjp, vmap
from anima.custom_derivatives import custom_transpose, linear_call

RNG = onp.random.default_rng(0)
A = RNG.normal(size=(2, 3)).astype("f")
X = RNG.normal(size=(3, 4)).astype("f")
SCALAR = anima.ShapeDtypeStruct((), np.float32)


def struct(*shape, dtype=np.float32):
    return anima.ShapeDtypeStruct(shape, dtype)


# --- linear_transpose ------------------------------------------------------------------------


LINEAR = {
    "matmul": lambda x: A @ x,
    "sum of parts": lambda x: x[0] * 2 - x[1:].sum(0) / 3,
    "movement": lambda x: np.concatenate([x.T, x[:, ::-1].T]).reshape(2, -1)[:, 1::2],
    "scan": lambda x: lax.scan(lambda c, r: (c * 2 + r, c - r), np.zeros(4), x),
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: c * 2 - x, x),
    "cond": lambda x: lax.cond(A[0, 0] > 0, lambda x: x * 2, lambda x: x[::-1], x),
    "jit": jit(lambda x: {"a": x * 3, "b": x.sum()}),
    "vmap": vmap(lambda r: r * onp.arange(4.0, dtype="f")),
    "complex": lambda x: lax.complex(x, 2 * x),
    "constant part": lambda x: (x * 2, 3.0),
}  # fmt: skip


def test_the_derivative_of_a_compiled_loop_transposes() -> None:
    """Its program computes values and tangents in one loop; only the tangents are linear."""
    f = jit(lambda d: lax.scan(lambda c, row: (row * 0.5, ()), d[0], d)[0] ** 2)
    x = np.asarray([0.5, 3.0])
    (back,) = linear_transpose(lambda t: jvp(f, (x,), (t,))[1], x)(np.float32(1.0))
    onp.testing.assert_allclose(back, [0.0, 1.5])


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("wrap", [lambda f: f, jit])
def test_transposes_satisfy_their_definition(name, wrap):
    f = LINEAR[name]
    out = anima.tree.map(np.asarray, f(X))
    ct = anima.tree.map(lambda o: np.asarray(RNG.normal(size=o.shape).astype(o.dtype)), out)
    (back,) = wrap(linear_transpose(f, struct(3, 4)))(ct)
    assert back.shape == X.shape and back.dtype == X.dtype
    (expected,) = vjp(f, X)[1](ct)
    onp.testing.assert_allclose(back, expected, rtol=1e-5, atol=1e-6)
    if name != "constant part":
        # <ct, f(x)> = <transpose(ct), x>, without conjugates.
        inner = sum(float(np.real(np.sum(a * b))) for a, b in zip(*map(anima.tree.leaves, (ct, out))))
        onp.testing.assert_allclose((back * X).sum(), inner, rtol=1e-4)


def test_arguments_are_pytrees_of_shapes():
    f = lambda d, y: {"out": d["a"] * 2 + y[0], "rest": d["b"][::2]}
    transpose = linear_transpose(f, {"a": SCALAR, "b": struct(3), "unused": struct(2)}, (1.0, struct(2)))
    d, y = transpose({"out": 3.0, "rest": np.ones(2)})
    assert float(d["a"]) == 6 and float(y[0]) == 3
    onp.testing.assert_array_equal(d["b"], [1, 0, 1])
    onp.testing.assert_array_equal(d["unused"], [0, 0])
    onp.testing.assert_array_equal(y[1], [0, 0])
    assert linear_transpose(lambda: 1.0)(1.0) == ()


def test_dtypes_are_those_of_the_arguments():
    assert (
        linear_transpose(lambda x: x.astype(np.float32), struct(dtype=np.bfloat16))(1.0)[0].dtype
        == np.bfloat16
    )
    (ct,) = linear_transpose(lambda x: x * (1 + 2j), SCALAR)(1j)
    assert ct.dtype == np.float32 and float(ct) == -2
    (ct,) = linear_transpose(np.real, struct(dtype=np.complex64))(1.0)
    assert ct.dtype == np.complex64 and complex(ct) == 1
    (ct,) = linear_transpose(lambda n: 2 * n + n, struct(3, dtype=np.int32))(np.arange(3))
    onp.testing.assert_array_equal(ct, [0, 3, 6])
    assert ct.dtype == np.int32
    assert linear_transpose(lambda x: 2 * x, 1.0)(3.0)[0].weak_type
    assert not linear_transpose(lambda x: 2 * x, SCALAR)(3.0)[0].weak_type


def test_transposes_compose():
    f = lambda x: 3 * x
    assert float(linear_transpose(lambda y: linear_transpose(f, SCALAR)(y)[0], SCALAR)(2.0)[0]) == 6
    assert float(grad(lambda y: linear_transpose(lambda x: x * y * y, SCALAR)(3.0)[0])(2.0)) == 12
    assert float(grad(lambda ct: linear_transpose(f, SCALAR)(ct)[0] ** 2)(2.0)) == 36
    onp.testing.assert_array_equal(vmap(linear_transpose(f, SCALAR))(np.arange(3.0))[0], [0, 3, 6])
    traced = []
    transpose = linear_transpose(lambda x: traced.append(1) or 2 * x, SCALAR)
    transpose(1.0), transpose(2.0)
    assert len(traced) == 1


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: linear_transpose(3, SCALAR), TypeError, "expects a function"),
        (lambda: linear_transpose(lambda x: x, "no"), TypeError, "argument `x`"),
        (lambda: linear_transpose(lambda x, i: x, SCALAR, struct(dtype=np.int32)), TypeError, r"\(float32\[\], int32\[\]\) to"),
        (lambda: linear_transpose(lambda x: (x, 1), SCALAR), TypeError, r"to \(float32\[\], int32\[\]\)"),
        (lambda: linear_transpose(lambda x: x, struct(dtype=bool)), TypeError, r"\(bool\[\]\) to \(bool\[\]\)"),
        (lambda: linear_transpose(lambda x: (x, x > 0), struct(dtype=np.int32)), TypeError, r"to \(int32\[\], bool\[\]\)"),
        (lambda: linear_transpose(lambda x: x, anima.random.key(0)), TypeError, r"\(key<fry>\[\]\) to"),
        (lambda: linear_transpose(lambda x: x, SCALAR, reduce_axes=("i",)), ValueError, "reduce_axes"),
        (lambda: linear_transpose(np.sin, SCALAR)(1.0), errors.MissingRuleError, "'sin' has no transpose rule"),
        (lambda: linear_transpose(lambda x: x * x, SCALAR)(1.0), errors.NonlinearError, "not: an operation combines"),
        (lambda: linear_transpose(lambda x: x @ x, struct(2))(1.0), errors.NonlinearError, "combines two values"),
        (lambda: linear_transpose(lambda x: x / x, SCALAR)(1.0), errors.NonlinearError, "combines two values"),
        (lambda: linear_transpose(lambda x: (x, x), SCALAR)([1.0, 1.0]), TypeError, "must be built as the output"),
        (lambda: linear_transpose(lambda x: {"y": x}, struct(2))({"y": np.ones(3)}), TypeError, r"output\['y'\] must be float32\[2\], but got float32\[3\]"),
        (lambda: linear_transpose(lambda x: x, SCALAR)(1), TypeError, r"float32\[\], but got int32\[\]"),
    ],
)  # fmt: skip
def test_misuse_of_linear_transpose_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- linear_call -----------------------------------------------------------------------------


def divide(x, d):
    """Division with a transpose that is ten times too large, so that its use shows."""
    return linear_call(lambda d, x: x / d, lambda d, ct: 10 * ct / d, d, x)


WRAPPERS = {
    "plain": lambda f: f,
    "jit": jit,
    "vmap": lambda f: lambda *args: vmap(f)(*[np.stack([a, a]) for a in args])[1],
    "vmap of linear argument": lambda f: lambda x, *args: vmap(f, (0, *[None] * len(args)))(np.stack([x, x]), *args)[0],
    "jit of vmap": lambda f: lambda *args: jit(vmap(f))(*[np.stack([a, a]) for a in args])[0],
    "vmap of jit": lambda f: lambda *args: vmap(jit(f))(*[np.stack([a, a]) for a in args])[0],
    "scan": lambda f: lambda *args: lax.scan(lambda c, row: (c, f(*row)), 0, tuple(np.stack([a, a]) for a in args))[1][1],
    "cond": lambda f: lambda *args: lax.cond(args[0] > -9, f, lambda *args: args[0] * 0, *args),
    "checkpoint": lambda f: anima.checkpoint(f),
}  # fmt: skip


@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("inner", ["plain", "jit", "vmap", "scan", "checkpoint"])
def test_reverse_mode_uses_the_given_transpose(outer, inner):
    f = WRAPPERS[outer](WRAPPERS[inner](divide))
    x, d = np.float32(6), np.float32(4)
    onp.testing.assert_allclose(f(x, d), 1.5)
    onp.testing.assert_allclose(WRAPPERS[outer](grad(WRAPPERS[inner](divide)))(x, d), 2.5)
    onp.testing.assert_allclose(grad(f)(x, d), 2.5)
    onp.testing.assert_allclose(jvp(lambda x: f(x, d), (x,), (x,))[1], 1.5)


def test_transposing_twice_gives_the_function_again():
    f = lambda x: divide(x, 4.0)
    once = lambda y: linear_transpose(f, SCALAR)(y)[0]
    twice = lambda x: linear_transpose(once, SCALAR)(x)[0]
    thrice = lambda y: linear_transpose(twice, SCALAR)(y)[0]
    for wrap in (lambda f: f, jit, lambda f: lambda x: vmap(f)(x[None])[0]):
        for g, factor in ((f, 0.25), (once, 2.5), (twice, 0.25), (thrice, 2.5)):
            onp.testing.assert_allclose(wrap(g)(np.float32(2)), 2 * factor)


def test_in_residuals_it_is_differentiated_as_any_function():
    for wrap in WRAPPERS.values():
        onp.testing.assert_allclose(wrap(grad(divide, 1))(np.float32(6), np.float32(2)), -1.5)
    value, tangent = jvp(divide, (6.0, 2.0), (1.0, 1.0))
    assert (float(value), float(tangent)) == (3, 0.5 - 1.5)
    hessian = anima.hessian(lambda x: divide(x, 2.0) ** 2)(3.0)  # 2 * (1/2 forwards) * (10/2 backwards)
    onp.testing.assert_allclose(hessian, 5.0)
    mixed = grad(lambda d: grad(lambda x: divide(x, d))(6.0))(2.0)
    onp.testing.assert_allclose(mixed, -10 / 4)


def test_trees_integers_and_parts():
    def fun(res, lin):
        return {"y": lin["x"][0] * res[0] + lin["x"][1], "n": lin["n"] + res[1]}

    def transpose(res, ct):
        assert ct["n"].dtype == anima.dtypes.float0
        return {"x": (ct["y"] * res[0] * 10, ct["y"] * 100), "n": 0}

    def call(a, b, n):
        return linear_call(fun, transpose, (3.0, 4), {"x": (a, b), "n": n})

    for wrap in (lambda f: f, jit):
        out = wrap(call)(1.0, 2.0, 5)
        assert float(out["y"]) == 5 and int(out["n"]) == 9
        gradient = wrap(grad(lambda a, b: call(a, b, 5)["y"], (0, 1)))(1.0, 2.0)
        assert [float(g) for g in gradient] == [30, 100]
        assert (
            float(wrap(grad(lambda b: call(1.0, b, 5)["y"]))(2.0)) == 100
        )  # some linear arguments are constant
        twice = linear_transpose(
            lambda y: linear_transpose(lambda a: call(a, a, 5)["y"], SCALAR)(y)[0], SCALAR
        )
        assert float(wrap(twice)(1.0)[0]) == 4


def test_functions_may_capture_values_of_enclosing_transformations():
    f = jit(lambda y: grad(lambda x: linear_call(lambda _, x: x * y, lambda _, t: t * y * 10, (), x))(2.0))
    assert float(f(3.0)) == 30
    g = lambda y: linear_call(lambda _, x: x * y, lambda _, t: t * y * 10, (), 2.0)
    onp.testing.assert_array_equal(vmap(g)(np.arange(3.0)), [0, 2, 4])
    onp.testing.assert_array_equal(
        vmap(lambda y: grad(lambda x: linear_call(lambda _, x: x * y, lambda _, t: t * y * 10, (), x))(2.0))(np.arange(3.0)),
        [0, 10, 20],
    )  # fmt: skip
    # They are residuals, in which the function is differentiated as any other.
    assert float(grad(g)(3.0)) == float(jvp(g, (3.0,), (1.0,))[1]) == 2


def test_a_transpose_that_cannot_be_traced_may_never_be_asked():
    def no(res, ct):
        raise RuntimeError("asked")

    f = lambda x: linear_call(lambda _, x: 2 * x, no, (), x)
    assert float(jit(f)(3.0)) == 6 and float(jvp(f, (3.0,), (1.0,))[1]) == 2
    for g in (grad(f), jit(grad(f)), grad(jit(f))):
        with pytest.raises(RuntimeError, match="asked"):
            g(3.0)


def test_named_axes_are_in_scope():
    f = lambda x: linear_call(lambda _, x: x + lax.psum(x, "i"), lambda _, t: t + lax.psum(t, "i"), (), x)
    onp.testing.assert_array_equal(vmap(f, axis_name="i")(np.arange(3.0)), [3, 4, 5])
    g = vmap(lambda x, c: vjp(f, x)[1](c)[0], axis_name="i")
    onp.testing.assert_array_equal(g(np.arange(3.0), np.arange(3.0)), [3, 4, 5])


@pytest.mark.parametrize(
    ("transpose", "x", "error", "words"),
    [
        (lambda _, t: t, (2.0, 5.0), TypeError, "must return what is built as the linear arguments"),
        (
            lambda _, t: (t, np.ones(2)),
            (2.0, 5.0),
            ValueError,
            r"result\[1\] must be float32\[\], but it is float32\[2\]",
        ),
        (lambda _, t: (t, t.astype(np.float16)), (2.0, 5.0), ValueError, r"result\[1\].*float16"),
    ],
)
def test_transposes_must_fit(transpose, x, error, words):
    f = lambda x: linear_call(lambda _, x: x[0] + x[1], transpose, (), x)
    for g in (grad(f), jit(grad(f))):
        with pytest.raises(error, match=words):
            g(x)


def test_misuse_of_linear_call_is_explained():
    with pytest.raises(TypeError, match="expects a function"):
        linear_call(3, lambda r, t: t, (), 1.0)
    with pytest.raises(TypeError, match="expects a function"):
        linear_call(lambda r, x: x, None, (), 1.0)
    with pytest.raises(TypeError, match=r"residual_args\['a'\] must be an array"):
        linear_call(lambda r, x: x, lambda r, t: t, {"a": "no"}, 1.0)
    with pytest.raises(errors.NonlinearError):
        linear_transpose(lambda d: divide(1.0, d), SCALAR)(1.0)


# --- custom_transpose ------------------------------------------------------------------------


def test_custom_transpose_is_linear_call_as_a_decorator():
    @custom_transpose
    def halve(res, x):
        return {"y": x / 2 + res * 0}

    with pytest.raises(AttributeError, match="def_transpose"):
        halve({"y": 1.0}, 0.0, 1.0)

    @halve.def_transpose
    def halve_transpose(res, ct):
        return ct["y"] * 5

    f = lambda x: halve({"y": SCALAR}, np.float32(1), x)["y"]
    for wrap in (lambda f: f, jit, lambda f: lambda x: vmap(f)(x[None])[0]):
        assert float(wrap(f)(np.float32(3))) == 1.5
        assert float(wrap(grad(f))(np.float32(3))) == 5
    with pytest.raises(
        TypeError, match=r"its result\['y'\] is float32\[\], but the type given is float32\[2\]"
    ):
        halve({"y": struct(2)}, np.float32(1), np.float32(1))
    with pytest.raises(TypeError, match="must return what out_types says"):
        halve(SCALAR, np.float32(1), np.float32(1))
    with pytest.raises(TypeError, match="expects a function"):
        halve.def_transpose(3)
    assert halve.__name__ == "halve"
