"""Sharing arrays through DLPack under the names of `anima.dlpack`."""

from __future__ import annotations

import numpy
import pytest

import anima
import anima.numpy as np
from anima import dlpack
from anima.dtypes.declared import BY_NAME


def test_supported_dtypes_are_those_that_can_be_given_out() -> None:
    with anima.enable_x64(True):
        for name, dtype in BY_NAME.items():
            array = np.zeros(2, dtype)
            try:
                array.__dlpack__()
            except (BufferError, TypeError, ValueError):
                given = False
            else:
                given = True
            assert dlpack.is_supported_dtype(dtype) == given, name
    assert dlpack.is_supported_dtype(float) and not dlpack.is_supported_dtype(object)
    with pytest.raises(TypeError):
        dlpack.is_supported_dtype("no such dtype")


def test_from_dlpack() -> None:
    host = numpy.arange(6, dtype="int32").reshape(2, 3)
    numpy.testing.assert_array_equal(dlpack.from_dlpack(host), host)
    placed = dlpack.from_dlpack(host, anima.devices()[0], copy=True)
    assert placed.committed
    host[0, 0] = 7
    assert placed[0, 0] == 0
    with pytest.raises(TypeError, match="__dlpack__"):
        dlpack.from_dlpack(3)
