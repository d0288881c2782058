"""Segment reductions against loops of NumPy; derivatives against difference quotients and the product rule."""

from __future__ import annotations

import ml_dtypes
import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import ops
from anima.config import enable_x64

KINDS = {"sum": onp.add, "prod": onp.multiply, "max": onp.maximum, "min": onp.minimum}
IDS = onp.array([0, 3, 0, 1, 3, 0, 7, -1], onp.int32)


def reduction(kind: str):
    return getattr(ops, f"segment_{kind}")


def neutral(kind: str, dtype) -> object:
    if kind in ("sum", "prod"):
        return 0 if kind == "sum" else 1
    if dtype.kind == "b":
        return kind == "min"
    if dtype.kind in "iu":
        info = onp.iinfo(dtype)
        return info.min if kind == "max" else info.max
    return -onp.inf if kind == "max" else onp.inf


def expected(kind: str, data, ids, count: int):
    out = onp.full((count, *data.shape[1:]), neutral(kind, data.dtype), data.dtype)
    for row, i in zip(data, ids):
        if 0 <= i < count:
            out[i] = KINDS[kind](out[i], row)
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["int8", "uint32", "float16", "float32", "bfloat16", "bool", "complex64"])
def test_values(kind: str, dtype: str) -> None:
    if (dtype == "bool" and kind in ("sum", "prod")) or (dtype == "complex64" and kind in ("max", "min")):
        return
    data = onp.arange(24).reshape(8, 3) % 5
    data = data.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    want = expected(kind, data, IDS, 4)
    got = reduction(kind)(data, IDS, 4)
    assert got.dtype == want.dtype
    onp.testing.assert_array_equal(got, want)
    onp.testing.assert_array_equal(reduction(kind)(data, IDS, 4, bucket_size=3), want)
    onp.testing.assert_array_equal(anima.jit(reduction(kind), static_argnums=2)(data, IDS, 4), want)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_data_and_of_numbers(kind: str) -> None:
    data = onp.random.RandomState(0).uniform(1, 2, (4, 8)).astype(onp.float32)
    ids = onp.random.RandomState(1).randint(0, 3, (4, 8))
    fun = lambda d, i: reduction(kind)(d, i, 3)
    want = [expected(kind, d, i, 3) for d, i in zip(data, ids)]
    onp.testing.assert_allclose(anima.vmap(fun)(data, ids), want, rtol=1e-6)
    want = [expected(kind, data[0], i, 3) for i in ids]
    onp.testing.assert_allclose(anima.vmap(fun, (None, 0))(data[0], ids), want, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bucket_size", [None, 3])
def test_derivatives(kind: str, bucket_size) -> None:
    weights = onp.array([1.0, 2.0, -3.0, 0.5])
    with enable_x64(True):
        data = onp.random.RandomState(0).uniform(1, 2, 8)
        fun = lambda d: (reduction(kind)(d, IDS, 4, bucket_size=bucket_size)[:2] * weights[:2]).sum()
        slope, steps = anima.grad(fun)(data), 1e-6 * onp.eye(8)
        quotients = [(fun(data + s) - fun(data - s)) / 2e-6 for s in steps]
        onp.testing.assert_allclose(slope, quotients, rtol=1e-6, atol=1e-8)
        gradient = anima.jit(anima.grad(fun))
        quotients = [(gradient(data + s) - gradient(data - s)) / 2e-6 for s in steps]
        onp.testing.assert_allclose(anima.hessian(fun)(data), quotients, rtol=1e-6, atol=1e-7)


def test_products_with_zeros_have_exact_derivatives() -> None:
    data = np.array([2.0, 0.0, 3.0, 0.0, 4.0])
    ids = np.array([0, 1, 0, 1, 0])
    product = lambda d: ops.segment_prod(d, ids, 2)
    onp.testing.assert_array_equal(anima.jacrev(product)(data), [[12, 0, 8, 0, 6], [0, 0, 0, 0, 0]])
    second = anima.hessian(product)(data)
    assert second[1, 1, 3] == second[1, 3, 1] == 1
    onp.testing.assert_array_equal(second[0, 0], [0, 0, 4, 0, 3])
    scalar = anima.grad(lambda x: ops.segment_prod(x, onp.array([0, 0, 0]), 1)[0])
    assert scalar(2.0) == 12  # a number is the row of every segment number
    per_row = anima.jit(anima.vmap(anima.grad(lambda d, i: ops.segment_prod(d, i, 2)[0])))
    rows = per_row(np.stack([data, data + 1]), np.stack([ids, 0 * ids]))
    onp.testing.assert_array_equal(rows, [[12, 0, 8, 0, 6], [20, 60, 15, 60, 12]])


def test_products_with_clipped_numbers_have_derivatives() -> None:
    product = lambda d: ops.segment_prod(d, onp.array([0, -3, 1, 9]), 2, mode="clip")
    onp.testing.assert_array_equal(
        anima.jacfwd(product)(np.array([2.0, 3, 5, 7])), [[3, 2, 0, 0], [0, 0, 7, 5]]
    )


def test_modes_and_numbers_out_of_bounds() -> None:
    ones = np.ones(4)
    ids = np.array([0, 7, 0, -1])
    assert ops.segment_sum(ones, ids, 3).tolist() == [2, 0, 0]
    assert ops.segment_sum(ones, ids, 3, mode="clip").tolist() == [3, 0, 1]
    assert ops.segment_sum(ones, ids).shape == (8,)
    assert ops.segment_sum(ones, ids, 0).shape == (0,)
    assert anima.grad(lambda d: ops.segment_prod(d, ids, 0).sum())(ones).tolist() == [0] * 4
    assert ops.segment_sum(ones, ids.astype(np.uint8), 300).shape == (300,)


def test_buckets_lose_less_to_rounding() -> None:
    data = np.full(4096, 1.0, np.bfloat16)
    ids = np.zeros(4096, int)
    assert ops.segment_sum(data, ids, 1)[0] == 256  # 256 + 1 is 256 in bfloat16
    assert ops.segment_sum(data, ids, 1, bucket_size=64)[0] == 4096


def test_without_rows() -> None:
    data, ids = np.zeros((0, 2)), np.zeros(0, int)
    for kind in KINDS:
        fill = neutral(kind, onp.dtype("float32"))
        assert reduction(kind)(data, ids, 1).tolist() == [[fill] * 2]
        assert reduction(kind)(data, ids, 1, bucket_size=4).tolist() == [[fill] * 2]
    assert anima.grad(lambda d: ops.segment_prod(d, ids, 1).sum())(data).shape == (0, 2)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "astype.int. to count", lambda: ops.segment_sum(np.array([True]), np.array([0]))),
        (TypeError, "'all'", lambda: ops.segment_prod(np.array([True]), np.array([0]))),
        (TypeError, "segment_ids must be integers, got float32", lambda: ops.segment_max(np.ones(1), np.ones(1))),
        (TypeError, "segment_ids must be integers, got bool", lambda: ops.segment_max(np.ones(1), np.ones(1, bool))),
        (TypeError, "argument data; convert", lambda: ops.segment_sum([1.0], np.array([0]))),
        (TypeError, "num_segments must be an integer", lambda: ops.segment_sum(1.0, np.array([0]), 2.0)),
        (ValueError, "must not be negative", lambda: ops.segment_sum(1.0, np.array([0]), -1)),
        (ValueError, "cannot be found out", lambda: ops.segment_sum(1.0, np.zeros(0, int))),
        (ValueError, "bucket_size must be positive", lambda: ops.segment_sum(1.0, np.array([0]), bucket_size=0)),
        (ValueError, "must be a vector", lambda: ops.segment_sum(1.0, np.zeros((1, 1), int), 1, bucket_size=1)),
        (ValueError, "do not broadcast", lambda: ops.segment_sum(np.ones(4), np.array([0, 1]))),
        (ValueError, "mode 'bad'", lambda: ops.segment_sum(np.ones(1), np.array([0]), mode="bad")),
        (anima.errors.ConcretizationTypeError, "segment_sum", lambda: anima.jit(ops.segment_sum)(1.0, np.array([0]))),
        (
            anima.errors.TracerIntegerConversionError,
            "__index__",
            lambda: anima.jit(ops.segment_sum)(1.0, np.array([0]), 2),
        ),
    ],
)  # fmt: skip
def test_misuse(error: type[Exception], words: str, call) -> None:
    with pytest.raises(error, match=words):
        call()
