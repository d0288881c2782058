"""Norms, products and powers of matrices."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

import anima.numpy as np
from tests.numpy.support import check

RNG = numpy.random.default_rng(0)
T = RNG.normal(size=(2, 3, 4)).astype("float32")
V = RNG.normal(size=5).astype("float32")
Z = (RNG.normal(size=(3, 3)) + 1j * RNG.normal(size=(3, 3))).astype("complex64")


@pytest.mark.parametrize("ord", [None, 0, 1, 2, 3, -1, 0.5, numpy.inf, -numpy.inf])
def test_norms_of_vectors(ord: Any) -> None:
    check(lambda np: np.linalg.norm(V, ord), 1e-5, traced=False)
    check(lambda np: np.linalg.norm(T, ord, axis=1, keepdims=True), 1e-5, traced=False)
    check(lambda np: np.linalg.norm(Z, ord, axis=0), 1e-5, traced=False)


@pytest.mark.parametrize("ord", [None, "fro", 1, -1, numpy.inf, -numpy.inf])
def test_norms_of_matrices(ord: Any) -> None:
    check(lambda np: np.linalg.norm(T, ord, axis=(0, 2)), 1e-5, traced=False)
    check(lambda np: np.linalg.norm(T, ord, axis=(2, 0), keepdims=True), 1e-5)
    check(lambda np: np.linalg.norm(Z, ord), 1e-5, traced=False)


def test_other_norms() -> None:
    check(lambda np: np.linalg.norm(T), 1e-5)
    check(lambda np: np.linalg.norm(T, keepdims=True), 1e-5)
    assert np.linalg.vector_norm(T, axis=(0, 1), ord=1).shape == (4,)
    assert np.linalg.matrix_norm(T, ord=1).shape == (2,)
    assert np.linalg.norm(np.arange(3)).dtype == np.float32
    for bad in (
        lambda: np.linalg.norm(T, "fro"),
        lambda: np.linalg.norm(V, "x"),
        lambda: np.linalg.norm(Z, 7),
    ):
        with pytest.raises(ValueError, match="norm"):
            bad()


def test_products() -> None:
    a, b, c = (RNG.normal(size=s).astype("float32") for s in ((2, 7), (7, 3), (3, 5)))
    check(lambda np: np.linalg.multi_dot([a, b, c]), 1e-5)
    check(lambda np: np.linalg.multi_dot([a[0], b, c, V]), 1e-5)
    check(lambda np: np.linalg.matrix_power(Z, 5), 1e-4)
    check(lambda np: np.linalg.matrix_power(Z, 0), 1e-5)
    check(lambda np: np.linalg.matrix_power(Z + 4 * numpy.eye(Z.shape[-1], dtype="complex64"), -2), 1e-5)
    check(
        lambda np: np.linalg.matrix_power(numpy.array([[2, 1], [1, 1]], "int32"), -3).astype("float32"), 1e-4
    )
    assert np.linalg.outer(V, V).shape == (5, 5)
    assert np.linalg.trace(T[:, :, :3]).shape == (2,)
    assert np.linalg.diagonal(T, offset=1).shape == (2, 3)
    assert np.linalg.matrix_transpose(T).shape == (2, 4, 3)
    for bad in (
        lambda: np.linalg.matrix_power(T, 2),
        lambda: np.linalg.multi_dot([a]),
        lambda: np.linalg.multi_dot([a, T, b]),
        lambda: np.linalg.outer(a, V),
    ):
        with pytest.raises(ValueError):
            bad()
