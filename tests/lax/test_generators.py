"""The compiler's random numbers, and the largest elements approximately: what the table of samples does not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import lax
from anima.errors import MissingRuleError
from tests.lax.samples import F32, floats

KEY = np.array([1, 2, 3, 4], np.uint32)


@pytest.mark.parametrize("algorithm", list(lax.RandomAlgorithm))
def test_a_stream_goes_on(algorithm: lax.RandomAlgorithm) -> None:
    """Bits drawn in two calls are those of one, if the first uses up whole blocks."""
    key, first = lax.rng_bit_generator(KEY, (8,), algorithm=algorithm)
    _, second = lax.rng_bit_generator(key, (4,), algorithm=algorithm)
    whole = lax.rng_bit_generator(KEY, (12,), algorithm=algorithm)[1]
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("algorithm", list(lax.RandomAlgorithm))
def test_bits_of_every_width(algorithm: lax.RandomAlgorithm) -> None:
    with anima.enable_x64(True):
        for dtype in ("uint8", "uint16", "uint32", "uint64"):
            key, bits = lax.rng_bit_generator(KEY, (4000,), dtype, algorithm)
            assert bits.dtype == dtype and key.dtype == np.uint32 and key.shape == (4,)
            width = 8 * np.dtype(dtype).itemsize
            words = np.asarray(bits).astype(np.uint64)
            shares = [(words >> np.uint64(i) & np.uint64(1)).mean() for i in range(width)]
            assert abs(np.array(shares) - 0.5).max() < 0.05  # six standard deviations
            assert not np.array_equal(lax.rng_bit_generator(key, (4000,), dtype, algorithm)[1], bits)
        assert lax.rng_bit_generator(KEY, (2, 0))[1].shape == (2, 0)
        pair = KEY.view(np.uint64)
        np.testing.assert_array_equal(
            lax.rng_bit_generator(pair, (5,), algorithm=algorithm)[1],
            lax.rng_bit_generator(KEY, (5,), algorithm=algorithm)[1],
        )


def test_mapped_bits_come_from_the_first_key() -> None:
    keys = np.stack([KEY, KEY + 1])
    after, bits = anima.vmap(lambda key: lax.rng_bit_generator(key, (3,)))(keys)
    next_key, expected = lax.rng_bit_generator(KEY, (2, 3))
    np.testing.assert_array_equal(bits, expected)
    np.testing.assert_array_equal(after, np.stack([next_key, keys[1]]))
    twice = anima.vmap(anima.vmap(lambda key: lax.rng_bit_generator(key, (3,))[1]))(np.stack([keys, keys]))
    np.testing.assert_array_equal(twice, lax.rng_bit_generator(KEY, (2, 2, 3))[1])
    slope = anima.grad(lambda x: (lax.rng_bit_generator(KEY, (2,))[1].astype(F32) * x).sum())(1.0)
    assert slope == lax.rng_bit_generator(KEY, (2,))[1].astype(F32).sum()


def test_uniform_numbers() -> None:
    with anima.enable_x64(True):
        for dtype in ("bfloat16", "float16", "float32", "float64", "int32", "uint32", "int64", "uint64"):
            whole = np.issubdtype(np.dtype(dtype), np.integer) if dtype != "bfloat16" else False
            low, high = (anima.numpy.array(v, dtype) for v in ((3, 9) if whole else (0.5, 1)))
            found = np.asarray(lax.rng_uniform(low, high, (500,)).astype("float64"))
            assert lax.rng_uniform(low, high, ()).dtype == dtype
            assert (found >= float(low)).all() and (found <= float(high)).all()
            if whole:
                assert set(found) == {3, 4, 5, 6, 7, 8}
            else:
                assert abs(found.mean() - 0.75) < 0.06
    draw = anima.jit(lambda: (lax.rng_uniform(0.0, 1.0, (4,)), lax.rng_uniform(0.0, 1.0, (4,))))
    assert len(np.unique([*draw(), *draw()])) > 12
    shifted = anima.vmap(lambda x: lax.rng_uniform(0.0, 1.0, (4,)) + x)(np.zeros(2, F32))
    np.testing.assert_array_equal(shifted[0], shifted[1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lax.rng_bit_generator(KEY[:2], (2,)), TypeError, r"key must have shape \(4,\)"),
        (lambda: lax.rng_bit_generator(KEY.astype(np.int32), (2,)), TypeError, "for argument key"),
        (lambda: lax.rng_bit_generator(KEY, (2,), "int32"), TypeError, "dtype must be one of uint8"),
        (lambda: lax.rng_bit_generator(KEY, (2,), algorithm="x"), ValueError, "must be a RandomAlgorithm"),
        (lambda: lax.rng_uniform(0, 1.0, (2,)), ValueError, "must have one dtype"),
        (lambda: lax.rng_uniform(0.0, np.ones(2, F32), (2,)), ValueError, "must be scalars"),
        (lambda: lax.rng_uniform(False, True, (2,)), TypeError, "must be of one of bfloat16"),
        (
            lambda: anima.grad(lambda a: lax.rng_uniform(a, 1.0, ()))(0.0),
            MissingRuleError,
            "not a function of its",
        ),
        (
            lambda: anima.vmap(lambda a: lax.rng_uniform(a, 1.0, ()))(np.zeros(2, F32)),
            MissingRuleError,
            "scalars",
        ),
        (lambda: lax.approx_max_k(floats((5,)), 6), ValueError, "k must be at most 5"),
        (lambda: lax.approx_min_k(floats((5,)), 0), ValueError, "k must be positive"),
        (lambda: lax.approx_max_k(floats((5,)), 1, 1), ValueError, "reduction_dimension 1"),
        (
            lambda: lax.approx_max_k(floats((5,)), 1, recall_target=0.0),
            ValueError,
            "recall_target must be above 0",
        ),
        (lambda: lax.approx_max_k(np.arange(5), 1), TypeError, "does not accept dtype int"),
    ],
)
def test_refuses(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_candidates() -> None:
    """Without aggregation there are as many candidates as the recall needs, in rows of 128."""
    x = floats((3000,))
    for recall, count in ((0.95, 256), (0.5, 256), (1.0, 3000)):
        values, places = lax.approx_max_k(x, 10, recall_target=recall, aggregate_to_topk=False)
        assert values.shape == places.shape == (count,)
        np.testing.assert_array_equal(x[places], values)
        assert set(np.sort(x)[-10:]) <= set(np.asarray(values))
    wide = lax.approx_min_k(x, 100, reduction_input_size_override=60000, aggregate_to_topk=False)
    assert wide[0].shape == (256,)
    assert anima.vmap(lambda x: lax.approx_max_k(x, 10, aggregate_to_topk=False)[0])(x[None]).shape == (
        1,
        256,
    )
