"""`scipy.optimize`: minima of known functions, the Wolfe conditions, stopping, transformations, dtypes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import anima
import anima.numpy as anp
from anima.scipy import optimize
from anima.scipy.optimize.line_search import CURVATURE, DECREASE, search

LBFGS = "l-bfgs-experimental-do-not-rely-on-this"
METHODS = ("BFGS", LBFGS)


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def himmelblau(x: Any) -> Any:
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def beale(x: Any) -> Any:
    return sum((a - x[0] + x[0] * x[1] ** n) ** 2 for n, a in ((1, 1.5), (2, 2.25), (3, 2.625)))


# J. Moré, B. Garbow and K. Hillstrom, "Testing unconstrained optimization software", 1981: starts and minima
KNOWN: list[tuple[Callable[[Any], Any], list[float], list[float]]] = [
    (rosenbrock, [-1.2, 1.0], [1.0, 1.0]),
    (rosenbrock, [0.0] * 3, [1.0] * 3),
    (beale, [1.0, 1.0], [3.0, 0.5]),
    (himmelblau, [1.0, 1.0], [3.0, 2.0]),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", range(len(KNOWN)))
def test_minima(method: str, case: int) -> None:
    fun, start, minimum = KNOWN[case]
    with anima.enable_x64(True):
        options = {"gtol": 1e-7} if method == "BFGS" else {"gtol": 1e-7, "ftol": 0}
        found = optimize.minimize(fun, np.array(start), method=method, options=options)
        assert found.success and found.status == 0
        np.testing.assert_allclose(found.x, minimum, atol=1e-6)
        assert np.abs(found.jac).max() <= 1e-7
        np.testing.assert_allclose(found.jac, anima.grad(fun)(found.x), atol=1e-12)
        assert found.fun == pytest.approx(float(fun(found.x)), abs=1e-14)
        assert found.nfev == found.njev >= found.nit > 0
        peer = scipy.optimize.minimize(fun, start, jac=anima.grad(fun), method="BFGS")
        assert found.nfev < 3 * peer.nfev
    if method == "BFGS":
        # in single precision too
        assert (
            np.abs(optimize.minimize(fun, anp.array(start), method=method).x - np.array(minimum)).max() < 1e-3
        )


def test_the_inverse_hessian() -> None:
    a = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
    with anima.enable_x64(True):
        found = optimize.minimize(
            lambda x: x @ a @ x / 2 - x.sum(), np.zeros(3), method="BFGS", options={"gtol": 1e-12}
        )
        np.testing.assert_allclose(found.x, np.linalg.solve(a, np.ones(3)), rtol=1e-10)
        np.testing.assert_allclose(found.hess_inv, np.linalg.inv(a), rtol=0.05)
    assert optimize.minimize(lambda x: (x**2).sum(), anp.ones(2), method=LBFGS).hess_inv is None


@pytest.mark.parametrize("scale", [1e-4, 0.5, 30.0])
def test_steps_satisfy_the_wolfe_conditions(scale: float) -> None:
    with anima.enable_x64(True):
        objective = anima.value_and_grad(lambda x: rosenbrock(x) + anp.cos(3 * x).sum())

        @anima.jit
        def step(x: Any) -> Any:
            value, gradient = objective(x)
            line = search(objective, x, -gradient, value, gradient, anp.asarray(scale), 30)
            return value, gradient, line, objective(x - line.low.step * gradient)

        for x in np.random.default_rng(0).normal(size=(20, 3)):
            value, gradient, line, (there, slope) = step(x)
            start = -(gradient @ gradient)
            assert line.found and line.low.step > 0
            assert there <= value + DECREASE * line.low.step * start
            assert abs(slope @ gradient) <= -CURVATURE * start
            np.testing.assert_allclose(line.gradient, slope, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_what_stops_a_method(method: str) -> None:
    run = lambda fun, x0, **options: optimize.minimize(fun, anp.array(x0), method=method, options=options)
    few = run(rosenbrock, [-1.2, 1.0], maxiter=3)
    assert (few.status, few.success, few.nit) == (1, False, 3)
    none = run(rosenbrock, [-1.2, 1.0], maxiter=0)
    assert (none.status, none.nit, none.nfev) == (1, 0, 1)
    there = run(lambda x: (x**2).sum(), [0.0, 0.0])
    assert (there.status, there.success, there.nit, there.nfev) == (0, True, 0, 1)
    lost = run(lambda x: x.sum() * np.nan, [1.0, 1.0])
    assert (lost.status, lost.success) == (5, False)
    downwards = run(lambda x: x.sum(), [1.0, 1.0])
    assert (downwards.status, downwards.success) == (1, False) and downwards.fun < -1000
    kink = run(lambda x: abs(x - 1 / 3).sum(), [1.0, 1.0])
    assert not kink.success and kink.status in (3, 4, 5) and kink.fun < 0.1
    empty = run(lambda x: (x**2).sum(), np.zeros(0))
    assert empty.success and empty.x.shape == (0,)
    loose, tight = (run(rosenbrock, [-1.2, 1.0], gtol=g).nit for g in (1.0, 1e-4))
    assert loose < tight
    flat = run(lambda x: ((x - 1) ** 2).sum(), [0.0] * 4, gtol=3.9, norm=2)
    assert np.linalg.norm(flat.jac) <= 3.9
    tolerance = optimize.minimize(rosenbrock, anp.array([-1.2, 1.0]), method=method, tol=1.0)
    assert tolerance.nit <= loose


def test_what_stops_l_bfgs_alone() -> None:
    run = lambda **options: optimize.minimize(
        rosenbrock, anp.array([-1.2, 1.0]), method=LBFGS, options=options
    )
    assert run(maxfun=5).status == 2 and run(maxfun=5).nfev >= 5
    assert run(maxgrad=5).status == 3
    assert run(ftol=1e-1).status == 4 and not run(ftol=1e-1).success
    assert run(maxls=0).status == 5
    assert np.abs(run(maxcor=2, gtol=1e-3, ftol=0).x - 1).max() < 1e-2


@pytest.mark.parametrize("method", METHODS)
def test_transformations(method: str) -> None:
    curve = np.array([1.0, 3.0])
    options = {"gtol": 1e-9} if method == "BFGS" else {"gtol": 1e-9, "ftol": 0}

    def lowest(a: Any) -> Any:
        # 4 (x - a)^3 c + 2 (x - 2 a) = 0
        fun = lambda x, a: (curve * (x - a) ** 4 + (x - 2 * a) ** 2).sum()
        return optimize.minimize(fun, anp.ones(2), (a,), method=method, options=options).x

    with anima.enable_x64(True):
        places = np.array([0.3, 0.5, 2.0])
        alone = np.stack([lowest(a) for a in places])
        assert (
            np.abs(4 * curve * (alone - places[:, None]) ** 3 + 2 * (alone - 2 * places[:, None])).max()
            < 1e-6
        )
        np.testing.assert_allclose(anima.jit(anima.vmap(lowest))(places), alone, rtol=1e-6)
        bend = 12 * curve * (alone[0] - 0.3) ** 2
        slope = anima.jit(anima.jacfwd(lowest))(0.3)
        np.testing.assert_allclose(slope, (bend + 4) / (bend + 2), rtol=1e-4)
        with pytest.raises(ValueError, match="[Rr]everse"):
            anima.jit(anima.grad(lambda a: lowest(a).sum()))(0.3)


@pytest.mark.parametrize("method", METHODS)
def test_dtypes_and_complex_numbers(method: str) -> None:
    for dtype in ("float16", "bfloat16", "float32"):
        found = optimize.minimize(lambda x: ((x - 1) ** 2).sum(), anp.zeros(2, dtype), method=method)
        assert found.success and {found.x.dtype, found.fun.dtype, found.jac.dtype} == {anp.dtype(dtype)}
        assert (found.status.dtype, found.nit.weak_type, found.success.dtype) == (np.int32, True, np.bool_)
    target = np.array([1 + 2j, -3j])
    found = optimize.minimize(
        lambda z: (abs(z - target) ** 4 + abs(z) ** 2).sum(), anp.zeros(2) + 1j, method=method
    )
    fun = lambda z: (abs(z - target) ** 4 + abs(z) ** 2).sum()
    assert found.x.dtype == np.complex64
    np.testing.assert_allclose(found.jac, anima.grad(fun)(found.x), atol=1e-5)
    assert np.abs(found.jac).max() < 1e-3
    if method == "BFGS":
        assert found.hess_inv.shape == (4, 4)


def test_errors() -> None:
    square, x = lambda x: (x**2).sum(), anp.ones(2)
    for error, match, call in (
        (ValueError, "method must be", lambda: optimize.minimize(square, x, method="CG")),
        (TypeError, "args must be a tuple", lambda: optimize.minimize(square, x, 3.0, method="BFGS")),
        (TypeError, "floating-point", lambda: optimize.minimize(square, anp.arange(2), method="BFGS")),
        (TypeError, "list", lambda: optimize.minimize(square, [1.0], method="BFGS")),
        (ValueError, "vector", lambda: optimize.minimize(square, anp.ones((2, 2)), method="BFGS")),
        (
            TypeError,
            "maxls.*does not know",
            lambda: optimize.minimize(square, x, method="BFGS", options={"maxls": 1}),
        ),
        (TypeError, "scalar", lambda: optimize.minimize(lambda x: x, x, method="BFGS")),
    ):
        with pytest.raises(error, match=match):
            call()
    assert optimize.minimize(square, x, method="bfgs").success
