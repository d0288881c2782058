"""Checks of the rows of `docs/differences.md` about `image` and `experimental`."""

from __future__ import annotations

from typing import Any

import jax
import jax.experimental.ode
import numpy
import pytest

from anima import image
from anima.experimental import ode


def shapes(run_python: Any, tmp_path: Any) -> None:
    row = numpy.ones(3, "float32")
    assert jax.image.resize(row, (-1,), "linear").shape == (0,)
    with pytest.raises(ZeroDivisionError):
        jax.image.resize(row[:0], (3,), "linear")
    for x, size in ((row, -1), (row[:0], 3)):
        with pytest.raises(ValueError, match="resize"):
            image.resize(x, (size,), "linear")


def unreached(run_python: Any, tmp_path: Any) -> None:
    start, times = jax.numpy.array(1.0), jax.numpy.array([0.0, 1.0])
    fun = lambda y, t: -100 * y
    assert numpy.isfinite(jax.experimental.ode.odeint(fun, start, times, mxstep=3)[1])
    assert numpy.isnan(ode.odeint(fun, numpy.float32(1), numpy.asarray(times), mxstep=3)[1])


EXPERIMENTAL_CHECKS = {"image-shapes": shapes, "ode-unreached": unreached}
