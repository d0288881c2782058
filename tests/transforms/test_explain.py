"""`jax_explain_cache_misses`, `jax_no_tracing`, `jax_no_execution`."""

from __future__ import annotations

import logging
import textwrap
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
        (lambda: f(W, 1.0, 2), "static argument `n`: it was not given, is 2"),
        (lambda: f(W, 1.0, n=3), "static argument `n`: it was not given, is 3"),
        (lambda: f({**W, "b": 1}, 1.0), "the structure of `params` was a dict with the keys ['w'], is a dict with the keys ['b', 'w']"),
        (lambda: f(W, 1.0, scale=3.0), "the structure of the keyword arguments was a dict with the keys [], is a dict with the keys ['scale']"),
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


def reasons(f: Any) -> list[tuple[str, ...]]:
    return [found.reasons for found in f.why_retraced()]


def test_why_retraced() -> None:
    f = make()
    assert f.why_retraced() == []
    f(W, 1.0)
    f(W, 2.0)
    assert f.why_retraced() == []
    f({"w": np.ones(4)}, 1.0)
    f(W, np.float32(1))
    f(W, np.int32(1), n=3)
    f({"w": np.ones(3), "b": 1}, 1.0)
    f(W, x=1.0)
    f(W, 1.0)
    assert reasons(f) == [
        ("argument `params['w']`: its shape was (3,), is (4,)",),
        ("argument `x`: it was weakly typed, as Python numbers are, is strongly typed, as arrays are",),
        ("argument `x`: its dtype was float32, is int32", "static argument `n`: it was not given, is 3"),
        ("the structure of `params` was a dict with the keys ['w'], is a dict with the keys ['b', 'w']",),
        ("argument `x`: it was passed by position, is passed by keyword",),
    ]
    [first, *_] = f.why_retraced()
    assert first.kind == "traced" and "test_explain.py" in first.where and "test_why_retraced" in first.where
    assert repr(first) == f"traced again at {first.where}: {first.reasons[0]}"
    f.clear_cache()
    assert f.why_retraced() == []


def test_static_positions_and_names() -> None:
    f = jit(lambda mode, x, y: x + y if mode == "add" else x - y, static_argnums=0)
    f("add", 1.0, 2.0)
    f("sub", 1.0, 2.0)
    f("sub", np.ones(2), 2.0)
    assert reasons(f) == [
        ("static argument `mode`: it was 'add', is 'sub'",),
        ("argument `x`: its shape was (), is (2,), it was weakly typed, as Python numbers are, is strongly typed, as "
         "arrays are",),
    ]  # fmt: skip
    f((1.5, 2), 1.0, 2.0)
    assert "is (1.5, 2)" in reasons(f)[-1][0]


def test_functions_without_names() -> None:
    f = jit(lambda *xs: sum(xs))
    f(1.0, np.ones(2))
    f(1.0, np.ones(3))
    assert reasons(f) == [("argument number 1: its shape was (2,), is (3,)",)]


def test_retraced_inside_transformations_and_after_clearing() -> None:
    f = jit(lambda x: x * x)
    f(2.0)
    anima.grad(f)(3.0)
    assert f.why_retraced() == []
    anima.vmap(f)(np.ones(3))
    assert reasons(f) == [
        ("argument `x`: it was weakly typed, as Python numbers are, is strongly typed, as arrays are",)
    ]
    anima.clear_caches()
    f(2.0)
    assert "its program was forgotten" in reasons(f)[-1][0]


def test_shardings_and_commitment(said: Any) -> None:
    f = jit(lambda x, y: x + y)
    x = np.arange(4.0)
    f(x, 1.0)
    said()
    placed = anima.device_put(x, anima.devices()[0])
    f(placed, 1.0)
    f(placed, 1.0)
    [text] = said()
    assert "COMPILATION CACHE MISS at" in text and "argument `x`: it was on no device in particular" in text
    [found] = f.why_retraced()
    assert found.kind == "compiled" and len(found.reasons) == 1
    assert found.reasons[0].startswith("argument `x`: it was on no device in particular, is placed by Single")


def test_shardings_over_devices(run_python: Any) -> None:
    source = """
        import anima, anima.numpy as np
        from anima.sharding import NamedSharding, PartitionSpec as P
        mesh = anima.make_mesh((2,), ("i",))
        f = anima.jit(lambda x: x + 1)
        x = np.arange(4.0)
        f(anima.device_put(x, NamedSharding(mesh, P("i"))))
        f(anima.device_put(x, NamedSharding(mesh, P())))
        [found] = f.why_retraced()
        assert found.kind == "compiled", found
        assert "argument `x`: it was placed by NamedSharding" in found.reasons[0], found
    """
    run_python(textwrap.dedent(source), env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2"})


def test_history_is_bounded_and_goes_with_the_function() -> None:
    f = jit(lambda x: x)
    for n in range(70):
        f.trace(np.zeros(n))
    assert len(f.why_retraced()) == 63
    assert f.why_retraced()[-1].reasons == ("argument `x`: its shape was (68,), is (69,)",)


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
