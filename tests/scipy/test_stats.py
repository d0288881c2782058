"""`scipy.stats`: values against SciPy in and outside of the support, tails against mpmath, derivatives, dtypes, errors."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.stats

import anima
import anima.numpy as anp
from anima.scipy import stats

X = np.array([-np.inf, -2.0, -1.0, -0.5, 0.0, 0.3, 1.0, 1.5, 2.0, 7.0, np.inf, np.nan])
Q = np.array([-0.1, 0.25, 0.9, 1.1, np.nan])

# Parameters of each distribution, the last of which are none, and a point where it is smooth.
CASES: dict[str, tuple[list[tuple[Any, ...]], float]] = {
    "bernoulli": ([(0.3,), (0.0,), (1.0,), (1.5,)], 1),
    "beta": ([(2.0, 3.0), (1.0, 1.0), (0.5, 0.5), (40.0, 30.0), (-1.0, 2.0)], 0.3),
    "betabinom": ([(3, 2.0, 1.5), (3, -1.0, 1.0)], 1),
    "binom": ([(3, 0.3), (3, 0.0), (3, 1.0), (2.5, 0.3)], 1),
    "cauchy": ([()], 0.3),
    "chi2": ([(2.0,), (5.0,), (-1.0,)], 0.3),
    "expon": ([()], 0.3),
    "gamma": ([(2.0,), (1.0,), (0.5,), (30.0,)], 0.3),
    "gennorm": ([(1.5,), (-1.0,)], 0.3),
    "geom": ([(0.3,), (1.0,), (0.0,)], 2),
    "gumbel_l": ([()], 0.3),
    "gumbel_r": ([()], 0.3),
    "laplace": ([()], 0.3),
    "logistic": ([()], 0.3),
    "nbinom": ([(3, 0.3), (2.5, 1.0), (3, 0.0)], 2),
    "norm": ([()], 0.3),
    "pareto": ([(2.0,), (-1.0,)], 1.5),
    "poisson": ([(2.0,), (0.0,), (-1.0,)], 1),
    "t": ([(3.0,), (np.inf,), (-1.0,)], 0.3),
    "truncnorm": ([(-1.0, 1.5), (1.0, 4.0), (-9.0, -6.0), (1.5, -1.0)], 0.3),
    "uniform": ([()], 0.3),
    "vonmises": ([(1.5,), (0.0,), (-1.0,)], 0.3),
    "wrapcauchy": ([(0.5,), (1.5,)], 0.3),
}
# SciPy has NaN for some densities at infinity, where they are 0.
FUNCTIONS = [
    (name, fun)
    for name in CASES
    for fun in ("logpdf", "pdf", "logpmf", "pmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
    if hasattr(getattr(stats, name), fun)
]


NO_LOCATION = {"gennorm", "vonmises", "wrapcauchy"}


def functions(name: str) -> list[str]:
    return [fun for other, fun in FUNCTIONS if other == name]


def discrete(name: str) -> bool:
    return hasattr(getattr(stats, name), "pmf")


def rows(name: str) -> np.ndarray:
    """All parameters, with and without another location and scale, and one scale that is none."""
    moves = [(0.0,), (3.0,)] if discrete(name) else [(0.0, 1.0), (3.0, 2.0)]
    moves = [()] if name in NO_LOCATION else moves
    found = [(*parameters, *move) for parameters in CASES[name][0] for move in moves]
    if not discrete(name) and name not in NO_LOCATION:
        found.append((*CASES[name][0][0], 3.0, -2.0))
    return np.array(found).reshape(len(found), -1)


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_are_those_of_scipy(name: str) -> None:
    # One program computes all functions of all parameters.
    ours, theirs = getattr(stats, name), getattr(scipy.stats, name)
    parameters = rows(name)
    points = np.concatenate([X, 3 + X, 3 + 2 * X])
    columns = list(parameters.T[:, :, None])
    arguments = {fun: Q if fun in ("ppf", "isf") else points for fun in functions(name)}
    with anima.enable_x64(True), np.errstate(all="ignore"):
        taken = {fun: len(inspect.signature(getattr(ours, fun)).parameters) - 1 for fun in arguments}
        program = lambda x, p: {fun: getattr(ours, fun)(x[fun], *p[: taken[fun]]) for fun in x}
        found = anima.jit(program)(arguments, columns)
        for fun, got in found.items():
            x = arguments[fun]
            want = getattr(theirs, fun)(x, *columns[: taken[fun]])
            want = np.where(np.isinf(x) & np.isnan(want) & (parameters[:, -1:] != -2), got, want)
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-15, err_msg=fun)
        assert getattr(ours, functions(name)[0])(CASES[name][1], *CASES[name][0][0]).shape == ()


def variables(name: str, fun: str) -> list[int]:
    """The arguments by which there are derivatives."""
    fixed = {0} if discrete(name) else set()  # counts
    fixed |= {1} if name in ("binom", "betabinom") else set()
    fixed |= {0, 1} if (name, fun) == ("bernoulli", "ppf") else set()
    return [i for i in range(1 + len(CASES[name][0][0])) if i not in fixed]


@pytest.mark.parametrize("name", sorted(CASES))
def test_derivatives_are_those_of_differences(name: str) -> None:
    """In the support; and outside of it they are finite."""
    (parameters, *_), point = CASES[name]
    tested = [f for f in functions(name) if f in ("logpdf", "logpmf", "logsf", "cdf", "ppf")]
    size, step = 1 + len(parameters), 1e-5
    # The point, its neighbours in all directions, and two points outside.
    center = np.array([point, *parameters], float)
    moves = np.concatenate([np.zeros((1, size)), step * np.eye(size), -step * np.eye(size)])
    outside = [[x, *parameters] for x in (-3.0, 9.5)]
    places = np.concatenate([center + moves, outside])

    def program(x: Any) -> dict[str, tuple[Any, Any]]:
        result = {}
        for fun in tested:
            function = getattr(getattr(stats, name), fun)
            first = x[0] - (point - 0.3) if fun == "ppf" else x[0]
            result[fun] = anima.value_and_grad(function, tuple(range(size)))(first, *x[1:])
        return result

    with anima.enable_x64(True):
        found = anima.jit(anima.vmap(program))(places)
    for fun, (values, slopes) in found.items():
        values, slopes = np.asarray(values), np.stack(slopes, -1)
        with np.errstate(invalid="ignore"):  # counts that are moved have no probability
            want = (values[1 : size + 1] - values[size + 1 : 2 * size + 1]) / (2 * step)
        chosen = variables(name, fun)
        np.testing.assert_allclose(
            slopes[0, chosen], want[chosen], rtol=1e-6, atol=1e-8, err_msg=f"{name}.{fun}"
        )
        if fun != "ppf":
            assert np.isfinite(slopes[-2:]).all(), (fun, slopes[-2:])


def test_tails_keep_their_digits() -> None:
    with mpmath.workdps(60):
        exp, log = mpmath.exp, mpmath.log
        z = mpmath.mpf(50)
        table = [
            (stats.norm.logcdf(-50.0), log(mpmath.ncdf(-z))),
            (stats.norm.logsf(30.0), log(mpmath.ncdf(-30))),
            (stats.norm.logcdf(7.0), mpmath.log1p(-mpmath.ncdf(-7))),
            (stats.logistic.sf(50.0), 1 / (1 + exp(z))),
            (stats.cauchy.cdf(-1e10), mpmath.atan(mpmath.mpf(10) ** -10) / mpmath.pi),
            (stats.cauchy.logpdf(1e30), -log(mpmath.pi) - 60 * log(10)),
            (stats.cauchy.ppf(1e-12), -mpmath.cot(mpmath.pi * mpmath.mpf("1e-12"))),
            (stats.gumbel_r.logsf(50.0), log(-mpmath.expm1(-exp(-z)))),
            (stats.gumbel_r.logsf(3000.0), mpmath.mpf(-3000)),
            (stats.gumbel_l.logcdf(-50.0), log(-mpmath.expm1(-exp(-z)))),
            (stats.expon.logcdf(1e-12), log(-mpmath.expm1(-mpmath.mpf("1e-12")))),
            (stats.pareto.logcdf(100.0, 9.0), mpmath.log1p(-(mpmath.mpf(100) ** -9))),
            (stats.gamma.logcdf(60.0, 2.0), mpmath.log1p(-61 * exp(-60))),
            (
                stats.t.logpdf(1.0, 1e7),
                (mpmath.loggamma(5000000.5) - mpmath.loggamma(5000000))
                - log(mpmath.pi * 10**7) / 2
                - mpmath.mpf(10000001) / 2 * mpmath.log1p(mpmath.mpf("1e-7")),
            ),
            (
                stats.poisson.logpmf(1e6, 1e6),
                -mpmath.mpf(10**6) + 10**6 * log(10**6) - mpmath.loggamma(10**6 + 1),
            ),
            (stats.binom.logpmf(5e5, 1e6, 0.5), log(mpmath.binomial(10**6, 5 * 10**5)) - 10**6 * log(2)),
            (
                stats.truncnorm.logpdf(40.0, 39.0, 41.0),
                -800 - log(2 * mpmath.pi) / 2 - log(mpmath.ncdf(-39) - mpmath.ncdf(-41)),
            ),
        ]
    for got, want in table:
        np.testing.assert_allclose(float(got), float(want), rtol=2e-6)


def test_entropy_of_poisson() -> None:
    with anima.enable_x64(True):
        means = np.array([0.0, 0.1, 3.0, 39.0, 99.9, 100.1, 1000.0])
        np.testing.assert_allclose(
            stats.poisson.entropy(means), scipy.stats.poisson.entropy(means), rtol=1e-12, atol=1e-15
        )
        assert np.isnan(stats.poisson.entropy(-1.0)) and stats.poisson.entropy(np.zeros((0, 2))).shape == (
            0,
            2,
        )


def test_dtypes_and_errors() -> None:
    for dtype, want in (
        ("int8", "float32"),
        ("bool", "float32"),
        ("bfloat16", "bfloat16"),
        ("float16", "float16"),
    ):
        for name, (parameters, _) in CASES.items():
            fun = getattr(stats, name).pmf if discrete(name) else getattr(stats, name).logpdf
            found = anima.eval_shape(fun, *[anp.ones(2, dtype)] * (1 + len(parameters[0])))
            assert found.dtype == want and not found.weak_type, name
    half = stats.gamma.logpdf(anp.ones(2, "float16"), anp.full(2, 2, "float16"))
    assert half.tolist() == [-1, -1] and half.dtype == np.float16
    assert stats.norm.logpdf(1).weak_type and not stats.norm.cdf(1).weak_type
    assert stats.norm.logpdf(np.complex64(1 + 1j)).dtype == np.complex64
    with pytest.raises(TypeError, match="real numbers"):
        stats.gamma.logpdf(1j, 2.0)
    with pytest.raises(TypeError, match="incompatible shapes"):
        stats.norm.cdf(np.ones(2), np.ones(3))
    with pytest.raises(TypeError, match="numpy.asarray"):
        stats.norm.cdf([1.0])
    with pytest.raises(AttributeError, match="nothing"):
        _ = stats.nothing


def test_transformations_compose() -> None:
    x = anp.linspace(0.5, 2.0, 4)
    for fun in (stats.norm.logpdf, lambda x: stats.gamma.logpdf(x, 2.0), lambda x: stats.t.logpdf(x, 4.0)):
        slope = anima.vmap(anima.grad(fun))(x)
        np.testing.assert_allclose(slope, anima.jit(anima.vmap(anima.grad(fun)))(x), rtol=1e-6)
        curvature = np.diag(anima.hessian(lambda x, fun=fun: fun(x).sum())(x))
        np.testing.assert_allclose(curvature, anima.vmap(anima.grad(anima.grad(fun)))(x), rtol=1e-5)
    assert stats.norm.cdf(anp.zeros((0, 3)), anp.zeros(3)).shape == (0, 3)


def test_every_function_says_what_it_does() -> None:
    for name, fun in FUNCTIONS:
        words = inspect.getdoc(getattr(getattr(stats, name), fun)) or ""
        assert "Args:" in words and ">>>" in words and "Raises:" in words, (name, fun)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys, anima, anima.scipy; print([m for m in sys.modules if m.startswith('anima.scipy.stats')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
