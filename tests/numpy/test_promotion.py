"""Operands are promoted as JAX has it: Python scalars yield, arrays join in the lattice."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima import dtypes

STRONG = ["bool", "uint8", "int8", "int16", "uint32", "int32", "bfloat16", "float16", "float32", "complex64"]


@pytest.mark.parametrize("a", STRONG)
@pytest.mark.parametrize("b", [*STRONG, 2, 2.5, 1j])
def test_sum_of_dtypes(a: str, b: object) -> None:
    x = np.ones(2, a)
    y = np.ones(2, b) if isinstance(b, str) else b
    expected, weak = dtypes.result_type(x, y, return_weak_type_flag=True)
    for add in (np.add, anima.jit(np.add), lambda x, y: x + y, lambda x, y: y + x):
        result = add(x, y)
        assert result.dtype == expected
        assert result.weak_type == weak or expected == np.bool_


def test_weak_results() -> None:
    assert np.add(1, 2).weak_type
    assert np.sin(1).weak_type
    assert not np.sum(1).weak_type
    assert not (np.ones(2, np.int8) + 1).weak_type
    assert (np.ones(2, np.int8) + 1).dtype == np.int8
    assert (np.array([1]) + 1.5).weak_type
    assert ((np.array(1.5) + np.array([1], np.float16)).dtype) == np.float16


def test_numpy_operands() -> None:
    assert (np.ones(2, np.float16) + numpy.float32(1)).dtype == np.float32
    assert (numpy.ones(2) + np.ones(2)).dtype == np.float32
    assert isinstance(numpy.ones(2) + np.ones(2), anima.Array)
    assert isinstance(numpy.float32(2) * np.ones(2), anima.Array)
    assert (np.ones(2, int) * numpy.int64(3)).dtype == np.int32


def test_64_bits() -> None:
    with anima.enable_x64():
        assert np.ones(2).dtype == np.float64
        assert np.arange(3).dtype == np.int64
        assert (np.arange(3) / 2).dtype == np.float64
        assert (np.ones(2, np.float32) + 1.0).dtype == np.float32
        assert np.sum(np.ones(2, np.int8)).dtype == np.int64
        assert np.array([1.0])[0].dtype == np.float64
        assert np.sin(np.arange(3)).dtype == np.float64


def test_strict_promotion() -> None:
    with anima.numpy_dtype_promotion("strict"):
        assert (np.ones(2) + 1.0).dtype == np.float32
        with pytest.raises(anima.errors.TypePromotionError):
            np.ones(2) + np.ones(2, np.int32)


def test_rank_promotion() -> None:
    x, y = np.ones(3), np.ones((2, 3))
    assert (x + y).shape == (2, 3)
    with anima.numpy_rank_promotion("raise"):
        assert (1.0 + y).shape == (2, 3)
        with pytest.raises(ValueError, match=r"add: .* shapes \(3,\), \(2, 3\)"):
            np.add(x, y)
    with anima.numpy_rank_promotion("warn"), pytest.warns(UserWarning, match="broadcast together"):
        np.add(np.ones(4), np.ones((2, 4)))


def test_python_integers_that_do_not_fit() -> None:
    with pytest.raises(OverflowError):
        np.array(2**40)
    with pytest.raises(OverflowError):
        np.array([2**40])
    with pytest.raises(OverflowError):
        np.array([300], np.uint8)
    with pytest.raises(OverflowError):
        np.ones(2, int) + 2**40
    with pytest.raises(OverflowError):
        anima.jit(lambda x: x + 2**40)(np.ones(2, np.int8))
    with pytest.raises(OverflowError):
        anima.jit(lambda x: x + 2**40)(np.ones(2))


def test_python_integers_wrap_in_narrower_dtypes_traced_or_not() -> None:
    for x, number, wanted in ((np.ones(2, np.int8), 300, 45), (np.ones(2, np.uint32), -2, 2**32 - 1)):
        for call in (np.add, anima.jit(lambda x, n=number: np.add(x, n))):
            assert (call(x, number) if call is np.add else call(x)).tolist() == [wanted, wanted]
    assert anima.jit(lambda x: x > 1000)(np.full(1, 7, np.int8)).tolist() == [True]  # 1000 is -24 there


def test_scalar_types() -> None:
    x = np.float32(3)
    assert isinstance(x, anima.Array)
    assert x.dtype == np.float32
    assert isinstance(x, np.float32)
    assert not isinstance(x, np.int32)
    assert numpy.dtype(np.bfloat16) == dtypes.bfloat16
    assert np.float32 == numpy.float32
    assert np.float32 != np.float16
    assert {np.float32: 1}[np.float32] == 1
    assert np.bool_ is np.bool
    assert np.zeros(2, np.uint8).dtype == np.uint8
    assert np.dtype("int8") == np.int8
    assert np.issubdtype(np.bfloat16, np.floating)
    assert np.issubdtype(np.float32, np.inexact)
    assert not np.issubdtype(np.int8, np.unsignedinteger)
    assert np.finfo(np.bfloat16).bits == 16
    assert np.iinfo(np.int8).max == 127
    assert np.result_type(np.int8, np.float16) == np.float16
    assert np.promote_types(np.uint8, np.int8) == np.int16
    assert np.can_cast(np.int8, np.int32)
    assert repr(np.float32) == "<class 'anima.numpy.float32'>"
    with pytest.warns(UserWarning, match="float64"):
        assert np.float64(1).dtype == np.float32
