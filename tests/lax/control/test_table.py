"""The table of *The Sharp Bits*, and what is beyond it: which control flow works under which transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from anima.errors import TracerBoolConversionError, TracerIntegerConversionError
from tests.lax.control.helpers import assert_trees_close

X = onp.float32(1.3)
N = np.asarray(3)  # an array: a Python integer would be known while tracing


def python_if(x: Any, n: Any) -> Any:
    return 3.0 * x**2 if x < 3 else -4 * x


def python_for(x: Any, n: Any) -> Any:
    for _ in range(n):
        x = np.sin(x) * 2
    return x


def python_while(x: Any, n: Any) -> Any:
    while x < 10:
        x = x * 2
    return x


def prefixes(x: Any, n: Any) -> Any:
    return lax.associative_scan(lambda a, b: a * b, x * np.arange(1.0, 4.0))[-1]


FULL = ("jit", "forward", "reverse")
# name: the function, the same in Python, and what works with it under `jit`
TABLE: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[str, ...]]] = {
    "if": (python_if, python_if, ()),
    "for": (python_for, python_for, ()),
    "while": (python_while, python_while, ()),
    "cond": (
        lambda x, n: lax.cond(x < 3, lambda x: 3.0 * x**2, lambda x: -4 * x, x),
        python_if,
        FULL,
    ),
    "switch": (
        lambda x, n: lax.switch(n, [lambda x: x, lambda x: -x, lambda x: -x, lambda x: x**2, lambda x: x], x),
        lambda x, n: x**2,
        FULL,
    ),
    "while_loop": (
        lambda x, n: lax.while_loop(lambda x: x < 10, lambda x: x * 2, x),
        python_while,
        ("jit", "forward"),
    ),
    "while_loop, bounded": (
        lambda x, n: lax.while_loop(lambda x: x < 10, lambda x: x * 2, x, max_steps=5),
        python_while,
        FULL,
    ),
    "fori_loop": (
        lambda x, n: lax.fori_loop(0, n, lambda i, x: np.sin(x) * 2, x),
        python_for,
        ("jit", "forward"),
    ),
    "fori_loop, static": (
        lambda x, n: lax.fori_loop(0, 3, lambda i, x: np.sin(x) * 2, x),
        python_for,
        FULL,
    ),
    "fori_loop, bounded": (
        lambda x, n: lax.fori_loop(0, n, lambda i, x: np.sin(x) * 2, x, max_steps=5),
        python_for,
        FULL,
    ),
    "scan": (
        lambda x, n: lax.scan(lambda x, _: (np.sin(x) * 2, None), x, None, length=3)[0],
        python_for,
        FULL,
    ),
    "map": (lambda x, n: lax.map(lambda y: np.sin(x * y), np.arange(3.0)).sum(), lambda x, n: np.sin(x * np.arange(3.0)).sum(), FULL),
    "associative_scan": (prefixes, lambda x, n: 6 * x**3, FULL),
}  # fmt: skip

TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "jit": lambda f: f,
    "forward": lambda f: lambda x, n: anima.jvp(lambda x: f(x, n), (x,), (X,))[1],
    "reverse": lambda f: anima.grad(f),
}


@pytest.mark.parametrize("name", TABLE)
def test_without_jit_everything_works(name: str) -> None:
    fun, plain, _ = TABLE[name]
    for transform in TRANSFORMS.values():
        assert_trees_close(transform(fun)(X, 3), transform(plain)(X, 3))


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_under_jit(name: str, transform: str) -> None:
    fun, plain, works = TABLE[name]
    compiled = anima.jit(TRANSFORMS[transform](fun))
    if transform in works:
        assert_trees_close(compiled(X, N), TRANSFORMS[transform](plain)(X, 3))
        return
    errors = (TracerBoolConversionError, TracerIntegerConversionError) if not works else ValueError
    with pytest.raises(errors):
        compiled(X, N)


def test_static_arguments_admit_python_loops() -> None:
    assert_trees_close(anima.jit(python_for, static_argnums=1)(X, 3), python_for(X, 3))
    assert_trees_close(
        anima.jit(anima.grad(python_for), static_argnums=1)(X, 3), anima.grad(python_for)(X, 3)
    )


def test_the_five_arguments_of_the_sharp_bits() -> None:
    operand = np.array([0.0])
    assert lax.cond(True, operand, lambda x: x + 1, operand, lambda x: x - 1).tolist() == [1.0]
    assert lax.cond(False, operand, lambda x: x + 1, operand, lambda x: x - 1).tolist() == [-1.0]
