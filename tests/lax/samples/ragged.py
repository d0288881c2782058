"""Products of rows that are divided into groups; the largest elements, approximately; random bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anima import lax
from tests.lax.samples import F32, Sample, complexes, floats, integers
from tests.lax.samples.contracting import product
from tests.lax.samples.rng import cipher

SUMMED = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])


def rows_of(sizes: Sequence[int], count: int) -> list[slice]:
    """The rows of each group, of `count` rows."""
    ends = np.cumsum(sizes)
    return [slice(min(end - size, count), min(end, count)) for end, size in zip(ends, sizes)]


def by_group(sizes: Sequence[int]) -> Any:
    def oracle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        parts = [product(x[rows], y[g]) for g, rows in enumerate(rows_of(sizes, len(x)))]
        done = np.concatenate(parts) if parts else product(x[:0], np.zeros(y.shape[1:], y.dtype))
        rest = np.zeros((len(x) - len(done), y.shape[2]), done.dtype)
        return np.concatenate([done, rest])

    return oracle


def for_each_group(sizes: Sequence[int]) -> Any:
    return lambda x, y: np.stack([product(x[rows].T, y[rows]) for rows in rows_of(sizes, len(x))])


def times_matrices(x: np.ndarray, y: np.ndarray, sizes: Sequence[int], **more: Any) -> Sample:
    return Sample(
        primitive="ragged_dot",
        call=lambda x, y: lax.ragged_dot(x, y, np.array(sizes, np.int32)),
        args=(x, y),
        oracle=by_group(sizes),
        **({"ulps": 8.0, "floor": 1.0} | more),
    )


def summed(x: np.ndarray, y: np.ndarray, sizes: Sequence[int], **more: Any) -> Sample:
    return Sample(
        primitive="ragged_outer",
        call=lambda x, y: lax.ragged_dot_general(x, y, np.array(sizes, np.int32), SUMMED),
        args=(x, y),
        oracle=for_each_group(sizes),
        **({"ulps": 8.0, "floor": 1.0} | more),
    )


def largest(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-x.astype(np.float64), axis=0, kind="stable")[:count].astype(np.int32)
    return np.take_along_axis(x, order, 0), order


def smallest(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(x, axis=-1, kind="stable")[:, :count].astype(np.int32)
    return np.take_along_axis(x, order, -1), order


def threefry_stream(key: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Threefry of the 64-bit counters from the second word of the state on, under its first word; 32 bits a number."""
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    blocks = (count + 1) // 2
    counters = key[1] + np.arange(blocks, dtype=np.uint64)
    words = cipher(key[0] & low, key[0] >> high, counters & low, counters >> high)
    return np.array([key[0], key[1] + np.uint64(blocks)]), np.stack(words, 1).ravel()[:count]


SAMPLES = [
    times_matrices(
        np.array([[1, -1], [2, 2], [1, 1], [0, 1]], F32),
        np.array([[[1, -1], [1, 1]], [[1, 0], [0, 1]], [[1, 1], [-1, 1]]], F32),
        [1, 0, 2],
    ),
    times_matrices(floats((5, 3)), floats((2, 3, 4)), [9, 1], differentiate=False),
    times_matrices(complexes((5, 3)), complexes((2, 3, 4)), [3, 2]),
    times_matrices(floats((0, 3)), floats((2, 3, 4)), [0, 0], differentiate=False),
    times_matrices(floats((3, 2)), floats((0, 2, 4)), [], differentiate=False),
    times_matrices(
        floats((50, 32)), floats((4, 32, 24)), [7, 0, 31, 9], ulps=32.0, differentiate=False
    ),  # in tiles
    times_matrices(integers((50, 32), dtype=np.int8), integers((3, 32, 24), dtype=np.int8), [20, 20, 20]),
    summed(
        np.array([[1, -1], [2, 2], [1, 1], [0, 1]], F32),
        np.array([[1, 0], [0, 1], [1, -1], [2, 2]], F32),
        [1, 0, 2],
    ),
    summed(floats((5, 3)), floats((5, 4)), [1, 9], differentiate=False),
    summed(complexes((5, 3)), complexes((5, 4)), [3, 2]),
    summed(floats((0, 3)), floats((0, 4)), [0, 0], differentiate=False),
    summed(floats((50, 32)), floats((50, 24)), [7, 0, 31, 9], ulps=32.0, differentiate=False),
    summed(integers((50, 32), dtype=np.int8), integers((50, 24), dtype=np.int8), [20, 20, 20]),
    Sample(
        primitive="approx_top_k",
        call=lambda x: lax.approx_max_k(x, 2, 0),
        args=(np.array([[2, 0.5], [1, 4], [4, 2]], F32),),
        oracle=lambda x: largest(x, 2),
        flush=True,
    ),
    Sample(
        primitive="approx_top_k",
        call=lambda x: lax.approx_min_k(x, 3),
        args=(floats((2, 7)),),
        oracle=lambda x: smallest(x, 3),
    ),
    Sample(
        primitive="approx_top_k",
        call=lambda x: lax.approx_max_k(x, 2, 0, aggregate_to_topk=False),
        args=(floats((300, 2)),),
        oracle=lambda x: largest(x, 256),
        differentiate=False,  # a step of a finite difference changes the order
    ),
    Sample(
        primitive="rng_bit_generator",
        call=lambda key: lax.rng_bit_generator(key, (7,), np.uint32, lax.RandomAlgorithm.RNG_THREE_FRY),
        args=(np.array([0x13198A2E03707344, 0x243F6A8885A308D3], np.uint64),),
        oracle=lambda key: threefry_stream(key, 7),
        differentiate=False,
        mapped=False,  # all numbers come from the first key
    ),
]
