"""Checks of the rows of `docs/differences.md` that are about convolutions and windows."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy
import pytest

import anima


def errors_of_xla_in_convolutions(run_python, tmp_path) -> None:
    x = numpy.arange(252, dtype=numpy.float32).reshape(2, 3, 6, 7)
    k = numpy.ones((4, 3, 2, 3), numpy.float32)
    for lib, right in ((jax, False), (anima, True)):
        found = lib.lax.conv_general_dilated(x, k, (1, 1), ((0, 0), (-3, 1)))
        cut = lib.lax.conv_general_dilated(x[..., 3:], k, (1, 1), ((0, 0), (0, 1)))
        assert numpy.array_equal(found, cut) == right
    program = """
import {0} as lib, numpy
x, k = numpy.ones((2, 3, 6, 7), "f"), numpy.ones((4, 3, 2, 3), "f")
f = lambda x: lib.lax.conv_general_dilated(x, k, (2, 1), ((1, 2), (-1, 0)), (1, 1), (1, 2)).sum()
print(lib.grad(f)(x).shape)
"""
    assert run_python(program.format("jax"), expect=None).returncode < 0
    assert run_python(program.format("anima")).stdout == "(2, 3, 6, 7)\n"


def permutations_as_dimension_numbers(run_python, tmp_path) -> None:
    x = numpy.ones((1, 4, 2), "f")
    numbers = ((0, 2, 1), (2, 1, 0), (0, 2, 1))
    with pytest.raises(TypeError, match="must be strings"):
        jax.lax.conv_general_dilated(x, numpy.ones((3, 2, 5), "f"), (1,), "SAME", dimension_numbers=numbers)
    out = anima.lax.conv_general_dilated(
        x, numpy.ones((3, 2, 5), "f"), (1,), "SAME", dimension_numbers=numbers
    )
    assert out.shape == (1, 4, 5)


def patches_beside_infinities(run_python, tmp_path) -> None:
    x = numpy.array([[[numpy.inf, 1, 2]]], numpy.float32)
    for lib, exact in ((jax, False), (anima, True)):
        found = numpy.asarray(lib.lax.conv_general_dilated_patches(x, (2,), (1,), "VALID"))
        assert numpy.array_equal(found, [[[numpy.inf, 1], [1, 2]]]) == exact
    calls = (
        lambda lib: lib.lax.conv_general_dilated_patches(x, (2,), (1,), "VALID", precision="highest"),
        lambda lib: lib.lax.conv_general_dilated_patches(x[:, :0], (2,), (1,), "VALID"),
    )
    for call in calls:
        assert call(anima).shape[2] == 2
        with pytest.raises(ValueError):
            call(jax)


def derivatives_of_windows(run_python, tmp_path) -> None:
    x = numpy.arange(1, 7, dtype=numpy.float32)
    programs = (
        lambda lib: lib.grad(lambda x: lib.lax.reduce_window(x, 1.0, lib.lax.mul, (2,)).sum())(x),
        lambda lib: lib.grad(
            lambda x: lib.lax.reduce_window(x, -numpy.inf, lib.lax.max, (2,), (1,), "VALID", (1,), (2,)).sum()
        )(x),
        lambda lib: lib.grad(
            lambda x: lib.lax.reduce_window(x, -numpy.inf, lib.lax.max, (2,), (1,), ((-1, 0),)).sum()
        )(x),
        lambda lib: lib.vmap(lambda init: lib.lax.reduce_window(x, init, lib.lax.mul, (6,)))(x),
    )
    wanted = ([2, 4, 6, 8, 10, 5], [0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], (720 * x)[:, None])
    for program, want in zip(programs, wanted):
        with pytest.raises((NotImplementedError, ValueError, TypeError)):
            program(jax)
        assert numpy.array_equal(program(anima), want)


def padding_beside_infinite_filters(run_python, tmp_path) -> None:
    x = numpy.ones((1, 24, 24, 8), numpy.float32)
    k = numpy.ones((3, 3, 8, 32), numpy.float32)
    k[0, 0] = numpy.inf
    layout = ("NHWC", "HWIO", "NHWC")
    theirs, ours = (
        numpy.asarray(lib.lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=layout))
        for lib in (jax, anima)
    )
    assert numpy.isnan(theirs[0, 0]).all() and not numpy.isnan(ours[0, 0]).any()
    assert numpy.array_equal(ours[0, 1:, 1:], theirs[0, 1:, 1:])


CONVOLUTION_CHECKS: dict[str, Callable[..., None]] = {
    "conv-compiler": errors_of_xla_in_convolutions,
    "conv-infinities": padding_beside_infinite_filters,
    "conv-numbers": permutations_as_dimension_numbers,
    "conv-patches": patches_beside_infinities,
    "window-derivatives": derivatives_of_windows,
}
