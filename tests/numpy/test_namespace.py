"""Functions that no other test of the package calls: text and files, and predicates of infinities and complex numbers."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

import anima.numpy as np


@pytest.mark.parametrize("name", ["iscomplex", "isreal"])
def test_predicates_of_complex_numbers(name: str) -> None:
    for x in (numpy.array([1 + 0j, 2j, 3 - 1j]), numpy.array([1.0, numpy.nan]), numpy.array([1, 2])):
        assert getattr(np, name)(x).tolist() == getattr(numpy, name)(x).tolist()


@pytest.mark.parametrize("name", ["isneginf", "isposinf"])
def test_predicates_of_infinities(name: str) -> None:
    x = numpy.array([numpy.inf, -numpy.inf, numpy.nan, 0.0])
    assert getattr(np, name)(x).tolist() == getattr(numpy, name)(x).tolist()


def test_text() -> None:
    x = np.array([1.23456, 2.0])
    assert np.array_repr(x) == repr(x)
    with np.printoptions(precision=2):
        assert np.get_printoptions()["precision"] == 2
        assert np.array_repr(x) == "DeviceArray([1.23, 2.  ], dtype=float32)"
    assert np.get_printoptions()["precision"] == numpy.get_printoptions()["precision"]


def test_several_arrays_in_one_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", a=np.arange(3), b=np.ones(2))
    found = numpy.load(tmp_path / "both.npz")
    assert found["a"].tolist() == [0, 1, 2] and found["b"].tolist() == [1, 1]


def test_names_of_dtypes_that_no_array_has() -> None:
    assert np.iinfo(np.int1).min == -1 and np.iinfo(np.uint1).max == 1
    assert float(np.finfo(np.float6_e2m3fn).max) == 7.5 and float(np.finfo(np.float6_e3m2fn).max) == 28
    with pytest.raises(TypeError, match="is not supported"):
        np.float6_e2m3fn(1)


def test_arguments_by_position_are_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="by keyword"):
        assert np.array([1], "int32", True, "K", 2).shape == (1, 1)
    with pytest.raises(TypeError, match="from 1 to 5 positional"):
        np.array([1], "int32", True, "K", 2, 0)
    with pytest.raises(ValueError, match="arr must be an array"):
        np.clip()
