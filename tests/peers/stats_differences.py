"""The rows of `docs/differences.md` about distributions and iterative solvers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.scipy.sparse.linalg
import jax.scipy.stats
import numpy
import pytest
import scipy.stats

import anima
import anima.scipy.sparse.linalg


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


STATS_CHECKS: dict[str, Callable[..., None]] = {
    "stats-domains": stats_domains,
    "stats-dtypes": stats_dtypes,
    "stats-accuracy": stats_accuracy,
    "iterative-dtypes": iterative_dtypes,
}
