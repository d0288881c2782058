"""Programs with references against the same programs on NumPy's mutable arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
import anima.numpy
from tests.state.programs import PROGRAMS, Library, Plain

OURS = Library(anima, anima.numpy)


def same(got: Any, want: Any) -> None:
    assert len(got) == len(want)
    for index, (a, b) in enumerate(zip(got, want)):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), index
        np.testing.assert_array_equal(a, b, err_msg=f"result {index}")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_does_what_numpy_does(name: str, compiled: bool) -> None:
    got = PROGRAMS[name](OURS, anima.jit if compiled else lambda f: f)
    same(got, PROGRAMS[name](Plain(), lambda f: f))


@pytest.mark.parametrize("name", PROGRAMS)
def test_does_so_with_the_compiler_switched_off(name: str) -> None:
    with anima.disable_jit():
        got = PROGRAMS[name](OURS, anima.jit)
    same(got, PROGRAMS[name](Plain(), lambda f: f))


@pytest.mark.parametrize("name", PROGRAMS)
def test_does_so_inside_a_larger_program(name: str) -> None:
    """References that a traced function makes are those of the same program."""
    got = anima.jit(lambda: PROGRAMS[name](OURS, anima.jit))()
    same(got, PROGRAMS[name](Plain(), lambda f: f))
