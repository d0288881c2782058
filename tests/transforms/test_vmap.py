"""`vmap`: axes, sizes, nesting, misuse; every result against a Python loop."""

import numpy as onp
import pytest

import anima.numpy as np
from anima import grad, jit, vmap


def loop(fun, *args):
    return onp.stack([onp.asarray(fun(*row)) for row in zip(*args)])


X = onp.arange(24, dtype=onp.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("out", [0, 1, -1])
def test_axes_in_and_out(axis, out):
    f = lambda x: np.sin(x) + x.T.sum()
    expected = onp.stack([onp.asarray(f(row)) for row in onp.moveaxis(X, axis, 0)], axis=out)
    onp.testing.assert_allclose(vmap(f, in_axes=axis, out_axes=out)(X), expected, rtol=1e-6)


def test_mixed_axes_and_pytrees():
    f = lambda p, x, y: {"a": p["w"] @ x + y, "b": p["b"]}
    p = {"w": onp.ones((5, 3, 2), onp.float32), "b": onp.arange(3.0, dtype=onp.float32)}
    x = onp.ones((2, 5), onp.float32)
    out = vmap(f, in_axes=({"w": 0, "b": None}, 1, None), out_axes={"a": 0, "b": None})(p, x, 1.0)
    assert out["a"].shape == (5, 3) and out["b"].shape == (3,)
    onp.testing.assert_allclose(out["a"], 3.0)


def test_nested_and_with_other_transformations():
    f = lambda x, y: np.sum(x * y) ** 2
    a, b = onp.random.default_rng(0).normal(size=(2, 5, 3)).astype(onp.float32)
    pairs = vmap(vmap(f, (None, 0)), (0, None))(a, b)
    onp.testing.assert_allclose(pairs, (a @ b.T) ** 2, rtol=1e-4)
    g = vmap(grad(f))(a, b)
    onp.testing.assert_allclose(g, loop(grad(f), a, b), rtol=1e-5)
    onp.testing.assert_allclose(jit(vmap(grad(f)))(a, b), g, rtol=1e-5)
    onp.testing.assert_allclose(grad(lambda a: vmap(f)(a, b).sum())(a), g, rtol=1e-5)


def test_constants_and_size_only():
    assert vmap(lambda: np.ones(2), axis_size=3)().shape == (3, 2)
    assert vmap(lambda x: 7)(onp.ones(4)).shape == (4,)
    assert vmap(lambda x: x, out_axes=-1)(onp.ones((4, 2))).shape == (2, 4)
    assert vmap(lambda x, k: x + k)(onp.ones(3), k=onp.ones(3)).shape == (3,)


def test_zero_size_batches():
    assert vmap(lambda x: np.sin(x).sum())(onp.ones((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: vmap(np.add)(onp.ones(2), onp.ones(3)), ValueError, "inconsistent sizes"),
        (lambda: vmap(np.sin)(1.0), ValueError, "out of range"),
        (lambda: vmap(np.sin, in_axes=2)(onp.ones(3)), ValueError, "out of range"),
        (lambda: vmap(np.sin, in_axes=None)(onp.ones(3)), ValueError, "no argument is mapped"),
        (lambda: vmap(np.add, in_axes=(0,))(onp.ones(3), 1.0), ValueError, "in_axes"),
        (lambda: vmap(np.sin, in_axes="x")(onp.ones(3)), TypeError, "in_axes"),
        (lambda: vmap(lambda x: x, out_axes=None)(onp.ones(3)), ValueError, "out_axes is None"),
        (lambda: vmap(lambda x: x, out_axes=3)(onp.ones(3)), ValueError, "out_axes 3"),
        (lambda: vmap(lambda x: x)({"a": "b"}), TypeError, "argument `x`"),
    ],
)
def test_misuse_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()
