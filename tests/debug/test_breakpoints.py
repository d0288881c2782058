"""`debug.breakpoint`: commands from a stream, the frames' variables with the values of the run."""

from __future__ import annotations

import bdb
import io
from typing import Any

import pytest

import anima
import anima.numpy as np
from anima import debug, errors, grad, jit, lax, vmap

STAGING = "/".join(["interpreters", "stage.py"])  # a frame of the library's own


def stop_in(run: Any, commands: str, *args: Any, **options: Any) -> str:
    """What a session with these commands writes."""
    written = io.StringIO()

    def inner(x: Any) -> Any:
        local = np.sin(x)
        count = 3
        debug.breakpoint(stdin=io.StringIO(commands), stdout=written, **options)
        return local * count

    def outer(x: Any) -> Any:
        table = {"x": x, "name": "outer"}
        return inner(table["x"] + 1)

    run(outer)(*args)
    anima.effects_barrier()
    return written.getvalue()


@pytest.mark.parametrize("run", [lambda f: f, jit, grad, lambda f: jit(grad(f))])
def test_values_of_all_frames(run: Any) -> None:
    text = stop_in(
        run, "p float(local)\np count\nup\np float(table['x']), table['name']\ndown\np float(x)\nc\n", 0.0
    )
    assert text.startswith("Stopped at a breakpoint.\n> File ") and "in stop_in.<locals>.inner" in text
    replies = [line.removeprefix("(anima) ") for line in text.splitlines() if line.startswith("(anima) ")]
    assert replies[0].startswith("0.84") and replies[1] == "3" and replies[3] == "(0.0, 'outer')"
    assert replies[5] == "1.0"


@pytest.mark.cpu
def test_commands() -> None:
    text = stop_in(
        jit,
        "l\nlocals\nw\npp {'a': count}\nfresh = count + 1\nfresh * 2\n!count\nnonsense(\nmissing\n1 / 0\n\n"
        "down\nhelp p\ncontinue\n",
        0.0,
    )
    assert "->" in text and "debug.breakpoint(" in text  # the source around
    assert "count = 3" in text and "local = DeviceArray(" in text
    assert "{'a': 3}" in text and "(anima) (anima) 8" in text
    assert "*** SyntaxError" in text and "*** NameError: name 'missing'" in text
    assert "*** ZeroDivisionError" in text and "*** this is the innermost frame" in text
    assert "show a value" in text


def test_frames_can_be_limited() -> None:
    assert "*** this is the outermost frame" in stop_in(jit, "up\nc\n", 0.0, num_frames=0)
    assert "in test_frames_can_be_limited" in stop_in(jit, "w\nc\n", 0.0)
    assert STAGING in stop_in(jit, "w\nc\n", 0.0, filter_frames=False)
    assert STAGING not in stop_in(jit, "w\nc\n", 0.0)


@pytest.mark.parametrize("commands", ["q\n", "", "p 1\n"])
def test_quitting_and_the_end_of_the_input(commands: str) -> None:
    with pytest.raises(bdb.BdbQuit):
        stop_in(lambda f: f, commands, 0.0)
    with pytest.raises(errors.JaxRuntimeError, match="BdbQuit"):
        stop_in(jit, commands, 0.0)


def test_once_for_each_example_and_iteration() -> None:
    text = stop_in(lambda f: jit(vmap(f)), "p float(x)\nc\np float(x)\nc\n" * 2, np.arange(2.0))
    assert text.count("Stopped") == 2 and "(anima) 1.0" in text and "(anima) 2.0" in text
    written = io.StringIO()
    commands = io.StringIO("p int(i)\nc\n" * 3)

    def body(i: Any, c: Any) -> Any:
        debug.breakpoint(stdin=commands, stdout=written, ordered=True)
        return c + i

    lax.fori_loop(0, 3, body, 0)
    anima.effects_barrier()
    replies = [line for line in written.getvalue().splitlines() if line.startswith("(anima) ")]
    assert [r for r in replies if r[8:].isdigit()] == ["(anima) 0", "(anima) 1", "(anima) 2"]


def test_tokens() -> None:
    written = io.StringIO()

    def f(x: Any, use: bool) -> Any:
        y = {"y": x * 2}
        token = debug.breakpoint(token=y, stdin=io.StringIO("p float(x)\nc\n"), stdout=written)
        return token["y"] + 1 if use else y["y"] + 1

    assert float(jit(f, static_argnums=1)(3.0, True)) == 7 and "(anima) 3.0" in written.getvalue()
    written.truncate(0)
    assert float(jit(f, static_argnums=1)(3.0, False)) == 7 and not written.getvalue()
    with pytest.raises(ValueError, match="give ordered or token, not both"):
        debug.breakpoint(token=1.0, ordered=True)


def test_variables_that_are_no_trees() -> None:
    written = io.StringIO()

    def f(x: Any) -> Any:
        mixed = {1: x, "a": x}  # noqa: F841  # keys that cannot be sorted
        looped: list[Any] = []
        looped.append(looped)
        debug.breakpoint(stdin=io.StringIO("p sorted(map(str, mixed))\np len(looped)\nc\n"), stdout=written)
        return x

    jit(f)(1.0)
    anima.effects_barrier()
    assert "['1', 'a']" in written.getvalue() and "(anima) 1" in written.getvalue()


def test_backends() -> None:
    with pytest.raises(ValueError, match="the only backend is 'cli', got 'web'"):
        debug.breakpoint(backend="web")


def test_standard_input(run_python: Any) -> None:
    source = """
import io, sys
sys.stdin = io.StringIO("p int(x) + n\\nc\\n")
import anima
def f(x):
    n = 2
    anima.debug.breakpoint()
    return x
print("result", int(anima.jit(f)(40)))
"""
    done = run_python(source)
    assert "(anima) 42" in done.stdout and "result 40" in done.stdout
