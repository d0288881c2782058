"""Slices of a fixed size with a computed start, against NumPy's slices of the same elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import ds, grad, jit, vmap

X = numpy.arange(10, dtype="float32")
TABLE = numpy.arange(24, dtype="float32").reshape(4, 6)


def first(start: int, span: int, n: int) -> int:
    return min(max(start + n if start < 0 else start, 0), n - span)


@pytest.mark.parametrize("stride", [None, 1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_reading_and_writing(size: int, stride: int | None) -> None:
    step = stride or 1
    span = (size - 1) * step + 1 if size else 0
    x = np.asarray(X)
    read = jit(lambda x, i: x[ds(i, size, stride)])
    write = jit(lambda x, i: x.at[ds(i, size, stride)].add(100))
    for start in (-12, -3, -1, 0, 2, 6, 9, 12):
        at = first(start, span, 10)
        want, changed = X[at : at + span : step], X.copy()
        changed[at : at + span : step] += 100
        for i in (start, numpy.int64(start), np.asarray(start), np.asarray(start, "int8")):
            assert numpy.array_equal(x[ds(i, size, stride)], want)
            assert numpy.array_equal(x.at[ds(i, size, stride)].add(100), changed)
        assert numpy.array_equal(read(x, start), want) and numpy.array_equal(write(x, start), changed)
        assert numpy.array_equal(x.at[ds(start, size, stride)].get(), want)
    if size:
        assert numpy.array_equal(
            jit(lambda i: x[ds(i, size, stride)])(numpy.uint8(6)), X[first(6, span, 10) :][:span:step]
        )


def test_beside_other_indices() -> None:
    table = np.asarray(TABLE)
    rows = numpy.array([0, 2])
    for i in (1, np.asarray(1)):
        assert numpy.array_equal(table[ds(i, 2)], TABLE[1:3])
        assert numpy.array_equal(table[:, ds(i, 2)], TABLE[:, 1:3])
        assert numpy.array_equal(table[..., ds(i, 2), None], TABLE[..., 1:3, None])
        assert numpy.array_equal(table[2, ds(i, 2)], TABLE[2, 1:3])
        assert numpy.array_equal(table[ds(i, 2), ds(i, 3)], TABLE[1:3, 1:4])
        assert numpy.array_equal(table[rows, ds(i, 2)], TABLE[rows, 1:3])
        assert numpy.array_equal(table[rows[:, None], ds(i, 2)], TABLE[rows[:, None], 1:3])
        assert numpy.array_equal(table[:, ds(i, 2, 3)], TABLE[:, 1:5:3])
        want = TABLE.copy()
        want[rows, 1:3] = -1
        assert numpy.array_equal(table.at[rows, ds(i, 2)].set(-1), want)
    with pytest.raises(TypeError, match="beside plain slices only"):
        table[2, ds(np.asarray(1), 2, 3)]


def test_transformations() -> None:
    x = np.asarray(X)
    each = vmap(lambda i: x[ds(i, 2)])(np.array([0, 5, 9]))
    assert each.tolist() == [[0, 1], [5, 6], [8, 9]]
    strided = vmap(lambda i: x[ds(i, 2, 3)])(np.array([0, 5, 9]))
    assert strided.tolist() == [[0, 3], [5, 8], [6, 9]]
    slope = jit(grad(lambda x, i: (x[ds(i, 3)] ** 2).sum()))(x, 4)
    assert slope.tolist() == [0, 0, 0, 0, 8, 10, 12, 0, 0, 0]
    rolled = anima.lax.fori_loop(0, 5, lambda i, x: x.at[ds(2 * i, 2)].multiply(i), x)
    assert rolled.tolist() == [0, 0, 2, 3, 8, 10, 18, 21, 32, 36]


def test_what_it_is() -> None:
    assert ds(None) == slice(None) and ds(3) == ds(0, 3) == ds(0, 3, 1) != ds(0, 3, 2)
    assert repr(ds(1, 2)) == "Slice(start=1, size=2, stride=1)"
    s = ds(np.asarray(1), 3)
    assert isinstance(s, type(ds(1, 2))) and s.is_dynamic_start and not ds(1, 2).is_dynamic_start
    assert anima.tree.leaves(s) == [1] and anima.tree.leaves(ds(1, 2)) == []
    assert numpy.array_equal(jit(lambda x, s: x[s])(X, s), X[1:4])


BAD: dict[str, tuple[type[Exception], Callable[[], Any], str]] = {
    "a float": (TypeError, lambda: ds(1.5, 2), "start must be an integer"),
    "a boolean": (TypeError, lambda: ds(True, 2), "start must be an integer"),
    "a computed size": (
        TypeError,
        lambda: jit(lambda n: ds(0, n))(3),
        "size must be an integer that is known",
    ),
    "a negative size": (ValueError, lambda: ds(0, -1), "size must not be negative"),
    "no stride": (ValueError, lambda: ds(0, 2, 0), "stride must be positive"),
    "too long": (TypeError, lambda: np.asarray(X)[ds(0, 11)], "reaches over 11 elements, but axis 0 has 10"),
    "an array": (TypeError, lambda: np.asarray(X)[ds(np.arange(2), 3)], "scalar array of integers"),
    "an array of floats": (
        TypeError,
        lambda: np.asarray(X)[ds(np.asarray(1.0), 3)],
        "scalar array of integers",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name: str) -> None:
    error, call, words = BAD[name]
    with pytest.raises(error, match=words):
        call()
