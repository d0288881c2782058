"""Systems of equations, determinants and factors in `numpy.linalg`."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import anima
import anima.numpy as np
from tests.numpy.support import check

RNG = numpy.random.default_rng(0)


def random(*shape: int, dtype: str = "float32") -> numpy.ndarray:
    value = RNG.normal(size=shape)
    return (value + 1j * RNG.normal(size=shape) if dtype[0] == "c" else value).astype(dtype)


A, Z, STACK = random(4, 4), random(4, 4, dtype="complex64"), random(2, 3, 3)
TALL, WIDE = random(4, 3), random(3, 4)
SPD = numpy.stack([a @ a.T + numpy.eye(3, dtype="float32") for a in STACK])
RANK_3 = numpy.array([[1.0, 2, 3, 4], [2, 4, 6, 8], [1, 0, 0, 1], [0, 1, 0, 2]])


@pytest.fixture
def wide():
    with anima.enable_x64(True):
        yield


def test_equations() -> None:
    check(lambda np: np.linalg.solve(A, A[0]), 1e-4)
    check(lambda np: np.linalg.solve(A, random_like(A)), 1e-4)
    check(lambda np: np.linalg.solve(Z, Z[0]), 1e-4)
    check(lambda np: np.linalg.solve(STACK, STACK[0, 0]), 1e-4)
    check(lambda np: np.linalg.solve(STACK, STACK[0]), 1e-4)
    check(lambda np: np.linalg.solve(STACK[0], STACK), 1e-4)
    check(lambda np: np.linalg.solve(STACK[:, None], STACK[:1, :, :1]), 1e-4)
    check(lambda np: np.linalg.inv(STACK), 1e-4)
    check(lambda np: np.linalg.inv(Z), 1e-4)
    assert np.linalg.inv(np.eye(2, dtype=int)).dtype == np.float32
    assert np.linalg.solve(np.zeros((0, 0)), np.zeros((0, 2))).shape == (0, 2)
    assert not np.isfinite(np.linalg.inv(np.zeros((2, 2)))).any()


def random_like(x: numpy.ndarray) -> numpy.ndarray:
    return numpy.roll(x, 1, 0)


def test_tensor_equations() -> None:
    a = (random(2, 3, 6) + numpy.eye(6).reshape(2, 3, 6) * 4).astype("float32")
    check(lambda np: np.linalg.tensorsolve(a, random_like(a[..., 0])), 1e-4)
    check(lambda np: np.linalg.tensorinv(a), 1e-4)
    check(lambda np: np.linalg.tensorinv(a.reshape(6, 2, 3), 1), 1e-4)
    moved = numpy.moveaxis(a.reshape(2, 3, 2, 3), 0, 1)
    check(lambda np: np.linalg.tensorsolve(moved, moved[..., 0, 0], axes=(2,)), 1e-3)


def test_determinants() -> None:
    for x in (
        A,
        Z,
        STACK,
        random(2, 2),
        random(1, 1),
        RANK_3.astype("float32"),
        numpy.zeros((0, 0), "float32"),
    ):
        check(lambda np, x=x: np.linalg.det(x), 1e-4)
        check(lambda np, x=x: tuple(np.linalg.slogdet(x)), 1e-4)
    for x in (A, Z, STACK):
        sign, size = np.linalg.slogdet(x, method="qr")
        numpy.testing.assert_allclose(sign * np.exp(size), numpy.linalg.det(x), rtol=1e-4)
    sign, size = np.linalg.slogdet(np.zeros((2, 2)))
    assert sign == 0 and size == -numpy.inf
    assert np.linalg.det(np.array([[1, 2], [3, 4]])) == -2


def test_factors() -> None:
    check(lambda np: np.linalg.cholesky(SPD), 1e-5)
    check(lambda np: np.linalg.cholesky(SPD, upper=True), 1e-5)
    for mode in ("reduced", "complete", "r"):
        for x in (TALL, WIDE, A, Z, STACK):
            check(
                lambda np, m=mode, x=x: (np.linalg.qr(x, m),) if m == "r" else tuple(np.linalg.qr(x, m)), 1e-5
            )
    for x in (TALL, WIDE):
        check(lambda np, x=x: tuple(np.linalg.qr(x, "raw")), 1e-5)
    assert np.linalg.qr(TALL).Q.shape == np.linalg.qr(TALL, "full").Q.shape == (4, 3)
    lower = numpy.tril(SPD) + 9 * numpy.triu(numpy.ones((3, 3), "float32"), 1)
    numpy.testing.assert_allclose(
        np.linalg.cholesky(lower, symmetrize_input=False), numpy.linalg.cholesky(SPD), rtol=1e-5, atol=1e-6
    )


def test_cross_products_of_three_components() -> None:
    check(lambda np: np.linalg.cross(random_like(TALL), TALL), 1e-5)
    check(lambda np: np.linalg.cross(WIDE, WIDE[:, ::-1], axis=0), 1e-5)
    with pytest.raises(ValueError, match="x2 must be of vectors with three components, got 4"):
        np.linalg.cross(WIDE[:, :3], WIDE)


def difference(fun: Any, x: numpy.ndarray, t: numpy.ndarray, h: float = 1e-5) -> numpy.ndarray:
    return (numpy.asarray(fun(x + h * t)) - numpy.asarray(fun(x - h * t))) / (2 * h)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_derivatives_of_determinants(wide: None, n: int, dtype: str) -> None:
    x, t = random(2, n, n, dtype=dtype), random(2, n, n, dtype=dtype)
    for fun in (
        np.linalg.det,
        lambda x: np.linalg.slogdet(x)[0],
        lambda x: np.linalg.slogdet(x)[1],
        lambda x: np.linalg.slogdet(x, method="qr")[1],
    ):
        first = lambda x, fun=fun: anima.jvp(fun, (x,), (t,))[1]
        numpy.testing.assert_allclose(first(x), difference(fun, x, t), rtol=1e-5, atol=1e-6)
        second = anima.jvp(first, (x,), (t,))[1]
        numpy.testing.assert_allclose(second, difference(first, x, t), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "x",
    [RANK_3, numpy.zeros((4, 4)), numpy.eye(4, k=1), numpy.diag([0.0, 0, 1, 2]), numpy.diag([1.0, 0, 1, 2])],
)
def test_the_gradient_of_det_is_the_matrix_of_cofactors(wide: None, x: numpy.ndarray) -> None:
    """Also of singular matrices, by minors."""
    minor = lambda i, j: numpy.delete(numpy.delete(x, i, 0), j, 1)
    cofactors = [[(-1) ** (i + j) * numpy.linalg.det(minor(i, j)) for j in range(4)] for i in range(4)]
    for gradient in (
        anima.grad(np.linalg.det)(x),
        anima.jit(anima.vmap(anima.grad(np.linalg.det)))(x[None])[0],
    ):
        numpy.testing.assert_allclose(gradient, cofactors, atol=1e-12)


def test_derivatives_of_solutions(wide: None) -> None:
    a, b = random(3, 3, dtype="float64"), random(3, dtype="float64")
    ta, tb = random(3, 3, dtype="float64"), random(3, dtype="float64")
    along = lambda h: np.linalg.solve(a + h * ta, b + h * tb)
    for order, fun in enumerate((along, lambda h: anima.jvp(along, (h,), (1.0,))[1])):
        slope = anima.jvp(fun, (0.0,), (1.0,))[1]
        numpy.testing.assert_allclose(slope, (fun(1e-5) - fun(-1e-5)) / 2e-5, rtol=1e-5 * 10**order)
    hessian = anima.jit(anima.hessian(lambda a: np.linalg.solve(a, b).sum()))(a)
    numpy.testing.assert_allclose(hessian, hessian.transpose(2, 3, 0, 1), rtol=1e-8)
    jacobians = [make(np.linalg.inv)(a) for make in (anima.jacfwd, anima.jacrev)]
    numpy.testing.assert_allclose(*jacobians, rtol=1e-8)
    mapped = anima.vmap(anima.vmap(np.linalg.solve, (None, 0)), (0, None))(
        numpy.stack([a, ta]), numpy.stack([b, tb])
    )
    numpy.testing.assert_allclose(mapped[1, 0], numpy.linalg.solve(ta, b), rtol=1e-8)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: np.linalg.solve(TALL, TALL[0]),
            r"solve: a must be a stack of square matrices, got shape \(4, 3\)",
        ),
        (lambda: np.linalg.solve(A, TALL[:3, 0]), r"solve: b must have as many rows as a"),
        (lambda: np.linalg.solve(STACK, TALL[:2]), r"for a stack of vectors use solve\(a, b\[..., None\]\)"),
        (lambda: np.linalg.inv(TALL), "inv: a must be a stack of square matrices"),
        (lambda: np.linalg.det(TALL[0]), "det: a must be a stack of square matrices"),
        (lambda: np.linalg.slogdet(A, method="x"), "slogdet: method must be 'lu' or 'qr'"),
        (lambda: np.linalg.slogdet(TALL), "slogdet: a must be a stack of square matrices"),
        (lambda: np.linalg.cholesky(TALL), "cholesky: a must be a stack of square matrices"),
        (lambda: np.linalg.qr(A, "economic"), "qr: mode must be 'reduced'"),
        (lambda: np.linalg.qr(A[0]), "qr: a must have at least 2 dimensions"),
        (lambda: np.linalg.tensorinv(A, 0), "tensorinv: ind must be a positive integer"),
        (lambda: np.linalg.tensorinv(TALL, 1), "tensorinv: the first 1 dimensions"),
        (lambda: np.linalg.lstsq(A, TALL[:3]), "lstsq: a must be a matrix and b a vector or matrix"),
        (lambda: np.linalg.tensorsolve(TALL, TALL[:, 0]), "tensorsolve: the first 1 dimensions"),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (3, 3)])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_least_squares(shape: tuple[int, int], dtype: str) -> None:
    a, b = random(*shape, dtype=dtype), random(shape[0], 2, dtype=dtype)
    for right in (b, b[:, 0]):
        for x in (a, numpy.concatenate([a[:, :1], a[:, :-1]], 1)):
            found = np.linalg.lstsq(x, right, numpy_resid=True)
            expected = numpy.linalg.lstsq(x, right, None)
            for one, other in zip(found, expected):
                numpy.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    assert np.linalg.lstsq(np.eye(2), np.ones(2))[1].shape == (1,)


def test_derivatives_of_least_squares(wide: None) -> None:
    """For full and for lower ranks, to second order, also where singular values are equal."""
    tall = numpy.eye(4, 3)
    low = random(4, 2, dtype="float64") @ random(2, 3, dtype="float64")
    left, right, b = (random(*s, dtype="float64") for s in ((4, 4), (3, 3), (4,)))
    for a, change in (
        (tall, random(4, 3, dtype="float64")),
        (tall.T, random(3, 4, dtype="float64")),
        (low, left @ low + low @ right),
    ):
        # Multiplied from both sides, a matrix keeps its rank.
        along = (
            (lambda h: (numpy.eye(4) + h * left) @ low @ (numpy.eye(3) + h * right))
            if a is low
            else (lambda h, a=a, change=change: a + h * change)
        )
        fun = lambda h, along=along, a=a: np.linalg.lstsq(along(h), b[: a.shape[0]], 1e-9)[0]
        first = lambda h, fun=fun: anima.jvp(fun, (h,), (1.0,))[1]
        second = lambda h, first=first: anima.jvp(first, (h,), (1.0,))[1]
        numpy.testing.assert_allclose(first(0.0), (fun(1e-5) - fun(-1e-5)) / 2e-5, rtol=1e-5, atol=1e-5)
        numpy.testing.assert_allclose(second(0.0), (first(1e-5) - first(-1e-5)) / 2e-5, rtol=1e-4, atol=1e-4)
        gradient = anima.jit(anima.grad(lambda a, n=a.shape[0]: np.linalg.lstsq(a, b[:n], 1e-9)[0].sum()))(a)
        numpy.testing.assert_allclose((gradient * change).sum(), first(0.0).sum(), rtol=1e-7)


def test_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="inv requires ndarray or scalar arguments, got list"):
        np.linalg.inv([[1.0, 2.0], [3.0, 4.0]])
