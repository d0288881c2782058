"""Padding."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima.errors import ShapeConcretizationError
from tests.numpy.support import assert_same, check

rng = numpy.random.default_rng(0)
I = rng.integers(-9, 9, (3, 4)).astype("int32")
X = rng.integers(-9, 9, (2, 3, 5)).astype("float32")
WIDTHS = [0, 1, (1, 2), ((2, 0), (0, 3)), ((1, 7), (9, 2)), {-1: (1, 2)}]


@pytest.mark.parametrize(
    "mode",
    [
        "constant",
        "edge",
        "reflect",
        "symmetric",
        "wrap",
        "maximum",
        "minimum",
        "mean",
        "median",
        "linear_ramp",
    ],
)
@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_modes(mode: str, width) -> None:
    check(lambda np: np.pad(I, width, mode))
    check(lambda np: np.pad(X[0].astype("float32"), width, mode), tolerance=1e-5)


@pytest.mark.parametrize("mode", ["reflect", "symmetric"])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_odd_reflections(mode: str, n: int) -> None:
    row = rng.integers(-9, 9, n).astype("int32")
    for width in ((1, 1), (5, 3), (0, 17), (20, 0)):
        check(lambda np, row=row, width=width: np.pad(row, width, mode, reflect_type="odd"))
        check(lambda np, row=row, width=width: np.pad(row, width, mode))


def test_values() -> None:
    for values in (7, (7, 8), ((7, 8), (9, 10))):
        check(lambda np, v=values: np.pad(I, ((1, 2), (2, 1)), constant_values=v))
        check(lambda np, v=values: np.pad(I, ((1, 2), (2, 1)), "linear_ramp", end_values=v))
    for length in (1, (2, 3), ((1, 2), (9, 1))):
        for mode in ("maximum", "mean", "median"):
            check(lambda np, m=mode, n=length: np.pad(I, 2, m, stat_length=n))
    assert np.pad(np.array([1, 2]), 1, constant_values=2.7).tolist() == [2, 1, 2, 2]
    assert np.pad(np.array([1, 2]), 1, "empty").shape == (4,)
    assert anima.jit(lambda c: np.pad(np.arange(2), 1, constant_values=c))(5).tolist() == [5, 0, 1, 5]


def test_three_dimensions_and_other_dtypes() -> None:
    for mode in ("constant", "reflect", "mean"):
        check(lambda np, m=mode: np.pad(X, ((1, 0), (0, 2), (1, 1)), m), tolerance=1e-5)
    check(lambda np: np.pad(I > 0, 1, "edge"))
    assert np.pad(np.array([1, 2], np.bfloat16), 1, "mean").dtype == np.bfloat16
    assert np.pad(3, 1).shape == ()


def test_functions() -> None:
    def fill(vector, width, axis, kwargs):
        return vector.at[: width[0]].set(kwargs["low"]).at[vector.shape[0] - width[1] :].set(axis)

    found = np.pad(I, ((1, 0), (0, 2)), fill, low=-1)
    assert found.tolist() == [[-1] * 4 + [1, 1], *[[*row, 1, 1] for row in I.tolist()]]


def test_empty_arrays() -> None:
    assert np.pad(np.zeros((0,)), 2).tolist() == [0] * 4
    assert np.pad(np.zeros((0, 2)), ((0, 0), (1, 1)), "edge").shape == (0, 4)
    with pytest.raises(ValueError, match="axis 0 is empty"):
        np.pad(np.zeros((0, 2)), 1, "edge")


def test_transformations() -> None:
    grad = anima.grad(lambda x: (np.pad(x, 2, "reflect") ** 2).sum())(np.array([1.0, 2, 3]))
    assert grad.tolist() == [4, 12, 12]
    mapped = anima.vmap(lambda row: np.pad(row, 1, "mean"))(X[0])
    assert_same(mapped, numpy.stack([numpy.pad(row, 1, "mean") for row in X[0]]), 1e-5)


def test_no_gather_where_slices_do() -> None:
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        jaxpr = str(anima.make_jaxpr(lambda x, m=mode: np.pad(x, 1, m))(X))
        assert "gather" not in jaxpr


def test_what_is_added_does_not_make_a_weak_array_strong() -> None:
    weak = np.asarray(2.5)[None]
    for mode in ("constant", "empty", "edge", "linear_ramp", "mean", "maximum", "reflect", "wrap"):
        assert np.pad(weak, 1, mode).weak_type
        assert (np.pad(weak, 1, mode) * np.ones(3, np.bfloat16)).dtype == np.bfloat16
        assert not np.pad(numpy.ones(2, numpy.float32), 1, mode).weak_type
    assert np.pad(weak, 1, constant_values=numpy.float32(1)).weak_type


def test_errors() -> None:
    with pytest.raises(NotImplementedError, match="mode must be one of"):
        np.pad(I, 1, "guess")
    with pytest.raises(ValueError, match="'constant_values' does not belong"):
        np.pad(I, 1, "edge", constant_values=3)
    with pytest.raises(ValueError, match="negative"):
        np.pad(I, -1)
    with pytest.raises(TypeError, match="integers"):
        np.pad(I, 1.5)
    with pytest.raises(ValueError, match="pair for each of the 2 axes"):
        np.pad(I, (1, 2, 3))
    with pytest.raises(ValueError, match="reflect_type"):
        np.pad(I, 1, "reflect", reflect_type="both")
    with pytest.raises(ValueError, match="stat_length"):
        np.pad(I, 1, "mean", stat_length=0)
    with pytest.raises(ShapeConcretizationError):
        anima.jit(lambda n: np.pad(I, n))(1)
    with pytest.raises(TypeError, match="list"):
        np.pad([1, 2], 1)
