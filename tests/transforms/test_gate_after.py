"""Compositions that were found to be wrong by trying them, one test for each."""

import copy
import pickle

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax


def _with_jvp():
    f = anima.custom_jvp(lambda x: x * 2.0)
    f.defjvp(lambda primals, tangents: (f(*primals), lax.psum(tangents[0], "i")))
    return f


def _with_vjp():
    f = anima.custom_vjp(lambda x: x * 2.0)
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (lax.psum(ct, "i"),))
    return f


INSIDE = {
    "plain": lambda f: f,
    "jit": anima.jit,
    "jit of jit": lambda f: anima.jit(lambda x: anima.jit(f)(x) + 0.0),
    "scan": lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0],
    "cond": lambda f: lambda x: lax.cond(x > 0, f, lambda x: x, x),
    "checkpoint": anima.checkpoint,
}


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("outside", [lambda f: f, anima.jit], ids=["eager", "jit"])
def test_rules_use_the_axis_of_a_map_over_nothing(inside, outside):
    over_nothing = lambda f: outside(anima.vmap(INSIDE[inside](f), in_axes=None, axis_name="i", axis_size=3))
    value, tangent = anima.jvp(over_nothing(_with_jvp()), (2.0,), (1.0,))
    onp.testing.assert_array_equal(value, [4.0] * 3)
    onp.testing.assert_array_equal(tangent, [3.0] * 3)
    g = over_nothing(_with_vjp())
    assert (
        anima.grad(lambda x: g(x)[0])(2.0) == 3.0
    )  # each of three examples has the sum of their cotangents, 1


class Layer:
    @anima.jit
    def method(self, x):
        return x


TRANSFORMED = {
    "sin": np.sin,
    "relu": anima.nn.relu,
    "jit": anima.jit(lambda x: x),
    "grad": anima.grad(lambda x: x),
    "vmap": anima.vmap(lambda x: x),
    "jit of a bound method": anima.jit([1.0].__contains__),
    "jit of a partial": anima.jit(anima.tree_util.Partial(max, 1.0)),
    "grad of jit": anima.grad(anima.jit(lambda x: x)),
    "checkpoint": anima.checkpoint(lambda x: x),
}


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformed_functions_are_their_own_copies(name):
    f = TRANSFORMED[name]
    assert copy.copy(f) is f and copy.deepcopy(f) is f
    assert copy.deepcopy({"activation": [f]})["activation"][0] is f


def test_transformed_functions_are_pickled_by_name():
    for f in (np.sin, anima.nn.relu, anima.lax.cond, Layer.method):
        assert pickle.loads(pickle.dumps(f)) is f
    for f in (TRANSFORMED["jit"], TRANSFORMED["grad of jit"], anima.grad(np.sin)):
        with pytest.raises((pickle.PicklingError, AttributeError), match="(?i)can't pickle"):
            pickle.dumps(f)
