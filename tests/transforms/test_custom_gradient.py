"""`custom_gradient` and `closure_convert`: functions that bring their pullback, and functions freed of their closures."""

from functools import partial

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import closure_convert, custom_gradient, custom_vjp, dtypes, errors, grad, jit, jvp, lax, vmap


@custom_gradient
def square(x):
    return x**2, lambda g: (g * x,)


WRAPPERS = {
    "plain": lambda f: f,
    "jit": jit,
    "vmap": lambda f: lambda x: vmap(f)(np.stack([x, x]))[1],
    "vmap of jit": lambda f: lambda x: vmap(jit(f))(np.stack([x, x]))[1],
    "scan": lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0],
    "cond": lambda f: lambda x: lax.cond(x > 0, f, lambda x: x, x),
}


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_custom_gradient(wrap):
    f, x = WRAPPERS[wrap](square), np.float32(3)
    assert f(x) == 9
    assert grad(f)(x) == 3
    assert jit(grad(f))(x) == 3
    assert grad(grad(f))(x) == 1, "the pullback is differentiated with respect to what it captured"


def _with_pullback(pullback, x):
    return x, pullback


def test_pullbacks_return_a_tuple_a_list_or_one_cotangent():
    for result in (lambda g: g * 5, lambda g: (g * 5,), lambda g: [g * 5]):
        assert grad(custom_gradient(partial(_with_pullback, result)))(1.0) == 5
    two = custom_gradient(lambda x, y: (x * y, lambda g: (g * y, None)))
    assert grad(two, (0, 1))(3.0, 2.0) == (2, 0)
    one = custom_gradient(lambda x, y: (x * y, lambda g: g))
    with pytest.raises(
        TypeError, match="a tuple of length 1, but in the arguments there is a tuple of length 2"
    ):
        grad(one)(3.0, 2.0)


def test_trees_integers_and_keywords():
    @custom_gradient
    def f(x, scale=2.0):
        out = {"y": x["a"] * scale, "n": 3}

        def pullback(g):
            assert g["n"].dtype == dtypes.float0
            return {"a": g["y"] * 7}, 11 * g["y"]

        return out, pullback

    assert f({"a": 3.0})["y"] == 6
    assert grad(lambda x: f(x)["y"])({"a": 3.0}) == {"a": 7}
    assert grad(lambda s: f({"a": 3.0}, scale=s)["y"])(1.0) == 11
    assert f.__name__ == "f"


def test_concrete_values_outside_jit():
    @custom_gradient
    def f(x):
        factor = 20 if x > 0 else 30
        return abs(x), lambda g: g * factor

    assert grad(f)(1.0) == 20 and grad(f)(-1.0) == 30


@pytest.mark.parametrize("fun", [lambda x: x, lambda x: (x, 3), lambda x: (x, x, x)])
def test_custom_gradient_of_something_else(fun):
    for use in (custom_gradient(fun), grad(custom_gradient(fun))):
        with pytest.raises(TypeError, match="<lambda> must return a pair of its output and a function"):
            use(1.0)


def test_custom_gradient_has_no_forward_mode():
    with pytest.raises(TypeError, match="square has a reverse derivative only"):
        jvp(square, (1.0,), (1.0,))
    with pytest.raises(TypeError, match="custom_gradient expects a function"):
        custom_gradient(3)


# ---------------------------------------------------------------------------------------------
# closure_convert.


def solve(f, start, *captured):
    """A root near `start`, differentiated with respect to what `f` captured as the implicit function theorem says."""

    @custom_vjp
    def root(start, *captured):
        step = lambda x: x - f(x, *captured) / grad(f)(x, *captured)
        return lax.fori_loop(0, 20, lambda _, x: step(x), start)

    def fwd(start, *captured):
        x = root(start, *captured)
        return x, (x, captured)

    def bwd(residuals, g):
        x, captured = residuals
        scale = -g / grad(f)(x, *captured)
        return (None, *[scale * grad(f, i + 1)(x, *captured) for i in range(len(captured))])

    root.defvjp(fwd, bwd)
    return root(start, *captured)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_closures_of_solvers(wrap):
    def square_root(y):
        f, captured = closure_convert(lambda x: x * x - y, 1.0)
        return solve(f, 1.0, *captured)

    f = WRAPPERS[wrap](square_root)
    onp.testing.assert_allclose(f(np.float32(4)), 2, rtol=1e-6)
    onp.testing.assert_allclose(grad(f)(np.float32(4)), 0.25, rtol=1e-6)
    onp.testing.assert_allclose(jit(grad(f))(np.float32(4)), 0.25, rtol=1e-6)


def test_only_values_that_may_be_differentiated_are_moved():
    found = []
    table, count = np.arange(3.0), np.int32(2)

    def run(y):
        f, captured = closure_convert(lambda x: (x * y * table).sum() * count, 1.0)
        found[:] = captured
        return f(3.0, *captured)

    assert run(2.0) == 36 and found == []
    assert grad(run)(2.0) == 18 and len(found) == 1
    assert jit(run)(2.0) == 36 and len(found) == 1
    onp.testing.assert_array_equal(vmap(run)(np.arange(2.0)), [0, 18])
    assert found == []
    onp.testing.assert_array_equal(vmap(grad(run))(np.arange(2.0)), [18, 18])
    assert len(found) == 1
    onp.testing.assert_array_equal(grad(lambda y: vmap(run)(y).sum())(np.arange(2.0)), [18, 18])
    assert len(found) == 1
    assert grad(lambda n, y: run(y), 1)(1, 2.0) == 18


def test_converted_functions_check_their_arguments():
    f, captured = closure_convert(lambda x: x["a"], {"a": 1.0})
    assert f({"a": 2.0}) == 2 and captured == []
    for wrong in [(2.0,), ({"b": 2.0},), ({"a": 1.0}, 3.0), ()]:
        with pytest.raises(
            TypeError, match="takes arguments that are built as the example arguments, then 0 captured values"
        ):
            f(*wrong)
    with pytest.raises(TypeError, match="closure_convert expects a function"):
        closure_convert(3)


def test_names_are_public():
    for name in ("custom_jvp", "custom_vjp", "custom_gradient", "closure_convert"):
        assert getattr(anima, name) is getattr(anima.custom_derivatives, name)
    assert issubclass(errors.ClosedOverDerivativeError, errors.UnexpectedTracerError)
