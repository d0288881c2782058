"""The rows of `docs/differences.md` about distributions and iterative solvers."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import jax
import jax.scipy.sparse.linalg
import jax.scipy.spatial.transform
import jax.scipy.stats
import numpy
import pytest
import scipy.stats

import anima
import anima.scipy.sparse.linalg
import anima.scipy.stats


def stats_domains(run_python, tmp_path) -> None:
    calls = (
        lambda stats: stats.norm.cdf(1.0, 0.0, -1.0),  # not a scale
        lambda stats: stats.gamma.logpdf(numpy.nan, 2.0),
        lambda stats: stats.binom.logpmf(1.5, 3, 0.3),  # not a count
        lambda stats: stats.cauchy.ppf(1.1),  # not a probability
        lambda stats: stats.gumbel_r.ppf(0.0),
        lambda stats: stats.vonmises.logpdf(1.0, 0.0),
        lambda stats: stats.t.logpdf(1.0, numpy.inf),
    )
    for call in calls:
        want = call(scipy.stats)
        numpy.testing.assert_allclose(call(anima.scipy.stats), want, rtol=1e-6)
        assert not numpy.isclose(call(jax.scipy.stats), want, equal_nan=True)


def stats_dtypes(run_python, tmp_path) -> None:
    with pytest.raises(TypeError):
        jax.scipy.stats.norm.cdf(numpy.float16(1))
    assert anima.scipy.stats.norm.cdf(numpy.float16(1)).dtype == numpy.float16
    assert jax.scipy.stats.cauchy.cdf(1j).dtype == numpy.complex64
    with pytest.raises(TypeError, match="real numbers"):
        anima.scipy.stats.cauchy.cdf(1j)


def stats_accuracy(run_python, tmp_path) -> None:
    for call in (
        lambda stats: stats.t.logpdf(1.0, 1e7),
        lambda stats: stats.poisson.logpmf(1e6, 1e6),
        lambda stats: stats.cauchy.cdf(-1e9),
        lambda stats: stats.binom.logpmf(5e5, 1e6, 0.5),
    ):
        want = call(scipy.stats)
        numpy.testing.assert_allclose(call(anima.scipy.stats), want, rtol=1e-5)
        assert abs(call(jax.scipy.stats) / want - 1) > 1e-4


def iterative_dtypes(run_python, tmp_path) -> None:
    matrix, right = numpy.eye(2, dtype=numpy.float32), numpy.array([1, 2])
    for lib, raises in ((jax, True), (anima, False)):
        for b, A in ((right, matrix), (right.astype(numpy.float32), matrix * numpy.complex64(2))):
            solve = lambda lib=lib, b=b, A=A: lib.scipy.sparse.linalg.cg(A, lib.numpy.asarray(b))[0]
            if raises:
                with pytest.raises(TypeError):
                    solve()
            else:
                numpy.testing.assert_allclose(solve(), numpy.linalg.solve(A, b), rtol=1e-5)


def several_variables(run_python, tmp_path) -> None:
    half, ones, eye = numpy.full(2, 0.5, "float16"), numpy.ones(2), numpy.eye(2)
    ours, theirs = anima.scipy.stats, jax.scipy.stats
    assert ours.multivariate_normal.logpdf(half, half, eye.astype("float16")).dtype == numpy.float16
    for call in (
        lambda: theirs.multivariate_normal.logpdf(half, half, eye.astype("float16")),
        lambda: theirs.gaussian_kde(numpy.arange(4, dtype="float16")),
    ):
        with pytest.raises(NotImplementedError):
            call()
    assert ours.gaussian_kde(numpy.arange(4, dtype="float16"))(half).dtype == numpy.float16
    points = numpy.ones((4, 2))
    with pytest.raises(TypeError):
        theirs.multivariate_normal.logpdf(points, 0.0, eye)
    assert ours.multivariate_normal.logpdf(points, 0.0, eye).shape == (4,)
    with pytest.raises(TypeError, match="real numbers"):
        ours.multivariate_normal.logpdf(ones * 1j, ones, eye)
    assert theirs.multivariate_normal.logpdf(ones * 1j, ones, eye).dtype == numpy.complex64
    edge, corner = numpy.array([0.0, 1.0]), numpy.array([1.0, 2.0])
    assert theirs.dirichlet.pdf(edge, corner) == 0
    numpy.testing.assert_allclose(ours.dirichlet.pdf(edge, corner), 2, rtol=1e-6)
    assert theirs.dirichlet.logpdf(edge + [0, numpy.nan], corner) == -numpy.inf
    assert numpy.isnan(ours.dirichlet.logpdf(edge + [0, numpy.nan], corner))
    assert theirs.multinomial.pmf(numpy.array([1, 0]), -1, half) == 0
    assert numpy.isnan(ours.multinomial.pmf(numpy.array([1, 0]), -1, half))
    rows = numpy.array([[1, 2], [3, 0]])
    assert theirs.multinomial.pmf(rows, 3, half).tolist() == [0, 0]
    numpy.testing.assert_allclose(ours.multinomial.pmf(rows, 3, half), [0.375, 0.125], rtol=1e-3)
    with pytest.raises(ValueError, match="real"):
        ours.gaussian_kde(numpy.arange(4.0), 2j)
    assert numpy.isnan(theirs.gaussian_kde(numpy.arange(4.0), 2j)(0.0)).all()


def samples(run_python, tmp_path) -> None:
    ones = numpy.ones((2, 3), "float32")
    with pytest.raises(IndexError):
        jax.scipy.stats.sem(ones, 2)
    with pytest.raises(ValueError, match="out of bounds"):
        anima.scipy.stats.sem(ones, 2)
    kde = lambda lib: lib.scipy.stats.gaussian_kde(ones + numpy.arange(3) ** numpy.arange(1, 3)[:, None])
    with pytest.raises(TypeError):
        kde(jax).resample(jax.random.key(0), (4, 5))
    assert kde(anima).resample(anima.random.key(0), (4, 5)).shape == (2, 4, 5)


def rotations(run_python, tmp_path) -> None:
    ours, theirs = (
        importlib.import_module(f"{lib}.scipy.spatial.transform").Rotation for lib in ("anima", "jax")
    )
    with pytest.raises(NotImplementedError):
        theirs.random(jax.random.key(0))
    assert ours.random(anima.random.key(0), 3).quat.shape == (3, 4)
    with pytest.raises(AssertionError):
        theirs.identity(2)
    assert ours.identity(2).quat.shape == (2, 4)
    slope = lambda lib, kind: lib.grad(lambda v: kind.from_rotvec(v).as_rotvec()[0])(
        numpy.zeros(3, "float32")
    )
    assert numpy.isnan(slope(jax, theirs)).all() and slope(anima, ours).tolist() == [1, 0, 0]
    assert theirs.concatenate([theirs.identity()] * 2).quat.shape == (8,)
    assert ours.concatenate([ours.identity()] * 2).quat.shape == (2, 4)
    assert theirs.from_quat(jax.numpy.ones(3)).quat.shape == (3,)
    with pytest.raises(ValueError, match="from_quat"):
        ours.from_quat(numpy.ones(3))
    with pytest.raises(AttributeError):
        theirs.identity() * 3
    with pytest.raises(TypeError, match="multiplied"):
        ours.identity() * 3
    with pytest.raises(TypeError):
        theirs.from_euler("xyz", [0.1, 0.2, 0.3])
    assert ours.from_euler("xyz", [0.1, 0.2, 0.3]).single
    times, pair = numpy.array([1.0, 0.0]), numpy.eye(4)[:2]
    slerp = lambda lib: importlib.import_module(f"{lib}.scipy.spatial.transform").Slerp
    slerp("jax").init(jax.numpy.asarray(times), theirs.from_quat(jax.numpy.asarray(pair)))
    turns = numpy.array([[0.0], [0.1], [0.2]], "float32")
    for lib, kind, angle in ((jax, theirs, 0.25), (anima, ours, 0.35)):
        even = slerp(lib.__name__).init(lib.numpy.arange(3.0), kind.from_euler("z", turns))
        numpy.testing.assert_allclose(even(3.5).magnitude(), angle, rtol=1e-5)
    with pytest.raises(ValueError, match="increase"):
        slerp("anima").init(times, ours.from_quat(pair))


STATS_CHECKS: dict[str, Callable[..., None]] = {
    "stats-domains": stats_domains,
    "stats-dtypes": stats_dtypes,
    "stats-accuracy": stats_accuracy,
    "stats-several-variables": several_variables,
    "stats-samples": samples,
    "rotations": rotations,
    "iterative-dtypes": iterative_dtypes,
}
