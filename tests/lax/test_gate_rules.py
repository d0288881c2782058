"""Rules in situations that the samples do not reach: dropped updates, swapped precisions, weak types, refusals."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import anima
from anima import lax

F32 = np.float32
X = np.arange(20, dtype=F32).reshape(4, 5)


@pytest.mark.parametrize("unique", [False, True])
def test_a_dropped_update_has_no_cotangent(unique: bool) -> None:
    places, numbers = np.array([[1], [9], [-3]], np.int32), lax.ScatterDimensionNumbers((), (0,), (0,))
    fun = lambda x, u: lax.scatter(x, places, u, numbers, mode="drop", unique_indices=unique)
    pulled = anima.vjp(fun, np.zeros(3, F32), np.ones(3, F32))[1](np.array([2.0, 3.0, 4.0], F32))
    np.testing.assert_array_equal(pulled[0], [2.0, 0.0, 4.0])
    np.testing.assert_array_equal(pulled[1], [3.0, 0.0, 0.0])


def test_the_cotangents_of_a_product_keep_each_operands_precision() -> None:
    product = lambda x, y: lax.dot(x, y, precision=("default", "highest"))

    def pulled(x: Any, y: Any, ct: Any) -> Any:
        return anima.vjp(product, x, y)[1](ct)

    args = (np.ones((2, 3), F32), np.ones((3, 4), F32), np.ones((2, 4), F32))
    eqns = anima.make_jaxpr(pulled)(*args).eqns
    found = {
        e.outvars[0].aval.shape: e.params["precision"] for e in eqns if e.primitive.name == "dot_general"
    }
    default, highest = lax.Precision.DEFAULT, lax.Precision.HIGHEST
    # The cotangent comes first, then second, and has the precision of the operand that it replaces.
    assert found == {(2, 4): (default, highest), (2, 3): (default, highest), (3, 4): (default, highest)}


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("left", [True, False])
def test_a_product_with_one_mapped_operand(left: bool, axis: int) -> None:
    other = np.arange(12, dtype=F32).reshape(3, 4)
    rows = np.arange(24, dtype=F32).reshape(2, 3, 4)
    numbers = (((0,), (0,)), ((), ()))
    stack = np.moveaxis(rows, 0, axis)
    if left:
        out = anima.vmap(lambda x: lax.dot_general(x, other, numbers), in_axes=axis)(stack)
        want = [row.T @ other for row in rows]
    else:
        out = anima.vmap(lambda x: lax.dot_general(other, x, numbers), in_axes=axis)(stack)
        want = [other.T @ row for row in rows]
    np.testing.assert_allclose(out, want)


WEAK = [
    (lambda x: lax.pad(x, F32(1), [(1, 1, 0)]), False),
    (lambda x: lax.pad(x, 1.0, [(1, 1, 0)]), True),
    (lambda x: lax.reduce_sum(x, (0,)), True),
    (lambda x: lax.reduce_max(x, (0,)), True),
    (lambda x: lax.cumsum(x), True),
    (lambda x: lax.sort(x), True),
    (lambda x: lax.slice(x, (0,), (2,)), True),
    (lambda x: lax.dynamic_slice(x, (1,), (2,)), True),
    (lambda x: lax.reshape(x, (3, 1)), True),
    (lambda x: lax.rev(x, (0,)), True),
]


@pytest.mark.parametrize(("fun", "weak"), WEAK)
def test_weak_types_go_through(fun: Any, weak: bool) -> None:
    for given in (False, True):
        x = anima.ShapeDtypeStruct((3,), F32, weak_type=given)
        assert anima.eval_shape(fun, x).weak_type is (given and weak)


@pytest.mark.parametrize(
    ("fun", "message"),
    [
        (lambda: lax.dynamic_slice(X, (0, 0), (5, 5)), "slice_sizes (5, 5) must fit into the operand's shape (4, 5)"),
        (lambda: lax.dynamic_slice(X, (0, 0), (2,)), "slice_sizes"),
        (lambda: lax.dynamic_update_slice(X, np.zeros((5, 1), F32), (0, 0)), "must fit into the operand's shape"),
        (lambda: lax.reduce_sum(X, (1, 1)), "must be unique"),
        (lambda: lax.reduce_sum(X, (2,)), "2"),
        (lambda: lax.pad(X, F32(0), [(0, 0, 0)]), "padding_config"),
        (lambda: lax.pad(X, F32(0), [(0, 0, -1), (0, 0, 0)]), "interior padding must not be negative"),
        (lambda: lax.pad(X, F32(0), [(-3, -3, 0), (0, 0, 0)]), "takes more than there is"),
        (lambda: lax.sort((X, X[:2])), "equal shapes"),
        (lambda: lax.top_k(X, 6), "k must be from 0 to 5"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(fun: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        fun()


def test_mapped_places_are_not_promised_to_be_unique() -> None:
    numbers = lax.GatherDimensionNumbers((), (0,), (0,))

    def take(places: Any) -> Any:
        return lax.gather(X[:, 0], places, numbers, (1,), unique_indices=True, indices_are_sorted=True)

    places = np.array([[[0], [1]], [[1], [3]]], np.int32)
    gathers = [
        e for e in anima.make_jaxpr(anima.vmap(take))(places).eqns if e.primitive.name.startswith("gather")
    ]
    # Each example's places are unique and sorted, those of all examples together are neither.
    assert [(e.params["unique_indices"], e.params["indices_are_sorted"]) for e in gathers] == [(False, False)]
