"""Solutions and their derivatives against closed forms and SciPy."""

from __future__ import annotations

import numpy as onp
import pytest
import scipy.integrate

import anima
import anima.numpy as np
from anima.config import enable_x64
from anima.experimental.ode import odeint

TIMES = onp.array([0.0, 0.5, 1.3, 2.0])


@pytest.fixture(autouse=True)
def in_64_bits():
    with enable_x64(True):
        yield


def pendulum(y, t, length):
    return np.stack([y[1], -np.sin(y[0]) / length - 0.1 * t * y[1]])


def test_scipy() -> None:
    fun = lambda t, y: onp.array([y[1], -onp.sin(y[0]) / 0.7 - 0.1 * t * y[1]])
    start = onp.array([1.0, 0.2])
    want = scipy.integrate.solve_ivp(fun, (0, 2), start, "DOP853", TIMES, rtol=1e-12, atol=1e-12).y.T
    onp.testing.assert_allclose(odeint(pendulum, start, TIMES, 0.7), want, atol=1e-7)
    onp.testing.assert_allclose(anima.jit(lambda y: odeint(pendulum, y, TIMES, 0.7))(start), want, atol=1e-7)
    coarse = onp.abs(odeint(pendulum, start, TIMES, 0.7, rtol=1e-3, atol=1e-3) - want).max()
    assert 1e-7 < coarse < 1e-2
    fine = onp.abs(odeint(pendulum, start, TIMES, 0.7, rtol=1e-3, atol=1e-3, hmax=0.01) - want).max()
    assert fine < coarse / 10


def test_trees_and_complex_states() -> None:
    state = {"a": np.ones(2), "b": (np.array(1.0 + 0j),)}
    fun = lambda y, t, k: {"a": -k * y["a"], "b": (1j * y["b"][0],)}
    got = odeint(fun, state, TIMES, 0.5)
    onp.testing.assert_allclose(got["a"][:, 1].real, onp.exp(-0.5 * TIMES), rtol=1e-6)
    onp.testing.assert_allclose(got["b"][0], onp.exp(1j * TIMES), rtol=1e-6)


def test_derivatives() -> None:
    solve = lambda y, t, k: odeint(lambda y, t, k: -k * y, y, t, k)
    y, k = 1.5, 0.8
    exact = y * onp.exp(-k * TIMES)
    total = lambda y, t, k: (solve(y, t, k) * onp.arange(1.0, 5.0)).sum()
    of_y, of_t, of_k = anima.grad(total, (0, 1, 2))(np.array(y), np.asarray(TIMES), np.array(k))
    weights = onp.arange(1.0, 5.0)
    onp.testing.assert_allclose(of_y, (weights * exact / y).sum(), rtol=1e-6)
    onp.testing.assert_allclose(of_k, -(weights * exact * TIMES).sum(), rtol=1e-6)
    later = -k * weights * exact
    later[0] = (k * weights * exact)[1:].sum()
    onp.testing.assert_allclose(of_t, later, rtol=1e-6)


def test_derivatives_by_closed_over_values_whole_numbers_and_in_batches() -> None:
    closed = lambda k: odeint(lambda y, t: -k * y, np.array(1.0), TIMES)[-1]
    onp.testing.assert_allclose(anima.grad(closed)(0.8), -2 * onp.exp(-1.6), rtol=1e-6)
    many = onp.array([0.1, 0.8, 2.0])
    onp.testing.assert_allclose(
        anima.jit(anima.vmap(anima.grad(closed)))(many), -2 * onp.exp(-2 * many), rtol=1e-5
    )
    whole = lambda y: odeint(lambda y, t, n: -n * y, y, TIMES, np.array(2))[-1]
    onp.testing.assert_allclose(anima.grad(whole)(1.0), onp.exp(-4), rtol=1e-6)
    turning = lambda a: odeint(lambda y, t: 1j * a * y, np.array(1 + 0j), np.array([0.0, 1.0]))[1].real
    onp.testing.assert_allclose(anima.grad(turning)(0.7), -onp.sin(0.7), rtol=1e-6)
    quadratic = lambda y: odeint(lambda y, t: -(y**2), y, np.array([0.0, 1.0]))[1]
    second = anima.jacrev(anima.grad(quadratic))(1.0)
    onp.testing.assert_allclose(second, -2 / 2**3, rtol=1e-5)


def test_times_that_are_not_reached_are_not_numbers() -> None:
    decay = lambda y, t: -100 * y
    assert onp.isnan(odeint(decay, np.array(1.0), TIMES, mxstep=3)).tolist() == [False, True, True, True]
    assert onp.isnan(odeint(decay, np.array(1.0), -TIMES)).tolist() == [False, True, True, True]
    assert onp.isnan(odeint(lambda y, t: 1 / (0 * y), np.array(1.0), TIMES)[1:]).all()
    assert odeint(decay, np.array(1.0), TIMES[:1]).tolist() == [1.0]
    onp.testing.assert_allclose(
        odeint(lambda y, t: -y, np.array(1.0), [0.0, 1.0, 1.0])[2], onp.exp(-1), rtol=1e-6
    )


def test_half_precision() -> None:
    got = odeint(lambda y, t: -y, np.array(1, np.float16), TIMES.astype(onp.float16), rtol=1e-2, atol=1e-2)
    assert got.dtype == np.float16
    onp.testing.assert_allclose(got, onp.exp(-TIMES), atol=0.03)


def test_refusals() -> None:
    fun = lambda y, t, *args: -y
    for call, kind, message in (
        (lambda: odeint(fun, 1.0, np.array([0, 1])), TypeError, "array of floats"),
        (lambda: odeint(fun, 1, TIMES), TypeError, "y0 must be"),
        (lambda: odeint(fun, 1.0, TIMES, "a"), TypeError, "arrays or scalars"),
        (lambda: odeint(fun, 1.0, TIMES[:0]), ValueError, "one-dimensional"),
        (lambda: odeint(lambda y, t: np.zeros(3), 1.0, TIMES), ValueError, "as many numbers"),
    ):
        with pytest.raises(kind, match=message):
            call()
