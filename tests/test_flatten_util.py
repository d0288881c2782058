"""Trees as vectors: order, dtypes, the way back, transformations."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import enable_x64, grad, jit, tree, vmap
from anima.flatten_util import ravel_pytree

TREES: list[Any] = [
    3.0,
    [np.arange(3), np.ones((2, 2))],
    {"b": np.float16(1), "a": (np.int8(2), None)},
    [True, np.arange(2, dtype=np.uint8)],
    [np.array([1 + 2j]), np.ones(2), 3],
    [np.zeros((0, 3)), np.ones((1, 1, 1))],
    [np.ones(2, np.bfloat16), np.arange(2)],
    [onp.arange(3), onp.float64(1.5)],
    (np.ones(2, bool), np.zeros(2, bool)),
]


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_there_and_back(value: Any) -> None:
    vector, unravel = ravel_pytree(value)
    leaves = [np.asarray(x) for x in tree.leaves(value)]
    expected = onp.concatenate([onp.asarray(x, vector.dtype).ravel() for x in leaves])
    onp.testing.assert_array_equal(onp.asarray(vector), expected)
    back = unravel(vector)
    assert tree.structure(back) == tree.structure(value)
    for a, b in zip(tree.leaves(back), leaves, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        onp.testing.assert_array_equal(onp.asarray(a), onp.asarray(b))


@pytest.mark.parametrize("value", [None, [], {}, {"a": ()}])
def test_trees_without_leaves(value: Any) -> None:
    vector, unravel = ravel_pytree(value)
    assert vector.shape == (0,) and vector.dtype == np.float32
    assert unravel(vector) == value


def test_promotion() -> None:
    dtype = lambda *xs: ravel_pytree(list(xs))[0].dtype
    assert dtype(np.int32(1), np.float16(1)) == np.float16
    assert dtype(np.int8(1), np.uint8(1)) == np.int16
    assert dtype(np.ones(2), np.array([1j])) == np.complex64
    assert dtype(True, True) == np.bool_
    assert ravel_pytree([1, 2])[0].weak_type and not ravel_pytree([1, 2.0])[0].weak_type
    with enable_x64():
        assert dtype(np.float64(1), np.float32(1)) == np.float64


def test_the_vector_must_fit() -> None:
    _, mixed = ravel_pytree([np.int32(1), np.float32(2)])
    with pytest.raises(
        TypeError, match="must have dtype float32, to which the leaves were promoted, got int32"
    ):
        mixed(np.arange(2))
    with pytest.raises(ValueError, match=r"must have shape \(2,\).*got \(3,\)"):
        mixed(np.ones(3))
    with pytest.raises(ValueError, match=r"got \(\)"):
        mixed(1.0)
    _, plain = ravel_pytree([np.float32(1), np.ones((1, 2))])
    # Leaves of one dtype take that of the vector: tangents of other precisions, complex arguments.
    assert plain(np.arange(3) * 1j)[1].dtype == np.complex64
    assert plain(np.arange(3, dtype=np.float16))[0].dtype == np.float16


def test_leaves_that_are_no_numbers() -> None:
    with pytest.raises(TypeError, match=r"the leaf \['a'\]\[1\] has type str"):
        ravel_pytree({"a": [1, "x"]})
    with pytest.raises(TypeError, match="has dtype float0"):
        ravel_pytree(grad(lambda x: 1.0, allow_int=True)(3))


def test_unravel_functions_compare() -> None:
    one, two = ravel_pytree({"a": np.ones(2)})[1], ravel_pytree({"a": np.zeros(2)})[1]
    assert one == two and hash(one) == hash(two)
    assert one != ravel_pytree({"a": np.ones(3)})[1] and one != ravel_pytree({"b": np.ones(2)})[1]
    assert one != ravel_pytree({"a": np.arange(2)})[1] and one != 3
    traces: list[Any] = []

    f = jit(lambda unravel, v: (traces.append(v), unravel(v))[1], static_argnums=0)
    f(one, np.ones(2)), f(two, np.ones(2))
    assert len(traces) == 1
    assert pickle.loads(pickle.dumps(one)) == one


def test_under_transformations() -> None:
    value = {"w": np.arange(6.0).reshape(2, 3), "n": np.int32(2), "b": np.ones(2)}
    vector, unravel = ravel_pytree(value)

    def loss(v: Any) -> Any:
        parts = unravel(v)
        return np.sum(parts["w"] ** 2) + 3 * parts["b"][1]

    expected = ravel_pytree({"w": 2 * value["w"], "n": 0, "b": np.array([0.0, 3.0])})[0]
    onp.testing.assert_array_equal(grad(loss)(vector), expected)
    onp.testing.assert_array_equal(jit(grad(loss))(vector), expected)
    floats = {"w": value["w"], "b": value["b"]}
    gradient = grad(lambda t: ravel_pytree(t)[0] @ np.arange(8.0))(floats)
    onp.testing.assert_array_equal(gradient["b"], [0.0, 1.0])
    onp.testing.assert_array_equal(gradient["w"], np.arange(2.0, 8.0).reshape(2, 3))
    batch = np.stack([vector, 2 * vector])
    onp.testing.assert_array_equal(vmap(lambda v: unravel(v)["w"])(batch)[1], 2 * value["w"])
    rows = vmap(lambda t: ravel_pytree(t)[0])({"w": np.ones((3, 2)), "b": np.zeros(3)})
    assert rows.shape == (3, 3)
    assert anima.jacfwd(loss)(vector).shape == vector.shape
    assert anima.hessian(loss)(vector).shape == (9, 9)


def test_objects_that_convert_themselves() -> None:
    class Mine:
        def __jax_array__(self) -> Any:
            return np.arange(2)

    onp.testing.assert_array_equal(ravel_pytree([Mine(), 1])[0], [0, 1, 1])
