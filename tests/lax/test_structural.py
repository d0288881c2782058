"""Shapes, indexing, reductions, products and sorts, beyond the walk: refusals, types, forms, and what is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
from anima import _native, dtypes, errors, lax
from anima.core.aval import ShapedArray
from anima.dtypes.declared import ExtendedDType, prng_key
from anima.interpreters.jvp import stage_closed
from anima.lax.ciphers import threefry2x32
from anima.lax.cumulative import linear_recurrence
from anima.lowering.module import lower_module

X = np.arange(6, dtype=np.float32).reshape(2, 3)
I32 = np.int32
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
WRITES = lax.ScatterDimensionNumbers((1,), (0,), (0,))
MATRICES = (((1,), (0,)), ((), ()))


def places(*values: int) -> np.ndarray:
    return np.array(values, I32).reshape(-1, 1)


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: lax.reshape(X, (4, 2)), TypeError, "reshape: cannot reshape array of shape"),
    (lambda: lax.reshape(X, (3, -2)), TypeError, "reshape: new_sizes must not be negative"),
    (lambda: lax.broadcast_in_dim(X, (2, 3), (0,)), TypeError, "broadcast_dimensions .* one entry"),
    (lambda: lax.broadcast_in_dim(X, (2, 4), (0, 1)), TypeError, "must have size 1 or 4"),
    (lambda: lax.broadcast_in_dim(X, (2, 3), (0, 0)), TypeError, "must be distinct"),
    (lambda: lax.broadcast(1.0, (2,), out_sharding="x"), TypeError, "broadcast_in_dim: out_sharding"),
    (lambda: lax.broadcast(1.0, (2,), out_sharding=anima.P("x")), ValueError, "needs a mesh with explicit axes"),
    (lambda: lax.broadcast_shapes((2,), (3,)), ValueError, "Incompatible shapes"),
    (lambda: lax.transpose(X, (0, 0)), TypeError, "not a permutation"),
    (lambda: lax.squeeze(X, (0,)), ValueError, "must all have size 1"),
    (lambda: lax.expand_dims(X, (0, 0)), ValueError, "expand_dims: dimensions must be unique"),
    (lambda: lax.rev(X, (2,)), TypeError, "rev: dimensions"),
    (lambda: lax.concatenate([], 0), ValueError, "must not be empty"),
    (lambda: lax.concatenate([X, X.T], 0), TypeError, "may differ in dimension 0 only"),
    (lambda: lax.concatenate([X, X.astype(I32)], 0), TypeError, "same dtypes"),
    (lambda: lax.pad(X, 0, [(0, 0, 0)] * 2), TypeError, "must have the same dtype"),
    (lambda: lax.pad(X, 0.0, [(0, 0, 0)]), ValueError, "one entry for each of the 2"),
    (lambda: lax.pad(X, 0.0, [(0, 0, -1)] * 2), ValueError, "interior padding must not be negative"),
    (lambda: lax.pad(X, 0.0, [(-3, 0, 0), (0, 0, 0)]), ValueError, "takes more than there is"),
    (lambda: lax.split(X, (1, 1), 1), ValueError, "must add up to 3"),
    (lambda: lax.stack([], 0), ValueError, "must not be empty"),
    (lambda: lax.tile(X, (2,)), TypeError, "one entry for each of the 2"),
    (lambda: lax.iota(bool, 3), TypeError, "iota does not accept dtype bool"),
    (lambda: lax.broadcasted_iota("int32", (2, 3), -1), ValueError, "dimension -1 is out of bounds"),
    (lambda: lax.full((2,), X), TypeError, "fill_value must be a scalar"),
    (lambda: lax.full((2,), 1j, "float32"), TypeError, "complex value"),
    (lambda: lax.slice(X, (0, 0), (2, 4)), TypeError, "start <= limit <= size"),
    (lambda: lax.slice(X, (0, 0), (2, 3), (0, 1)), TypeError, "strides .* must be positive"),
    (lambda: lax.slice(X, (0,), (2,)), TypeError, "one entry for each of the 2"),
    (lambda: lax.index_in_dim(X, 2), IndexError, "index 2 is out of bounds for axis 0 with size 2"),
    (lambda: lax.dynamic_slice(X, (0, 0), (2, 4)), TypeError, "must fit into"),
    (lambda: lax.dynamic_slice(X, (0,), (2, 2)), ValueError, "one entry for each dimension"),
    (lambda: lax.dynamic_slice(X, (0, 1.5), (1, 1)), TypeError, "must be integers, got dtype float32"),
    (lambda: lax.dynamic_slice(X, (lax.full((), 1, "uint32"), np.array(1)), (1, 1)), TypeError, "one integer dtype"),
    (
        lambda: lax.dynamic_slice(X, (-1, 0), (1, 1), allow_negative_indices=False),
        ValueError,
        "allow_negative_indices=False",
    ),
    (lambda: lax.dynamic_update_slice(X, X.astype(I32), (0, 0)), TypeError, "same dtypes"),
    (lambda: lax.dynamic_update_slice(X, X.T, (0, 0)), TypeError, "must fit into"),
    (lambda: lax.gather(X, places(0), ROWS, (2, 3)), TypeError, "must be 1 in collapsed_slice_dims"),
    (lambda: lax.gather(X, places(0), ROWS, (1, 4)), TypeError, "must fit into the operand's shape"),
    (lambda: lax.gather(X, places(0) * 1.0, ROWS, (1, 3)), ValueError, "start_indices must be integers"),
    (lambda: lax.gather(X, np.zeros((2, 2), I32), ROWS, (1, 3)), TypeError, "one component for each"),
    (lambda: lax.gather(X, places(0), ROWS, (1, 3), mode="wrap"), ValueError, "Unknown gather or scatter mode"),
    (lambda: lax.scatter(X, places(0), X, WRITES), TypeError, "outside the windows"),
    (lambda: lax.scatter_add(X > 0, places(0), X[:1] > 0, WRITES), TypeError, "scatter_add does not accept"),
    (
        lambda: lax.scatter_apply(X, places(0), lambda v: lax.concatenate([X, X], 0), WRITES, update_shape=(1, 3)),
        TypeError,
        "func must not use an array from outside",
    ),
    (lambda: lax.reduce_sum(X, (0, 0)), ValueError, "axes must be unique"),
    (lambda: lax.reduce_sum(X, (2,)), ValueError, "out of bounds"),
    (lambda: lax.reduce_sum(X, 0), TypeError, "axes must be a sequence"),  # type: ignore[arg-type]
    (lambda: lax.reduce_sum(X > 0, (0,)), TypeError, "reduce_sum does not accept dtype bool"),
    (lambda: lax.reduce_and(X, (0,)), TypeError, "reduce_and does not accept dtype float32"),
    (lambda: lax.argmax(X[:0], 0, "int32"), ValueError, "must not be empty"),
    (lambda: lax.argmax(X, -1, "int32"), ValueError, "must not be negative"),
    (lambda: lax.argmax(X, 0, "float32"), TypeError, "must be an integer dtype"),
    (lambda: lax.reduce(X, np.float64(1).astype(I32), lax.add, (0,)), TypeError, "must have the operands' dtypes"),
    (lambda: lax.reduce(X, 0.0, lambda a, b: (a, b), (0,)), TypeError, "must return the structure"),
    (lambda: lax.cumsum(X, 2), ValueError, "out of bounds"),
    (lambda: lax.cumlogsumexp(X.astype(I32)), TypeError, "cumlogsumexp does not accept dtype int32"),
    (lambda: lax.dot(X, X), ValueError, "give dimension_numbers"),
    (lambda: lax.dot_general(X, X, MATRICES), TypeError, "contracting dimensions must have the same sizes"),
    (lambda: lax.dot_general(X, X, (((2,), (0,)), ((), ()))), TypeError, "of lhs must be distinct and within"),
    (lambda: lax.dot(X, X.T, precision="best"), ValueError, "precision 'best' is none of"),
    (
        lambda: lax.dot(X.astype(I32), X.T.astype(I32), preferred_element_type="int8"),
        TypeError,
        "must not be narrower",
    ),
    (lambda: lax.batch_matmul(X, X[0]), ValueError, "equally many dimensions"),
    (lambda: lax.sort((X, X.T)), TypeError, "equal shapes"),
    (lambda: lax.sort(X, num_keys=2), ValueError, "num_keys must be between 1 and 1"),
    (lambda: lax.sort(()), TypeError, "at least one array"),
    (lambda: lax.top_k(X, 4), ValueError, "k must be from 0 to 3"),
    (lambda: lax.top_k(X, -1), ValueError, "k must be from 0 to 3, the size of dimension 1, got -1"),
    (lambda: lax.top_k(X * 1j, 1), ValueError, "no order, got operand of dtype complex64"),
    (lambda: lax.reshape([1.0, 2.0], (2,)), TypeError, "list"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refusals_say_what_is_wrong(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_traced_shape_says_so() -> None:
    with pytest.raises(errors.ShapeConcretizationError, match="reshape requires shapes to be concrete"):
        anima.jit(lambda n: lax.reshape(X, (n, 3)))(2)


def test_a_function_inside_an_operation_must_not_see_tracers() -> None:
    with pytest.raises(TypeError, match="computation must not use a traced value from outside"):
        anima.jit(lambda x, y: lax.reduce(x, 0.0, lambda a, b: lax.add(lax.add(a, b), y), (0,)))(X, 1.0)


def test_derivatives_that_are_not_known_say_so() -> None:
    updates = np.ones((2, 3), np.float32)

    def product(u: Any) -> Any:
        return lax.reduce_sum(lax.scatter_mul(X, places(0, 0), u, WRITES), (0, 1))

    with pytest.raises(NotImplementedError, match="unique_indices=True only"):
        anima.grad(product)(updates)


# ---- types ----------------------------------------------------------------------------------------------------------

WEAK = lax.full((3,), 1.0)


@pytest.mark.parametrize(
    ("call", "weak"),
    [
        (lambda w: lax.reshape(w, (3, 1)), True),
        (lambda w: lax.concatenate([w, w], 0), True),
        (lambda w: lax.concatenate([w, np.ones(3, np.float32)], 0), False),
        (lambda w: lax.pad(w, 0.0, [(1, 0, 0)]), True),
        (lambda w: lax.pad(w, np.float32(0), [(1, 0, 0)]), False),
        (lambda w: lax.slice(w, (0,), (2,)), True),
        (lambda w: lax.dynamic_slice(w, (1,), (2,)), True),
        (lambda w: lax.dynamic_update_slice(w, lax.slice(w, (0,), (1,)), (1,)), False),
        (lambda w: lax.reduce_sum(w, (0,)), True),
        (lambda w: lax.argmax(w, 0, "int32"), False),
        (lambda w: lax.cumsum(w), True),
        (lambda w: lax.dot(w, w), True),
        (lambda w: lax.dot(w, np.ones(3, np.float32)), False),
        (lambda w: lax.sort(w), True),
        (lambda w: lax.full_like(w, 2), True),
        (lambda w: lax.full_like(w, 2, "float32"), False),
        (lambda w: lax.full((2,), 1), True),
        (lambda w: lax.full((2,), np.int32(1)), False),
        (lambda w: lax.iota("int32", 3), False),
        (lambda w: lax.gather(w, places(0), lax.GatherDimensionNumbers((), (0,), (0,)), (1,)), True),
    ],
)
def test_weak_types(call: Callable[[Any], Any], weak: bool) -> None:
    assert call(WEAK).weak_type is weak
    assert anima.jit(call)(WEAK).weak_type is weak


def test_constant_fill_converts_like_numpy() -> None:
    assert np.array_equal(lax.full((2,), 300, "uint8"), [44, 44])
    assert np.array_equal(lax.full((2,), 1.7, "int32"), [1, 1])
    assert np.array_equal(lax.full_like(X.astype(I32), 3.9), np.full((2, 3), 3))
    assert lax.full((1,), 2.5, bool).dtype == bool
    assert lax.full((2,), 1.0, sharding=anima.devices()[0]).committed


@pytest.mark.parametrize(
    ("lhs", "rhs", "preferred", "result"),
    [
        ("bfloat16", "bfloat16", None, "bfloat16"),
        ("bfloat16", "float32", None, "float32"),
        ("bfloat16", "bfloat16", "float32", "float32"),
        ("float32", "float32", "bfloat16", "bfloat16"),
        ("int8", "int8", "int32", "int32"),
        ("int32", "float32", None, "float32"),
        ("float8_e4m3fn", "float8_e5m2", None, "float8_e5m2"),
        ("complex64", "complex64", "float32", "float32"),
        ("bool", "bool", None, "bool"),
    ],
)
def test_dtypes_of_products(lhs: str, rhs: str, preferred: str | None, result: str) -> None:
    x, y = (lax.convert_element_type(v, t) for v, t in ((X, lhs), (X.T.copy(), rhs)))
    got = lax.dot(x, y, preferred_element_type=preferred)
    assert got.dtype == result
    want = np.asarray(lax.convert_element_type(X @ X.T, result), np.complex64)
    assert np.allclose(np.asarray(got).astype(np.complex64), want, rtol=0.1)


# ---- forms ----------------------------------------------------------------------------------------------------------


def names(fun: Callable[..., Any], *args: Any) -> list[str]:
    return [eqn.primitive.name for eqn in anima.make_jaxpr(fun)(*args).eqns]


def test_the_gradient_of_a_product_of_narrow_real_and_complex_numbers() -> None:
    x, y = np.array([1, 2], dtypes.bfloat16), np.array([3 + 4j, 1 - 2j], np.complex64)
    found, pull = anima.vjp(lambda x, y: lax.dot(x, y), x, y)
    by_x, by_y = pull(np.complex64(1 + 1j))
    assert (found.dtype, by_x.dtype, by_y.dtype) == (np.complex64, dtypes.bfloat16, np.complex64)
    np.testing.assert_array_equal(by_x.astype(np.float32), ((1 + 1j) * y).real)
    np.testing.assert_array_equal(by_y, (1 + 1j) * np.array([1, 2]))


def test_what_changes_nothing_is_no_operation() -> None:
    x = lax.full((2, 3), 1.0)
    same = [
        lambda x: lax.reshape(x, (2, 3)),
        lambda x: lax.transpose(x, (0, 1)),
        lambda x: lax.broadcast_in_dim(x, (2, 3), (0, 1)),
        lambda x: lax.squeeze(x, ()),
        lambda x: lax.concatenate([x], 0),
        lambda x: lax.broadcast_to_rank(x, 1),
    ]
    for fun in same:
        assert names(fun, x) == []
        assert fun(x) is x
        assert isinstance(fun(X), anima.Array)  # NumPy arrays become arrays all the same


@pytest.mark.parametrize(
    ("computation", "init", "name"),
    [
        (lax.add, 0.0, "reduce_sum"),
        (lambda a, b: lax.mul(b, a), 1.0, "reduce_prod"),
        (lax.max, -np.inf, "reduce_max"),
        (lax.min, np.inf, "reduce_min"),
        (lambda a, b: lax.add(a, a), 0.0, "reduce"),
        (lambda a, b: lax.sub(a, b), 0.0, "reduce"),
    ],
)
def test_known_monoids_are_recognised(computation: Callable[..., Any], init: float, name: str) -> None:
    assert names(lambda x: lax.reduce(x, init, computation, (0,)), X) == [name]


def test_an_initial_value_takes_part_once() -> None:
    for size in (0, 1, 5):
        x = np.ones((size, 2), np.float32)
        assert np.array_equal(lax.reduce(x, 5.0, lax.add, (0,)), [5 + size] * 2)


@pytest.mark.cpu
def test_precision_of_products() -> None:
    def text(**kwargs: Any) -> str:
        return str(anima.jit(lambda x, y: lax.dot(x, y, **kwargs)).lower(X, X.T).as_text())

    assert "precision_config" not in text()
    assert "precision HIGHEST>, #stablehlo<precision HIGHEST>" in text(precision="float32")
    assert "precision DEFAULT>, #stablehlo<precision HIGH>" in text(precision=("default", "high"))
    assert "num_primitive_operations = 6" in text(precision="BF16_BF16_F32_X6")
    custom = lax.DotAlgorithm("float32", "float32", "float32")
    assert "accumulation_type = f32" in text(precision=custom)
    with anima.default_matmul_precision("highest"):
        assert "precision HIGHEST" in text()
    assert lax.Precision(None) is lax.Precision.DEFAULT
    assert lax.Precision("bfloat16_3x") is lax.Precision.HIGH
    assert lax.DotAlgorithmPreset.BF16_BF16_F32.supported_output_types("bfloat16", "bfloat16") == (
        np.float32,
        anima.dtypes.bfloat16,
    )


def test_an_optimisation_barrier_keeps_the_structure() -> None:
    value = lax.optimization_barrier({"a": X, "b": (1.0, [])})
    assert value["b"][0].weak_type
    assert value["b"][1] == []
    assert np.array_equal(value["a"], X)


def test_random_bits_share_one_function() -> None:
    words = np.arange(5, dtype=np.uint32)

    def twice(x: Any) -> Any:
        return threefry2x32(*threefry2x32(x, x, x, x), x, x)

    assert anima.jit(twice).lower(words).as_text().count("func.func private") == 1


KEYS = ExtendedDType("key<test>", prng_key, (2,), np.dtype(np.uint32))


@pytest.mark.parametrize(
    "fun",
    [
        lambda k: lax.reshape(k, (3, 2)),
        lambda k: lax.broadcast_in_dim(k, (2, 6), (1,)),
        lambda k: lax.transpose(lax.reshape(k, (3, 2)), (1, 0)),
        lambda k: lax.rev(k, (0,)),
        lambda k: lax.concatenate([k, k], 0),
        lambda k: lax.stack([k, k], 1),
        lambda k: lax.slice(k, (1,), (6,), (2,)),
        lambda k: lax.dynamic_slice(k, (I32(1),), (2,)),
        lambda k: lax.dynamic_update_slice(k, lax.slice(k, (0,), (2,)), (I32(1),)),
        lambda k: lax.index_take(k, (np.array([3, 1], I32),), (0,)),
        lambda k: lax.gather(k, places(9), lax.GatherDimensionNumbers((), (0,), (0,)), (1,), mode="fill"),
        lambda k: lax.scatter(
            k, places(1), lax.slice(k, (0,), (1,)), lax.ScatterDimensionNumbers((), (0,), (0,))
        ),
    ],
)
def test_random_keys_can_be_moved(fun: Callable[..., Any]) -> None:
    closed = stage_closed(lambda k: [fun(k)], [ShapedArray((6,), KEYS)], "keys")
    (aval,) = closed.out_avals
    assert isinstance(aval, ShapedArray)
    assert aval.dtype == KEYS
    shape = "x".join(map(str, (*aval.shape, 2)))
    assert f"-> (tensor<{shape}xui32>)" in lower_module(closed, name="keys", platform="cpu").text


# ---- what is compiled -----------------------------------------------------------------------------------------------


def programs() -> int:
    return int(_native.compile_count() + _native.deserialize_count())


@pytest.mark.parametrize(
    "call",
    [
        lambda x, i: lax.slice(x, (i,), (i + 5,)),
        lambda x, i: lax.slice(x, (i,), (i + 5,), (2,)),
        lambda x, i: lax.index_in_dim(x, i),
        lambda x, i: lax.dynamic_slice(x, (i,), (4,)),
        lambda x, i: lax.dynamic_update_slice(x, lax.full((2,), 0.5), (i,)),
        lambda x, i: lax.pad(x, np.float32(0), [(i, 20 - i, 0)]),
        lambda x, i: lax.full((7,), float(i)),
        lambda x, i: anima.grad(lambda x: lax.reduce_sum(lax.slice(x, (i,), (i + 5,)), (0,)))(x),
    ],
)
def test_another_index_is_no_other_program(call: Callable[..., Any]) -> None:
    x = lax.iota("float32", 20)
    first = np.asarray(call(x, 3))
    before = programs()
    results = [np.asarray(call(x, i)) for i in (4, 7, 0)]
    assert programs() == before
    assert all(r.shape == first.shape for r in results)
    assert np.array_equal(np.asarray(anima.jit(lambda x: call(x, 7))(x)), results[1])


def test_the_same_function_is_compiled_once() -> None:
    def fold(a: Any, b: Any) -> Any:
        return lax.add(lax.add(a, b), lax.mul(a, b))

    lax.reduce(X, 0.0, fold, (0,))
    before = programs()
    lax.reduce(X + 1, 0.0, fold, (0,))
    assert programs() == before


# ---- values ---------------------------------------------------------------------------------------------------------


def test_extrema_share_the_derivative_among_ties() -> None:
    x = np.array([1, 3, 3, 3], np.float32)
    third = np.array([0, 1, 1, 1], np.float32) / 3
    assert np.allclose(anima.grad(lambda x: lax.reduce_max(x, (0,)))(x), third)
    last = [0.0, 1 / 3, 1 / 3, 1 / 3]
    assert np.allclose(anima.grad(lambda x: lax.index_in_dim(lax.cummax(x), -1, keepdims=False))(x), last)
    updates = np.array([[3], [3]], np.float32)

    def scattered(x: Any, u: Any) -> Any:
        out = lax.scatter_max(x, places(1, 1), u, lax.ScatterDimensionNumbers((1,), (), (0,)))
        return lax.index_in_dim(out, 1, keepdims=False)

    gx, gu = anima.grad(scattered, (0, 1))(x, updates)
    assert np.allclose(gx, [0, 1 / 3, 0, 0])
    assert np.allclose(gu, np.full((2, 1), 1 / 3))


def test_of_repeated_places_one_update_wins_and_has_the_derivative() -> None:
    updates = np.arange(6, dtype=np.float32).reshape(2, 3)

    def written(u: Any) -> Any:
        return lax.index_in_dim(lax.scatter(X, places(0, 0), u, WRITES), 0, keepdims=False)

    row = np.asarray(written(updates))
    winner = int(np.flatnonzero((updates == row).all(1))[0])
    gradient = np.asarray(anima.grad(lambda u: lax.reduce_sum(written(u), (0,)))(updates))
    assert np.array_equal(
        gradient, np.eye(2, dtype=np.float32)[winner][:, None] * np.ones((1, 3), np.float32)
    )


@pytest.mark.cpu  # XLA's compiler for GPUs crashes on a scatter whose combination ignores the update
def test_repeated_application_counts() -> None:
    def double(v: Any) -> Any:
        return lax.add(v, v)

    got = lax.scatter_apply(X, places(1, 1), double, WRITES, update_shape=(2, 3))
    assert np.array_equal(got, X * [[1], [4]])


def test_slices_at_mapped_places() -> None:
    at = np.array([0, -1, 9], I32)
    got = anima.vmap(lambda i: lax.dynamic_slice(X, (0, i), (2, 2)))(at)
    assert np.array_equal(got, [X[:, 0:2], X[:, 1:3], X[:, 1:3]])
    got = anima.vmap(lambda i: lax.dynamic_update_slice(X, X[:1, :1] + 7, (i, 0)))(np.array([0, 1], I32))
    assert np.array_equal(np.asarray(got)[:, :, 0], [[7, 3], [0, 7]])


@pytest.mark.parametrize("size", [1, 16, 17, 300, 5000])
def test_running_sums_of_any_length(size: int) -> None:
    x = np.random.default_rng(size).integers(-9, 9, (2, size)).astype(np.int32)
    assert np.array_equal(lax.cumsum(x, 1), np.cumsum(x, 1))
    assert np.array_equal(lax.cumsum(x.T.copy(), 0, reverse=True), np.cumsum(x.T[::-1], 0)[::-1])
    ones = np.ones((size,), np.float32)
    assert np.array_equal(linear_recurrence(ones, ones), np.arange(1, size + 1))
    assert np.array_equal(linear_recurrence(ones, ones, reverse=True), np.arange(size, 0, -1))


def test_sorting_is_stable_and_orders_zeros_and_nans() -> None:
    keys = np.array([0.0, np.nan, -0.0, -np.inf, -np.nan, 0.0], np.float32)
    values, order = lax.sort((keys, np.arange(6, dtype=I32)))
    assert np.array_equal(order, [3, 0, 2, 5, 1, 4])
    assert np.array_equal(np.signbit(np.asarray(values)[1:4]), [False, True, False])


@pytest.mark.parametrize(
    "index_map", [(0,), (1,), (2,), (0, 2), (2, 0), (1, 0), (2, 1), (1, 2, 0), (0, 1, 2)]
)
@pytest.mark.parametrize("mode", ["drop", "clip"])
@pytest.mark.parametrize("batched", [False, True])
def test_scatters_by_any_index_vectors(index_map: tuple[int, ...], mode: str, batched: bool) -> None:
    """Index vectors that leave out dimensions of the operand, or have them in another order."""
    rng = np.random.default_rng(0)
    shape, window = (4, 5, 6), (2, 3, 2)
    x = rng.normal(size=shape).astype("f")
    places = rng.integers(-1, 6, (7, len(index_map)))
    updates = rng.normal(size=(7, *window)).astype("f")
    numbers = lax.ScatterDimensionNumbers((1, 2, 3), (), index_map)
    want = x.copy()
    for place, update in zip(places, updates):
        start = np.zeros(3, int)
        start[list(index_map)] = place
        most = np.subtract(shape, window)
        if mode == "clip":
            start = np.clip(start, 0, most)
        elif (start < 0).any() or (start > most).any():
            continue
        want[tuple(slice(a, a + n) for a, n in zip(start, window))] += update
    add = lambda x, places, updates: lax.scatter_add(x, places, updates, numbers, mode=mode)
    if batched:
        out = anima.vmap(add)(np.stack([x, x]), np.stack([places, places]), np.stack([updates, 2 * updates]))
        np.testing.assert_allclose(out[1] - x, 2 * (want - x), rtol=1e-5, atol=1e-5)
        out = out[0]
    else:
        out = anima.jit(add)(x, places, updates)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
