"""The gamma distribution and its relatives against SciPy: distributions, derivatives by quantiles, edges, misuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import anima
from anima import random
from anima.config import enable_x64

COUNT = 4000
CDFS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "gamma": (lambda k: random.gamma(k, 2.5, (COUNT,)), stats.gamma(2.5).cdf),
    "small gamma": (lambda k: random.gamma(k, 0.2, (COUNT,)), stats.gamma(0.2).cdf),
    "loggamma": (lambda k: random.loggamma(k, 0.2, (COUNT,)), lambda x: stats.gamma(0.2).cdf(np.exp(x))),
    "beta": (lambda k: random.beta(k, 2.0, 0.7, (COUNT,)), stats.beta(2.0, 0.7).cdf),
    "dirichlet": (
        lambda k: random.dirichlet(k, np.array([0.5, 1.5, 2.0]), (COUNT,))[:, 0],
        stats.beta(0.5, 3.5).cdf,
    ),
    "chisquare": (lambda k: random.chisquare(k, 3, (COUNT,)), stats.chi2(3).cdf),
    "f": (lambda k: random.f(k, 3.0, 8.0, (COUNT,)), stats.f(3, 8).cdf),
    "t": (lambda k: random.t(k, 4.0, (COUNT,)), stats.t(4).cdf),
    "generalized_normal": (lambda k: random.generalized_normal(k, 3.0, (COUNT,)), stats.gennorm(3).cdf),
    "ball": (  # the p-norm to the power d of a point is uniform
        lambda k: (abs(random.ball(k, 3, 1.5, (COUNT,))) ** 1.5).sum(-1) ** (3 / 1.5),
        stats.uniform.cdf,
    ),
}


@pytest.mark.parametrize("name", CDFS)
def test_distribution(name: str) -> None:
    draw, cdf = CDFS[name]
    x = np.asarray(draw(random.key(11)), np.float64)
    assert stats.kstest(x, cdf).pvalue > 1e-3
    assert np.unique(x).size > COUNT * 0.9 or name == "small gamma"


def test_derivatives_keep_the_quantile() -> None:
    """`cdf(x(a), a)` is constant: the derivative of `x` follows from SciPy's distribution function."""
    key = random.key(3)
    with enable_x64(True):
        for a in (0.3, 1.0, 4.5):
            x = float(random.gamma(key, np.float64(a)))
            h = 1e-6 * a
            slope = (
                -(special.gammainc(a + h, x) - special.gammainc(a - h, x)) / (2 * h) / stats.gamma(a).pdf(x)
            )
            for found in (
                anima.grad(lambda a: random.gamma(key, a, dtype=np.float64))(a),
                anima.jit(anima.grad(lambda a: random.gamma(key, a, dtype=np.float64)))(a),
                anima.grad(lambda a: random.loggamma(key, a, dtype=np.float64))(a) * x,
            ):
                assert float(found) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("log_space", [False, True])
def test_mapped_like_alone(log_space: bool) -> None:
    keys = random.split(random.key(5), 3)
    a = np.array([0.5, 1.0, 7.0], np.float32)
    draw = random.loggamma if log_space else random.gamma
    for i in range(3):
        both = anima.vmap(lambda k, a: draw(k, a, (2,)))(keys, a)[i]
        np.testing.assert_allclose(both, draw(keys[i], a[i], (2,)), rtol=1e-6)
        shared = anima.vmap(lambda a: draw(keys[0], a, (2,)))(a)[i]
        np.testing.assert_allclose(shared, draw(keys[0], a[i], (2,)), rtol=1e-6)
        other = anima.vmap(lambda k: draw(k, a))(keys)[i]
        np.testing.assert_allclose(other, draw(keys[i], a), rtol=1e-6)


def test_edges() -> None:
    key = random.key(0)
    assert random.gamma(key, np.float32([0.0, np.nan])).tolist()[0] == 0
    assert np.isnan(np.asarray(random.gamma(key, anima.numpy.array([np.nan, -1.0])))).all()
    assert random.gamma(key, 2.0, (0, 3)).shape == (0, 3)
    assert random.ball(key, 0).shape == (0,)
    tiny = np.asarray(random.beta(key, 1e-6, 1e-6, (50,)))
    assert set(tiny.tolist()) == {0.0, 1.0}
    for dtype in ("float16", "bfloat16", "float8_e5m2"):
        assert str(random.gamma(key, 2.0, dtype=dtype).dtype) == dtype


def test_misuse() -> None:
    key = random.key(0)
    with pytest.raises(ValueError, match="`gamma` must be a float dtype"):
        random.gamma(key, 2.0, dtype=int)
    with pytest.raises(TypeError, match="argument a must be real"):
        random.gamma(key, 2j)
    with pytest.raises(ValueError, match="broadcast"):
        random.gamma(key, np.ones(3, np.float32), (2,))
    with pytest.raises(ValueError, match=r"dirichlet requires alpha\.ndim >= 1"):
        random.dirichlet(key, 1.0)
    with pytest.raises((TypeError, ValueError), match="d"):
        random.ball(key, 2.5)
    for name in ("gamma", "loggamma", "chisquare", "t", "poisson"):
        with pytest.raises(ValueError, match=rf"{name} accepts a single key"):
            getattr(random, name)(random.split(key), 2.0)
