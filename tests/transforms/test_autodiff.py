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


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: grad(lambda x: x)(3), TypeError, "argument `x`"),
        (lambda: grad(lambda x: np.stack([x, x]))(3.0), TypeError, "scalar-output"),
        (lambda: grad(lambda x: x, argnums=2)(3.0), ValueError, "argnums 2 is out of range"),
        (lambda: grad(lambda x: 1)(3.0), TypeError, "real-valued outputs"),
        (lambda: grad(lambda x: x)(1j), TypeError, "real-valued outputs"),
        (lambda: jacfwd(lambda x: x)(1j), TypeError, "holomorphic=True"),
        (lambda: jacfwd(lambda a, b: a * b, argnums=(0, 1))(1.0, 2), TypeError, "argument `b`"),
        (lambda: vjp(np.sin, 1.0, reduce_axes=("i",)), ValueError, "reduce_axes"),
        (lambda: grad(3), TypeError, "expects a function"),
        (lambda: grad(lambda a, b: a, argnums=1)(1.0, "no"), TypeError, "argument `b`"),
        (lambda: jvp(np.sin, (1.0,), (1.0, 2.0)), TypeError, "differ in structure"),
        (lambda: jvp(np.sin, (1.0,), (1,)), TypeError, "tangent leaf 0"),
        (lambda: jvp(np.sin, (np.ones(3),), (np.ones(2),)), ValueError, "shape"),
        (lambda: vjp(np.sin, 1.0)[1](np.ones(2)), ValueError, "cotangent leaf 0"),
        (lambda: vjp(np.sin, 1.0)[1]((1.0, 2.0)), TypeError, "structure"),
        (lambda: grad(lambda x: "no")(1.0), TypeError, "returned a value of type str"),
        (lambda: grad(lambda x: x)("no"), TypeError, "argument `x`"),
        (lambda: grad(lambda x: x, has_aux=True)(1.0), TypeError, "has_aux"),
    ],
)
def test_misuse_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


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
