"""How numbers are rounded while a program runs, and afterwards, where the caller rounds in another way."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Iterator

import numpy as np
import pytest

import anima

UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine())
pytestmark = pytest.mark.skipif(
    UPWARD is None, reason="the number of the mode is not known for this processor"
)


@pytest.fixture
def libm() -> Iterator[ctypes.CDLL]:
    library = ctypes.CDLL(ctypes.util.find_library("m"))
    before = library.fegetround()
    yield library
    library.fesetround(before)


def test_programs_round_to_nearest_and_leave_the_callers_mode(libm: ctypes.CDLL) -> None:
    function = anima.jit(lambda x, y: x * y + 0 * x)
    x, y = anima.numpy.float32(1 + 2**-23), anima.numpy.float32(1 + 2**-12)
    nearest = np.asarray(function(x, y))
    assert libm.fesetround(UPWARD) == 0
    found = function(x, y)
    mode = libm.fegetround()
    libm.fesetround(0)
    upward = np.asarray(found)
    assert mode == UPWARD
    assert upward == nearest == np.float32((1 + 2**-23) * (1 + 2**-12))
    assert np.float64(nearest) < (1 + 2**-23) * (1 + 2**-12), "rounding upward would give another number"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="one state for all numbers")
def test_either_state_of_the_processor_is_restored(libm: ctypes.CDLL) -> None:
    """Vectors have a state of their own: a mode that only they have must not be taken for the whole."""
    function = anima.jit(lambda x, y: x * y + 0 * x)
    x, y = anima.numpy.float32(1 + 2**-23), anima.numpy.float32(1 + 2**-12)
    nearest = np.asarray(function(x, y))
    environment = (ctypes.c_uint32 * 8)()  # of fegetenv: the control word comes first, the vectors' last
    assert libm.fegetenv(environment) == 0
    plain = environment[7]
    environment[7] = plain | UPWARD << 3
    assert libm.fesetenv(environment) == 0
    found = function(x, y)
    environment[7] = plain
    libm.fesetenv(environment)
    assert np.asarray(found) == nearest
