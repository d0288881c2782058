"""Errors that random calls of `numpy`'s functions brought to light; NumPy says what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import check

V = numpy.array([3.0, 1.0, 2.0, 1.0], "float32")
M = numpy.arange(12, dtype="float32").reshape(3, 4)
Z = numpy.array([1j, 2, 2 + 1j, 2], "complex64")

# Scalars of Python, alone or beside strong ones: whether results are weakly typed. Booleans never are.
WEAK: list[tuple[Callable[[], Any], bool]] = [
    (lambda: np.arccosh(True), False), (lambda: np.arccosh(2), True), (lambda: np.sinc(True), False),
    (lambda: np.iscomplex(1.0), True), (lambda: np.isreal(True), False), (lambda: np.isneginf(1.0), False),
    (lambda: np.isinf(1.5), False), (lambda: np.isfinite(1.5), True), (lambda: np.isfinite(1), False),
    (lambda: np.signbit(1), False), (lambda: np.rint(1.5), True), (lambda: np.rint(1), False),
    (lambda: np.around(1.5, 1), True), (lambda: np.angle(1j), True), (lambda: np.angle(1.5), False),
    (lambda: np.hypot(2, 1.5), True), (lambda: np.hypot(np.ones(2), 1.5), False), (lambda: np.heaviside(1, 2), True),
    (lambda: np.logaddexp2(1.0, 2), True), (lambda: np.logical_or(True, 0), True), (lambda: np.logical_or(True, True), False),
    (lambda: np.copysign(2, np.float32(1.5)), False), (lambda: np.copysign(2, 1), True), (lambda: np.gcd(4, 6), True),
    (lambda: np.gcd(np.ones(1, bool), -1), False), (lambda: np.modf(True)[0], False), (lambda: np.float_power(True, True), False),
    (lambda: np.full_like(1.5, np.ones(2), shape=(2,)), False), (lambda: np.full_like(1.5, 2, shape=(2,)), True),
    (lambda: np.isin(2, 1, method="sort"), False), (lambda: np.choose(0, [2, 1.5], mode="clip"), False),
    (lambda: np.resize(2.5, 0), True),
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(WEAK)))
def test_weak_types_are_the_same_traced_or_not(index: int) -> None:
    call, weak = WEAK[index]
    assert call().aval.weak_type == weak
    assert anima.eval_shape(call).weak_type == weak


@pytest.mark.parametrize(
    "call",
    [
        lambda np: np.argmax(Z), lambda np: np.argmin(Z.reshape(2, 2), 1), lambda np: np.argmax(Z[:, None], axis=0, keepdims=True),
        lambda np: np.argmax(numpy.append(Z, numpy.complex64(complex(numpy.nan, 0)))),
        lambda np: np.rollaxis(M[None], 1, -1), lambda np: np.rollaxis(M[None], 2, -3), lambda np: np.rollaxis(M[None], 0, 3),
        lambda np: np.logspace(numpy.float32(-1), numpy.uint32(3), 4, base=numpy.float32(2)).astype("float32"),
        lambda np: np.trapezoid(numpy.ones((2, 1, 3), "float32"), M[:2, :3]), lambda np: np.trapezoid(M, V),
        lambda np: np.trapezoid(M[:, :0]).astype("float32"), lambda np: np.trapezoid(numpy.float32([1, numpy.inf, 2])),
        lambda np: np.modf(numpy.float32([numpy.inf, -numpy.inf, -0.0, -1.5, numpy.nan])),
        lambda np: np.spacing(numpy.float16([1.0, 0.0, -1, -3, 2048])), lambda np: np.spacing(numpy.float32([1.0, -1, 3])),
        lambda np: np.cumsum(numpy.float32([0.5, -0.5, 0]), dtype=bool), lambda np: np.cumprod(Z - 2, dtype=bool),
        lambda np: np.average(M, weights=M.T, axis=(1, 0)), lambda np: np.average(M, weights=V, axis=1),
        lambda np: np.cov(M.astype("float16"), aweights=V),
        lambda np: np.linalg.norm(M[:, 0]), lambda np: np.matvec(M, V), lambda np: np.vecmat(Z[:3], M), lambda np: np.vecdot(Z, V),
        lambda np: np.vdot(numpy.float32(0.5), numpy.float32(1.5)), lambda np: np.diff(M, n=0),
        lambda np: np.unwrap(numpy.float32([0, 3, 6.5, 1])), lambda np: np.fft.rfftfreq(1), lambda np: np.round(numpy.float32(2.5)),
    ],
)  # fmt: skip
def test_values(call: Callable[[Any], Any]) -> None:
    check(call, 3e-3)


def test_truth_of_sums_and_products() -> None:
    for values in ([0.5, 0.0], [0.0, 0.0], [-1.0, 1.0]):
        x = numpy.array(values, "float32")
        assert bool(np.sum(x, dtype=bool)) == any(values) and bool(np.prod(x, dtype=bool)) == all(values)
        assert bool(np.sum(x, dtype=bool, initial=1)) and np.sum(x, dtype=bool).dtype == bool
    assert np.trace(np.ones((2, 2)), dtype=bool).dtype == bool


def test_norms_of_nothing_are_zero() -> None:
    for shape, order in (((0,), numpy.inf), ((2, 0), 1), ((2, 0), 2), ((0, 2), numpy.inf)):
        assert np.linalg.norm(np.zeros(shape), ord=order) == 0


def test_characteristic_polynomials() -> None:
    numpy.testing.assert_allclose(np.poly(np.array([[2.0, 1.0], [1.0, 1.0]])), [1, -3, 1], rtol=1e-6)
    for bad in (numpy.ones((2, 3)), numpy.ones((2, 2, 2))):
        with pytest.raises(ValueError, match="square matrix"):
            np.poly(bad)


def test_covariances_of_a_complex_fit_are_real() -> None:
    assert np.polyfit(V, Z, 1, cov=True)[1].dtype == "float32"


def test_a_spread_without_degrees_of_freedom_is_unknown() -> None:
    mask = numpy.array([True, False, False, False])
    for name in ("var", "std", "nanvar", "nanstd"):
        function = getattr(np, name)
        for options in (
            {"ddof": 4},
            {"ddof": 5},
            {"ddof": 1, "where": mask},
            {"ddof": 0, "where": mask & False},
        ):
            assert numpy.isnan(function(V, **options)), (name, options)


def test_dtypes() -> None:
    half, whole = numpy.ones((3, 2), "float16"), numpy.ones((2, 1), "int32")
    assert np.histogramdd(half, bins=2, density=True)[0].dtype == "float16"
    assert np.linspace(whole, whole, 2, dtype="int8", retstep=True)[1].dtype == "float32"
    assert np.linspace(1j, 1, 3, dtype="float16", retstep=True)[1].dtype == "float16"
    assert np.trapezoid(half[:, 0], numpy.arange(3)).dtype == "float16"
    assert np.var(V, dtype="complex64").dtype == np.std(Z, dtype="complex64").dtype == "complex64"


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda: np.add(np.ones((2, 3)), np.ones(2)), ValueError, "incompatible shapes"),
        (lambda: np.add(np.ones(3), np.ones(2)), TypeError, "incompatible shapes"),
        (lambda: np.lcm(np.ones(3, int), np.ones(2, int)), ValueError, "incompatible shapes"),
        (lambda: np.sum(M, axis=2), IndexError, "out of bounds"),
        (lambda: np.sum(M, axis=2), ValueError, "out of bounds"),
        (lambda: np.sum(M, axis=2), numpy.exceptions.AxisError, "out of bounds"),
        (lambda: np.cumsum(numpy.float32(1), axis=0), IndexError, "out of bounds"),
        (lambda: np.ediff1d(np.array([True, False])), TypeError, "booleans"),
        (lambda: np.round(True), ValueError, "boolean"),
        (lambda: np.mean(V, dtype=bool), TypeError, "got bool"),
        (lambda: np.var(Z, dtype="float32"), ValueError, "must be complex"),
        (lambda: np.arange(3, dtype=bool), TypeError, "got bool"),
        (lambda: np.ldexp(1j, 2), ValueError, "complex"),
        (lambda: np.fft.fftfreq(3, d=1j), TypeError, "must be real"),
        (lambda: np.matvec(M, V[:2]), ValueError, "sizes 4 and 2"),
        (lambda: np.vecmat(V, M), ValueError, "sizes 4 and 3"),
        (lambda: np.vecdot(M, V[:2]), ValueError, "sizes 4 and 2"),
        (lambda: np.matvec(V, V), ValueError, "at least"),
        (lambda: np.linalg.multi_dot([M, M, V]), ValueError, "do not fit"),
        (lambda: np.resize(V, -1), ValueError, "negative"),
        (lambda: np.pad(2.0, 1, mode="edge", constant_values=1), ValueError, "does not belong"),
    ],
)
def test_errors(call: Callable[[], Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        call()


def test_tracing_takes_numbers_of_python() -> None:
    for call in (
        lambda: np.i0(1.5),
        lambda: np.vdot(0.5, numpy.float32(2)),
        lambda: np.square(True),
        lambda: np.isreal(1),
    ):
        traced, eager = anima.jit(call)(), call()
        assert isinstance(anima.eval_shape(call), anima.ShapeDtypeStruct)
        assert traced.dtype == eager.dtype and traced == eager
