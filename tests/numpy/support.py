"""How results are compared with NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import anima

# Relative and absolute error by the bits of the mantissa.
_TOLERANCE = {"float32": 2e-6, "complex64": 2e-6, "float16": 2e-3, "bfloat16": 2e-2}


def narrow(value: Any) -> numpy.ndarray:
    """What NumPy computed, in the dtype that it has here."""
    host = numpy.asarray(value)
    return host.astype(anima.dtypes.canonicalize_dtype(host.dtype))


def assert_same(ours: Any, theirs: Any, tolerance: float | None = None) -> None:
    """Equal structure, shape and dtype; equal values up to rounding."""
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs):
            assert_same(one, other, tolerance)
        return
    assert isinstance(ours, anima.Array), f"not an array: {ours!r}"
    expected = narrow(theirs)
    assert (ours.shape, ours.dtype) == (expected.shape, expected.dtype)
    found = numpy.asarray(ours)
    allowed = _TOLERANCE.get(ours.dtype.name, 0.0) if tolerance is None else tolerance
    if ours.dtype.name == "bfloat16":
        found, expected = found.astype("float32"), expected.astype("float32")
    numpy.testing.assert_allclose(found, expected, rtol=allowed, atol=allowed)


def check(call: Callable[[Any], Any], tolerance: float | None = None, traced: bool = True) -> None:
    """`call`, given a module like NumPy, gives the same with NumPy and with ours, eagerly and traced."""
    with numpy.errstate(all="ignore"):
        expected = call(numpy)
    assert_same(call(anima.numpy), expected, tolerance)
    if traced:
        assert_same(anima.jit(lambda: call(anima.numpy))(), expected, tolerance)
