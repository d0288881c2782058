"""Initialisers: orthogonality, variances, refusals."""

from __future__ import annotations

import numpy
import pytest

from anima import nn, random

KEY = random.PRNGKey(0)
inits = nn.initializers


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 3, 4), (5, 5)])
@pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16"])
def test_orthogonal(shape: tuple[int, ...], axis: int, dtype: str) -> None:
    w = inits.orthogonal(2.0, axis)(KEY, shape, dtype)
    assert w.shape == shape and w.dtype == dtype
    matrix = numpy.moveaxis(numpy.asarray(w).astype("complex64"), axis, -1).reshape(-1, shape[axis]) / 2
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    product = matrix.conj().T @ matrix
    numpy.testing.assert_allclose(
        product, numpy.eye(len(product)), atol=0.05 if dtype == "bfloat16" else 1e-5
    )


@pytest.mark.parametrize("shape", [(3, 2, 4), (2, 3, 3, 3), (1, 2, 3, 1, 2)])
def test_delta_orthogonal(shape: tuple[int, ...]) -> None:
    w = numpy.array(inits.delta_orthogonal()(KEY, shape))
    middle = tuple((n - 1) // 2 for n in shape[:-2])
    numpy.testing.assert_allclose(w[middle] @ w[middle].T, numpy.eye(shape[-2]), atol=1e-5)
    w[middle] = 0
    assert not w.any()


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "uniform"])
def test_variance(distribution: str, dtype: str) -> None:
    w = inits.variance_scaling(3.0, "fan_out", distribution)(KEY, (100, 200), dtype)
    assert w.dtype == dtype
    assert abs(numpy.mean(abs(numpy.asarray(w)) ** 2) - 3 / 200) < 0.05 * 3 / 200


def test_no_inputs() -> None:
    assert inits.lecun_normal()(KEY, (0, 4)).shape == (0, 4)
    assert inits.orthogonal()(KEY, (0, 4)).shape == (0, 4)


@pytest.mark.parametrize(
    ("init", "shape", "message"),
    [
        (inits.orthogonal(), (3,), "at least two dimensions"),
        (inits.delta_orthogonal(), (3, 3), "3, 4 or 5 dimensions"),
        (inits.delta_orthogonal(), (3, 3, 2), "as many outputs"),
        (inits.he_normal(), (3,), "at least two dimensions"),
    ],
)
def test_refusals(init: inits.Initializer, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        init(KEY, shape)
