"""`debug.print`, `debug.callback` and `debug.log`: what arrives, in which form, and what is refused while tracing."""

from __future__ import annotations

import logging
from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import debug, errors, jit, vmap

how = pytest.mark.parametrize("run", [lambda f: f, jit], ids=["eager", "jit"])


def printed(capsys: Any, f: Any, *args: Any) -> str:
    f(*args)
    anima.effects_barrier()
    return capsys.readouterr().out


@how
@pytest.mark.parametrize(
    ("fmt", "args", "kwargs", "text"),
    [
        ("hello", (), {}, "hello"),
        ("{} {x}", (1.5,), {"x": 2}, "1.5 2"),
        ("{:.2f}|{:5d}|{y}", (1.0, 3), {"y": True}, "1.00|    3|True"),
        ("{1} {0} {1}", (1, 2), {}, "2 1 2"),
        ("{{}} 100%", (), {}, "{} 100%"),
        ("{}", (onp.arange(3.0, dtype=onp.float32),), {}, "[0. 1. 2.]"),
        ("{x.shape} {x[1]}", (), {"x": onp.arange(3)}, "(3,) 1"),
        ("{0[0]} {a[b]}", ((1, 2),), {"a": {"b": 3}}, "1 3"),
        ("{} {}", ("text", None), {}, "text None"),
        ("{:{width}}", (7,), {"width": "4"}, "   7"),
    ],
)
def test_formats(capsys: Any, run: Any, fmt: str, args: Any, kwargs: dict[str, Any], text: str) -> None:
    leaves, tree = anima.tree.flatten((args, kwargs))
    traced = [not isinstance(x, str) for x in leaves]

    def f(*values: Any) -> None:
        given = iter(values)
        full = [next(given) if t else x for x, t in zip(leaves, traced)]
        call_args, call_kwargs = anima.tree.unflatten(tree, full)
        debug.print(fmt, *call_args, **call_kwargs)

    assert printed(capsys, run(f), *[x for x, t in zip(leaves, traced) if t]) == text + "\n"


@pytest.mark.parametrize(
    ("fmt", "args", "kwargs", "error", "says"),
    [
        ("{x}", (1,), {}, KeyError, "no argument x="),
        ("{}", (), {"x": 1}, IndexError, "placeholder for positional argument 0, but there are 0"),
        ("{} {}", (1,), {}, IndexError, "placeholder for positional argument 1, but there are 1"),
        ("hello", (1,), {}, ValueError, "no placeholder for the arguments 0"),
        ("{x}", (), {"x": 1, "y": 2}, ValueError, "no placeholder for the arguments y="),
        ("{", (1,), {}, ValueError, "Single"),
        ("{!q}", (1,), {}, ValueError, "unknown conversion 'q'"),
        (3, (), {}, TypeError, "must be a format string, got 3"),
    ],
)
@how
def test_formats_are_checked_while_tracing(
    run: Any, fmt: Any, args: Any, kwargs: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        anima.eval_shape(run(lambda: debug.print(fmt, *args, **kwargs)))


def test_the_check_can_be_left_out(capsys: Any) -> None:
    assert printed(capsys, lambda: debug.print("{}", 1, 2, skip_format_check=True)) == "1\n"
    with pytest.raises(errors.JaxRuntimeError, match="IndexError"):
        printed(capsys, jit(lambda: debug.print("{} {}", 1, skip_format_check=True)))


def test_the_check_stages_nothing() -> None:
    closed = anima.make_jaxpr(lambda x: debug.print("{x[0]} {x.T}", x=x))(np.ones(3))
    assert [e.primitive.name for e in closed.eqns] == ["debug_callback"]


def test_printing_is_numpys_as_it_was_set(capsys: Any) -> None:
    with onp.printoptions(precision=2):
        f = jit(lambda x: debug.print("{}", x))
        f(np.ones(2) / 3)
    with onp.printoptions(precision=5):
        f(np.ones(2) / 3)
    anima.effects_barrier()
    assert capsys.readouterr().out == "[0.33 0.33]\n[0.33 0.33]\n"


def test_options_without_a_format(capsys: Any) -> None:
    say = debug.print(ordered=True)
    assert printed(capsys, jit(lambda x: say("x {}", x)), 3) == "x 3\n"
    look = debug.callback(ordered=True)
    seen: list[Any] = []
    jit(lambda x: look(seen.append, x))(3)
    anima.effects_barrier()
    assert len(seen) == 1


@pytest.mark.cpu
@how
def test_callback_arguments(run: Any) -> None:
    seen: list[Any] = []

    def look(*args: Any, **kwargs: Any) -> int:
        seen.append((args, kwargs))
        return 3  # dropped

    assert (
        run(lambda x: debug.callback(look, x, 1.5, "text", [x, None], key={"a": x, "s": b"bytes"}))(2) is None
    )
    anima.effects_barrier()
    [((x, number, text, items), kwargs)] = seen
    assert all(isinstance(v, anima.Array) for v in (x, number, items[0], kwargs["key"]["a"]))
    assert (int(x), float(number), text, items[1], kwargs["key"]["s"]) == (2, 1.5, "text", None, b"bytes")


def test_callback_misuse() -> None:
    with pytest.raises(TypeError, match="debug.callback expects a function"):
        debug.callback(3)
    with pytest.raises(ZeroDivisionError):
        debug.callback(lambda x: 1 // 0, 1)
    with pytest.raises(errors.JaxRuntimeError, match="ZeroDivisionError"):
        jit(lambda x: debug.callback(lambda v: 1 // 0, x))(1)
        anima.effects_barrier()


def test_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "anima.debug"):
        debug.log("eager {}", 1)
        jit(vmap(lambda x: debug.log("x = {x}", x=x)))(np.arange(2))
        debug.print("{}", 2, _use_logging=True)
        anima.effects_barrier()
    found = [(r.getMessage(), r.levelname, r.name, r.filename) for r in caplog.records]
    texts = ["eager 1", "x = 0", "x = 1", "2"]
    assert found == [(t, "INFO", "anima.debug", "test_printing.py") for t in texts]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "anima.debug"):
        debug.log("quiet {}", 1)
    assert not caplog.records


def test_what_jaxprs_show() -> None:
    [eqn] = anima.make_jaxpr(lambda x: debug.print("{}", x, ordered=True))(1.0).eqns
    assert eqn.primitive.name == "debug_callback" and not eqn.outvars
    assert (
        set(eqn.params) == {"callback", "effect", "partitioned"}
        and str(eqn.params["effect"]) == "OrderedDebug"
    )
    assert isinstance(eqn.params["effect"], debug.OrderedDebugEffect)
