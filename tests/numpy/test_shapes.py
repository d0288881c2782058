"""Reshaping, joining, cutting, repeating, flipping: only elements move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import check

M = numpy.arange(6, dtype="int32").reshape(2, 3)
T = numpy.arange(24, dtype="float32").reshape(2, 3, 4)
V = numpy.arange(5, dtype="int32")

CALLS: list[Callable[[Any], Any]] = [
    lambda np: np.reshape(T, (4, -1)),
    lambda np: np.reshape(T, 24),
    lambda np: np.reshape(T, (3, 8), order="F"),
    lambda np: np.ravel(T),
    lambda np: np.ravel(T, order="F"),
    lambda np: np.transpose(T),
    lambda np: np.transpose(T, (1, -1, 0)),
    lambda np: np.permute_dims(T, (1, 2, 0)),
    lambda np: np.matrix_transpose(T),
    lambda np: np.swapaxes(T, 0, -1),
    lambda np: np.moveaxis(T, 0, -1),
    lambda np: np.moveaxis(T, (0, 1), (2, 0)),
    lambda np: np.rollaxis(T, 2),
    lambda np: np.rollaxis(T, 0, 3),
    lambda np: np.expand_dims(M, (0, -1)),
    lambda np: np.squeeze(T[:1, :, :1]),
    lambda np: np.squeeze(T[:1], 0),
    lambda np: np.broadcast_to(V, (2, 5)),
    lambda np: np.broadcast_to(numpy.float32(1), (2, 0)),
    lambda np: np.broadcast_arrays(V, V[:, None]),
    lambda np: np.atleast_1d(numpy.int32(1)),
    lambda np: np.atleast_2d(V),
    lambda np: np.atleast_3d(V, M),
    lambda np: np.flip(T),
    lambda np: np.flip(T, (0, 2)),
    lambda np: np.fliplr(M),
    lambda np: np.flipud(M),
    lambda np: np.rot90(M),
    lambda np: np.rot90(T, 3, (1, 2)),
    lambda np: np.rot90(T, -2),
    lambda np: np.roll(V, 2),
    lambda np: np.roll(M, -1),
    lambda np: np.roll(T, (1, -2), (0, 2)),
    lambda np: np.roll(T, 7, (0, 1)),
    lambda np: np.concatenate([M, M[:1]]),
    lambda np: np.concatenate([M, M[:, :1]], axis=-1),
    lambda np: np.concatenate([M, T], axis=None),
    lambda np: np.concatenate(M),
    lambda np: np.concatenate([V, V], dtype="float32"),
    lambda np: np.concat([V, V]),
    lambda np: np.stack([M, M], axis=1),
    lambda np: np.stack(M, axis=-1),
    lambda np: np.vstack([V, V]),
    lambda np: np.hstack([V, V]),
    lambda np: np.hstack([M, M]),
    lambda np: np.dstack([V, V]),
    lambda np: np.column_stack([V, V]),
    lambda np: np.column_stack([M, V[:2]]),
    lambda np: np.append(M, V),
    lambda np: np.append(M, M, axis=1),
    lambda np: np.block([[M, M], [M, M]]),
    lambda np: np.block([V, numpy.array([1], "int32")]),
    lambda np: np.split(V, [1, 3]),
    lambda np: np.split(M, 3, axis=1),
    lambda np: np.split(V, [3, 1]),
    lambda np: np.array_split(V, 3),
    lambda np: np.vsplit(T, 2),
    lambda np: np.hsplit(T, 3),
    lambda np: np.hsplit(V, [2]),
    lambda np: np.dsplit(T, 2),
    lambda np: np.unstack(T, axis=1),
    lambda np: np.tile(V, 2),
    lambda np: np.tile(M, (2, 1, 2)),
    lambda np: np.tile(M, 2),
    lambda np: np.repeat(M, 2),
    lambda np: np.repeat(M, 2, axis=1),
    lambda np: np.repeat(M, numpy.array([2, 0, 1]), axis=1),
    lambda np: np.resize(V, (3, 3)),
    lambda np: np.delete(V, 1),
    lambda np: np.delete(V, slice(None, None, 2)),
    lambda np: np.delete(M, numpy.array([0, -1]), axis=1),
    lambda np: np.delete(V, numpy.array([True, False, False, True, False])),
    lambda np: np.insert(V, 1, 9),
    lambda np: np.insert(V, numpy.array([0, 5, 2]), numpy.array([7, 8, 9])),
    lambda np: np.insert(M, 1, 7, axis=0),
    lambda np: np.insert(M, 1, numpy.array([5, 6]), axis=1),
    lambda np: np.insert(M, slice(0, 2), 7, axis=1),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_as_numpy(call: Callable[[Any], Any]) -> None:
    check(call)


def test_facts_about_arrays() -> None:
    assert np.shape(T) == np.array(T).shape == (2, 3, 4)
    assert np.ndim(T) == 3
    assert np.size(T) == 24
    assert np.size(T, axis=(0, -1)) == 8
    assert np.broadcast_shapes((2, 1), (3,), ()) == (2, 3)
    assert np.isscalar(np.array(1)) and not np.isscalar(np.ones(1))
    assert np.iterable(np.ones(1)) and not np.iterable(1)
    assert np.iscomplexobj(np.array(1j)) and np.isrealobj(np.ones(1))


def test_conversions() -> None:
    assert np.astype(np.array([1.7, -1.7]), int).tolist() == [1, -1]
    assert np.array([1.7, 0.0]).astype(bool).tolist() == [True, False]
    assert np.array([1 + 2j]).astype(np.float32).tolist() == [1.0]
    x = np.ones(2)
    assert x.astype(np.float32) is x or x.astype(np.float32).tolist() == [1, 1]
    assert x.view(np.int32).tolist() == [1065353216] * 2
    assert (
        np.arange(4, dtype=np.uint8).view(np.uint16).tolist()
        == np.asarray(numpy.arange(4, dtype="uint8").view("uint16")).tolist()
    )
    assert np.ones((2, 2), np.uint16).view(np.uint8).shape == (2, 4)
    assert np.array([True]).view(np.uint8).tolist() == [1]


def test_traced_shifts_and_repeats() -> None:
    roll = anima.jit(np.roll)
    for shift in (-7, -1, 0, 3):
        assert roll(V, shift).tolist() == numpy.roll(V, shift).tolist()
    assert (
        anima.jit(lambda x, s: np.roll(x, s, axis=(0, 1)))(M, numpy.array([1, 2])).tolist()
        == numpy.roll(M, (1, 2), (0, 1)).tolist()
    )
    repeat = anima.jit(lambda x, n: np.repeat(x, n, total_repeat_length=6))
    assert repeat(V, numpy.array([2, 0, 1, 0, 3])).tolist() == [0, 0, 2, 4, 4, 4]
    assert repeat(V, numpy.array([2, 0, 1, 0, 9])).tolist() == [0, 0, 2, 4, 4, 4]
    assert repeat(V, numpy.array([1, 0, 1, 0, 0])).tolist() == [0, 2, 4, 4, 4, 4]
    delete = anima.jit(lambda x, i: np.delete(x, i, assume_unique_indices=True))
    assert delete(V, numpy.array([-1, 1])).tolist() == [0, 2, 3]
    insert = anima.jit(lambda x, i: np.insert(x, i, 7))
    assert insert(V, numpy.array([1, 1])).tolist() == numpy.insert(V, numpy.array([1, 1]), 7).tolist()
    for call in (lambda x, i: np.repeat(x, i), np.delete):
        with pytest.raises(anima.errors.ConcretizationTypeError):
            anima.jit(call)(V, numpy.array([1, 1, 1, 1, 1]))


def test_many_arrays() -> None:
    x = np.ones(2)
    assert np.concatenate([x] * 200).shape == (400,)
    assert np.stack([x] * 70).shape == (70, 2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: np.reshape(M, (4, 2)), TypeError, r"reshape: cannot reshape array of shape \(2, 3\)"),
        (lambda: np.reshape(M, (-1, -1)), TypeError, "only one size may be -1"),
        (lambda: np.reshape(M, (4, -1)), TypeError, "reshape"),
        (lambda: np.reshape(M, 1.5), TypeError, "shape must be integers"),
        (lambda: np.transpose(M, (0, 0)), TypeError, "unique"),
        (lambda: np.transpose(M, (0, 5)), numpy.exceptions.AxisError, "axes 5 is out of bounds"),
        (lambda: np.transpose(M, (0,)), TypeError, "each of the 2 dimensions"),
        (lambda: np.swapaxes(M, 0, 2), ValueError, "axis2 2 is out of bounds"),
        (lambda: np.moveaxis(M, (0, 1), 0), ValueError, "as many"),
        (lambda: np.expand_dims(M, 7), ValueError, "expand_dims: axis 7"),
        (lambda: np.squeeze(M, 0), ValueError, "size 1"),
        (lambda: np.broadcast_to(M, (3, 2)), ValueError, "does not broadcast"),
        (lambda: np.broadcast_shapes((2,), (3,)), ValueError, "incompatible shapes"),
        (lambda: np.concatenate([]), ValueError, "at least one array"),
        (lambda: np.concatenate([M, V]), TypeError, "same number of dimensions"),
        (lambda: np.concatenate([M, M[:, :1]]), TypeError, "along axis 0 only"),
        (lambda: np.concatenate([1, 2]), ValueError, "zero-dimensional"),
        (lambda: np.concatenate(3), TypeError, "sequence"),
        (lambda: np.stack([M, V]), ValueError, "same shape"),
        (lambda: np.split(V, 2), ValueError, "array_split"),
        (lambda: np.split(V, 0), ValueError, "positive"),
        (lambda: np.block([[M], M]), ValueError, "depth"),
        (lambda: np.repeat(V, -1), ValueError, "negative"),
        (lambda: np.repeat(V, numpy.array([1, 2])), ValueError, "repeat: 2 repeats do not fit axis"),
        (lambda: np.delete(V, 9), IndexError, "out of bounds"),
        (lambda: np.insert(V, 9, 1), IndexError, "out of bounds"),
        (lambda: np.rot90(M, 1, (0, 0)), ValueError, "unique"),
        (lambda: np.roll(M, (1, 2, 3), (0, 1)), ValueError, "do not fit"),
        (lambda: np.matrix_transpose(V), ValueError, "at least 2"),
        (lambda: np.ones(2).view(np.complex64), TypeError, "complex"),
        (lambda: np.ones(3, np.uint8).view(np.uint16), ValueError, "last axis"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
