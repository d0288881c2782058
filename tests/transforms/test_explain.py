"""`jax_explain_cache_misses`, `jax_no_tracing`, `jax_no_execution`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import anima
import anima.numpy as np
from anima import jit


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """The explanations since the last call."""

    def take() -> list[str]:
        found = [r.getMessage() for r in caplog.records if "CACHE MISS" in r.getMessage()]
        caplog.clear()
        return found

    with caplog.at_level(logging.WARNING), anima.explain_cache_misses(True):
        yield take


def make() -> Any:
    def model(params: Any, x: Any, n: int = 1, *, scale: Any = 2.0) -> Any:
        return params["w"] * x * n * scale

    return jit(model, static_argnames="n")


W = {"w": np.ones(3)}


@pytest.mark.cpu
def test_what_differed(said: Any) -> None:
    f = make()
    f(W, 1.0)
    [first] = said()
    assert "test_explain.py" in first and "model was never traced before" in first
    assert "`params['w']`: float32[3]" in first
    f(W, 1.0)
    assert said() == []
    for call, expected in [
        (lambda: f({"w": np.ones(4)}, 1.0), "argument `params['w']`: its shape was (3,), is (4,)"),
        (lambda: f({"w": np.ones(3, int)}, 1.0), "argument `params['w']`: its dtype was float32, is int32"),
        (lambda: f(W, np.float32(1)), "argument `x`: it was weakly typed, as Python numbers are, is strongly typed"),
        (lambda: f(W, 1.0, 2), "static argument number 2: it was not given, is 2"),
        (lambda: f(W, 1.0, n=3), "static argument n: it was not given, is 3"),
        (lambda: f({**W, "b": 1}, 1.0), "args[0] was a dict with the keys ['w'], is a dict with the keys ['b', 'w']"),
        (lambda: f(W, 1.0, scale=3.0), "kwargs was a dict with the keys [], is a dict with the keys ['scale']"),
    ]:  # fmt: skip
        call()
        [text] = said()
        assert expected in text and "What differs from the nearest call: " in text
    with anima.default_matmul_precision("high"):
        f(W, 1.0)
    [text] = said()
    assert "the option jax_default_matmul_precision was None, is 'high'" in text


def test_functions_made_anew(said: Any) -> None:
    for _ in range(2):
        jit(lambda x: x + 41)(1.0)
    first, second = said()
    assert "never traced before" in first
    assert (
        "traced before as another function object with the same code" in second and "make it once" in second
    )


def test_the_librarys_own_functions_are_not_explained(said: Any) -> None:
    np.linspace(0, 1, 7) + np.ones(7)
    assert said() == []


def test_no_tracing() -> None:
    f = jit(lambda x: x + 1)
    f(1.0)
    with anima.no_tracing(True):
        assert float(f(2.0)) == 3
        with pytest.raises(
            RuntimeError, match="jit would have to trace <lambda>, but the option jax_no_tracing"
        ):
            f(np.ones(3))


def test_no_execution() -> None:
    f = jit(lambda x: x + 1)
    f(1.0)
    with anima.no_execution(True):
        for run in (lambda: f(1.0), lambda: np.sin(np.float32(1))):
            with pytest.raises(
                RuntimeError, match="would have to run, but the option jax_no_execution is on"
            ):
                run()
        assert anima.eval_shape(f, 1.0).shape == () and "add" in f.lower(1.0).as_text()
    assert float(f(1.0)) == 2
