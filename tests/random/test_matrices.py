"""Normal vectors and orthogonal matrices: moments, invariants, derivatives, shapes, misuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import anima
from anima import random
from anima.config import enable_x64

COV = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]], np.float32)
MEAN = np.array([1.0, -2.0, 0.5], np.float32)


@pytest.mark.parametrize("method", ["cholesky", "eigh", "svd"])
def test_normal_vectors(method: str) -> None:
    x = np.asarray(random.multivariate_normal(random.key(2), MEAN, COV, (4000,), method=method), np.float64)
    # The squared Mahalanobis distance has a chi-square distribution, whatever the factor.
    distances = np.einsum("ni,ij,nj->n", x - MEAN, np.linalg.inv(COV.astype(float)), x - MEAN)
    assert stats.kstest(distances, stats.chi2(3).cdf).pvalue > 1e-3
    np.testing.assert_allclose(np.cov(x.T), COV, atol=0.15)
    np.testing.assert_allclose(x.mean(0), MEAN, atol=0.1)


def test_shapes_and_derivatives_of_normal_vectors() -> None:
    key = random.key(2)
    draw = random.multivariate_normal
    assert draw(key, np.zeros((4, 3)), COV).shape == (4, 3)
    assert draw(key, MEAN, np.stack([COV] * 5)).shape == (5, 3)
    assert draw(key, MEAN, np.stack([COV] * 3), (2, 3)).shape == (2, 3, 3)
    assert draw(key, MEAN, COV, (0,)).shape == (0, 3)
    assert draw(key, MEAN, COV, dtype=np.float16).dtype == np.float16
    with enable_x64(True):
        cov, step = COV.astype(np.float64), np.eye(3) * 1e-6
        shift = (
            draw(key, MEAN, cov + step, dtype=np.float64) - draw(key, MEAN, cov - step, dtype=np.float64)
        ) / 2
        tangent: Any = anima.jvp(lambda c: draw(key, MEAN, c, dtype=np.float64), (cov,), (np.eye(3),))[1]
        np.testing.assert_allclose(tangent, shift / 1e-6, rtol=1e-5)
    for mean, cov, shape, match in (
        (0.0, 1.0, None, "mean.ndim >= 1"),
        (np.zeros(2), COV, None, "n=2"),
        (np.zeros((3, 3)), COV, (5,), "broadcast"),
        (MEAN, np.stack([COV] * 2), (), "broadcast"),
    ):
        with pytest.raises(ValueError, match=match):
            draw(key, mean, cov, shape)
    with pytest.raises(ValueError, match="method must be one of"):
        draw(key, MEAN, COV, method="lu")


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize(("n", "m"), [(3, None), (2, 4), (4, 2), (1, 1), (0, 0)])
def test_orthogonal_matrices(n: int, m: int | None, dtype: Any) -> None:
    q = np.asarray(random.orthogonal(random.key(1), n, (5,), dtype, m))
    assert q.shape == (5, n, n if m is None else m)
    assert q.dtype == dtype
    small = q if q.shape[1] <= q.shape[2] else np.swapaxes(q, 1, 2)
    product = small @ np.conj(np.swapaxes(small, 1, 2))
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(small.shape[1]), product.shape), atol=1e-5)


def test_orthogonal_matrices_are_uniform() -> None:
    q = np.asarray(random.orthogonal(random.key(1), 3, (2000,)), np.float64)
    # A component of a uniform unit vector in three dimensions is uniform; both determinants are as probable.
    for i in range(3):
        assert stats.kstest(q[:, i, 2 - i], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert abs(np.linalg.det(q).mean()) < 4 / 2000**0.5
    with pytest.raises(TypeError, match=r"orthogonal.*negative"):
        random.orthogonal(random.key(0), -3)
    with pytest.raises(TypeError, match="orthogonal"):
        random.orthogonal(random.key(0), 2.5)  # type: ignore[arg-type]
