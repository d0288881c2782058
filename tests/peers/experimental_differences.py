"""Checks of the rows of `docs/differences.md` about `image` and `experimental`."""

from __future__ import annotations

from typing import Any

import jax
import jax.experimental.ode
import jax.experimental.sparse
import numpy
import pytest

from anima import image
from anima.experimental import ode, sparse


def border(run_python: Any, tmp_path: Any) -> None:
    numbers = numpy.array([2.0], "float32"), numpy.array([-3.0], "float32")
    ours, theirs = (
        lib.scale_and_translate(
            numpy.ones(1, "float32"), (5,), (0,), *numbers, lib.ResizeMethod.CUBIC_PYTORCH, antialias=False
        )
        for lib in (image, jax.image)
    )
    assert float(theirs[4]) == 1.0  # 3.25 pixels to the right of the only one
    assert float(ours[4]) == 0.0


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


MATRIX = numpy.array([[0, 1, 0], [2, 0, 3]], "float32")


def same_places(run_python: Any, tmp_path: Any) -> None:
    theirs, ours = (lib.BCOO.fromdense(MATRIX) for lib in (jax.experimental.sparse, sparse))
    assert ((theirs * theirs).nse, (theirs + theirs).nse) == (9, 6)
    assert ((ours * ours).nse, (ours + ours).nse) == (3, 3)


def numpy_on_the_left(run_python: Any, tmp_path: Any) -> None:
    theirs, ours = (lib.BCOO.fromdense(MATRIX) for lib in (jax.experimental.sparse, sparse))
    assert (MATRIX * theirs).dtype == object
    assert (MATRIX * ours).dtype == "float32"


def dimensions(run_python: Any, tmp_path: Any) -> None:
    def cases(lib: Any) -> list[Any]:
        m, blocks, row = (
            lib.BCOO.fromdense(MATRIX),
            lib.BCOO.fromdense(MATRIX, n_dense=1),
            lib.BCOO.fromdense(MATRIX[:1]),
        )
        v, rows = numpy.ones(3, "float32"), numpy.ones((2, 3), "float32")
        return [
            lambda: lib.bcoo_dot_general(blocks, v, dimension_numbers=(((1,), (0,)), ((), ()))),
            lambda: lib.bcoo_dot_general(m, rows, dimension_numbers=(((1,), (1,)), ((0,), (0,)))),
            lambda: lib.bcoo_broadcast_in_dim(row, shape=(2, 3), broadcast_dimensions=(0, 1)),
            lambda: lib.bcoo_concatenate([blocks, blocks], dimension=1),
        ]

    for case in cases(jax.experimental.sparse):
        with pytest.raises(NotImplementedError):
            case()
    expected = MATRIX.sum(1), MATRIX.sum(1), MATRIX[[0, 0]], numpy.concatenate([MATRIX, MATRIX], 1)
    for case, value in zip(cases(sparse), expected):
        numpy.testing.assert_array_equal(sparse.todense(case()), value)


EXPERIMENTAL_CHECKS = {
    "image-border": border,
    "image-shapes": shapes,
    "ode-unreached": unreached,
    "sparse-same-places": same_places,
    "sparse-numpy": numpy_on_the_left,
    "sparse-dimensions": dimensions,
}
