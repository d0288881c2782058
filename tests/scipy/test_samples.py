"""`scipy.stats` of several variables and of samples: against SciPy, with derivatives, dtypes, transformations and errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.stats

import anima
import anima.numpy as anp
from anima import random
from anima.scipy import stats

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(3, 3))
COV = ROOT @ ROOT.T + np.eye(3)
SAMPLES = RNG.normal(size=(2, 7))
TIES = np.array([[3.0, 1, 1, -0.0], [2, 2, 5, 0.0], [3, 1, 5, 7]])


@pytest.fixture
def double() -> Iterator[None]:
    with anima.enable_x64(True):
        yield


def slope(fun: Any, x: Any, step: float = 1e-6) -> Any:
    x = np.asarray(x)
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.reshape([(fun(x + h) - fun(x - h)) / (2 * step) for h in moves], x.shape)


# --- distributions of several variables -------------------------------------------------------


def test_normal(double: None) -> None:
    points, mean = RNG.normal(size=(4, 3)), np.array([0.5, -1.0, 2.0])
    normal, theirs = stats.multivariate_normal, scipy.stats.multivariate_normal
    for x in (points, points[0], points[None], points[:0]):
        np.testing.assert_allclose(
            normal.logpdf(x, mean, COV), theirs.logpdf(x, mean, COV).reshape(x.shape[:-1]), rtol=1e-12
        )
        assert np.shape(normal.pdf(x, mean, COV)) == x.shape[:-1]
    np.testing.assert_allclose(normal.pdf(points, mean, COV), theirs.pdf(points, mean, COV), rtol=1e-12)
    np.testing.assert_allclose(normal.logpdf(points, mean, 2.0), theirs.logpdf(points, mean, 2.0), rtol=1e-12)
    np.testing.assert_allclose(
        normal.logpdf(points, 0.5, COV), theirs.logpdf(points, np.full(3, 0.5), COV), rtol=1e-12
    )
    np.testing.assert_allclose(
        normal.logpdf(points, 0.5, 2.0), theirs.logpdf(points.ravel(), 0.5, 2.0).reshape(4, 3), rtol=1e-12
    )
    # stacks of means and covariances
    covs = np.stack([COV, 2 * COV])
    got = normal.logpdf(points, mean, covs[:, None])
    np.testing.assert_allclose(got, [theirs.logpdf(points, mean, c) for c in covs], rtol=1e-12)
    np.testing.assert_allclose(anima.vmap(lambda c: normal.logpdf(points, mean, c))(covs), got, rtol=1e-12)
    assert np.isnan(normal.logpdf(mean, mean, np.ones((3, 3)) - 2 * np.eye(3)))
    assert np.isnan(normal.logpdf(1.0, 0.0, -2.0)) and np.isnan(normal.pdf(mean, mean, -1.0))


def test_dirichlet(double: None) -> None:
    alpha = np.array([0.7, 1.0, 4.0])
    x = RNG.dirichlet(alpha, 5).T
    for name in ("logpdf", "pdf"):
        ours, theirs = getattr(stats.dirichlet, name), getattr(scipy.stats.dirichlet, name)
        np.testing.assert_allclose(ours(x, alpha), theirs(x, alpha), rtol=1e-11)
        np.testing.assert_allclose(ours(x[:-1], alpha), theirs(x[:-1], alpha), rtol=1e-11)
        np.testing.assert_allclose(ours(x[:, 0], alpha), theirs(x[:, 0], alpha), rtol=1e-11)
    edge = np.array([0.0, 0.25, 0.75])
    limits = [stats.dirichlet.pdf(edge, anp.array([a, 1.0, 1.0])) for a in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(limits, [np.inf, 2, 0])
    for wrong in ([0.2, 0.9, 0.1], [-0.2, 1.0, 0.2], [0.2, 1.2]):
        assert stats.dirichlet.logpdf(np.array(wrong), alpha) == -np.inf
        assert np.isfinite(anima.jacobian(stats.dirichlet.logpdf)(np.array(wrong), alpha)).all()
    assert np.isnan(stats.dirichlet.pdf(x[:, 0], -alpha))
    assert np.isnan(stats.dirichlet.pdf(np.array([np.nan, 0.5, 0.5]), alpha))


def test_multinomial(double: None) -> None:
    p = np.array([0.25, 0.25, 0.5])
    x = np.array([[1, 2, 3], [0, 6, 0], [6, 1, 0], [-1, 3, 4]])
    for name in ("logpmf", "pmf"):
        ours, theirs = getattr(stats.multinomial, name), getattr(scipy.stats.multinomial, name)
        np.testing.assert_allclose(ours(x, 6, p), theirs(x, 6, p), rtol=1e-12)
        np.testing.assert_allclose(
            ours(x[:1], np.array([6, 7]), p), theirs(x[:1], np.array([6, 7]), p), rtol=1e-12
        )
        np.testing.assert_allclose(
            ours(x[0], 6, np.stack([p, p[::-1]])), theirs(x[0], 6, np.stack([p, p[::-1]])), rtol=1e-12
        )
    np.testing.assert_allclose(
        stats.multinomial.logpmf(np.array([0, 2, 1]), 3, np.array([0.0, 0.5, 0.5])), np.log(3 / 8), rtol=1e-12
    )
    assert stats.multinomial.pmf(np.zeros(3, int), 0, p) == 1
    assert np.isnan(stats.multinomial.pmf(x[0], -6, p)) and np.isnan(stats.multinomial.pmf(x[0], 6, p - 0.3))


def test_large_counts_keep_their_digits() -> None:
    counts = (250_000, 250_000, 500_000)
    with mpmath.workdps(40):
        want = mpmath.loggamma(10**6 + 1) - sum(mpmath.loggamma(c + 1) for c in counts)
        want += sum(c * mpmath.log(mpmath.mpf(c) / 10**6) for c in counts)
    got = stats.multinomial.logpmf(np.array(counts), 10**6, np.array([0.25, 0.25, 0.5], np.float32))
    np.testing.assert_allclose(float(got), float(want), rtol=1e-5)


def test_derivatives_of_distributions(double: None) -> None:
    x, mean, alpha, p = (
        np.array([0.2, 0.5, 0.3]),
        np.array([0.5, -1.0, 2.0]),
        np.array([0.7, 1.5, 4.0]),
        np.array([0.2, 0.3, 0.5]),
    )
    k = np.array([2, 0, 3])
    symmetric = lambda c: stats.multivariate_normal.logpdf(x, mean, (c + c.T) / 2)
    for fun, at in (
        (lambda x: stats.multivariate_normal.logpdf(x, mean, COV), x),
        (lambda m: stats.multivariate_normal.logpdf(x, m, COV), mean),
        (symmetric, COV),
        (lambda c: stats.multivariate_normal.logpdf(x, mean, c), np.array(1.5)),
        (lambda y: stats.dirichlet.logpdf(y, alpha), x[:-1]),
        (lambda a: stats.dirichlet.logpdf(x, a), alpha),
        (lambda p: stats.multinomial.logpmf(k, 5, p), p),
    ):
        np.testing.assert_allclose(anima.grad(fun)(at), slope(fun, at), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(
            anima.jit(anima.grad(fun))(at), anima.grad(fun)(at), rtol=1e-12, atol=1e-14
        )
        if at.ndim == 1:
            np.testing.assert_allclose(
                anima.hessian(fun)(at), anima.jacfwd(anima.grad(fun))(at), rtol=1e-10, atol=1e-12
            )
    assert np.isfinite(anima.grad(lambda p: stats.multinomial.logpmf(k, 7, p))(p)).all()


def test_dtypes_and_errors_of_distributions() -> None:
    half, third = anp.ones(2, np.float16) / 2, anp.ones(2, anp.bfloat16) / 2
    assert stats.multivariate_normal.logpdf(half, half, anp.eye(2, dtype=np.float16)).dtype == np.float16
    assert stats.multivariate_normal.logpdf(1.0, 0, 1).weak_type
    assert stats.dirichlet.pdf(third, third).dtype == anp.bfloat16
    assert stats.multinomial.pmf(np.array([1, 0], np.int8), 1, half).dtype == np.float16
    normal, dirichlet, multinomial = stats.multivariate_normal, stats.dirichlet, stats.multinomial
    ones, eye = np.ones(2), np.eye(2)
    for call, error, match in (
        (lambda: normal.logpdf(ones, np.ones(3), eye), ValueError, "one length"),
        (lambda: normal.logpdf(ones, ones, ones), ValueError, "one length"),
        (lambda: normal.logpdf(ones, ones, np.ones((2, 3))), ValueError, "one length"),
        (lambda: normal.pdf(ones * 1j, ones, eye), TypeError, "real numbers"),
        (lambda: normal.logpdf(ones, ones, eye, True), NotImplementedError, "allow_singular"),
        (lambda: normal.logpdf([1.0], ones, eye), TypeError, "numpy.asarray"),
        (lambda: dirichlet.logpdf(ones, np.ones((2, 2))), ValueError, "vector"),
        (lambda: dirichlet.logpdf(np.ones(4), ones), ValueError, "one shorter"),
        (lambda: dirichlet.logpdf(1j * ones, ones), TypeError, "real numbers"),
        (lambda: multinomial.logpmf(ones, 2, ones), ValueError, "integers"),
        (lambda: multinomial.logpmf(np.array([1, 1]), 2.0, ones), ValueError, "for n"),
        (lambda: multinomial.logpmf(1, 1, 1.0), ValueError, "axis"),
        (lambda: multinomial.logpmf(np.ones((2, 3), int), 3, ones), ValueError, "incompatible"),
        (lambda: multinomial.pmf(np.array([1, 1]), 2, 1j * ones), TypeError, "real numbers"),
    ):
        with pytest.raises(error, match=match):
            call()


# --- the most frequent values, ranks, the standard error --------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_mode(axis: int | None) -> None:
    for a in (TIES, TIES.astype(int)):
        for keepdims in (False, True):
            got, want = stats.mode(a, axis, keepdims=keepdims), scipy.stats.mode(a, axis, keepdims=keepdims)
            np.testing.assert_array_equal(got.mode, want.mode)
            np.testing.assert_array_equal(got.count, want.count)
            assert got.count.dtype == np.int32
    assert stats.mode(TIES > 1, axis).mode.dtype == np.bool_


def test_mode_of_the_unusual() -> None:
    found = stats.mode(np.array([np.nan, 1, np.nan, 2]))
    assert np.isnan(found.mode) and found.count == 2
    found = stats.mode(np.zeros((0, 3), int), keepdims=True)
    assert (
        np.isnan(found.mode).all() and found.count.tolist() == [[0, 0, 0]] and found.mode.dtype == np.float32
    )
    assert stats.mode(np.zeros((3, 0), np.int8)).mode.dtype == np.int8
    assert stats.mode(3.0).mode.weak_type and stats.mode(3.0).count == 1
    assert stats.mode(np.array([2j, 1j, 1 + 0j, 2j])).mode == 2j
    assert stats.mode(np.ones((2, 3, 4)), None, keepdims=True).count.tolist() == [[[24]]]
    np.testing.assert_array_equal(
        anima.vmap(lambda row: stats.mode(row).mode)(TIES), stats.mode(TIES, 1).mode
    )
    assert anima.grad(lambda x: stats.mode(x).mode)(np.array([1.0, 5.0, 2.0])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("method", ["average", "min", "max", "dense", "ordinal"])
def test_ranks(method: str) -> None:
    for axis in (None, 0, 1, -1):
        for a in (TIES, TIES.astype(np.int8), np.zeros((0, 3))):
            got, want = stats.rankdata(a, method, axis=axis), scipy.stats.rankdata(a, method, axis=axis)
            np.testing.assert_array_equal(got, want)
            assert got.dtype == np.float32
    flawed = np.array([[1.0, np.nan], [2.0, 1.0]])
    assert np.isnan(stats.rankdata(flawed, method)).all()
    np.testing.assert_array_equal(stats.rankdata(flawed, method, axis=1), [[np.nan, np.nan], [2, 1]])
    ranked = anima.jit(anima.vmap(lambda row: stats.rankdata(row, method)))(TIES)
    np.testing.assert_array_equal(ranked, scipy.stats.rankdata(TIES, method, axis=1))
    assert stats.rankdata(3.0, method).tolist() == [1.0]


def test_standard_error(double: None) -> None:
    flawed = np.array([[1.0, np.nan, 4.0], [2.0, 5.0, np.nan], [3.0, 1.0, 7.0]])
    for axis in (0, 1, None):
        for ddof in (0, 1):
            for a in (TIES, TIES.astype(int), np.zeros((2, 3))):
                np.testing.assert_allclose(
                    stats.sem(a, axis, ddof), scipy.stats.sem(a, axis, ddof), rtol=1e-13
                )
            got = stats.sem(flawed, axis, ddof, "omit")
            np.testing.assert_allclose(got, scipy.stats.sem(flawed, axis, ddof, "omit"), rtol=1e-13)
            np.testing.assert_allclose(
                stats.sem(flawed, axis, ddof), scipy.stats.sem(flawed, axis, ddof), rtol=1e-13
            )
    assert stats.sem(TIES, None, keepdims=True).shape == (1, 1)
    assert np.isnan(stats.sem(TIES, 0, 3)).all() and np.isnan(stats.sem(np.zeros((0, 2)))).all()
    assert (
        stats.sem(TIES.astype(np.float16)).dtype == np.float16 and stats.sem(TIES * 1j).dtype == np.complex128
    )
    fun = lambda x: stats.sem(x)
    x = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(anima.jit(anima.grad(fun))(x), slope(fun, x), rtol=1e-7)
    np.testing.assert_allclose(anima.vmap(fun)(TIES), stats.sem(TIES, 1), rtol=1e-14)


def test_errors_of_summaries() -> None:
    for call, error, match in (
        (lambda: stats.mode(TIES, 2), ValueError, "out of bounds"),
        (lambda: stats.mode(TIES, (0, 1)), TypeError, "integer"),
        (lambda: stats.mode(TIES, nan_policy="some"), ValueError, "nan_policy"),
        (lambda: stats.mode(TIES, nan_policy="omit"), NotImplementedError, "remove NaNs"),
        (lambda: stats.mode([1, 2]), TypeError, "numpy.asarray"),
        (lambda: stats.mode(3.0, 1), ValueError, "out of bounds"),
        (lambda: stats.rankdata(TIES, "some"), ValueError, "unknown method"),
        (lambda: stats.rankdata(TIES, nan_policy="raise"), NotImplementedError, "rankdata"),
        (lambda: stats.rankdata(TIES, axis=2), ValueError, "out of bounds"),
        (lambda: stats.rankdata([1.0]), TypeError, "numpy.asarray"),
        (lambda: stats.sem(TIES, nan_policy="raise"), ValueError, "nan_policy"),
        (lambda: stats.sem(TIES, 2), ValueError, "out of bounds"),
        (lambda: stats.sem([1.0]), TypeError, "numpy.asarray"),
    ):
        with pytest.raises(error, match=match):
            call()


# --- densities of samples ---------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("bandwidth", [None, "silverman", 0.5, lambda kde: 0.3 * kde.neff])
def test_density_of_samples(double: None, rows: int, bandwidth: Any) -> None:
    weights = RNG.uniform(0.5, 2, 7)
    samples = SAMPLES[0] if rows == 1 else SAMPLES
    for w in (None, weights):
        ours = stats.gaussian_kde(samples, bandwidth, w)
        theirs = scipy.stats.gaussian_kde(samples, bandwidth, w)
        points = RNG.normal(size=(rows, 4))
        for name in ("covariance", "inv_cov", "weights", "neff", "n", "d", "dataset"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-11)
        for name in ("evaluate", "pdf", "__call__", "logpdf"):
            np.testing.assert_allclose(getattr(ours, name)(points), getattr(theirs, name)(points), rtol=1e-11)
        np.testing.assert_allclose(ours(points[:, 0]), theirs(points[:, 0]), rtol=1e-11)
        mean, cov = np.full(rows, 0.3), 2 * np.eye(rows)
        np.testing.assert_allclose(
            ours.integrate_gaussian(mean, cov), theirs.integrate_gaussian(mean, cov), rtol=1e-11
        )
        other = SAMPLES[:rows] * 2
        np.testing.assert_allclose(
            ours.integrate_kde(stats.gaussian_kde(other)),
            theirs.integrate_kde(scipy.stats.gaussian_kde(other)),
            rtol=1e-11,
        )
        if rows == 1:
            for ends in ((-1.0, 0.5), (0, np.inf), (2.0, 1.0)):
                np.testing.assert_allclose(
                    ours.integrate_box_1d(*ends), theirs.integrate_box_1d(*ends), rtol=1e-11
                )


def test_density_far_from_samples(double: None) -> None:
    kde = stats.gaussian_kde(SAMPLES[0])
    s2 = float(kde.covariance[0, 0])
    with mpmath.workdps(40):
        terms = [mpmath.exp(-((100 - mpmath.mpf(float(x))) ** 2) / (2 * s2)) for x in SAMPLES[0]]
        want = mpmath.log(sum(terms) / 7 / mpmath.sqrt(2 * mpmath.pi * s2))
        near = [mpmath.ncdf(-(9 - mpmath.mpf(float(x))) / mpmath.sqrt(s2)) for x in SAMPLES[0]]
    np.testing.assert_allclose(kde.logpdf(100.0)[0], float(want), rtol=1e-12)
    np.testing.assert_allclose(kde.integrate_box_1d(9.0, np.inf), float(sum(near) / 7), rtol=1e-10)


def test_densities_of_samples_are_trees(double: None) -> None:
    kde = stats.gaussian_kde(SAMPLES)
    point = np.array([0.3, -0.2])
    np.testing.assert_allclose(anima.jit(lambda kde, x: kde(x))(kde, point), kde(point), rtol=1e-13)
    made = anima.vmap(lambda row: stats.gaussian_kde(row)(0.5)[0])(SAMPLES)
    np.testing.assert_allclose(made, [stats.gaussian_kde(row)(0.5)[0] for row in SAMPLES], rtol=1e-13)
    by_point = lambda x: kde.logpdf(x)[0]
    by_sample = lambda d: stats.gaussian_kde(d).logpdf(point)[0]
    for fun, at in ((by_point, point), (by_sample, SAMPLES)):
        np.testing.assert_allclose(anima.grad(fun)(at), slope(fun, at), rtol=1e-6, atol=1e-9)
    far = anima.grad(by_point)(point + 1e3)
    assert np.isfinite(far).all() and (far < 0).all()
    with pytest.raises(AttributeError):
        kde.neff = 2
    assert np.isnan(stats.gaussian_kde(np.ones((2, 3)))(point)).all()
    half = stats.gaussian_kde(SAMPLES.astype(np.float16))
    assert half(point.astype(np.float16)).dtype == half.covariance.dtype == np.float16


def test_new_samples(double: None) -> None:
    kde = stats.gaussian_kde(SAMPLES, weights=np.arange(1.0, 8.0))
    drawn = kde.resample(random.key(0), (100, 200))
    assert drawn.shape == (2, 100, 200) and kde.resample(random.key(0)).shape == (2,)
    flat = np.asarray(drawn).reshape(2, -1)
    mean = SAMPLES @ np.asarray(kde.weights)
    np.testing.assert_allclose(flat.mean(1), mean, atol=0.05)
    centered = SAMPLES - mean[:, None]
    spread = (centered * np.asarray(kde.weights)) @ centered.T + np.asarray(kde.covariance)
    np.testing.assert_allclose(np.cov(flat), spread, atol=0.1)


def test_errors_of_densities_of_samples() -> None:
    kde, one = stats.gaussian_kde(SAMPLES), stats.gaussian_kde(SAMPLES[0])
    for call, error, match in (
        (lambda: stats.gaussian_kde([1.0, 2.0]), TypeError, "ndarray or scalar"),
        (lambda: stats.gaussian_kde(3.0), ValueError, "more than one"),
        (lambda: stats.gaussian_kde(np.ones((2, 2, 2))), ValueError, "shape"),
        (lambda: stats.gaussian_kde(1j * SAMPLES), NotImplementedError, "complex"),
        (lambda: stats.gaussian_kde(SAMPLES, "some"), ValueError, "bw_method"),
        (lambda: stats.gaussian_kde(SAMPLES, np.ones(2)), ValueError, "bw_method"),
        (lambda: stats.gaussian_kde(SAMPLES, 2j), ValueError, "real"),
        (lambda: stats.gaussian_kde(SAMPLES, None, np.ones(3)), ValueError, "weights"),
        (lambda: stats.gaussian_kde(SAMPLES, None, np.ones((1, 7))), ValueError, "vector"),
        (lambda: kde(np.ones(3)), ValueError, "variables"),
        (lambda: kde(np.ones((1, 2, 3))), ValueError, "shape"),
        (lambda: kde(1j * SAMPLES), NotImplementedError, "complex"),
        (lambda: kde.integrate_box_1d(0.0, 1.0), ValueError, "one variable"),
        (lambda: one.integrate_box_1d(np.zeros(2), 1.0), ValueError, "vmap"),
        (lambda: kde.integrate_gaussian(0.0, np.eye(2)), ValueError, "mean"),
        (lambda: kde.integrate_gaussian(np.zeros(2), 1.0), ValueError, "cov"),
        (lambda: kde.integrate_kde(one), ValueError, "variables"),
        (lambda: kde.integrate_kde(3), TypeError, "gaussian_kde"),
        (lambda: kde.integrate_box(0.0, 1.0), NotImplementedError, "integrate_box_1d"),
        (lambda: kde.set_bandwidth(0.5), NotImplementedError, "never changes"),
    ):
        with pytest.raises(error, match=match):
            call()
