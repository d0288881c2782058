"""Misuse of operations: the message names the function and the argument, says what was expected, and where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import anima
from anima import errors, lax

X = np.arange(6, dtype=np.float32).reshape(2, 3)
V, S = X[0], np.float32(1)
I32 = np.int32
ROWS = lax.GatherDimensionNumbers((1,), (0,), (0,))
WRITES = lax.ScatterDimensionNumbers((1,), (0,), (0,))
PLACES = np.zeros((2, 1), I32)
Case = tuple[Callable[[], Any], type[Exception], str]

# fmt: off
NO_INTEGERS: list[Case] = [
    (lambda: lax.slice(V, (0.5,), (2,)), TypeError, "slice: start_indices must be an integer, got 0.5"),
    (lambda: lax.slice(X, (0, 0), (2, 1.5)), TypeError, r"slice: limit_indices must be integers, got 1.5 in \(2, 1.5\)"),
    (lambda: lax.slice(V, 0, 2), TypeError, "slice: start_indices must be a sequence of integers, got 0"),
    (lambda: lax.slice_in_dim(V, 0.5, 2), TypeError, "slice_in_dim: start_index must be an integer, got 0.5"),
    (lambda: lax.slice_in_dim(V, 0, 2, 0.5), TypeError, "slice_in_dim: stride must be an integer, got 0.5"),
    (lambda: lax.index_in_dim(V, None), TypeError, "index_in_dim: index must be an integer, got None"),
    (lambda: lax.dynamic_slice(V, 0, (1,)), TypeError, "start_indices must be a sequence or an array of integers, got 0"),
    (lambda: lax.dynamic_slice_in_dim(V, 0, 1, "a"), TypeError, "axis must be an integer, got 'a'"),
    (lambda: lax.transpose(X, None), TypeError, "transpose: permutation must be a sequence of integers, got None"),
    (lambda: lax.transpose(X, (1, 0.0)), TypeError, "transpose: permutation must be integers, got 0.0"),
    (lambda: lax.rev(X, 0), TypeError, "rev: dimensions must be a sequence of integers, got 0"),
    (lambda: lax.squeeze(X, 0), TypeError, "squeeze: dimensions must be a sequence of integers, got 0"),
    (lambda: lax.expand_dims(X, 0), TypeError, "expand_dims: dimensions must be a sequence of integers, got 0"),
    (lambda: lax.broadcast_to_rank(X, 2.5), TypeError, "broadcast_to_rank: rank must be an integer, got 2.5"),
    (lambda: lax.broadcast_in_dim(S, (2.0,), ()), TypeError, "broadcast_in_dim: shape must be integers, got 2.0"),
    (lambda: lax.broadcast_shapes((2,), "a"), TypeError, "broadcast_shapes: each shape must be integers, got 'a'"),
    (lambda: lax.broadcast_shapes((-1,)), TypeError, "broadcast_shapes: each shape must not be negative"),
    (lambda: lax.collapse(X, "a"), TypeError, "collapse: start_dimension must be an integer, got 'a'"),
    (lambda: lax.split(V, 3), TypeError, "split: sizes must be a sequence of integers, got 3"),
    (lambda: lax.concatenate(3, 0), TypeError, "concatenate: operands must be a sequence of arrays, got 3"),
    (lambda: lax.concatenate([X], 0.5), TypeError, "concatenate: dimension must be an integer, got 0.5"),
    (lambda: lax.stack(3), TypeError, "stack: operands must be a sequence of arrays, got 3"),
    (lambda: lax.pad(V, S, None), TypeError, r"pad: padding_config must be a sequence of \(low, high, interior\), got None"),
    (lambda: lax.pad(V, S, [(0.5, 0, 0)]), TypeError, "each entry of padding_config must be integers, got 0.5"),
    (lambda: lax.broadcasted_iota("int32", (2,), 0.5), TypeError, "iota: dimension must be an integer, got 0.5"),
    (lambda: lax.reduce_sum(X, 0), TypeError, "reduce_sum: axes must be a sequence of integers, got 0"),
    (lambda: lax.sort(X, num_keys="a"), TypeError, "sort: num_keys must be an integer, got 'a'"),
    (lambda: lax.integer_pow(X, 0.5), TypeError, "integer_pow: y must be an integer, got 0.5; see pow"),
    (lambda: lax.reduce_precision(X, 2.5, 3), TypeError, "reduce_precision: exponent_bits must be an integer, got 2.5"),
    (lambda: lax.reduce_precision(X, 5, "a"), TypeError, "reduce_precision: mantissa_bits must be an integer, got 'a'"),
    (lambda: lax.index_take(V, 3, (0,)), TypeError, "index_take: idxs must be a sequence of vectors, got 3"),
]
NO_DTYPES: list[Case] = [
    (lambda: lax.iota(None, 3), ValueError, "iota: dtype must be given, got None"),
    (lambda: lax.argmax(X, 0, None), ValueError, "argmax: index_dtype must be an integer dtype, got None"),
    (lambda: lax.reciprocal(1), TypeError, "reciprocal does not accept dtype int32"),
    (lambda: lax.bitwise_and(X, X), TypeError, "bitwise_and does not accept dtype float32"),
    (lambda: lax.bitwise_or(np.uint8(1), I32(1)), TypeError, r"lax.bitwise_or .* same dtypes, got uint8, int32. \(Tip: numpy.bitwise_or"),
    (lambda: lax.dynamic_update_slice(X, X.astype(I32), (0, 0)), TypeError, "got float32, int32; convert them with"),
    (lambda: lax.bitcast_convert_type(V > 0, "int16"), ValueError, "last dimension of operand must be 2"),
    (lambda: lax.bitcast_convert_type(V > 0, "int8"), TypeError, "bool and complex dtypes cast to themselves only"),
    (lambda: lax.dot(V, V, preferred_element_type="words"), TypeError, "'words' requested in dot_general is not a dtype"),
    (lambda: lax.dot(I32([1]), I32([1]), preferred_element_type="float16"), TypeError, "float16 must not be narrower than int32"),
    (lambda: lax.dot(np.zeros(2, "complex64"), V[:2], preferred_element_type="bfloat16"), TypeError, "narrower than complex64"),
    (lambda: lax.dot(np.zeros(2, "float8_e5m2"), np.zeros(2, "float8_e5m2fnuz")), TypeError, "neither of float8_e5m2 and float8_e5m2fnuz"),
    (lambda: lax.index_take(V, (V,), (0,)), errors.ArgumentError, "index_take does not accept dtype float32 for argument idxs"),
    (lambda: lax.scatter(X, PLACES > 0, X, WRITES), ValueError, "scatter: scatter_indices must be integers, got dtype bool"),
    (lambda: lax.reduce(V, 1j, lax.add, (0,)), TypeError, "reduce: initial values must have the operands' dtypes, got ~complex64"),
    (lambda: lax.reduce(I32([1]), 0.5, lax.add, (0,)), TypeError, "reduce: initial values must have the operands' dtypes"),
    (lambda: lax.reduce_window(V, I32(1), lax.add, (1,)), TypeError, "reduce_window: initial values must have the operands' dtypes"),
    (lambda: lax.reduce(np.int8([1]), 300, lax.add, (0,)), OverflowError, "300 is out of bounds for int8"),
    (lambda: anima.jit(lambda: lax.mul(2, -(2**40)))(), OverflowError, "Python int -1099511627776 is too large for int32"),
    (lambda: anima.jit(lambda x: lax.add(x, 2**31))(1), OverflowError, "2147483648 is too large for int32"),
]
NO_DIMENSIONS: list[Case] = [
    (lambda: lax.slice(X, (0, 1), (2, 5)), TypeError, "got 1 and 5 in dimension 1 of size 3"),
    (lambda: lax.slice_in_dim(X, 2, 1, axis=1), TypeError, "got 2 and 1 in dimension 1 of size 3"),
    (lambda: lax.dynamic_slice(X, (0, 0), (2, 4)), TypeError, "4 in dimension 1 is more than 3"),
    (lambda: lax.dynamic_slice(X, (0, 0), (2,)), TypeError, "must have one size for each dimension"),
    (lambda: lax.dynamic_slice(X, (0, 0), (1, 1), allow_negative_indices=(True,)), ValueError, "allow_negative_indices must have one entry"),
    (lambda: lax.dynamic_update_slice(X, X.T, (0, 0)), TypeError, "3 in dimension 0 is more than 2"),
    (lambda: lax.gather(X, PLACES, ROWS, (1, 4)), TypeError, "4 in dimension 1 is more than 3"),
    (lambda: lax.gather(X, PLACES, (1,), (1, 3)), TypeError, r"dimension_numbers must be a lax.GatherDimensionNumbers, got \(1,\)"),
    (lambda: lax.scatter(X, PLACES, X, None), TypeError, "dimension_numbers must be a lax.ScatterDimensionNumbers, got None"),
    (lambda: lax.index_take(X, (I32([0]),), (2,)), IndexError, "index_take: axes 2 is out of bounds for an array of dimension 2"),
    (lambda: lax.index_take(X, (PLACES,), (0,)), TypeError, "idxs must be one vector for each of axes"),
    (lambda: lax.broadcast_in_dim(V, (2, 4), (1,)), TypeError, "dimension 0 of operand must have size 1 or 4, .* got 3"),
    (lambda: lax.broadcast_like(X, S), ValueError, r"arr of shape \(2, 3\) does not broadcast to \(\), the shape of like_arr"),
    (lambda: lax.broadcast_like(V, X[:, :2]), ValueError, r"arr of shape \(3,\) does not broadcast to \(2, 2\)"),
    (lambda: lax.collapse(X, 1, 0), ValueError, "start_dimension 1 stands behind stop_dimension 0"),
    (lambda: lax.stack([X, V]), ValueError, r"stack: operands must have equal shapes, got \(2, 3\), \(3,\)"),
    (lambda: lax.split(V, (-1, 4)), ValueError, r"split: sizes must not be negative, got \(-1, 4\)"),
    (lambda: lax.pad(V, I32(1), []), ValueError, "padding_config must have one entry for each of the 1 dimensions"),
    (lambda: lax.pad(V, I32(1), [(0, 0, 0)]), TypeError, "must have the same dtype, got float32 and int32"),
    (lambda: lax.pad(X, S, [(0, 0, 0), (-2, -2, 0)]), ValueError, r"\(-2, -2, 0\) of size 3 in dimension 1"),
    (lambda: lax.dot_general(X, X, (((1,), (0,)), ((), ()))), TypeError, r"got \(3,\) for dimensions \(1,\) of lhs and \(2,\) for dimensions \(0,\) of rhs"),
    (lambda: lax.dot_general(X, X, None), TypeError, r"dimension_numbers must be \(\(lhs_contracting, rhs_contracting\)"),
    (lambda: lax.dot_general(X, X, (((0.5,), (0,)), ((), ()))), TypeError, "the contracting dimensions must be an integer, got 0.5"),
    (lambda: lax.conv_general_dilated_patches(V, (), (), "VALID"), TypeError, r"lhs must have a batch and a feature dimension, got shape \(3,\)"),
    (lambda: lax.reduce(X, V, lax.add, (0,)), ValueError, r"each initial value must be a scalar, got one of shape \(3,\)"),
]
NO_FUNCTIONS: list[Case] = [
    (lambda: lax.reduce(V, 0.0, None, (0,)), TypeError, "reduce: computation must be a function, got None"),
    (lambda: lax.reduce_window(V, 0.0, 3, (1,)), TypeError, "reduce_window: computation must be a function, got 3"),
    (lambda: lax.scatter_apply(X, PLACES, None, WRITES, update_shape=(2, 3)), TypeError, "scatter_apply: func must be a function"),
    (lambda: lax.round(X, 7), ValueError, "round: rounding_method must be a lax.RoundingMethod, got 7"),
    (lambda: anima.jit(lambda n: lax.rev(X, (n,)))(0), errors.TracerIntegerConversionError, "__index__"),
]
SIGNAL, WINDOW = X[None, :, :], np.ones((1, 2, 2), "float32")
# Where JAX raises TypeError on some ways and ValueError on others, who catches either catches these.
NO_FITTING: list[Case] = [
    (lambda: lax.slice(V, (0, 0), (1,)), errors.ArgumentError, "start_indices .* must have one entry for each of the 1 dimensions"),
    (lambda: lax.slice(V, (0,), (1,), (1, 1)), errors.ArgumentError, "strides .* must have one entry for each of the 1 dimensions"),
    (lambda: lax.dynamic_slice(V, (0,), (1, 1)), errors.ArgumentError, "must have one size for each dimension"),
    (lambda: lax.dot_general(X, X, (((1,), (1,)),)), errors.ArgumentError, "dimension_numbers must be"),
    (lambda: lax.conv(SIGNAL, WINDOW, (1, 1), "VALID"), errors.ArgumentError, "window_strides must have 1 entries"),
    (lambda: lax.conv(SIGNAL, WINDOW, (0,), "VALID"), errors.ArgumentError, "every entry of window_strides must be positive"),
    (lambda: lax.reduce_window(V, 0.0, lax.add, (1,), padding=[(0,)]), errors.ArgumentError, "padding must be"),
    (lambda: lax.conv_general_permutations(("NCW", "OIW")), errors.ArgumentError, "must be three strings"),
    (lambda: lax.conv_shape_tuple((2, 3), (4, 3, 2), (1,), "SAME"), errors.ArgumentError, "must have equally many sizes"),
    (lambda: lax.linalg.cholesky(X), errors.ArgumentError, "x must be a stack of square matrices"),
    (lambda: lax.linalg.eigh(X[:, :2], subset_by_index=3), errors.ArgumentError, "must be a pair"),
    (lambda: lax.linalg.qdwh(V), errors.ArgumentError, "x must have at least 2 dimensions"),
    (lambda: lax.linalg.qr(anima.random.split(anima.random.key(0), (2, 2))), errors.ArgumentError, "does not accept dtype key"),
    (lambda: lax.convert_element_type(anima.random.key(0), "int32"), errors.ArgumentError, "cannot convert key<fry> to int32"),
    (lambda: lax.approx_max_k(PLACES, 1), errors.ArgumentError, "does not accept dtype int32"),
    (lambda: lax.gather(X, V > 0, ROWS, (1, 3)), errors.ArgumentError, "start_indices must be integers, got dtype bool"),
    (lambda: lax.full((), 1, dtype=anima.numpy.ones(2)), errors.ArgumentError, "write dtype=x.dtype in place of dtype=x"),
]
NO_SENSE: list[Case] = [
    (lambda: lax.approx_max_k(S, 1), TypeError, "operand must have at least 1 dimension"),
    (lambda: lax.approx_max_k(V, 1.5), TypeError, "must be integers, got 1.5"),
    (lambda: lax.bitcast_convert_type(V, None), ValueError, "new_dtype must be given"),
    (lambda: lax.dtype(None), ValueError, "x must be given"),
    (lambda: lax.dtype(np.array("text")), TypeError, "arrays hold numbers and booleans only"),
    (lambda: lax.full_like(np.array(None), 0), TypeError, "dtype object is not a valid array type"),
    (lambda: lax.gather(X, PLACES, ROWS, (0, 3)), TypeError, "must be 1 in collapsed_slice_dims"),
    (lambda: lax.pad(V, S, [(0, 0, 0), 0]), ValueError, "padding_config must have one entry for each of the 1 dimensions"),
    (lambda: lax.conv(SIGNAL, WINDOW, None, "VALID"), TypeError, "window_strides must be a sequence of integers, got None"),
    (lambda: lax.reduce_window(V, 0.0, lax.add, None), TypeError, "window_dimensions must be a sequence of integers, got None"),
    (lambda: lax.empty((2,), "float32", out_sharding="cpu"), TypeError, "out_sharding must be None, a sharding"),
    (lambda: anima.eval_shape(lambda: lax.full((2,), 1, sharding=3)), TypeError, "expected a device or the name of a platform"),
    (lambda: lax.linalg.lu_pivots_to_permutation(I32([0]), "1"), TypeError, "permutation_size must be an integer"),
    (lambda: lax.linalg.symmetric_product(X, np.eye(2, dtype="f"), alpha="1"), TypeError, "alpha and beta must be numbers"),
    (lambda: lax.linalg.qdwh(X[:, :2], eps=-1.0), ValueError, "eps must be positive"),
    (lambda: lax.linalg.qdwh(X[:, :2], max_iterations="1"), TypeError, "max_iterations an integer"),
]
# fmt: on


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [*NO_INTEGERS, *NO_DTYPES, *NO_DIMENSIONS, *NO_FUNCTIONS, *NO_FITTING, *NO_SENSE],
)
def test_what_is_wrong_is_said(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_what_runs_where_it_was_refused_or_wrong() -> None:
    assert lax.integer_pow(S * 3, 2.0).tolist() == 9
    assert lax.broadcast_shapes(3, (2, 1)) == (2, 3)
    assert lax.index_take(V, (np.array([True, False]),), (0,)).tolist() == [1, 0]
    assert lax.index_take(V[:0], (np.zeros(0, I32),), (0,)).shape == (0,)
    assert lax.dynamic_slice_in_dim(V, -1, 1, allow_negative_indices=np.True_).tolist() == [2]
    # Updates of an operand without rows are dropped.
    assert lax.scatter_add(X[:0], PLACES, X, WRITES).shape == (0, 3)
    nobody = lax.gather(X[:0], PLACES[:0], ROWS, (1, 3))
    assert nobody.shape == (0, 3)
    assert lax.scatter(X[:0], PLACES[:0], X[:0], WRITES).shape == (0, 3)
    grad = anima.grad(lambda x: lax.reduce_sum(lax.gather(x, PLACES[:0], ROWS, (1, 3)), (0, 1)))
    assert grad(X[:0]).shape == (0, 3) and not np.asarray(grad(X)).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_in_16_bits_can_be_refused(dtype: str) -> None:
    x = np.ones(3, dtype)
    total = anima.jit(lambda x: lax.reduce_sum(x, (0,)))
    assert float(total(x)) == 3
    with anima.allow_f16_reductions(False):
        for call in (total, lambda x: lax.reduce_sum(x, (0,))):
            with pytest.raises(
                ValueError, match=r"reduce_sum on operand .*16\[3\].* jax_allow_f16_reductions"
            ):
                call(x)
        assert float(x.sum()) == 3  # which is computed in 32 bits
        assert float(lax.reduce_max(x, (0,))) == 1
        assert float(lax.reduce_sum(x.astype("float32"), (0,))) == 3
    assert float(total(x)) == 3


def test_products_of_two_dtypes_have_one_of_them() -> None:
    def kind(a: str, b: str) -> str:
        return str(lax.dot(np.ones(2, a), np.ones(2, b)).dtype)

    assert kind("int32", "uint32") == "int32" and kind("uint32", "int8") == "uint32"
    assert kind("bfloat16", "float16") == "bfloat16" and kind("int4", "uint2") == "int4"
    assert kind("int32", "float8_e5m2") == "float8_e5m2" and kind("bool", "int2") == "int2"
    third = np.array(
        [1 + 2**-10], np.float16
    )  # bfloat16 has no such number: the product is rounded at the end
    assert float(lax.dot(third * 0 + third, np.array([256.0], "bfloat16"))) == 256.0
    assert float(lax.dot(third, np.array([256.0], "bfloat16"), preferred_element_type="float32")) == 256.25
    assert (
        lax.dot(
            np.array([7], "int8"), np.array([2.5], "float8_e5m2"), preferred_element_type="float32"
        ).tolist()
        == 17.5
    )


def test_weak_types_of_results() -> None:
    weak = lax.broadcast(lax.full_like(2, 2), (3,))
    assert weak.weak_type
    for op in (lax.scatter, lax.scatter_add, lax.scatter_mul, lax.scatter_max):
        numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
        assert op(weak, PLACES, np.ones(2, I32), numbers).weak_type
        assert not op(np.ones(3, I32), PLACES, lax.broadcast(lax.full_like(2, 2), (2,)), numbers).weak_type
    assert not lax.reduce_and(weak, (0,)).weak_type and lax.reduce_max(weak, (0,)).weak_type
    assert all(part.weak_type for part in lax.top_k(weak, 1))
    assert lax.dot(weak, weak, preferred_element_type="int32").weak_type
    assert not lax.dynamic_update_slice(weak, weak[:1], (0,)).weak_type
