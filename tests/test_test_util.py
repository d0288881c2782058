"""`anima.test_util`: right derivatives pass, wrong ones do not."""

from __future__ import annotations

from functools import partial
from typing import Any

import ml_dtypes
import numpy
import pytest

import anima
import anima.numpy as np
from anima.test_util import check_grads, check_jvp, check_vjp


def wrong(factor: float) -> Any:
    """x**2 with a derivative that is wrong by a factor."""

    @anima.custom_jvp
    def square(x: Any) -> Any:
        return x * x

    square.defjvp(lambda p, t: (p[0] * p[0], 2 * factor * p[0] * t[0]))
    return square


@pytest.mark.parametrize("dtype", [numpy.float16, ml_dtypes.bfloat16, numpy.float32, numpy.complex64])
def test_right_derivatives(dtype: Any) -> None:
    x = numpy.asarray([0.5, 1.25], dtype)
    check_grads(np.sin, (x,), order=2)
    check_grads(lambda a: {"y": a["x"] * a["x"].sum()}, ({"x": x},), order=1)


def test_double_precision_and_third_order() -> None:
    with anima.enable_x64(True):
        x = np.linspace(0.5, 2.0, 3)
        assert x.dtype == "float64"
        check_grads(lambda x, y: np.exp(x) / y, (x, 2.0), order=3)
        with pytest.raises(AssertionError):
            check_grads(wrong(1.0001), (x,), order=1)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_wrong_derivatives(mode: str) -> None:
    check_grads(wrong(1), (3.0,), order=2, modes=mode)
    with pytest.raises(AssertionError, match=r"of square against finite differences"):
        check_grads(wrong(1.05), (3.0,), order=1, modes=(mode,))
    check_grads(wrong(1.05), (3.0,), order=1, modes=(mode,), rtol=0.2, atol=0.2)


def test_a_wrong_second_derivative() -> None:
    @anima.custom_jvp
    def slope(x: Any) -> Any:
        return np.cos(x)

    slope.defjvp(lambda p, t: (np.cos(p[0]), t[0]))

    @anima.custom_jvp
    def f(x: Any) -> Any:
        return np.sin(x)

    f.defjvp(lambda p, t: (np.sin(p[0]), slope(p[0]) * t[0]))
    check_grads(f, (1.0,), order=1)
    with pytest.raises(AssertionError, match="forward, then forward:"):
        check_grads(f, (1.0,), order=2)
    with pytest.raises(AssertionError, match="reverse, then reverse:"):
        check_grads(f, (1.0,), order=2, modes="rev")


def test_wrong_results_and_one_mode_alone() -> None:
    f = np.sin
    with pytest.raises(AssertionError, match="result of"):
        check_jvp(f, lambda p, t: (np.cos(p[0]), np.cos(p[0]) * t[0]), (1.0,))
    with pytest.raises(AssertionError, match="mine tangent"):
        check_jvp(f, lambda p, t: (np.sin(p[0]), np.sin(p[0]) * t[0]), (1.0,), err_msg="mine")
    with pytest.raises(AssertionError, match="cotangents"):
        check_vjp(f, lambda x: (np.sin(x), lambda ct: (ct * x,)), (1.0,))
    check_jvp(f, partial(anima.jvp, f), (1.0,), eps=1e-2)
    check_vjp(f, partial(anima.vjp, f), (1.0,), eps=1e-2)


def test_functions_of_integers_too() -> None:
    check_grads(lambda x, n: (x * n, n + 1), (np.ones(3), 2), order=2)
    check_grads(lambda z: np.abs(z) * z, (1 + 2j,), order=2)


def test_what_cannot_be_checked() -> None:
    with pytest.raises(TypeError, match="must be a tuple of the arguments of sin"):
        check_grads(np.sin, 1.0, order=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no argument of sin is a float"):
        check_grads(np.sin, (1,), order=1)
    with pytest.raises(AssertionError, match="returns no float"):
        check_grads(lambda x: x > 0, (1.0,), order=1)
    with pytest.raises(ValueError, match="modes must be of 'fwd' and 'rev', got 'forward'"):
        check_grads(np.sin, (1.0,), order=1, modes="forward")
    with pytest.raises(ValueError, match="order must be an integer of at least 1"):
        check_grads(np.sin, (1.0,), order=0)
    with pytest.raises(ValueError, match="eps, the step of the differences, must be positive"):
        check_grads(np.sin, (1.0,), order=1, eps=0.0)
    with pytest.raises(AssertionError):
        check_grads(np.abs, (0.0,), order=1)
