"""Checks of the rows of `docs/differences.md` about NaNs and the command line."""

from __future__ import annotations

from typing import Any

import jax
import numpy
import pytest

import anima

LIBRARIES: tuple[Any, ...] = (jax, anima)


def error_of(lib: Any, fun: Any, *args: Any) -> str:
    """What a call raises under `debug_nans`; "" for nothing."""
    with lib.debug_nans(True):
        try:
            lib.block_until_ready(fun(*args))
        except FloatingPointError as error:
            return str(error)
    return ""


def cause(run_python: Any, tmp_path: Any) -> None:
    """The logarithm is masked; the quotient is what makes the result a NaN."""
    found = {}
    for lib in LIBRARIES:
        fun = lambda x, lib=lib: lib.numpy.where(x > 0, lib.numpy.log(x), 0.0) + (x + 1) / (x + 1)
        found[lib] = error_of(lib, lib.jit(fun), numpy.float32(-1))
    assert found[jax].endswith("encountered in log")
    assert f"encountered in div at {__file__}:" in found[anima]


def inside(run_python: Any, tmp_path: Any) -> None:
    for lib in LIBRARIES:
        log, lax, one = lib.numpy.log, lib.lax, numpy.float32(-1)
        runs = {
            "scan": lambda x, log=log, lax=lax: lax.scan(lambda c, _: (log(c), c), x, None, length=3)[0],
            "while": lambda x, log=log, lax=lax: lax.while_loop(
                lambda c: c[0] < 3, lambda c: (c[0] + 1, log(c[1])), (0, x)
            )[1],
            "cond": lambda x, log=log, lax=lax: lax.cond(x < 0, log, lambda x: x, x),
        }
        for name, fun in runs.items():
            message = error_of(lib, lib.jit(fun), one)
            if lib is jax:
                assert message.endswith(f"encountered in {name}")
            else:
                assert f"encountered in log at {__file__}:" in message


def once(run_python: Any, tmp_path: Any) -> None:
    for lib, count in ((jax, 2), (anima, 1)):
        traced, called = [], []

        def callback(value: Any, called: list[int] = called) -> Any:
            called.append(1)
            return value

        def fun(x: Any, lib: Any = lib, traced: list[int] = traced, callback: Any = callback) -> Any:
            traced.append(1)
            return lib.numpy.log(lib.pure_callback(callback, lib.ShapeDtypeStruct((), "float32"), x))

        assert "encountered in log" in error_of(lib, lib.jit(fun), numpy.float32(-1))
        assert len(traced) == len(called) == count


def given(run_python: Any, tmp_path: Any) -> None:
    nan = float("nan")
    assert "encountered in" in error_of(jax, jax.numpy.array, nan)
    assert "encountered in" in error_of(jax, jax.numpy.asarray, [1.0, nan])
    assert error_of(anima, anima.numpy.array, nan) == error_of(anima, anima.numpy.asarray, [1.0, nan]) == ""
    for lib in LIBRARIES:
        assert "encountered in" in error_of(lib, lambda lib=lib: lib.numpy.full(3, nan))


def ahead(run_python: Any, tmp_path: Any) -> None:
    """Neither looks inside a program that was compiled before the option was on."""
    x = numpy.float32(-1)
    for lib in LIBRARIES:

        def decay(x: Any, lib: Any = lib) -> Any:
            return lib.numpy.log(x)

        compiled = lib.jit(decay).lower(x).compile()
        with lib.debug_nans(True), pytest.raises(Exception, match="decay") as caught:
            compiled(x)
        assert isinstance(caught.value, FloatingPointError) == (lib is anima)
        assert "encountered in log" not in str(caught.value)


def flags(run_python: Any, tmp_path: Any) -> None:
    program = (
        "import sys, {0}; {0}.config.parse_flags_with_absl(); print(sys.argv[1:], {0}.config.jax_enable_x64)"
    )
    hidden = "import sys; sys.modules['absl'] = None; "
    done = run_python(hidden + program.format("jax"), "--jax_enable_x64=1", expect=1)
    assert "absl" in done.stderr
    done = run_python(hidden + program.format("anima"), "--jax_enable_x64=1", "rest")
    assert done.stdout == "['rest'] True\n"


def formats(run_python: Any, tmp_path: Any) -> None:
    with pytest.raises(TypeError, match="unsupported format string"):
        jax.grad(lambda x: (f"{x:.2f}", x)[1])(1.5)
    shown = []
    anima.grad(lambda x: (shown.append(f"{x:.2f}"), x)[1])(1.5)
    assert shown == ["1.50"]
    for lib, words in ((jax, "unsupported format string"), (anima, "Abstract value passed to format")):
        with pytest.raises(TypeError, match=words):
            lib.jit(lambda x: (f"{x:.2f}", x)[1])(1.5)


DEBUG_CHECKS = {
    "nan-cause": cause,
    "nan-inside": inside,
    "nan-once": once,
    "nan-given": given,
    "nan-ahead": ahead,
    "command-line": flags,
    "formats": formats,
}
