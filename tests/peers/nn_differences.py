"""Checks of the rows of `docs/differences.md` about `nn` and what is built beside it."""

from __future__ import annotations

from typing import Any

import jax
import numpy
import pytest

import anima


def integers(run_python: Any, tmp_path: Any) -> None:
    x = numpy.array([1, 200], "uint8")
    with pytest.raises(TypeError):
        jax.nn.sigmoid(3)
    assert numpy.allclose(anima.nn.sigmoid(3), 1 / (1 + numpy.exp(-3)))
    assert jax.nn.log_sigmoid(x)[0] == -255
    numpy.testing.assert_allclose(
        anima.nn.log_sigmoid(x), -numpy.log1p(numpy.exp(-x.astype("f4"))), rtol=1e-6
    )


def standardize(run_python: Any, tmp_path: Any) -> None:
    x = numpy.array([1e4, 1e4 + 1, 1e4 + 3], "float32")
    exact = (x - x.mean(dtype="f8")) / x.std(dtype="f8")
    assert not numpy.allclose(jax.nn.standardize(x), exact, rtol=1e-2)
    numpy.testing.assert_allclose(anima.nn.standardize(x), exact, rtol=1e-2)


def scaled_products(run_python: Any, tmp_path: Any) -> None:
    operands = [numpy.ones(s, "float32") for s in ((1, 2, 64), (1, 3, 64), (1, 2, 2), (1, 3, 2))]
    with pytest.raises(NotImplementedError):
        jax.nn.scaled_matmul(*map(jax.numpy.asarray, operands))
    assert anima.nn.scaled_matmul(*operands).tolist() == numpy.full((1, 2, 3), 64.0).tolist()


NN_CHECKS = {
    "nn-integers": integers,
    "nn-standardize": standardize,
    "scaled-products": scaled_products,
}
