"""Reductions and scans: axes, masks, empty arrays, dtypes."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from anima import errors
from tests.numpy.support import check, narrow

X = numpy.array([[1.5, -2.0, 3.0], [0.0, 7.0, -1.0]], "float32")
MASK = numpy.array([[True, False, True], [False, True, True]])
REDUCTIONS = ["sum", "prod", "max", "min", "mean", "var", "std", "all", "any", "ptp", "amax", "amin"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), ()])
def test_axes(name: str, axis: Any) -> None:
    if name == "ptp" and axis == ():
        pytest.skip("NumPy's own ptp takes no empty tuple")
    check(lambda np: getattr(np, name)(X, axis=axis), 2e-6, traced=False)
    check(lambda np: getattr(np, name)(X, axis=axis, keepdims=True), 2e-6, traced=axis == 0)


@pytest.mark.parametrize(
    "name", ["argmax", "argmin", "count_nonzero", "cumsum", "cumprod", "nancumsum", "nancumprod"]
)
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_other_functions_along_an_axis(name: str, axis: int | None) -> None:
    check(lambda np: getattr(np, name)(X, axis=axis))
    if name[:3] == "arg":
        check(lambda np: getattr(np, name)(X, axis=axis, keepdims=True))


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "all", "any", "var", "std"])
def test_masks(name: str) -> None:
    check(lambda np: getattr(np, name)(X, axis=1, where=MASK))
    check(lambda np: getattr(np, name)(X, where=numpy.array([True, False, True])))


def test_initial_values() -> None:
    check(lambda np: np.sum(X, initial=5))
    check(lambda np: np.prod(X[:, 1:], axis=0, initial=2))
    check(lambda np: np.max(X, axis=0, initial=1))
    check(lambda np: np.min(X, initial=0, where=MASK))
    with pytest.raises(ValueError, match="max has no identity, so it needs initial="):
        np.max(X, where=MASK)


def test_empty_arrays() -> None:
    for name in ("sum", "prod", "all", "any"):
        check(lambda np, name=name: getattr(np, name)(numpy.zeros((0, 3), "float32")))
        check(lambda np, name=name: getattr(np, name)(numpy.zeros((0, 3), "float32"), axis=0))
    assert numpy.isnan(np.mean(np.zeros(0)))
    assert np.max(np.zeros((0, 3)), axis=1).shape == (0,)
    for name in ("max", "min", "ptp"):
        with pytest.raises(ValueError, match="zero-size array"):
            getattr(np, name)(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="empty sequence"):
        np.argmax(np.zeros((0, 3)), axis=0)
    assert np.argmax(np.zeros((0, 3)), axis=1).shape == (0,)


@pytest.mark.parametrize(
    ("dtype", "total"),
    [("bool", "int32"), ("int8", "int32"), ("uint8", "uint32"), ("int32", "int32"), ("uint32", "uint32"),
     ("float16", "float16"), ("bfloat16", "bfloat16"), ("float32", "float32"), ("complex64", "complex64")],
)  # fmt: skip
def test_dtypes_of_sums(dtype: str, total: str) -> None:
    x = np.ones(3, dtype)
    assert np.sum(x).dtype == total
    assert np.prod(x).dtype == total
    assert np.mean(x).dtype == (total if x.dtype.kind in "fcV" else "float32")
    assert np.cumsum(x).dtype == ("int32" if dtype == "bool" else dtype)
    assert np.max(x).dtype == dtype
    assert np.sum(x, promote_integers=False).dtype == ("int32" if dtype == "bool" else dtype)
    assert np.sum(x, dtype="float32").dtype == np.float32


def test_half_precision_sums_accumulate_in_single() -> None:
    x = np.full(4096, 0.1, np.float16)
    assert float(np.sum(x)) == pytest.approx(409.5, abs=0.3)
    assert float(np.mean(x)) == pytest.approx(0.09998, abs=1e-4)
    assert float(np.std(np.array([1e4, -1e4], np.float16))) == 1e4


def test_nan_and_infinity() -> None:
    x = numpy.array([1.0, numpy.nan, numpy.inf, -numpy.inf], "float32")
    for name in ("max", "min", "sum", "argmax", "argmin"):
        check(lambda np, name=name: getattr(np, name)(x))


def test_complex_numbers() -> None:
    z = numpy.array([1 + 2j, -3j, 0.5 + 0j, 2 - 1j], "complex64")
    for name in ("sum", "prod", "mean", "max", "min", "cumsum"):
        check(lambda np, name=name: getattr(np, name)(z))
    assert np.var(z).dtype == np.float32
    assert float(np.var(z)) == pytest.approx(float(numpy.var(z)), rel=1e-5)
    assert np.all(np.array([1j])) and np.any(np.array([0, 1j]))


def test_variance() -> None:
    check(lambda np: np.var(X, axis=1, ddof=1))
    check(lambda np: np.std(X, ddof=2))
    check(lambda np: np.var(X, axis=0, ddof=1, keepdims=True, where=MASK | numpy.array([[True], [True]])))
    assert float(np.var(X, correction=1)) == pytest.approx(float(narrow(numpy.var(X, ddof=1))), rel=1e-6)
    assert float(np.var(X, mean=np.mean(X, keepdims=True))) == pytest.approx(float(numpy.var(X)), rel=1e-6)
    with pytest.raises(ValueError, match="ddof and correction"):
        np.var(X, ddof=1, correction=1)


def test_average() -> None:
    w = numpy.array([1.0, 2.0, 3.0], "float32")
    check(lambda np: np.average(X, axis=1, weights=w))
    check(lambda np: np.average(X, axis=1, weights=w, returned=True))
    check(lambda np: np.average(X, weights=X + 5))
    check(lambda np: np.average(X, axis=0))
    with pytest.raises(ValueError, match="axis must be given"):
        np.average(X, weights=w)
    with pytest.raises(ValueError, match="do not fit axis"):
        np.average(X, axis=0, weights=w)


def test_differences() -> None:
    v = numpy.array([1.0, 4.0, 9.0, 16.0, 25.0], "float32")
    check(lambda np: np.diff(v))
    check(lambda np: np.diff(v, n=3))
    check(lambda np: np.diff(v, n=9))
    check(lambda np: np.diff(X, axis=0, prepend=numpy.zeros((1, 3), "float32"), append=1))
    check(lambda np: np.diff(MASK))
    check(lambda np: np.ediff1d(v, to_end=numpy.array([1.0, 2.0], "float32"), to_begin=0))
    check(lambda np: np.gradient(v), 1e-5)
    check(lambda np: np.gradient(v, 2.0), 1e-5)
    check(lambda np: np.gradient(v, v**2), 1e-5)
    check(lambda np: np.gradient(X, axis=1), 1e-5)
    check(lambda np: np.gradient(numpy.outer(v, v), 1.0, v), 1e-5)
    check(lambda np: np.trapezoid(v), 1e-5)
    check(lambda np: np.trapezoid(X, numpy.array([0.0, 3.0], "float32"), axis=0), 1e-5)
    check(lambda np: np.unwrap(numpy.array([0, 3, 6.5, 1, -8], "float32")), 1e-5)
    check(lambda np: np.unwrap(numpy.array([0, 3, 6, 1, 5], "int32"), period=8))
    check(lambda np: np.cumulative_sum(X, axis=1, include_initial=True))
    check(lambda np: np.cumulative_prod(v))


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, 5)])
def test_bad_axes(axis: Any) -> None:
    with pytest.raises(ValueError, match="sum: axis"):
        np.sum(X, axis=axis)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="axis must be an integer"):
        np.sum(X, axis=1.5)
    with pytest.raises(ValueError, match="out is not supported"):
        np.sum(X, out=X)
    with pytest.raises(TypeError, match="sum requires ndarray or scalar arguments, got list"):
        np.sum([1, 2])
    assert np.sum(X, axis=[0, 1]) == np.sum(X)


def test_random_keys_and_masks_of_numbers_are_refused() -> None:
    key = anima.random.key(0)
    for call in (np.sum, np.prod, np.any, np.all, np.mean, np.max, np.round, np.trunc, np.floor):
        with pytest.raises(errors.ArgumentError, match="does not accept dtype key<fry>"):
            call(key)
    for call in (np.sum, np.mean, np.var, np.all):
        with pytest.raises(errors.ArgumentError, match="where must hold booleans, got int32"):
            call(numpy.ones(3), where=numpy.ones(3, "int32"))


def test_derivatives_of_reductions() -> None:
    grad = anima.grad(lambda x: np.prod(x))(np.array([2.0, 0.0, 3.0]))
    assert grad.tolist() == [0.0, 6.0, 0.0]
    assert anima.grad(lambda x: np.max(x))(np.array([1.0, 3.0, 3.0])).tolist() == [0.0, 0.5, 0.5]
    assert anima.grad(lambda x: np.mean(x, where=MASK))(np.array(X)).tolist()[0] == [0.25, 0.0, 0.25]


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_reductions_that_pass_over_nan(name: str, axis: int | None) -> None:
    x = numpy.array([[1, numpy.nan, 3], [numpy.nan] * 3, [2, 0, -1]], "float32")
    check(lambda np: getattr(np, name)(x, axis=axis, keepdims=axis == 0))
    check(lambda np: getattr(np, name)(numpy.arange(6, dtype="int32").reshape(2, 3), axis=axis), traced=False)
    assert getattr(np, name)(np.ones(3, np.bfloat16)).dtype == np.bfloat16


def test_places_that_pass_over_nan() -> None:
    x = numpy.array([[1, numpy.nan, 3], [numpy.nan] * 3], "float32")
    assert np.nanargmax(x, axis=1).tolist() == [2, -1]
    assert np.nanargmin(x).item() == 0
    assert np.nanargmin(np.arange(3), keepdims=True).tolist() == [0]
    assert anima.grad(lambda x: np.nansum(x * 2))(np.array([1.0, numpy.nan])).tolist() == [2, 0]
    assert np.nanmax(x, where=x < 2, initial=-1.0) == 1
