"""Derivatives of elementwise operations at special points compared with JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import anima

pytestmark = pytest.mark.peers

ONE = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_not",
    "cbrt",
    "ceil",
    "clz",
    "conj",
    "cos",
    "cosh",
    "digamma",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "imag",
    "is_finite",
    "lgamma",
    "log",
    "log1p",
    "logistic",
    "neg",
    "population_count",
    "real",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "stop_gradient",
    "tan",
    "tanh",
]
REAL = [np.float32(v) for v in (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, np.inf, -np.inf, np.nan)]
COMPLEX = [np.complex64(v) for v in (1 + 2j, -0.5 + 0.3j, 0j, -2 - 1j, 1j)]
# The rows of docs/differences.md that concern derivatives, and points outside a function's domain.
DIFFERENT = {"acosh", "pow", "rem", "sign", "abs nan"}


def derivatives(
    lib: Any, name: str, wrap: Callable[[Any, Any], Any], args: tuple[Any, ...]
) -> list[np.ndarray]:
    out, pull = lib.vjp(lambda *xs: wrap(lib.lax, getattr(lib.lax, name)(*xs)), *args)
    return [np.asarray(v) for v in pull(np.ones((), out.dtype))]


def check(name: str, wrap: Callable[[Any, Any], Any], *args: Any) -> None:
    label = f"{name} {' '.join(str(a.item()) for a in args)}"
    if name in DIFFERENT or label in DIFFERENT:
        return
    ours, theirs = (derivatives(lib, name, wrap, args) for lib in (anima, jax))
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, err_msg=label)


SMOOTH = [n for n in ONE if n not in ("bitwise_not", "clz", "conj", "imag", "is_finite", "population_count", "real", "stop_gradient")]  # fmt: skip
HOLOMORPHIC = [n for n in SMOOTH if n not in ("abs", "cbrt", "ceil", "digamma", "erf", "erf_inv", "erfc", "floor", "lgamma", "reciprocal", "round")]  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_one_real_number(name: str) -> None:
    for x in REAL:
        check(name, lambda lax, y: y, x)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "rem", "max", "min", "atan2", "pow"])
def test_derivatives_of_two_real_numbers(name: str) -> None:
    for x in REAL:
        for y in REAL:
            check(name, lambda lax, z: z, x, y)


@pytest.mark.parametrize("name", [*HOLOMORPHIC, "conj"])
def test_derivatives_of_one_complex_number(name: str) -> None:
    for x in COMPLEX:
        if not (x == 0 and name in ("log", "sqrt", "rsqrt")) and not (x == 1j and name in ("asinh", "atan")):
            check(name, lambda lax, y: lax.real(y), x)
            check(name, lambda lax, y: lax.imag(y), x)


@pytest.mark.parametrize("name", ["real", "imag", "abs"])
def test_derivatives_of_parts(name: str) -> None:
    for x in COMPLEX:
        check(name, lambda lax, y: y, x)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "max", "min"])
def test_derivatives_of_two_complex_numbers(name: str) -> None:
    for x in COMPLEX:
        for y in COMPLEX:
            if name != "div" or y != 0:
                check(name, lambda lax, z: lax.real(z), x, y)
