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


@pytest.mark.parametrize(("name", "fun"), FUNCTIONS)
def test_values_are_those_of_scipy(name: str, fun: str) -> None:
    ours, theirs = (getattr(getattr(lib, name), fun) for lib in (stats, scipy.stats))
    points = Q if fun in ("ppf", "isf") else X
    with anima.enable_x64(True), np.errstate(all="ignore"):
        for parameters in CASES[name][0]:
            got, want = np.asarray(ours(points, *parameters)), theirs(points, *parameters)
            want = np.where(np.isinf(points) & np.isnan(want), got, want)
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"gennorm", "vonmises", "wrapcauchy"}))
def test_location_and_scale(name: str) -> None:
    parameters, point = CASES[name]
    discrete = hasattr(getattr(stats, name), "pmf")
    fun = "logpmf" if discrete else "logpdf"
    more = (3,) if discrete else (3.0, 2.0)
    x = point + 3 if discrete else 3 + 2 * point
    got = getattr(getattr(stats, name), fun)(x, *parameters[0], *more)
    want = getattr(getattr(scipy.stats, name), fun)(x, *parameters[0], *more)
    np.testing.assert_allclose(got, want, rtol=2e-6)
    if not discrete:
        assert np.isnan(getattr(getattr(stats, name), fun)(x, *parameters[0], 3.0, -2.0))


@pytest.mark.parametrize(
    ("name", "fun"), [f for f in FUNCTIONS if f[1] in ("logpdf", "logpmf", "logsf", "cdf", "ppf")]
)
def test_derivatives_are_those_of_differences(name: str, fun: str) -> None:
    (parameters, *_), point = CASES[name]
    function = getattr(getattr(stats, name), fun)
    args = [0.3 if fun == "ppf" else float(point), *map(float, parameters)]
    fixed = {0} if hasattr(getattr(stats, name), "pmf") else set()  # counts
    fixed |= {1} if name in ("binom", "betabinom") else set()
    if fun == "ppf" and name == "bernoulli":
        fixed = {0, 1}
    with anima.enable_x64(True):
        for i in set(range(len(args))) - fixed:
            got = anima.grad(function, i)(*args)
            move = lambda h: function(*(a + h * (j == i) for j, a in enumerate(args)))
            want = (move(1e-5) - move(-1e-5)) / 2e-5
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8, err_msg=f"{name}.{fun} {i}")


@pytest.mark.parametrize(
    ("name", "fun"), [f for f in FUNCTIONS if f[1] in ("logpdf", "logpmf", "logsf", "cdf")]
)
def test_derivatives_outside_of_the_support_are_finite(name: str, fun: str) -> None:
    function = getattr(getattr(stats, name), fun)
    arguments = range(1 + len(CASES[name][0][0]))
    for x in (-3.0, 9.5):
        slopes = anima.grad(function, tuple(arguments))(x, *map(float, CASES[name][0][0]))
        assert np.isfinite(slopes).all(), (x, slopes)


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
            fun = (
                getattr(stats, name).pmf
                if hasattr(getattr(stats, name), "pmf")
                else getattr(stats, name).logpdf
            )
            ones = [anp.ones(2, dtype) for _ in range(1 + len(parameters[0]))]
            assert fun(*ones).dtype == want and not fun(*ones).weak_type, name
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
