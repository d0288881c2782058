"""The rows of `docs/differences.md` about functions of `numpy`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy
import pytest

import anima

REFUSED = (TypeError, ValueError, IndexError, ArithmeticError, RuntimeError, AttributeError)


def values(call: Callable[[Any], Any]) -> Any:
    """What a call gives with our arrays, as lists."""
    return (
        [numpy.asarray(v).tolist() for v in parts]
        if isinstance(parts := call(anima.numpy), tuple)
        else parts.tolist()
    )


def numpy_forms(run_python, tmp_path) -> None:
    x = numpy.array([15, 25, -35], "int32")
    z = numpy.array([1j, 2, 2 + 1j], "complex64")
    cases: list[tuple[Callable[[Any], Any], Any]] = [
        (lambda np: np.around(x, -1), [20, 20, -40]),
        (lambda np: np.fromiter(iter([1, 2]), int), [1, 2]),
        (lambda np: np.ix_(numpy.array([True, False, True]), x[:2])[0], [[0], [2]]),
        (lambda np: np.fill_diagonal(np.zeros((3, 1)), 1, wrap=True, inplace=False), [[1], [0], [1]]),
        (lambda np: np.partition(x, (0, 1)), [-35, 15, 25]),
        (lambda np: np.partition(z, 1)[1], 2),
        (lambda np: np.argmax(z), 2),
        (lambda np: np.isnan(np.median(np.zeros(0))), True),
        (lambda np: np.quantile(x, 1), 25),
        (lambda np: np.quantile(x, np.array([[0.0, 1.0]])), [[-35, 25]]),
        (lambda np: np.quantile(x, 0.5, method="hazen"), 15),
        (lambda np: np.histogram(x, "auto")[0].sum(), 3),
        (lambda np: np.ravel(x, order="K"), x.tolist()),
        (lambda np: np.apply_over_axes(np.sum, x, 0), [5]),
        (lambda np: np.bartlett(-1), []),
        (lambda np: np.dot(np.int8(2), 3), 6),
    ]
    for i, (call, wanted) in enumerate(cases):
        with pytest.raises(REFUSED):
            call(jax.numpy)
            raise AssertionError(f"JAX takes case {i}")
        assert values(call) == wanted, i
    with pytest.raises(AttributeError):
        jax.numpy.array_repr(3)
    assert anima.numpy.array_repr(3) == "DeviceArray(3, dtype=int32)"


def numpy_refusals(run_python, tmp_path) -> None:
    x = numpy.array([1, 2, 3], "int32")
    for call in (
        lambda np: np.histogram(x, 3, range=(2, 0)),
        lambda np: np.histogram_bin_edges(x, 0),
        lambda np: np.roll(x, 1.5),
        lambda np: np.insert(x, 7, 0),
        lambda np: np.unravel_index(numpy.array([1.5], "float32"), (2, 3)),
    ):
        call(jax.numpy)
        with pytest.raises((ValueError, TypeError, IndexError)):
            call(anima.numpy)


def numpy_errors(run_python, tmp_path) -> None:
    x, square = numpy.ones(3, "float32"), numpy.ones((2, 2), "float32")
    for call, theirs in (
        (lambda np: np.array_split(x, 0), ZeroDivisionError),
        (lambda np: np.diagonal(square, axis1=0, axis2=0), TypeError),
        (lambda np: np.flip(square, (0, 0)), TypeError),
        (lambda np: np.linalg.qr(x), TypeError),
        (lambda np: np.tri(-1), TypeError),
        (lambda np: np.permute_dims(square, (0, 5)), TypeError),
        (lambda np: np.polyadd(x[0], x), IndexError),
        (lambda np: np.linalg.matrix_power(x, 2), TypeError),
    ):
        with pytest.raises(theirs):
            call(jax.numpy)
        with pytest.raises(ValueError):
            call(anima.numpy)
    for call, theirs in (
        (lambda np: np.delete(x, 1.0), ValueError),
        (lambda np: np.take(x[:0], 1.0), IndexError),
    ):
        with pytest.raises(theirs):
            call(jax.numpy)
        with pytest.raises(TypeError):
            call(anima.numpy)
    for library, kinds in (
        (jax, [IndexError]),
        (anima, [ValueError, IndexError, numpy.exceptions.AxisError]),
    ):
        for kind in kinds:
            with pytest.raises(kind):
                library.numpy.swapaxes(square, 0, 2)


def numpy_dtypes(run_python, tmp_path) -> None:
    small = numpy.array([1, 2], "int8")
    for library, cumulative, norm, promoted, power in (
        (jax, "int8", "int32", "float64", "int32"),
        (anima, "int32", "float32", "float32", "int8"),
    ):
        np = library.numpy
        assert np.cumulative_prod(small).dtype == cumulative
        assert np.linalg.vector_norm(small, ord=1).dtype == norm
        assert np.promote_types("int32", float) == promoted
        assert np.pow(numpy.array([True]), np.int8(3)).dtype == power
    half = numpy.ones((), "float16")
    assert (jax.numpy.angle(half).dtype, anima.numpy.angle(half).dtype) == ("float32", "float16")
    assert jax.numpy.var(small, dtype="int8").dtype == "float32"
    with pytest.raises(ValueError):
        jax.numpy.std(small, dtype="int8")
    assert anima.numpy.var(small, dtype="int8").dtype == anima.numpy.std(small, dtype="int8").dtype == "int8"


def numpy_limits(run_python, tmp_path) -> None:
    for library, fraction, bessel, ends in (
        (jax, numpy.nan, numpy.nan, [numpy.nan] * 2),
        (anima, 0.0, numpy.inf, [-1.0, 8.0]),
    ):
        np = library.numpy
        numpy.testing.assert_array_equal(np.modf(np.array(numpy.inf))[0], fraction)
        numpy.testing.assert_array_equal(np.i0(np.array(numpy.inf)), bessel)
        numpy.testing.assert_array_equal(np.geomspace(-1, 8, 4)[numpy.array([0, 3])], ends)


def numpy_nothing(run_python, tmp_path) -> None:
    nothing = numpy.zeros(0, "float32")
    for library, shape, places, common in (
        (jax, (0,), [[0], [0]], [7, 7]),
        (anima, (2,), [[9], [9]], [0, 0]),
    ):
        np = library.numpy
        assert np.unique_counts(nothing, size=2, fill_value=9).counts.shape == shape
        assert np.argwhere(nothing, size=2, fill_value=9).tolist() == places
        assert np.intersect1d(numpy.array([7.0], "float32"), nothing, size=2).tolist() == common


def complex_limits(run_python, tmp_path) -> None:
    inf, nan = numpy.inf, numpy.nan
    for name, z, wanted in (
        ("exp", complex(-inf, nan), 0),
        ("sqrt", complex(nan, inf), complex(inf, inf)),
        ("abs", complex(inf, nan), inf),
        ("atanh", complex(nan, nan), complex(nan, nan)),
    ):
        theirs, ours = (complex(getattr(library.numpy, name)(numpy.complex64(z))) for library in (jax, anima))
        parts = [ours.real, ours.imag]
        numpy.testing.assert_array_equal(parts, [complex(wanted).real, complex(wanted).imag])
        assert repr(theirs) != repr(ours), name


def zero_signs(run_python, tmp_path) -> None:
    for library, negative in ((jax, False), (anima, True)):
        assert numpy.signbit(library.numpy.floor_divide(numpy.float32(-0.0), numpy.float32(2))) == negative


def ufuncs(run_python, tmp_path) -> None:
    x = numpy.arange(6, dtype="int32").reshape(2, 3)
    with pytest.raises(NotImplementedError, match="tuple of axes"):
        jax.numpy.subtract.reduce(x, (0, 1))
    assert anima.numpy.subtract.reduce(x, (0, 1)) == -15
    with pytest.raises(jax.errors.NonConcreteBooleanIndexError):
        jax.numpy.add.at(x[0], x[0] > 0, 1, inplace=False)
    assert anima.numpy.add.at(x[0], x[0] > 0, 1, inplace=False).tolist() == [0, 2, 3]
    for library, dtype, last in ((jax, "int32", [[5], [17]]), (anima, "float32", [[2], [5]])):
        found = library.numpy.add.reduceat(x, numpy.array([-1]), axis=1, dtype="float32")
        assert found.dtype == dtype and found.tolist() == last
    assert "*args" in str(inspect.signature(jax.numpy.add))
    assert "x" in inspect.signature(anima.numpy.add).parameters


NUMPY_CHECKS: dict[str, Callable[..., None]] = {
    "ufuncs": ufuncs,
    "numpy-forms": numpy_forms,
    "numpy-refusals": numpy_refusals,
    "numpy-errors": numpy_errors,
    "numpy-dtypes": numpy_dtypes,
    "numpy-limits": numpy_limits,
    "numpy-nothing": numpy_nothing,
    "complex-limits": complex_limits,
    "zero-signs": zero_signs,
}
