"""Derivatives against closed forms and finite differences, in every composition."""

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import errors, grad, hessian, jacfwd, jacrev, jit, jvp, linearize, value_and_grad, vjp, vmap


def f(x):
    return np.sin(x * x) + np.exp(-x)


def df(x):
    return 2 * x * onp.cos(x * x) - onp.exp(-x)


def d2f(x):
    return 2 * onp.cos(x * x) - 4 * x * x * onp.sin(x * x) + onp.exp(-x)


def d3f(x):
    return -12 * x * onp.sin(x * x) - 8 * x**3 * onp.cos(x * x) - onp.exp(-x)


WRAPPERS = {
    "plain": lambda g: g,
    "jit": jit,
    "vmap": lambda g: lambda x: vmap(g)(np.stack([x, x]))[1],
    "jit of vmap": lambda g: lambda x: jit(vmap(g))(np.stack([x, x]))[0],
    "vmap of jit": lambda g: lambda x: vmap(jit(g))(np.stack([x, x]))[0],
}
DERIVATIVES = {
    "grad": grad,
    "forward": lambda g: lambda x: jvp(g, (x,), (np.ones_like(x),))[1],
    "linearize": lambda g: lambda x: linearize(g, x)[1](np.ones_like(x)),
    "vjp": lambda g: lambda x: vjp(g, x)[1](np.ones_like(x))[0],
    "jacrev": jacrev,
    "jacfwd": jacfwd,
}


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("derive", DERIVATIVES)
def test_first_derivative(derive, wrap):
    g = WRAPPERS[wrap](DERIVATIVES[derive](WRAPPERS[wrap](f)))
    onp.testing.assert_allclose(g(np.float32(0.7)), df(0.7), rtol=2e-6)


@pytest.mark.parametrize("inner", DERIVATIVES)
@pytest.mark.parametrize("outer", DERIVATIVES)
@pytest.mark.parametrize("wrap", ["plain", "jit", "vmap of jit"])
def test_second_derivative(inner, outer, wrap):
    w = WRAPPERS[wrap]
    g = w(DERIVATIVES[outer](w(DERIVATIVES[inner](w(f)))))
    onp.testing.assert_allclose(g(np.float32(0.7)), d2f(0.7), rtol=1e-5)


@pytest.mark.parametrize("third", ["grad", "forward"])
@pytest.mark.parametrize("second", ["grad", "forward"])
def test_third_derivative(second, third):
    g = jit(DERIVATIVES[third](jit(DERIVATIVES[second](jit(grad(f))))))
    onp.testing.assert_allclose(g(np.float32(0.7)), d3f(0.7), rtol=1e-4)


def test_perturbations_are_not_confused():
    # d/dx (x * d/dy (x + y)) = 1: a confused implementation gives 2.
    inner = lambda x: grad(lambda y: x + y)(2.0)
    assert float(grad(lambda x: x * inner(x))(1.0)) == 1.0
    forward = lambda x: jvp(lambda y: x * y, (3.0,), (1.0,))[1]
    assert float(grad(forward)(5.0)) == 1.0
    assert float(jvp(forward, (5.0,), (1.0,))[1]) == 1.0
    assert float(grad(lambda x: x * jit(grad(lambda y: x * y * y))(x))(2.0)) == pytest.approx(24.0)


def test_python_control_flow_under_grad():
    def g(x):
        return 3.0 * x**2 if x < 3 else -4 * x

    assert float(grad(g)(2.0)) == 12.0
    assert float(grad(g)(4.0)) == -4.0


def test_argnums_kwargs_aux_and_pytrees():
    def g(params, x, scale=1.0):
        return scale * np.sum(params["w"] * x) + params["b"], {"x": x, "note": "kept"}

    params = {"w": np.arange(3.0), "b": np.float32(1.0)}
    (value, aux), (dp, dx) = value_and_grad(g, argnums=(0, 1), has_aux=True)(params, np.ones(3), scale=2.0)
    assert float(value) == 7.0 and aux["note"] == "kept"
    onp.testing.assert_array_equal(dp["w"], [2, 2, 2])
    assert float(dp["b"]) == 1.0
    onp.testing.assert_array_equal(dx, [0, 2, 4])
    onp.testing.assert_array_equal(grad(g, argnums=-1, has_aux=True)(params, np.ones(3))[0], [0, 1, 2])


def test_aux_of_an_outer_transformation_keeps_its_tangent():
    def g(x):
        value, aux = grad(lambda y: (x * y, x * x), has_aux=True)(3.0)
        return value + aux

    assert float(grad(g)(2.0)) == 5.0


def test_jacobians_of_pytrees():
    def g(p):
        return {"a": p["x"] ** 2, "b": np.outer(p["x"], p["y"])}

    p = {"x": np.array([1.0, 2.0]), "y": np.array([3.0, 4.0, 5.0])}
    for jac in (jacfwd(g)(p), jacrev(g)(p), jit(jacfwd(g))(p)):
        onp.testing.assert_allclose(jac["a"]["x"], [[2, 0], [0, 4]])
        onp.testing.assert_allclose(jac["a"]["y"], onp.zeros((2, 3)))
        assert jac["b"]["y"].shape == (2, 3, 3)
        onp.testing.assert_allclose(jac["b"]["y"][1], 2 * onp.eye(3))


def test_hessian_of_a_quadratic_form():
    a = onp.array([[2.0, 1.0], [1.0, 3.0]], onp.float32)
    h = hessian(lambda x: 0.5 * x @ a @ x)(np.array([1.0, -1.0]))
    onp.testing.assert_allclose(h, a, rtol=1e-6)


def test_integer_arguments_have_float0_tangents():
    _, pullback = vjp(lambda x, n: x * n, 2.0, 3)
    dx, dn = pullback(1.0)
    assert float(dx) == 3.0 and dn.dtype == anima.dtypes.float0
    primal, tangent = jvp(lambda n: n + 1, (3,), (onp.zeros((), anima.dtypes.float0),))
    assert int(primal) == 4 and tangent.dtype == anima.dtypes.float0
    assert grad(lambda n: np.float32(2.0) * n, allow_int=True)(3).dtype == anima.dtypes.float0


def test_complex_derivatives_follow_the_holomorphic_convention():
    z = np.complex64(0.3 + 0.4j)
    onp.testing.assert_allclose(
        grad(lambda w: w * w * w, holomorphic=True)(z), 3 * (0.3 + 0.4j) ** 2, rtol=1e-6
    )
    onp.testing.assert_allclose(grad(lambda w: np.real(w * np.conj(w)))(z), 2 * (0.3 - 0.4j), rtol=1e-6)
    # For a real function of a complex number the gradient is that of JAX: du/dx - i du/dy.
    _, pullback = vjp(lambda w: np.real(w * np.conj(w)), z)
    onp.testing.assert_allclose(pullback(np.float32(1))[0], 2 * (0.3 - 0.4j), rtol=1e-6)


def test_vjp_can_be_called_twice_and_transformed():
    _, pullback = vjp(lambda x: np.sin(x) * np.array([1.0, 2.0]), 0.5)
    first = pullback(np.array([1.0, 0.0]))[0]
    both = vmap(pullback)(np.eye(2))[0]
    onp.testing.assert_allclose(both, [onp.cos(0.5), 2 * onp.cos(0.5)], rtol=1e-6)
    onp.testing.assert_allclose(first, both[0])


FLOAT0 = lambda *shape: onp.zeros(shape, anima.dtypes.float0)
TREE = {"a": [1.0, np.ones(2)]}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: grad(lambda x: x)(3), TypeError, "argument `x`"),
        (lambda: grad(lambda x: np.stack([x, x]))(3.0), TypeError, "scalar-output"),
        (lambda: grad(lambda x: [x])(3.0), TypeError, "scalar-output"),
        (lambda: grad(lambda x: None)(3.0), TypeError, "scalar-output"),
        (lambda: grad(lambda x: x, argnums=2)(3.0), TypeError, "argnums 2 is out of range"),
        (lambda: grad(lambda x: x, argnums=-2)(3.0), ValueError, "argnums -2 is out of range"),
        (lambda: jacrev(lambda x: x, argnums=2)(3.0), ValueError, "argnums 2 is out of range"),
        (lambda: grad(lambda x: x, argnums=(0, -1))(3.0), ValueError, "name an argument twice"),
        (lambda: grad(lambda x: x, argnums=1.0), TypeError, "integer"),
        (lambda: grad(lambda x: 1)(3.0), TypeError, "real-valued outputs.*int32.*has_aux"),
        (lambda: grad(lambda x: x)(1j), TypeError, "real-valued outputs.*complex64.*holomorphic"),
        (lambda: grad(lambda x: x, holomorphic=True)(1.0), TypeError, "inputs with complex dtype"),
        (lambda: grad(np.real, holomorphic=True)(1j), TypeError, "complex outputs.*float32"),
        (lambda: jacfwd(lambda x: x)(1j), TypeError, "holomorphic=True"),
        (lambda: jacfwd(np.real, holomorphic=True)(1j), TypeError, "complex outputs.*float32"),
        (lambda: jacrev(np.real, holomorphic=True)(1j), TypeError, "complex outputs.*float32"),
        (lambda: jacrev(lambda x: x * 1j)(1.0), TypeError, "real-valued outputs.*complex64"),
        (lambda: jacfwd(lambda a, b: a * b, argnums=(0, 1))(1.0, 2), TypeError, "argument `b`"),
        (lambda: vjp(np.sin, 1.0, reduce_axes=("i",)), ValueError, "reduce_axes"),
        (lambda: grad(3), TypeError, "expects a function"),
        (lambda: grad(lambda a, b: a, argnums=1)(1.0, "no"), TypeError, "argument `b`"),
        (lambda: jvp(np.sin, 1.0, 1.0), TypeError, "tuples or lists"),
        (lambda: jvp(np.sin, (1.0,), [1.0]), TypeError, "a list of length 1, but in the primals there is a tuple"),
        (lambda: jvp(np.sin, (1.0,), (1.0, 2.0)), TypeError, "must be built as the primals: at the tangents"),
        (lambda: jvp(lambda x: x, ({"a": 1.0},), ({"b": 1.0},)), TypeError, r"at the tangents\[0\]"),
        (lambda: jvp(lambda x: x, (1.0,), (1,)), TypeError, r"argument `x` must be float32\[\], but got int32\[\]"),
        (lambda: jvp(lambda x: x, (TREE,), ({"a": [1.0, onp.ones(3, "f")]},)), ValueError, r"`x\['a'\]\[1\]`.*float32\[2\].*float32\[3\]"),
        (lambda: jvp(lambda x: x, (3,), (3,)), TypeError, r"must be float0\[\], as int32\[\]"),
        (lambda: jvp(lambda x: x, (np.arange(3),), (FLOAT0(2),)), ValueError, r"float0\[3\].*float0\[2\]"),
        (lambda: jvp(lambda x: x, (1.0,), (FLOAT0(),)), TypeError, r"float32\[\], but got float0\[\]"),
        (lambda: jvp(lambda x: x, (1.0,), ("no",)), TypeError, "must be an array or a number, got 'no'"),
        (lambda: vjp(np.sin, 1.0)[1](np.ones(2)), ValueError, r"the output must be float32\[\], but got float32\[2\]"),
        (lambda: vjp(lambda x: {"y": x}, 1.0)[1]({"y": 1j}), ValueError, r"output\['y'\].*float32\[\].*complex64"),
        (lambda: vjp(np.sin, 1.0)[1]((1.0, 2.0)), ValueError, "must be built as the output"),
        (lambda: vjp(np.sin, 1.0)[1](None), ValueError, "at the cotangents there is None"),
        (lambda: vjp(np.sin, 1.0)[1](1.0, 2.0), TypeError, "takes one cotangent"),
        (lambda: vjp(np.sin, 1.0)[1](FLOAT0()), ValueError, r"float32\[\], but got float0\[\]"),
        (lambda: vjp(np.arange, 3)[1](FLOAT0(2)), ValueError, r"float0\[3\].*float0\[2\]"),
        (lambda: linearize(np.sin, 1.0)[1](1), ValueError, r"at tangents\[0\] must be float32\[\], but got int32"),
        (lambda: linearize(np.sin, 1.0)[1](1.0, 1.0), TypeError, "must be built as the arguments"),
        (lambda: grad(lambda x: "no")(1.0), TypeError, "returned a value of type str"),
        (lambda: grad(lambda x: x)("no"), TypeError, "argument `x`"),
        (lambda: grad(lambda x: x, has_aux=True)(1.0), TypeError, "has_aux"),
        (lambda: jacfwd(lambda x: x, has_aux=True)(1.0), TypeError, "has_aux"),
        (lambda: anima.fwd_and_bwd(lambda x: x, 1)[0](1.0), ValueError, "argnums 1 is out of range"),
    ],
)  # fmt: skip
def test_misuse_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_gradients_have_the_weak_type_of_their_arguments():
    two = np.float32(2)
    weak = lambda x: x.weak_type and x.dtype == np.float32
    for f in (
        lambda x: x * x,
        np.sin,
        lambda x: x * two,
        lambda x: (np.ones(3) * x).sum(),
        lambda x: 3.0,
        jit(np.cos),
    ):
        for derive in (grad, jacrev):
            assert weak(derive(f)(3.0)) and weak(jit(derive(f))(3.0))
        assert not grad(f)(two).weak_type
    assert weak(grad(grad(lambda x: x**3))(3.0))
    d = grad(lambda d: d["weak"] * d["strong"])({"weak": 2.0, "strong": two})
    assert weak(d["weak"]) and not d["strong"].weak_type
    # The tangent that jvp returns is typed as the value.
    assert weak(jacfwd(lambda x: x * x)(3.0)) and not jacfwd(lambda x: x * two)(3.0).weak_type
    for x, t in ((3.0, two), (two, 3.0), (3.0, 3.0), (two, two)):
        value, tangent = jvp(lambda v: -v, (x,), (t,))
        assert value.weak_type == tangent.weak_type == (x == 3.0)


def test_functions_made_in_64_bit_mode_work_outside_it():
    with anima.enable_x64(True):
        x = np.arange(3.0)
        f = lambda v: np.sin(v) * 2 + v**2 / 3
        _, pull = vjp(f, x)
        _, of_jit = vjp(jit(f), x)
        _, push = linearize(f, x)
        back = anima.linear_transpose(lambda v: v * 2 / 3, x)
        ones = np.ones(3)
    expected = 2 * onp.cos([0, 1, 2]) + 2 * onp.arange(3) / 3
    onp.testing.assert_allclose(back(ones)[0], [2 / 3] * 3, rtol=1e-15)
    for got in (pull(ones)[0], of_jit(ones)[0], push(ones), jit(pull)(ones)[0]):
        assert got.dtype == onp.float64
        onp.testing.assert_allclose(got, expected, rtol=1e-15)
    with anima.enable_x64(False):  # arrays with 64 bits keep them in a function of their own
        onp.testing.assert_allclose(jacfwd(f)(x).diagonal(), expected, rtol=1e-15)
        onp.testing.assert_allclose(jacrev(f)(x).diagonal(), expected, rtol=1e-15)
    _, pull = vjp(np.sin, 1.0)
    with anima.enable_x64(True):
        assert pull(np.float32(1))[0].dtype == onp.float32


def test_zeros_like_an_integer_output_are_accepted_as_its_cotangent():
    _, pull = vjp(lambda x: (x * 2, np.arange(3), x > 0), 1.0)
    for zeros in (FLOAT0(3), np.zeros(3, int), onp.zeros(3)):
        assert float(pull((1.0, zeros, False))[0]) == 2
    with pytest.raises(ValueError, match=r"output\[1\] must be float0\[3\]"):
        pull((1.0, 0, False))


def test_auxiliary_data_pass_unchanged():
    aux = lambda x: (x * x, {"x": x, "n": 1, "s": "text"})
    (value, data), g = value_and_grad(aux, has_aux=True)(3.0)
    assert (float(value), float(data["x"]), data["n"], data["s"], float(g)) == (9, 3, 1, "text", 6)
    for derive in (grad, jacfwd, jacrev, hessian):
        _, data = derive(aux, has_aux=True)(3.0)
        data = data[1] if isinstance(data, tuple) else data
        assert data["n"] == 1 and type(data["n"]) is int and data["s"] == "text"
        assert float(data["x"]) == 3 and type(data["x"]) is type(np.ones(()))
    for derive in (jvp, vjp, linearize):
        args = ((3.0,), (1.0,)) if derive is jvp else (3.0,)
        assert derive(aux, *args, has_aux=True)[2]["s"] == "text"
    assert grad(lambda x: [x * x, 1], has_aux=True)(3.0)[1] == 1  # a list is a pair, too


def test_argnums_of_every_kind():
    f = lambda x, y, z="no": x * x * y
    assert [float(g) for g in grad(f, (1, 0))(3.0, 4.0)] == [9, 24]
    assert [float(g) for g in grad(f, [0, -1])(3.0, 4.0)] == [24, 9]
    assert float(grad(f, -1)(3.0, 4.0)) == 9 and float(grad(f, onp.int32(1))(3.0, 4.0)) == 9
    assert float(grad(f)(3.0, y=4.0, z="yes")) == 24
    assert grad(f, ())(3.0, 4.0) == ()
    for derive in (jacfwd, jacrev):
        assert [float(g) for g in derive(f, (-1, 0))(3.0, 4.0)] == [9, 24]
        assert float(derive(f)(3.0, y=4.0)) == 24
    ((a, b), (c, d)) = hessian(f, (0, 1))(3.0, 4.0)
    assert (float(a), float(b), float(c), float(d)) == (8, 6, 6, 0)


def test_complex_jacobians():
    z = np.array([1 + 2j, 3 - 1j])
    x = np.array([1.0, 2.0])
    onp.testing.assert_allclose(jacfwd(np.sin, holomorphic=True)(z), onp.diag(onp.cos(z)), rtol=1e-6)
    onp.testing.assert_allclose(jacrev(np.sin, holomorphic=True)(z), onp.diag(onp.cos(z)), rtol=1e-6)
    onp.testing.assert_allclose(hessian(lambda z: z**3, holomorphic=True)(1 + 2j), 6 * (1 + 2j), rtol=1e-6)
    onp.testing.assert_allclose(jacfwd(lambda x: x * (1 + 2j))(x), onp.eye(2) * (1 + 2j), rtol=1e-6)
    # Of a real function of complex numbers: du/dx - i du/dy.
    onp.testing.assert_allclose(jacrev(np.abs)(z), onp.diag(onp.conj(z) / onp.abs(z)), rtol=1e-6)
    # jvp is linear over the reals: the conjugate is differentiated as such.
    value, tangent = jvp(np.conj, (z,), (1j * z,))
    onp.testing.assert_allclose(tangent, onp.conj(1j * z))
    # <ct, jvp> is the real part of the product, without a conjugate: so vjp of a product with c is a product with c.
    onp.testing.assert_allclose(vjp(lambda z: z * (1 + 2j), z)[1](z)[0], z * (1 + 2j), rtol=1e-6)


def test_pullbacks_and_linear_functions_are_pytrees_of_their_residuals():
    x = np.array([1.0, 2.0])
    f = lambda x, n: {"y": np.sin(x) * x * n, "n": n}
    _, pull = vjp(f, x, 3)
    ct = {"y": x, "n": FLOAT0()}
    expected = pull(ct)[0]
    leaves = anima.tree.leaves(pull)
    assert leaves and all(isinstance(leaf, anima.Array) for leaf in leaves)
    onp.testing.assert_allclose(jit(lambda p, c: p(c))(pull, ct)[0], expected, rtol=1e-6)
    onp.testing.assert_allclose(jit(lambda x: vjp(f, x, 3)[1])(x)(ct)[0], expected, rtol=1e-6)
    flat, tree = anima.tree.flatten(pull)
    onp.testing.assert_allclose(tree.unflatten(flat)(ct)[0], expected, rtol=1e-6)
    assert anima.tree.structure(tree.unflatten(flat)) == tree != anima.tree.structure(vjp(f, x, 3)[1])
    assert repr(pull) == repr(tree.unflatten(flat)) == "<vjp of <lambda>>"
    pulls = vmap(lambda x: vjp(np.sin, x)[1])(x)
    onp.testing.assert_allclose(vmap(lambda p, c: p(c)[0])(pulls, x), x * onp.cos(x), rtol=1e-6)
    _, push = jit(lambda x: linearize(lambda x: (np.sin(x), x, 3.0), x))(x)
    for apply in (push, jit(push), tree_round_trip(push)):
        sines, same, zero = apply(x)
        onp.testing.assert_allclose(sines, x * onp.cos(x), rtol=1e-6)
        assert float(zero) == 0 and same.shape == (2,)
    # Derivatives with respect to the residuals: those of a function in which the pullback is one more argument.
    got = grad(lambda x: vjp(lambda v: v**3, x)[1](1.0)[0])(2.0)
    assert float(got) == 12


def tree_round_trip(value):
    leaves, tree = anima.tree.flatten(value)
    return tree.unflatten(leaves)


def test_forward_and_backward_passes_compile_once():
    traced = []

    def f(x, w, unused=1.0):
        traced.append(1)
        return {"out": np.tanh(x @ w)}, x.sum()

    fwd, bwd = anima.fwd_and_bwd(f, argnums=(0, -2), has_aux=True)
    for seed in range(3):
        x, w = (np.asarray(onp.random.default_rng(seed).normal(size=(2, 2)).astype("f")) for _ in range(2))
        value, residuals, aux = fwd(x, w, 2.0)
        got = bwd(residuals, {"out": w})
        expected = vjp(lambda x, w: f(x, w)[0], x, w)[1]({"out": w})
        onp.testing.assert_allclose(aux, x.sum(), rtol=1e-6)
        for a, b in zip(got, expected):
            onp.testing.assert_allclose(a, b, rtol=1e-4)
    assert len(traced) == 1 + 3  # once for fwd, and the three reference calls
    fwd, bwd = anima.fwd_and_bwd(lambda x, s: x * (2 if s == "two" else 3), argnums=0, jitted=False)
    value, residuals = fwd(1.5, "two")
    assert float(value) == 3 and float(bwd(residuals, 1.0)) == 2


def test_a_promise_of_linearity_is_checked_by_the_transpose():
    with pytest.raises(errors.NonlinearError) as caught:
        anima.linear_transpose(lambda x: x * x, 1.0)(1.0)
    assert "'mul'" in caught.value.__notes__[0]


def test_leaked_tracers_are_reported():
    kept = []

    def g(x):
        kept.append(x)
        return x * 2

    grad(g)(1.0)
    with pytest.raises(errors.UnexpectedTracerError, match="outside the transformation"):
        np.sin(kept[0])
    with pytest.raises(errors.UnexpectedTracerError):
        jit(lambda y: y + kept[0])(1.0)
    with pytest.raises(errors.UnexpectedTracerError):
        grad(lambda y: y * kept[0])(1.0)
