"""Parameters of callables: as the standard library tells them, whatever road they are found by."""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any

import pytest

import anima
from anima import numpy as np
from anima.interpreters.flat import parameters_of


def plain(a, b=1, /, c=2, *args, d, e=3, **kwargs): ...  # type: ignore[no-untyped-def]
def no_variadics(a, b, *, c, d=None): ...  # type: ignore[no-untyped-def]
def keywords_alone(*, a=1): ...  # type: ignore[no-untyped-def]
def nothing(): ...  # type: ignore[no-untyped-def]


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> None: ...


def with_own_signature(*args: Any) -> None: ...


with_own_signature.__signature__ = inspect.signature(no_variadics)  # type: ignore[attr-defined]


@functools.wraps(with_own_signature)
def around_own_signature(x: Any) -> None: ...


class Owner:
    def method(self, a: Any, b: Any = 2) -> None:
        local = a, b
        del local

    @classmethod
    def of_class(cls, a: Any) -> None: ...

    def __call__(self, x: Any, *more: Any) -> None: ...


@pytest.mark.parametrize(
    "fun",
    [
        plain, no_variadics, keywords_alone, nothing, wrapped, with_own_signature, around_own_signature, lambda x, y=(): x,
        Owner, Owner.method, Owner().method, Owner.of_class, Owner(), functools.partial(plain, 1, d=2), functools.partial(wrapped),
        math.sin, anima.jit(plain, static_argnames="d"), np.sum, np.clip, anima.random.normal, anima.nn.relu, anima.nn.gelu,
    ],
)  # fmt: skip
def test_parameters_are_those_of_the_signature(fun: Any) -> None:
    expected = [(p.name, p.kind, p.default) for p in inspect.signature(fun).parameters.values()]
    assert parameters_of(fun) == expected


def test_circles_and_towers_of_wrappers() -> None:
    def circle(x: Any) -> None: ...

    circle.__wrapped__ = circle  # type: ignore[attr-defined]
    assert parameters_of(circle) is None  # so says the standard library
    tower: Any = plain
    for _ in range(50):
        tower = functools.wraps(tower)(lambda *args: None)
    assert [p.name for p in parameters_of(tower) or ()] == list(inspect.signature(plain).parameters)


def test_a_callable_without_a_signature_has_none() -> None:
    with pytest.raises(ValueError):
        inspect.signature(dict)
    assert parameters_of(dict) is None
