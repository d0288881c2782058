"""Checks of the rows of `docs/differences.md` that are about operations on two dtypes, complex numbers and narrow ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import numpy
import pytest

import anima

LIBRARIES = (jax, anima)
C64 = numpy.complex64


def lax_scalars(run_python, tmp_path) -> None:
    x = numpy.ones(2, numpy.float32)
    with pytest.raises(TypeError, match="same dtypes"):
        jax.lax.add(x, 1)
    assert numpy.asarray(anima.lax.add(x, 1)).tolist() == [2, 2]
    for lib in (jax, anima):
        for y in (numpy.ones(2, numpy.int32), 1j):
            with pytest.raises(TypeError, match="same dtypes"):
                lib.lax.add(x, y)
        with pytest.raises(TypeError, match="same dtypes"):
            lib.lax.add(1, 1.0)
    assert anima.lax.reduce(x, 1, anima.lax.add, (0,)) == 3
    assert anima.lax.reduce_window(x, 1, anima.lax.add, (2,)).tolist() == [3]
    for call in (
        lambda: jax.lax.reduce(x, 1, jax.lax.add, (0,)),
        lambda: jax.lax.reduce_window(x, 1, jax.lax.add, (2,)),
    ):
        with pytest.raises(TypeError, match="dtypes"):
            call()


def complex_truth(run_python, tmp_path) -> None:
    for lib, truth in ((jax, False), (anima, True)):
        assert lib.numpy.any(lib.numpy.array([1j])) == truth
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert lib.lax.convert_element_type(lib.numpy.array([1j]), bool)[0] == truth


def extrema_of_complex_numbers(run_python, tmp_path) -> None:
    nan = numpy.array([complex(numpy.nan, 1)], C64)
    for lib, kept in zip(LIBRARIES, (False, True)):
        found = (lib.lax.max(nan, C64(1)), lib.lax.min(nan, C64(1)), lib.lax.clamp(C64(0), nan, C64(1)))
        assert [bool(numpy.isnan(v).all()) for v in found] == [kept] * 3
        nothing = lib.lax.reduce_min(numpy.zeros(0, C64), (0,))
        assert numpy.asarray(nothing) == complex(numpy.inf, numpy.inf if kept else 0)


def complex_fill_values(run_python, tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert jax.lax.full_like(2, 3 + 1j) == 3
        with pytest.raises(TypeError, match="complex"):
            jax.lax.full((), 1j, "float32")
    for fill in (lambda: anima.lax.full((), 1j, "float32"), lambda: anima.lax.full_like(2, 3 + 1j)):
        with pytest.raises(TypeError, match="complex"):
            fill()


def high_halves_of_narrow_products(run_python, tmp_path) -> None:
    x = numpy.array([15, 7, 9]).astype("uint4")
    for lib, right in zip(LIBRARIES, ([0, 0, 0], [225 >> 4, 49 >> 4, 81 >> 4])):
        assert numpy.asarray(lib.lax.mulhi(x, x)).tolist() == right


def empty_arrays_of_the_mode(run_python, tmp_path) -> None:
    assert jax.lax.empty((2,), float).dtype == "float64"
    assert anima.lax.empty((2,), float).dtype == "float32"


def numbers_beside_index_arrays(run_python, tmp_path) -> None:
    x = numpy.arange(4).reshape(2, 2)
    indices = (1, numpy.array(1, numpy.int8))
    assert anima.lax.dynamic_slice(x, indices, (1, 1)).tolist() == [[3]]
    assert anima.lax.dynamic_update_slice(x, x[:1, :1], indices)[1, 1] == 0
    for call in (
        lambda: jax.lax.dynamic_slice(x, indices, (1, 1)),
        lambda: jax.lax.dynamic_update_slice(x, x[:1, :1], indices),
    ):
        with pytest.raises(TypeError, match="integers of the same type"):
            call()


def products_of_two_dtypes_of_a_lower_kind(run_python, tmp_path) -> None:
    x, y = numpy.array([2.75]).astype("float8_e4m3fn"), numpy.array([2.75 - 1j], C64)
    found = [int(lib.lax.dot(x, y, preferred_element_type="int32")) for lib in LIBRARIES]
    assert found == [4, 7]


def a_mode_without_a_meaning(run_python, tmp_path) -> None:
    mode = jax.lax.GatherScatterMode.ONE_HOT
    numbers = jax.lax.GatherDimensionNumbers((), (0,), (0,))
    with pytest.raises(AssertionError):
        jax.lax.gather(numpy.arange(3), numpy.zeros((1, 1), int), numbers, (1,), mode=mode)
    assert not hasattr(anima.lax.GatherScatterMode, "ONE_HOT")


def names_of_paddings_of_transposed_convolutions(run_python, tmp_path) -> None:
    x, k = numpy.ones((1, 3, 1), "f"), numpy.array([1, 10], "f").reshape(2, 1, 1)
    found = {
        (lib, name): lib.lax.conv_transpose(x, k, (1,), name)
        for lib in LIBRARIES
        for name in ("SAME", "same")
    }
    for lib, alike in zip(LIBRARIES, (False, True)):
        assert numpy.array_equal(found[lib, "SAME"], found[lib, "same"]) == alike
    assert numpy.array_equal(found[jax, "SAME"], found[anima, "SAME"])
    for name in ("same", "SAME_LOWER"):
        more = {"use_consistent_padding": True}
        assert anima.lax.conv_transpose(x, k, (1,), name, **more).shape == x.shape
        with pytest.raises(ValueError, match="Invalid padding mode"):
            jax.lax.conv_transpose(x, k, (1,), name, **more)


LAX_CHECKS: dict[str, Callable[..., None]] = {
    "lax-scalars": lax_scalars,
    "complex-truth": complex_truth,
    "complex-extrema": extrema_of_complex_numbers,
    "complex-fill": complex_fill_values,
    "conv-paddings": names_of_paddings_of_transposed_convolutions,
    "empty-dtypes": empty_arrays_of_the_mode,
    "mixed-indices": numbers_beside_index_arrays,
    "narrow-mulhi": high_halves_of_narrow_products,
    "one-hot-mode": a_mode_without_a_meaning,
    "product-dtypes": products_of_two_dtypes_of_a_lower_kind,
}
