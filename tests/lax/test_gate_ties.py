"""Derivatives where elements tie: those that equal the extremum share its tangent evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import anima
from anima import lax

F32 = np.float32
ROW = lax.ScatterDimensionNumbers((), (0,), (0,))


def tangent_and_cotangents(fun: Any, *args: Any) -> tuple[Any, list[Any]]:
    """The tangent of `fun` in the direction of ones, and the cotangents of its arguments from ones."""
    out, tangent = anima.jvp(fun, args, tuple(np.ones_like(a) for a in args))
    pulled = anima.vjp(fun, *args)[1](np.ones(out.shape, F32))
    return np.asarray(tangent), [np.asarray(p) for p in pulled]


@pytest.mark.parametrize(
    ("reduce", "extremum"), [(lax.reduce_max, 2.0), (lax.reduce_min, -2.0)], ids=["max", "min"]
)
def test_extrema_share_the_derivative(reduce: Any, extremum: float) -> None:
    x = np.array([[extremum, 0.0, extremum], [0.0, extremum, 0.0]], F32)
    tangent, (pulled,) = tangent_and_cotangents(lambda x: reduce(x, (1,)), x)
    np.testing.assert_allclose(tangent, [1.0, 1.0])
    np.testing.assert_allclose(pulled, [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    tangent, (pulled,) = tangent_and_cotangents(lambda x: reduce(x, (0, 1)), x)
    np.testing.assert_allclose(tangent, 1.0)
    np.testing.assert_allclose(pulled, np.where(x == extremum, 1 / 3, 0.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("scatter", "sign"), [(lax.scatter_max, 1.0), (lax.scatter_min, -1.0)], ids=["max", "min"]
)
def test_scattered_extrema_share_the_derivative(scatter: Any, sign: float) -> None:
    x = sign * np.array([1.0, 2.0, 3.0], F32)
    updates = sign * np.array([1.0, 5.0, 5.0, 2.0], F32)  # ties with x; two tie with one another; loses
    places = np.array([[0], [1], [1], [2]], np.int32)
    tangent, (at_x, at_updates) = tangent_and_cotangents(
        lambda x, u: scatter(x, places, u, ROW, mode="drop"), x, updates
    )
    np.testing.assert_allclose(tangent, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(at_x, [0.5, 0.0, 1.0])
    np.testing.assert_allclose(at_updates, [0.5, 0.5, 0.5, 0.0])
