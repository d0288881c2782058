"""Checks of the rows of `docs/differences.md` about `image`, `experimental` and `example_libraries`."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
from typing import Any

import jax
import jax.experimental.ode
import jax.experimental.sparse
import numpy
import pytest

import anima
from anima import image
from anima.example_libraries import optimizers, stax
from anima.experimental import ode, sparse


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


def layers(run_python: Any, tmp_path: Any) -> None:
    theirs = importlib.import_module("jax.example_libraries.stax")
    with pytest.raises(ValueError):
        theirs.serial()
    assert stax.serial()[1]([], 3) == 3
    with pytest.raises(ZeroDivisionError):
        theirs.Flatten[1]((), jax.numpy.ones((0, 2, 3)))
    assert stax.Flatten[1]((), numpy.ones((0, 2, 3))).shape == (0, 6)
    row = numpy.ones(3, "float32")
    assert theirs.serial(theirs.Exp, theirs.Exp)[1]([()], row).tolist() == theirs.Exp[1]((), row).tolist()
    assert len(theirs.parallel(theirs.Exp, theirs.Exp)[1]([(), ()], [row])) == 1
    for call in (
        lambda: stax.serial(stax.Exp, stax.Exp)[1]([()], row),
        lambda: stax.parallel(stax.Exp, stax.Exp)[1]([(), ()], [row]),
    ):
        with pytest.raises(ValueError, match="there must be"):
            call()
    assert theirs.Dropout(0.5, "other")[1]((), row, rng=jax.random.PRNGKey(0)) is row
    assert theirs.Dropout(1.5)[1]((), row, rng=jax.random.PRNGKey(0)).tolist() == (row / 1.5).tolist()
    for arguments in ((0.5, "other"), (1.5,)):
        with pytest.raises(ValueError, match="Dropout"):
            stax.Dropout(*arguments)


def optimizer_states(run_python: Any, tmp_path: Any) -> None:
    theirs = importlib.import_module("jax.example_libraries.optimizers")
    assert theirs.make_schedule("fast")(0) == "fast"
    with pytest.raises(TypeError, match="step size"):
        optimizers.make_schedule("fast")
    with pytest.raises(AssertionError):
        theirs.pack_optimizer_state([3])
    with pytest.raises(TypeError, match="JoinPoint"):
        optimizers.pack_optimizer_state([3])
    row = numpy.ones(2, "float32")
    assert theirs.sm3(0.1).init_fn(row).packed_state[0][-1] == 2
    assert optimizers.sm3(0.1).init_fn(row).packed_state[0][-1].tolist() == [0, 0]


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


def orders(run_python: Any, tmp_path: Any) -> None:
    x = numpy.ones((2, 3), "float32")
    for library in (jax, anima):
        layout = importlib.import_module(f"{library.__name__}.experimental.layout")
        here = library.sharding.SingleDeviceSharding(library.devices()[0])
        by_columns = layout.Format(layout.Layout((1, 0)), here)
        if library is jax:
            assert jax.device_put(x, by_columns).format.layout.major_to_minor == (1, 0)
        else:
            with pytest.raises(ValueError, match="last dimension contiguous"):
                anima.device_put(x, by_columns)
        for taken in (layout.Format(layout.Layout.AUTO), layout.Format(layout.Layout((0, 1)), here)):
            assert library.jit(lambda x: x + 1, in_shardings=taken)(x).format.layout.major_to_minor == (0, 1)


CONNECTED = """
import sys, {library} as library
library.distributed.initialize("localhost:" + sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
print(library.process_count())
"""


def processes(run_python: Any, tmp_path: Any) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    ends = [
        subprocess.Popen(
            [sys.executable, "-c", CONNECTED.format(library="jax"), port, str(index)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        for index in range(2)
    ]
    assert [each.communicate(timeout=120)[0].strip() for each in ends] == ["2", "2"]
    with pytest.raises(ValueError, match="one process"):
        anima.distributed.initialize("localhost:1", num_processes=2, process_id=0)


def versions(run_python: Any, tmp_path: Any) -> None:
    assert jax.__version__.split(".") == list(map(str, jax.__version_info__))
    assert anima.__version_info__ == jax.__version_info__ == (0, 10, 2)
    assert anima.__version__ != jax.__version__


EXPERIMENTAL_CHECKS = {
    "image-shapes": shapes,
    "layouts": orders,
    "ode-unreached": unreached,
    "optimizer-checks": optimizer_states,
    "processes": processes,
    "sparse-dimensions": dimensions,
    "sparse-numpy": numpy_on_the_left,
    "sparse-same-places": same_places,
    "stax-checks": layers,
    "version-info": versions,
}
