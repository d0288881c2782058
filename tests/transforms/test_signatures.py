"""What `inspect` says of transformed functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import anima

TRANSFORMATIONS = [anima.jit, anima.vmap, anima.grad, anima.checkpoint]


@pytest.mark.parametrize("transform", TRANSFORMATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("follow", [True, False])
def test_a_function_keeps_its_signature(transform: Callable[..., Any], follow: bool) -> None:
    def plain(x: float, *, scale: float = 2.0) -> float:
        return x * scale

    wanted = "(x: 'float', *, scale: 'float' = 2.0) -> 'float'"
    function = transform(plain)
    assert str(inspect.signature(function, follow_wrapped=follow)) == wanted
    partial = functools.partial(function, scale=3.0)
    assert str(inspect.signature(partial)).startswith("(x: 'float', *, scale")


@pytest.mark.parametrize("transform", TRANSFORMATIONS, ids=lambda f: f.__name__)
def test_a_signature_can_be_set_and_taken_back(transform: Callable[..., Any]) -> None:
    function = transform(lambda x: x)
    other = inspect.signature(lambda a, b: None)
    function.__signature__ = other
    assert inspect.signature(function) == other
    del function.__signature__
    assert str(inspect.signature(function)) == "(x)"
    with pytest.raises(AttributeError, match="__signature__"):
        del function.__signature__


def test_what_has_no_signature_has_none_afterwards() -> None:
    function = anima.jit(max)
    assert not hasattr(function, "__signature__")
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(function)


def test_errors_other_than_of_signatures_are_not_hidden() -> None:
    class Wrapped:
        __name__ = "wrapped"

        @property
        def __signature__(self) -> inspect.Signature:
            raise ZeroDivisionError

        def __call__(self, x: Any) -> Any:
            return x

    function = anima.jit(Wrapped())
    with pytest.raises(ZeroDivisionError):
        function.__signature__
