"""The incomplete gamma and beta functions at extremes, and their derivatives of several orders, against mpmath."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest

import anima
from anima import lax
from tests.lax.agreement import assert_close

INF, NAN = np.inf, np.nan


@pytest.fixture(autouse=True)
def _wide() -> Iterator[None]:
    with anima.enable_x64(True), mpmath.workdps(50):
        yield


def by_element(fun: Callable[..., Any], *args: np.ndarray) -> np.ndarray:
    values = [fun(*(mpmath.mpf(float(v)) for v in row)) for row in zip(*args)]
    return np.array([np.longdouble(mpmath.nstr(v, 25)) for v in values])


def lower(a: Any, x: Any) -> Any:
    return mpmath.gammainc(a, 0, x, regularized=True)


def density(a: Any, x: Any) -> Any:
    return mpmath.exp((a - 1) * mpmath.log(x) - x - mpmath.loggamma(a))


def central(fun: Callable[..., Any], index: int) -> Callable[..., Any]:
    """The derivative by the argument at `index`, by differences far below the precision of float64."""

    def slope(*args: Any) -> Any:
        with mpmath.workdps(80):
            step = args[index] * mpmath.mpf(10) ** -25
            high, low = ([*args[:index], args[index] + s, *args[index + 1 :]] for s in (step, -step))
            return (fun(*high) - fun(*low)) / (2 * step)

    return slope


# In every region: tiny, below and above 1.1, Temme's, and far from it for large `a`.
A = np.array([1e-6, 0.01, 0.5, 0.7, 3.0, 9.5, 15.0, 25.0, 25.0, 90.0, 900.0, 900.0, 4e4, 30.0, 30.0])
X = np.array([0.3, 1.05, 1.2, 0.2, 8.0, 9.0, 11.0, 24.0, 29.0, 93.0, 880.0, 1300.0, 4.02e4, 8.0, 70.0])


def test_values_in_every_region() -> None:
    assert_close(lax.igamma(A, X), by_element(lower, A, X), 64, "igamma")
    upper = by_element(lambda a, x: mpmath.gammainc(a, x, regularized=True), A[:10], X[:10])
    assert_close(lax.igammac(A[:10], X[:10]), upper, 64, "igammac")
    single = lax.igamma(A.astype(np.float32), X.astype(np.float32))
    assert_close(single, by_element(lower, A.astype(np.float32), X.astype(np.float32)), 64, "igamma, float32")


def test_derivatives_by_a_in_every_region() -> None:
    want = by_element(central(lower, 0), A, X)
    assert_close(lax.igamma_grad_a(A, X), want, 128, "igamma_grad_a")
    assert_close(anima.vmap(anima.grad(lax.igamma))(A, X), want, 128, "grad of igamma")
    samples = -want / by_element(density, A, X)
    assert_close(lax.random_gamma_grad(A, X), samples, 128, "random_gamma_grad")


def test_a_sample_has_a_derivative_where_its_density_vanishes() -> None:
    a, x = np.float32(500.0), np.float32(1200.0)
    got = float(lax.random_gamma_grad(a, x))
    upper = lambda a, x: mpmath.gammainc(a, x, regularized=True)
    point = (mpmath.mpf(500), mpmath.mpf(1200))
    want = central(upper, 0)(*point) / density(*point)
    assert abs(got / float(want) - 1) < 1e-5


@pytest.mark.parametrize("order", ["ax", "xx"])
def test_second_derivatives_of_igamma(order: str) -> None:
    a, x = np.array([0.7, 3.0, 40.0]), np.array([1.5, 2.0, 42.0])
    fun: Any = lax.igamma
    oracle: Any = lower
    for letter in order:
        index = "ax".index(letter)
        fun, oracle = anima.grad(fun, index), central(oracle, index)
    want = by_element(oracle, a, x)
    assert_close(anima.jit(anima.vmap(fun))(a, x), want, 4096, order, floor=1e-3)


def test_derivatives_of_a_sample() -> None:
    a, x = np.array([0.7, 3.0]), np.array([1.5, 2.0])

    def sample(a: Any, x: Any) -> Any:
        return -central(lower, 0)(a, x) / density(a, x)

    for index in (0, 1):
        got = anima.vmap(anima.grad(lax.random_gamma_grad, index))(a, x)
        assert_close(got, by_element(central(sample, index), a, x), 512, f"by argument {index}")


def test_igamma_at_the_ends() -> None:
    a = np.array([0.0, 0.0, 1.0, 1.0, INF, INF, -1.0, 1.0, NAN, 1.0])
    x = np.array([1.0, 0.0, 0.0, INF, 1.0, INF, 1.0, -1.0, 1.0, NAN])
    want = np.array([1.0, NAN, 0.0, 1.0, 0.0, 1.0, NAN, NAN, NAN, NAN])
    np.testing.assert_array_equal(lax.igamma(a, x), want)
    np.testing.assert_array_equal(lax.igammac(a, x), 1 - want)
    by_x = anima.vmap(anima.grad(lax.igamma, 1))(np.array([0.5, 1.0, 2.0]), np.zeros(3))
    np.testing.assert_array_equal(by_x, [INF, 1.0, 0.0])


# --- the beta function ------------------------------------------------------------------------

P = np.array([0.3, 2.0, 5.0, 40.0, 3000.0, 1e-3, 0.5])
Q = np.array([0.7, 3.0, 1.5, 60.0, 2000.0, 2.0, 1e-2])
Z = np.array([0.2, 0.7, 0.9, 0.42, 0.603, 0.4, 0.8])


def beta(a: Any, b: Any, x: Any) -> Any:
    return mpmath.betainc(a, b, 0, x, regularized=True)


def test_betainc_and_its_derivatives() -> None:
    assert_close(lax.betainc(P, Q, Z), by_element(beta, P, Q, Z), 256, "betainc")
    for index in range(3):
        got = anima.vmap(anima.grad(lax.betainc, index))(P, Q, Z)
        assert_close(got, by_element(central(beta, index), P, Q, Z), 1024, f"by argument {index}")


def test_second_derivatives_of_betainc() -> None:
    args = (np.array([2.0, 5.0]), np.array([3.0, 1.5]), np.array([0.7, 0.3]))
    for pair in ((0, 1), (0, 2), (2, 2)):
        fun, oracle = lax.betainc, beta
        for index in pair:
            fun, oracle = anima.grad(fun, index), central(oracle, index)
        got = anima.jit(anima.vmap(fun))(*args)
        assert_close(got, by_element(oracle, *args), 4096, f"by arguments {pair}")


def test_betainc_at_the_ends() -> None:
    a = np.array([0.0, 1.0, 0.0, INF, 1.0, INF, -1.0, 1.0, 1.0, 2.0, 2.0])
    b = np.array([1.0, 0.0, 0.0, 1.0, INF, INF, 1.0, 1.0, 1.0, 2.0, 2.0])
    x = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, -0.1, 1.1, 0.0, 1.0])
    want = [1.0, 0.0, NAN, 0.0, 1.0, NAN, NAN, NAN, NAN, 0.0, 1.0]
    np.testing.assert_array_equal(lax.betainc(a, b, x), want)
    by_x = anima.vmap(anima.grad(lax.betainc, 2))(np.array([0.5, 1.0, 2.0]), np.full(3, 3.0), np.zeros(3))
    np.testing.assert_array_equal(by_x, [INF, 3.0, 0.0])


def test_loops_run_inside_loops_and_choices() -> None:
    def body(x: Any) -> Any:
        return lax.cond(x < 2.0, lambda x: lax.igamma(1.5, x) + x, lambda x: x / 9, x)

    looped = lax.fori_loop(0, 3, lambda i, x: body(x), np.float64(0.5))
    want = body(body(body(np.float64(0.5))))
    np.testing.assert_allclose(float(looped), float(want), rtol=1e-14)


def test_empty_arrays_scalars_and_errors() -> None:
    assert lax.igamma(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 2)
    assert lax.betainc(1.0, 2.0, 0.5).shape == ()
    assert lax.betainc(1.0, 2.0, 0.5).weak_type
    with pytest.raises(TypeError, match="igamma requires arguments to have the same dtypes"):
        lax.igamma(np.float32(1), np.float64(1))
    with pytest.raises(TypeError, match="igamma does not accept dtype int"):
        lax.igamma(1, 2)
