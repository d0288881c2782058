"""Counts against SciPy: chi-square tests on both sides of each method's threshold, edges, misuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import anima
from anima import random

COUNT = 4000


def fits(found: Any, distribution: Any) -> None:
    """A chi-square test on cells of five expected counts or more."""
    found = np.asarray(found).astype(int)
    values = np.arange(int(distribution.ppf(1e-4)), int(distribution.ppf(1 - 1e-4)) + 1)
    expected = distribution.pmf(values) * found.size
    keep = expected >= 5
    observed = np.array([(found == v).sum() for v in values[keep]])
    rest = found.size - observed.sum(), found.size - expected[keep].sum()
    assert rest[1] < 0.05 * found.size
    cells = np.append(observed, rest[0]), np.append(expected[keep], max(rest[1], 1e-9))
    if rest[1] < 5:
        cells = cells[0][:-1], cells[1][:-1] * cells[0][:-1].sum() / cells[1][:-1].sum()
    assert stats.chisquare(*cells).pvalue > 1e-3


def test_poisson() -> None:
    found = random.poisson(random.key(1), np.array([[0.7], [25.0]], np.float32), (2, COUNT))
    assert found.dtype == np.int32
    fits(found[0], stats.poisson(0.7))
    fits(found[1], stats.poisson(25.0))
    edges = random.poisson(random.key(1), anima.numpy.array([0.0, -1.0, np.nan]))
    assert edges.tolist() == [0, -1, -1]
    keys = random.split(random.key(2), 2)
    together = anima.vmap(lambda k: random.poisson(k, 25.0, (3,)))(keys)
    np.testing.assert_array_equal(together[1], random.poisson(keys[1], 25.0, (3,)))
    assert random.poisson(random.key(0, impl="rbg"), 2.0, (2,)).shape == (2,)
    with pytest.raises(ValueError, match="int dtype"):
        random.poisson(random.key(0), 2.0, dtype=float)


def test_binomial_and_multinomial() -> None:
    n = np.array([[8.0], [100.0], [100.0]], np.float32)
    p = np.array([[0.3], [0.3], [0.8]], np.float32)
    found = random.binomial(random.key(4), n, p, (3, COUNT))
    for i in range(3):
        fits(found[i], stats.binom(int(n[i, 0]), float(p[i, 0])))
    nan, inf = np.nan, np.inf
    n = np.array([-1.0, 10, 10, 10, inf, nan, 10, 10, 0], np.float32)
    p = np.array([0.3, 1.5, -0.5, nan, 0.3, 0.3, 0, 1, 0.5], np.float32)
    edges = random.binomial(random.key(4), anima.numpy.asarray(n), anima.numpy.asarray(p))
    np.testing.assert_array_equal(edges, [nan, nan, nan, nan, inf, nan, 0, 10, 0])
    chances = np.array([0.2, 0.5, 0.3, 0.0], np.float32)
    counts = np.asarray(random.multinomial(random.key(5), 20.0, chances, shape=(COUNT, 4)))
    assert (counts.sum(-1) == 20).all()
    for i in range(3):
        fits(counts[:, i], stats.binom(20, float(chances[i])))
    assert (counts[:, 3] == 0).all()
    covariance = np.cov(counts[:, 0], counts[:, 1])[0, 1]
    assert covariance == pytest.approx(-20 * 0.2 * 0.5, abs=0.3)
    with pytest.raises(ValueError, match="p must have one dimension"):
        random.multinomial(random.key(0), 3, 0.5)
    with pytest.raises(ValueError, match="float dtype"):
        random.binomial(random.key(0), 3, 0.5, dtype=int)
